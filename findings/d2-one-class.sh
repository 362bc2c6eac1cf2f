#!/bin/sh
# scikit-learn 1.9.1, d2_log_loss_score(y, p, labels=[0, 1]) where all of y is one class, as at a site that has but
# one.
#
# Guess: where a constant has no loss to beat there is no score, and the answer is NaN with a warning, as it is for
#        one row, or 0.0, as r2_score answers: a model that gives the class 0.9 is no disaster.
# Seen:  -4.7e14, and no warning: the loss is divided by that of the constant, which is the 2e-16 that log_loss clips
#        at. A mean over sites, weighted by rows, is that of the one site. Its kin, where a constant is right:
#        r2_score 0.0, d2_brier_score -inf with a warning, d2_tweedie_score a ZeroDivisionError.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import warnings

import sklearn
from sklearn.metrics import d2_brier_score, d2_log_loss_score, d2_tweedie_score, r2_score

print("scikit-learn", sklearn.__version__)
one_class, both = [1] * 20, [1] * 500 + [0] * 500
score = d2_log_loss_score(one_class, [0.9] * 20, labels=[0, 1])
elsewhere = d2_log_loss_score(both, [0.8] * 500 + [0.2] * 500, labels=[0, 1])
print("20 rows of one class, each given 0.9:", score)
print("1,000 rows of two classes, each given 0.8:", elsewhere)
print("mean of both, by rows:", (20 * score + 1000 * elsewhere) / 1020)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    brier = d2_brier_score(one_class, [0.9] * 20, labels=[0, 1])
print("d2_brier_score of the 20 rows:", brier, [str(warning.message) for warning in told])
print("r2_score of a constant target:", r2_score([2.0, 2.0], [2.0, 2.1]))
try:
    print("d2_tweedie_score of a constant target:", d2_tweedie_score([2.0, 2.0], [2.0, 2.1]))
except ZeroDivisionError as error:
    print("d2_tweedie_score of a constant target: ZeroDivisionError:", error)
assert 0 < elsewhere < 1
if not score < -1e12:
    raise SystemExit("changed: the score of a single class")
PYTHON
