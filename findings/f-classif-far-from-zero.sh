#!/bin/sh
# scikit-learn 1.9.1, f_classif (what SelectKBest ranks columns by) on a column whose mean is far from 0.
#
# Guess: the F statistic does not change when a constant is added to a column, to about 8 digits at least: X is float64,
#        its values below have 7 digits left behind the point, and scipy.stats.f_oneway gives the same F for all of them.
# Seen:  the sums of squares are taken about 0 and subtracted. With 1e6 added (a Unix time in minutes, an income, a
#        postal code) the third digit is wrong, with 1e8 (a Unix time in seconds) F is eight times too large, so that
#        such a column wins a place that it has not earned. No warning.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import scipy
import sklearn
from scipy.stats import f_oneway
from sklearn.feature_selection import f_classif

print("scikit-learn", sklearn.__version__, "SciPy", scipy.__version__)
rng = np.random.default_rng(0)
y = rng.integers(0, 3, 300)
x = rng.normal(size=300) + 0.3 * y
found = {}
for added in (0.0, 1e4, 1e6, 1e8):
    groups = [x[y == k] + added for k in range(3)]
    found[added] = f_classif((x + added)[:, None], y)[0][0], f_oneway(*groups).statistic
    print(f"added {added:11,.0f}: f_classif {found[added][0]:12.8f}, f_oneway {found[added][1]:12.8f}")
exact = found[0.0][1]
assert abs(found[0.0][0] / exact - 1) < 1e-9
assert all(abs(of_scipy / exact - 1) < 1e-6 for _, of_scipy in found.values())
if abs(found[1e8][0] / exact - 1) < 1e-3:
    raise SystemExit("changed: f_classif keeps its digits far from 0")
assert found[1e8][0] > 4 * exact
PYTHON
