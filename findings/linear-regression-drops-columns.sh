#!/bin/sh
# scikit-learn 1.9.1 against 1.8.0, numpy 2.4.6, scipy 1.17.1: LinearRegression of columns in different units.
#
# Guess: the unit of a column does not matter to ordinary least squares: who writes an income in yen in place of millions
#        divides one coefficient by a million, and changes no other; what is not determined is said.
# Seen:  since 1.9 `tol`, 1e-6 by default, is the `cond` of scipy's lstsq for dense rows: directions whose singular value
#        is below a millionth of the largest are left out, and columns are not scaled before. With an income in yen a
#        column of zeros and ones, the effect of which is 3, has a coefficient of -1e-5, and R² is 0.40 for 0.95; no
#        warning, but `rank_` is 2 for 3. The same for what fits one by default, as TransformedTargetRegressor does.
#        1.8.0, numpy.linalg.lstsq and `tol=0` have 3; of rows in scipy.sparse 1.8.0 made 0.0015 already.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 1.8.0 1.9.1; do
python3 -m venv "$folder/$version"
"$folder/$version/bin/pip" install --quiet scikit-learn==$version numpy==2.4.6 scipy==1.17.1
"$folder/$version/bin/python" -W error - <<'PYTHON'
import numpy as np
import scipy.sparse
import sklearn
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
age, smokes, income = rng.uniform(20, 90, 2000), rng.random(2000) < 0.3, rng.lognormal(1.5, 0.5, 2000)
y = 0.05 * age + 3.0 * smokes - 0.2 * income + rng.normal(0, 0.4, 2000)
million = np.column_stack([age, smokes, income])
yen = million * [1, 1, 1e6]
effect = {}
for name, X in (("millions", million), ("yen", yen)):
    model = LinearRegression().fit(X, y)
    effect[name] = model.coef_[1]
    print(f"  income in {name}: coefficients {model.coef_}, rank {model.rank_}, R² {model.score(X, y):.3f}")
designed = np.column_stack([yen, np.ones(2000)])
direct = np.linalg.lstsq(designed, y)[0][1]
sparse = LinearRegression().fit(scipy.sparse.csr_array(yen), y).coef_[1]
default = TransformedTargetRegressor().fit(yen, y).regressor_.coef_[1]
print(f"  yen, effect of smoking: numpy's lstsq {direct:.4f}, sparse rows {sparse:.4f}, as a default {default:.2g}")
assert abs(effect["millions"] - 3) < 0.1 and abs(direct - 3) < 0.1 and sparse < 0.01
if sklearn.__version__ == "1.8.0":
    assert abs(effect["yen"] - 3) < 0.1 and abs(default - 3) < 0.1
else:
    assert abs(LinearRegression(tol=0).fit(yen, y).coef_[1] - 3) < 0.1
    if max(abs(effect["yen"]), abs(default)) > 1e-3:
        raise SystemExit("changed: the unit of one column does not matter to another")
PYTHON
done
