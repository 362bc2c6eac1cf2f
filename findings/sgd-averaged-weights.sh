#!/bin/sh
# scikit-learn 1.9.1, SGDClassifier(average=True), the model of Polyak and Ruppert, in federated averaging.
#
# Guess: partial_fit goes on from the weights in coef_ and intercept_, as it does with average=False: so a server's mean,
#        written there, is where the next round begins.
# Seen:  it goes on from two private copies, the last step's weights and their running mean. What was written to coef_ is
#        gone after one row, without a word: a client that is sent the mean of all in every round learns as if alone.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.linear_model import SGDClassifier

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
X = rng.normal(size=(400, 3))
y = (X @ [2.0, -1.0, 0.5] > 0).astype(int)
sent = np.array([[0.0, 0.0, 7.0]])  # what all others have learned
away = {}
for average in (False, True):
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=1e-3, average=average, random_state=0)
    for _ in range(20):
        model.partial_fit(X, y, classes=[0, 1])
    own = model.coef_.copy()
    model.coef_ = sent.copy()
    model.partial_fit(X[:1], y[:1])
    away[average] = np.abs(model.coef_ - sent).max(), np.abs(model.coef_ - own).max()
    print(f"average={average!s:5}: after one more row {away[average][0]:.4f} from what was written, "
          f"{away[average][1]:.4f} from what it had before")
if away[False][0] > 0.1 or away[True][0] < 0.1 or away[True][1] > 0.01:
    raise SystemExit("changed: the weights that are written are where an averaged model goes on")
PYTHON
