#!/bin/sh
# scikit-learn 1.9.1: TweedieRegressor(power=2, link="identity"), a gamma regression whose effects add up.
#
# Guess: a fit to positive targets ends where the mean of each training row is positive, or says that it does not: the
#        deviance that it minimizes exists nowhere else.
# Seen:  lbfgs, the default, ends without a warning where means are negative, of -0.4 in one sample and of -170,000 in
#        another. `predict` hands them out; `score` of the same rows is NaN, and `mean_tweedie_deviance` refuses them.
#        (newton-cholesky ends at the same places, with a warning about its Hessian.)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import TweedieRegressor

print("scikit-learn", sklearn.__version__)
warnings.simplefilter("error")
below = []
for seed in range(6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 3))
    y = np.maximum(X @ [0.5, 0.3, 0.0] + 1, 0.05) * rng.gamma(5, 0.2, size=300) + 1e-6
    model = TweedieRegressor(power=2, link="identity", alpha=0, max_iter=1000).fit(X, y)
    least, score = model.predict(X).min(), model.score(X, y)
    print(f"sample {seed}: targets from {y.min():.4f} up, means from {least:.4f} up, score {score:.2f}")
    if least <= 0:
        below.append(score)
if not below or not np.isnan(below).all():
    raise SystemExit("changed: a fit without a warning has positive means, or a score that is a number")
PYTHON
