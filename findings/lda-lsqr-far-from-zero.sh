#!/bin/sh
# scikit-learn 1.9.1, LinearDiscriminantAnalysis(solver="lsqr" or "eigen") on a column whose mean is far from 0.
#
# Guess: whichever solver, the classes that it predicts do not change when a constant is added to a column: X is float64,
#        and its values below have 6 digits left behind the point.
# Seen:  the solver svd keeps its predictions. Those of lsqr and eigen come from x·w - m·w / 2, of which both terms grow
#        with the square of the constant: with 1e8 some classes change, with 1e9 (a Unix time in seconds) fewer than half
#        of two classes are right, where svd has 0.79. No warning.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
scores = {}
for added in (0.0, 1e6, 1e8, 1e9):
    for solver in ("svd", "lsqr", "eigen"):
        scores[added, solver] = LinearDiscriminantAnalysis(solver=solver).fit(X + added, y).score(X + added, y)
    print(f"added {added:13,.0f}:", *(f"{solver} {scores[added, solver]:.3f}" for solver in ("svd", "lsqr", "eigen")))
assert scores[0.0, "lsqr"] == scores[0.0, "eigen"] == scores[0.0, "svd"] == scores[1e9, "svd"] > 0.75
if min(scores[1e9, "lsqr"], scores[1e9, "eigen"]) > 0.75:
    raise SystemExit("changed: lsqr and eigen keep their predictions far from 0")
PYTHON
