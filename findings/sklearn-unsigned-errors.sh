#!/bin/sh
# scikit-learn 1.9.1, numpy 2.4.6: max_error and median_absolute_error of unsigned integers, such as ratings of 1 to 5 that a
# Parquet file has as uint8, and that a classifier predicts in the type it was fitted to.
#
# Guess: they are those of the same numbers as floats, as mean_absolute_error and mean_squared_error are.
# Seen:  they take differences in the type of the column, where 2 - 3 is 255: a classifier that is never off by more than one
#        has a max_error of 255, and one that always answers 1, the least rating, has 4. A search by `neg_max_error`
#        chooses the latter. In median_absolute_error the wrapped differences count as the largest.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import max_error, mean_absolute_error, mean_squared_error, median_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

print("scikit-learn", sklearn.__version__)
rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 3))
ratings = np.clip(np.round(3 + 1.2 * X[:, 0] + 0.3 * rng.normal(size=2000)), 1, 5)
candidates = [LogisticRegression(), DummyClassifier(strategy="constant", constant=1)]
chosen, found = {}, {}
for dtype in ("int64", "uint8"):
    y = ratings.astype(dtype)
    search = GridSearchCV(Pipeline([("model", None)]), {"model": candidates}, scoring="neg_max_error").fit(X, y)
    chosen[dtype] = search.best_params_["model"]
    print(f"{dtype}: scores by max_error {search.cv_results_['mean_test_score']}, chosen {chosen[dtype]}")
    predicted = LogisticRegression().fit(X, y).predict(X)
    assert predicted.dtype == y.dtype
    errors = (max_error, median_absolute_error, mean_absolute_error, mean_squared_error)
    found[dtype] = [max_error(y, predicted)] + [round(each(y, np.roll(y, 1)), 3) for each in errors[1:]]
    print(f"{dtype}: max_error {found[dtype][0]}; against the row before, median, mean, squared {found[dtype][1:]}")
assert isinstance(chosen["int64"], LogisticRegression) and found["int64"][2:] == found["uint8"][2:]
if found["uint8"] == found["int64"]:
    raise SystemExit("changed: errors of unsigned integers are those of signed ones")
assert found["uint8"][0] == 255 and found["int64"][0] == 1 and isinstance(chosen["uint8"], DummyClassifier)
assert found["uint8"][1] > found["int64"][1]
PYTHON
