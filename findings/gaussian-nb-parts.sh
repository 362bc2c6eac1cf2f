#!/bin/sh
# scikit-learn 1.9.1, GaussianNB.partial_fit, by which sites with rows of their own would train one model in turns.
#
# Guess: fitted on one part after another it is what fit makes of all rows; var_smoothing, a share of the largest variance of
#        all columns that is added to each, is taken of what has been seen so far.
# Seen:  means and variances merge, the smoothing does not: each call takes it of its own rows, and what the model keeps is
#        their mix by rows, while epsilon_ names that of the last part. Row by row there is none at all: a column that does
#        not vary within a class has variance 0, and with it no probabilities but NaN, where fit has some for every row.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import sklearn
from sklearn.naive_bayes import GaussianNB

print("scikit-learn", sklearn.__version__)
warnings.simplefilter("ignore", RuntimeWarning)
rng = np.random.default_rng(0)
y = np.arange(200) % 2
X = np.column_stack([rng.normal(size=200) + y, y.astype(float)])  # the second column does not vary within a class


def in_parts(*edges):
    model = GaussianNB()
    for rows in np.split(np.arange(200), edges):
        model.partial_fit(X[rows], y[rows], classes=[0, 1])
    return model


whole, halves, rows = GaussianNB().fit(X, y), in_parts(100), in_parts(*range(1, 200))
for name, model in (("fit", whole), ("two parts", halves), ("row by row", rows)):
    lost = np.isnan(model.predict_proba(X)).any(axis=1).sum()
    print(f"{name:10} variances of class 0 {model.var_[0]}, epsilon_ {model.epsilon_:.3g}, rows without probabilities {lost}")
if np.allclose(rows.var_, whole.var_, rtol=1e-12, atol=0) or not np.isnan(rows.predict_proba(X)).any():
    raise SystemExit("changed: row by row the variances are smoothed")

# One part with large numbers, one with small: the order does not matter to the model, and epsilon_ does not say what it has.
scaled = X * np.where(np.arange(200) < 100, 1e4, 1.0)[:, None]
first, last = GaussianNB(), GaussianNB()
for part in (slice(0, 100), slice(100, 200)):
    first.partial_fit(scaled[part], y[part], classes=[0, 1])
for part in (slice(100, 200), slice(0, 100)):
    last.partial_fit(scaled[part], y[part], classes=[0, 1])
print(f"large rows first, last: the same variances {np.allclose(first.var_, last.var_)}, epsilon_ {first.epsilon_:.3g}, "
      f"{last.epsilon_:.3g}; of all rows {GaussianNB().fit(scaled, y).epsilon_:.3g}")
PYTHON
