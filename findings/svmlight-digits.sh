#!/bin/sh
# scikit-learn 1.9.1, numpy 2.4.6: dump_svmlight_file and load_svmlight_file, of float64, against CSV by pandas 3.1.1.
#
# Guess: what is loaded equals what was dumped, to the bit, as a CSV of pandas and np.savetxt have it: numbers are written with
#        as many digits as float64 needs.
# Seen:  they are written with 16 digits, and float64 needs 17: 43 % of numbers with fractions, and of targets, come back as a
#        neighbor. Of rows of ten columns 3 in 1,000 are still equal to themselves, so a join by values, or a search for rows
#        that two sites share, finds none; OneHotEncoder knows 0.1 + 0.2 from the table and calls it unknown from the file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 pandas==3.1.1
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import sklearn
from sklearn.datasets import dump_svmlight_file, load_svmlight_file
from sklearn.preprocessing import OneHotEncoder

print("scikit-learn", sklearn.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
X = rng.normal(size=(20_000, 10))
y = rng.normal(size=20_000)


def loaded(X, y):
    dump_svmlight_file(X, y, f"{sys.argv[1]}/rows.svmlight")
    rows, target = load_svmlight_file(f"{sys.argv[1]}/rows.svmlight", n_features=X.shape[1])
    return rows.toarray(), target


rows, target = loaded(X, y)
pd.DataFrame(X).to_csv(f"{sys.argv[1]}/rows.csv", index=False)
np.savetxt(f"{sys.argv[1]}/rows.txt", X)
assert np.array_equal(pd.read_csv(f"{sys.argv[1]}/rows.csv").to_numpy(), X)
assert np.array_equal(np.loadtxt(f"{sys.argv[1]}/rows.txt"), X)
assert np.allclose(rows, X, rtol=1e-15)
other, equal = float((rows != X).mean()), float((rows == X).all(axis=1).mean())
print(f"numbers that changed {other:.3f}, targets {float((target != y).mean()):.3f}; rows that are equal {equal:.4f}")

doses = np.array([[0.1 + 0.2], [0.1], [0.5]])
encoder = OneHotEncoder().fit(doses)
try:
    encoder.transform(loaded(doses, np.zeros(3))[0])
except ValueError as error:
    refusal = str(error)
else:
    refusal = ""
print("OneHotEncoder that was fitted to the table, of the file:", refusal or "knows all doses")
if other == 0 and not refusal:
    raise SystemExit("changed: what is loaded equals what was dumped")
assert 0.3 < other < 0.6 and 0.3 < (target != y).mean() < 0.6 and equal < 0.02 and "unknown categories" in refusal
PYTHON
