#!/bin/sh
# scikit-learn 1.9.1, MLPClassifier.fit(X, y, sample_weight=w), w >= 0 with a positive sum.
#
# Guess: a row of weight zero counts for nothing, as in LogisticRegression, so that a site may announce classes that it
#        does not hold by rows of weight zero.
# Seen:  with the whole data in one batch it counts for nothing, to the last bit. But the loss of a mini-batch is a mean
#        by weight, so a mini-batch in which every weight is zero raises ZeroDivisionError: whether a fit succeeds
#        depends on `batch_size` and on how `random_state` shuffles the rows.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
X = rng.standard_normal((12, 3))
y = (X[:, 0] > 0).astype(int)
weights = np.ones(12)
weights[6:] = 0


def fitted(batch_size, X, y, sample_weight=None):
    model = MLPClassifier(
        (5,), solver="sgd", batch_size=batch_size, max_iter=5, shuffle=False, momentum=0, random_state=1
    )
    return model.fit(X, y, sample_weight=sample_weight)


whole, dropped = fitted(12, X, y, weights), fitted(6, X[:6], y[:6])
gap = max(abs(a - b).max() for a, b in zip(whole.coefs_, dropped.coefs_))
print("one batch of all rows: largest difference to a fit without the rows of weight zero:", gap)
assert gap == 0
try:
    fitted(3, X, y, weights)
except ZeroDivisionError as error:
    print("batches of three, two of them with weights of zero alone: ZeroDivisionError:", error)
else:
    raise SystemExit("changed: a batch of rows of weight zero is accepted")
PYTHON
