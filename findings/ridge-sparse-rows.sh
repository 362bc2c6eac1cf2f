#!/bin/sh
# scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1: Ridge and RidgeClassifier of the same rows, dense and in scipy.sparse.
#
# Guess: the same coefficients but for rounding, as LinearRegression, Lasso and RidgeCV have them; or a warning that an
#        iterative solver has stopped before.
# Seen:  with `solver="auto"` sparse rows go to conjugate gradients with a tolerance of 1e-4, which stop once the column
#        with the largest numbers is fitted, say nothing, and leave `n_iter_` None. Beside an income of 30,000 a column of
#        zeros and ones, the effect of which is 3, has a coefficient of 0.001, and R² is 0.77 for 0.90; of two classes
#        0.83 are right, for 0.87. RidgeCV of the same sparse rows has 2.9, and so has `tol=1e-8`. A site whose rows
#        come from an svmlight file, or behind a OneHotEncoder, fits another model than one that reads a table.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import scipy.sparse
import sklearn
from sklearn.linear_model import Lasso, LinearRegression, Ridge, RidgeClassifier, RidgeCV

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
smokes, age, income = rng.random(2000) < 0.2, rng.uniform(20, 90, 2000).round(), rng.lognormal(0, 1, 2000) * 30_000
y = 0.1 * age + 3.0 * smokes + income / 30_000 + rng.normal(size=2000)
X = np.column_stack([age, smokes, income])
sparse = scipy.sparse.csr_array(X)


def effects(model, target):
    """Return the coefficient of smoking and the score, of dense and of sparse rows."""
    found = {}
    for name, rows in (("dense", X), ("sparse", sparse)):
        fitted = model.fit(rows, target)
        found[name] = float(np.ravel(fitted.coef_)[1]), round(fitted.score(rows, target), 4)
    print(f"{model}: {found}, solver {getattr(model, 'solver_', '-')}, n_iter_ {getattr(model, 'n_iter_', '-')}")
    return found


ridge, classifier = effects(Ridge(), y), effects(RidgeClassifier(), y > np.median(y))
same = [effects(model, y) for model in (RidgeCV(), LinearRegression(), Lasso(alpha=0.001), Ridge(tol=1e-8))]
assert all(abs(found["dense"][0] - found["sparse"][0]) < 0.01 for found in same)
if ridge["sparse"][0] > 0.1 or classifier["sparse"][0] > 0.1 * classifier["dense"][0]:
    raise SystemExit("changed: sparse rows have the coefficients of dense ones")
assert ridge["dense"][0] > 2.8 and ridge["sparse"][1] < ridge["dense"][1] - 0.1
PYTHON
