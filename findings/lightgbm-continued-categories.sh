#!/bin/sh
# lightgbm 4.7.0, pandas 3.1.1: a model of one site is trained on at the next, by `init_model`, with a categorical column.
#
# Guess: trees that the model has already keep their meaning: it stores the names of its categories, and predict goes by
#        names whatever the order of a frame's categories, and takes other names for missing.
# Seen:  the list of the last site replaces the stored one, and the earlier trees, which know categories by number, are
#        read by it, both for what the new trees are to correct and in predict. One more tree at a site with the same rows
#        and the same four categories in another order: R² falls from 0.99 to -1.1; at a site where one of them does not
#        occur, to 0.87. Nothing is said.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lightgbm==4.7.0 pandas==3.1.1 numpy==2.4.6 scikit-learn==1.9.1
"$folder/venv/bin/python" -W error - <<'PYTHON'
import lightgbm
import numpy as np
import pandas as pd
from sklearn.metrics import r2_score

print("lightgbm", lightgbm.__version__, "pandas", pd.__version__)
EFFECTS = {"east": 5.0, "north": -5.0, "south": 2.0, "west": 0.0}
SETTINGS = {"objective": "regression", "verbose": -1, "num_threads": 1, "deterministic": True}


def rows(seed, names):
    rng = np.random.default_rng(seed)
    region, x = rng.choice(names, 3000), rng.normal(size=3000)
    y = np.array([EFFECTS[each] for each in region]) + x + 0.3 * rng.normal(size=3000)
    return pd.DataFrame({"region": pd.Categorical(region), "x": x}), y


first, y = rows(1, list(EFFECTS))
test, y_test = rows(2, list(EFFECTS))
model = lightgbm.train(SETTINGS, lightgbm.Dataset(first, y), 60)
reordered = first.assign(region=first.region.cat.set_categories(["west", "south", "north", "east"]))
three, y_three = rows(3, ["east", "north", "west"])
assert np.array_equal(model.predict(reordered), model.predict(first))
print("stored", model.pandas_categorical, "R²", round(r2_score(y_test, model.predict(test)), 3))
found = {}
for name, frame, target in (("same", first, y), ("other order", reordered, y), ("without south", three, y_three)):
    more = lightgbm.train(SETTINGS, lightgbm.Dataset(frame, target), 1, init_model=model)
    assert more.num_trees() == 61
    found[name] = r2_score(y_test, more.predict(test))
    print(f"one more tree, {name}: stored {more.pandas_categorical}, R² {found[name]:.3f}")
assert found["same"] > 0.98
if found["other order"] > 0.98 and found["without south"] > 0.98:
    raise SystemExit("changed: trees that were there keep the meaning of their categories")
assert found["other order"] < 0 and found["without south"] < 0.93
PYTHON
