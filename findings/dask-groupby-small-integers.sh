#!/bin/sh
# dask 2026.8.0, pandas 3.1.1, numpy 2.4.6: std, var and cov of groups, of columns of small integers, as Parquet has.
#
# Guess: partitions are merged so that the result is that of pandas, whatever the type of a column, as std without groups,
#        mean and sum have it.
# Seen:  values are squared in the type of the column before they are added up: a square of uint8 wraps from 16 up, of
#        int16 from 182, of int32 from 46,341. Ages of 60 ± 15 years in uint8 have a standard deviation of 0 in each
#        group, without a warning, and NaN by `agg`; blood pressure and cholesterol in int16, which go
#        up and down together, have a negative covariance. With int64 and float64 both are right, and so is std of the whole column.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "dask[dataframe]==2026.8.0" pandas==3.1.1 numpy==2.4.6 pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import dask
import dask.dataframe
import numpy as np
import pandas as pd

print("dask", dask.__version__, "pandas", pd.__version__)
rng = np.random.default_rng(0)
age = rng.normal(60, 15, 4000).clip(18, 100).round()
pressure = (90 + 0.6 * age + rng.normal(0, 12, 4000)).round()
cholesterol = (100 + 0.8 * pressure + rng.normal(0, 32, 4000)).round()
table = pd.DataFrame({"site": rng.integers(0, 2, 4000), "age": age, "pressure": pressure, "cholesterol": cholesterol})


def spread(age, others):
    """Return std of all, std of site 0 by std and by agg, and a covariance of site 0: of dask and of pandas."""
    own = table.astype({"age": age, "pressure": others, "cholesterol": others})
    parts = dask.dataframe.from_pandas(own, npartitions=4)
    found = []
    for frame in (parts, own):
        groups = frame.groupby("site")
        pair = groups[["pressure", "cholesterol"]].cov()
        with warnings.catch_warnings():  # NumPy's, of the root of a negative number, by agg
            warnings.simplefilter("ignore")
            by_agg = groups.agg({"age": "std"}).age
            by_agg, pair = (each.compute() if frame is parts else each for each in (by_agg, pair))
        whole, std = (each.compute() if frame is parts else each for each in (frame.age.std(), groups.age.std()))
        found.append([float(each) for each in (whole, std[0], by_agg[0], pair.loc[(0, "pressure"), "cholesterol"])])
    for name, each in zip(("dask", "pandas"), found):
        print(age, others, name, *(f"{title} {value:.3f}" for title, value in zip(("std", "of a group", "by agg", "cov"), each)))
    return found


warnings.simplefilter("error")
for wide in ("float64", "int64"):
    assert np.allclose(*spread(wide, wide))
dask_has, pandas_has = spread("uint8", "int16")
if np.allclose(dask_has, pandas_has, equal_nan=True):
    raise SystemExit("changed: small integers have the spread that pandas finds")
assert np.isclose(dask_has[0], pandas_has[0]) and dask_has[1] == 0 and np.isnan(dask_has[2]) and dask_has[3] < 0
assert 14 < pandas_has[1] < 16 and 150 < pandas_has[3] < 250
PYTHON
