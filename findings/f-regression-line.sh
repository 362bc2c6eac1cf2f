#!/bin/sh
# scikit-learn 1.9.1, f_regression (what SelectKBest ranks columns by) on a column that determines the target.
#
# Guess: the best column there can be has the largest F: infinity, which force_finite turns into the largest float.
# Seen:  where rounding leaves a correlation of 1 + 2e-16, F = r² / (1 - r²) is about -1e16, the smallest of all, and p is 1:
#        SelectKBest takes noise in its place, in a good part of the draws. No warning.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.feature_selection import SelectKBest, f_regression

print("scikit-learn", sklearn.__version__)
missed = 0
for seed in range(100):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=30)
    X = np.column_stack([rng.normal(size=30), 2 * y + 1])
    missed += int(not SelectKBest(f_regression, k=1).fit(X, y).get_support()[1])
    if f_regression(X, y)[0][1] < 0:
        shown = f_regression(X, y)
print("noise is chosen in place of 2 y + 1 in", missed, "of 100 draws")
if not missed:
    raise SystemExit("changed: a column that determines the target is chosen")
print("F and p of noise and of 2 y + 1, in one of them:", *shown)
PYTHON
