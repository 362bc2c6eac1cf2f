#!/bin/sh
# statsmodels 0.15.0, base.distributed_estimation: one regression of rows that lie in several places.
#
# Guess: the estimates of the parts are joined by how many rows each has, so that a small part moves the whole a little.
# Seen:  _join_naive is their plain mean, and the joined model says nothing of rows: a part of 10 rows weighs as much as one
#        of 1,000. The number of rows in a part is known, and not used.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet statsmodels==0.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import statsmodels
import statsmodels.api as sm
from statsmodels.base import distributed_estimation as distributed

print("statsmodels", statsmodels.__version__)
rng = np.random.default_rng(0)
parts = []
for rows, slopes in ((1000, [1.0, 2.0]), (10, [5.0, -3.0])):
    X = rng.normal(size=(rows, 2))
    parts.append((X @ slopes, X))
model = distributed.DistributedModel(
    2,
    model_class=sm.OLS,
    estimation_method=distributed._est_unregularized_naive,
    join_method=distributed._join_naive,
)
joined = model.fit(iter(parts), fit_kwds={}).params
pooled = sm.OLS(np.concatenate([y for y, _ in parts]), np.concatenate([X for _, X in parts])).fit().params
by_rows = (1000 * np.array([1.0, 2.0]) + 10 * np.array([5.0, -3.0])) / 1010
print("1,000 rows of slopes 1, 2 and 10 rows of slopes 5, -3")
print("joined", joined, " weighted by rows", by_rows.round(3), " all rows", pooled.round(3))
if not np.allclose(joined, [3.0, -0.5]):
    raise SystemExit("changed: parts are not joined by their plain mean")
PYTHON
