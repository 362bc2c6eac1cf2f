#!/bin/sh
# skops 0.16.0, dumps and loads of a dictionary whose keys are True and False, as `class_weight` of a yes/no target is.
#
# Guess: what is loaded equals what was saved: keys keep their type, as 0, 1, 0.0 and np.int64(0) do, or are refused, as
#        tuples are.
# Seen:  keys are written as text and read by their type, and bool("False") is True: {False: 1, True: 25} comes back as
#        {True: 25}, and np.bool_ too. Fitted coefficients are the same, so nothing shows until the estimator is fitted
#        again, or trained on: scikit-learn takes a class that is missing from the dictionary for one of weight 1 and
#        says nothing. {False: 25, True: 1} comes back as {True: 1}, no weights at all: recall of the class that was to
#        count 25 times falls from 0.95 to 0.44.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet skops==0.16.0 scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from skops.io import dumps, loads
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

print("skops", version("skops"), "scikit-learn", version("scikit-learn"))
for weights in ({0: 25, 1: 1}, {0.0: 25, 1.0: 1}, {"no": 25, "yes": 1}, {np.int64(0): 25, np.int64(1): 1}):
    assert loads(dumps(weights)) == weights
for weights in ({False: 25, True: 1}, {np.False_: 25, np.True_: 1}):
    print(f"saved {weights}, loaded {loads(dumps(weights))}")

rng = np.random.default_rng(0)
X = rng.normal(size=(4000, 3))
healthy = X[:, 0] + rng.normal(0, 0.7, 4000) > -1.6  # False for about 9 of 100
model = LogisticRegression(class_weight={False: 25, True: 1}).fit(X[:2000], healthy[:2000])
loaded = loads(dumps(model))
assert np.array_equal(loaded.coef_, model.coef_)
recall = {}
for name, each in (("saved", model), ("loaded", loaded)):
    fitted = each.fit(X[:2000], healthy[:2000])
    recall[name] = recall_score(healthy[2000:], fitted.predict(X[2000:]), pos_label=False)
    print(f"{name}: class_weight {fitted.class_weight}, recall of False after another fit {recall[name]:.2f}")
if loaded.class_weight == model.class_weight:
    raise SystemExit("changed: keys that are False stay False")
assert loaded.class_weight == {True: 1} and recall["saved"] > recall["loaded"] + 0.3
PYTHON
