#!/bin/sh
# scikit-learn 1.9.1, TargetEncoder(categories=[...]).fit(X, y) where X has a category that is not listed.
#
# Guess: rows of a category that is not listed count for none of the listed ones; they are encoded by the target's mean,
#        as `transform` encodes a category that it does not know.
# Seen:  they are counted for the first category of the list: its encoding is the mean over its own rows and over all
#        rows of categories that are not listed. No word of it; `transform` gives the target's mean for such rows.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.preprocessing import TargetEncoder

print("scikit-learn", sklearn.__version__)
X = np.array([["a"], ["b"], ["c"], ["c"]], object)
y = [0.0, 1.0, 5.0, 7.5]


def encodings(categories):
    return TargetEncoder(categories=[categories], smooth=0.0, target_type="continuous").fit(X, y).encodings_[0]


listed, turned = encodings(["a", "b"]), encodings(["b", "a"])
print("targets: a 0.0, b 1.0; c, which is not listed, 5.0 and 7.5")
print("categories a, b:", listed)
print("categories b, a:", turned)
if np.allclose(listed, [0.0, 1.0]):
    raise SystemExit("changed: rows of categories that are not listed count for none")
assert np.isclose(listed[0], (0.0 + 5.0 + 7.5) / 3)
assert np.isclose(turned[0], (1.0 + 5.0 + 7.5) / 3)
PYTHON
