#!/bin/sh
# scikit-learn 1.9.1, SGDClassifier(learning_rate="adaptive").partial_fit(X, y), called for one epoch after another.
#
# Guess: the rate is divided by 5 whenever `n_iter_no_change` epochs in a row do not improve the loss by `tol`, as the
#        documentation of `learning_rate` says, since `partial_fit` goes on where the last call ended: `t_` does, and so
#        do the rates "optimal" and "invscaling".
# Seen:  it never is. Rate and count begin anew in each call, which does one epoch: 200 epochs end at the weights of
#        learning_rate="constant", to the last bit, and without a word. `fit` divides.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.linear_model import SGDClassifier

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
X = rng.standard_normal((100, 4))
y = (X[:, 0] + rng.standard_normal(100) > 0).astype(int)


def model(learning_rate):
    return SGDClassifier(
        loss="log_loss", learning_rate=learning_rate, eta0=0.5, tol=1e-3, n_iter_no_change=2, max_iter=200, random_state=0
    )


def by_epochs(learning_rate):
    made = model(learning_rate)
    for _ in range(200):
        made.partial_fit(X, y, classes=[0, 1])
    return made.coef_


gap = abs(by_epochs("adaptive") - by_epochs("constant")).max()
print("partial_fit, 200 epochs: largest difference of adaptive to constant:", gap)
gap_of_fit = abs(model("adaptive").fit(X, y).coef_ - model("constant").fit(X, y).coef_).max()
print("fit: largest difference of adaptive to constant:", gap_of_fit)
if gap != 0:
    raise SystemExit("changed: an adaptive rate goes on from call to call")
assert gap_of_fit > 0
PYTHON
