#!/bin/sh
# numpy 2.4.6 masked arrays, as netCDF4 1.7.5 returns each variable with gaps, in scikit-learn 1.9.1, pandas 3.1.1, polars
# 2.1.0 and pyarrow 26.0.1.
#
# Guess: what is masked is missing: scikit-learn refuses it as it refuses NaN, imputers fill it, estimators that take NaN
#        take it so; or masks are refused.
# Seen:  scikit-learn drops the mask without a word and fits to the numbers beneath, which is the file's fill value: columns
#        of mean 10 have means of 5e35 in StandardScaler, SimpleImputer fills nothing and hands on 9.97e36, the R² of
#        LinearRegression falls from 0.99 to 0. Of the same array pandas, polars and pyarrow make missing values: a site
#        that goes by way of a DataFrame has the right mean, and one that does not has none.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet netCDF4==1.7.5.1.post1 scikit-learn==1.9.1 numpy==2.4.6 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder/rows.nc" <<'PYTHON'
import sys

import netCDF4
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import sklearn
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

print("scikit-learn", sklearn.__version__, "numpy", np.__version__, "netCDF4", netCDF4.__version__)
rng = np.random.default_rng(0)
X = rng.normal(10, 2, (1000, 2))
y = X[:, 0] + 0.1 * rng.normal(size=1000)
with netCDF4.Dataset(sys.argv[1], "w") as file:
    file.createDimension("row", 1000)
    file.createDimension("column", 2)
    file.createVariable("x", "f8", ("row", "column"))[:] = np.ma.masked_array(X, rng.random(X.shape) < 0.05)
with netCDF4.Dataset(sys.argv[1]) as file:
    rows = file["x"][:]
gaps = int(rows.mask.sum())
print(f"{type(rows).__name__} of {gaps} gaps, its own means {np.asarray(rows.mean(axis=0)).round(2)}")
assert gaps > 50 and rows.mean() < 11

missing = {
    "pandas": int(pd.DataFrame(rows).isna().to_numpy().sum()),
    "polars": sum(pl.from_numpy(rows).null_count().row(0)),
    "pyarrow": sum(pa.array(column).null_count for column in rows.T),
}
print("missing values", missing)
assert set(missing.values()) == {gaps}
scale, frame = StandardScaler().fit(rows).mean_, StandardScaler().fit(pd.DataFrame(rows)).mean_
imputed = SimpleImputer().fit_transform(rows)
print(f"means by StandardScaler {scale}, of the same in a DataFrame {frame.round(2)}; greatest after SimpleImputer {imputed.max():.3g}")
known = LinearRegression().fit(X, y).score(X, y)
fitted = LinearRegression().fit(rows, y).score(rows, y)
print(f"R² of LinearRegression {fitted:.3f}, of the rows before they were masked {known:.3f}")
if scale.max() < 20 and imputed.max() < 30:
    raise SystemExit("changed: what is masked is missing")
assert scale.min() > 1e35 and imputed.max() > 9e36 and fitted < 0.1 < known and frame.max() < 11
PYTHON
