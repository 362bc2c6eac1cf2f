#!/bin/sh
# scikit-learn 1.9.1 with pandas 3.1.1 and polars 2.1.0: a transformer for numbers, given a column of dates.
#
# Guess: it is refused, as pandas' dates beside a column of numbers are, or the same dates are the same numbers.
# Seen:  where a frame has dates alone, or comes from polars, they pass as numbers, in whatever unit the column has:
#        days for a polars Date; for pandas seconds or microseconds, as the dates were objects or text when the column
#        was made. A scaler that was fitted on one puts the other 1e8 or 1e14 standard deviations away. And a missing
#        date is the number -9.2e18: SimpleImputer finds no gap to fill; a column of floats beside it makes the same
#        gap a NaN where polars reads it, and an error where pandas does. No warning: two sites that read one file
#        differ.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 pandas==3.1.1 polars==2.1.0
"$folder/venv/bin/python" -W error - <<'PYTHON'
import datetime

import numpy as np
import pandas as pd
import polars as pl
import sklearn
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

print("scikit-learn", sklearn.__version__, "pandas", pd.__version__, "polars", pl.__version__)
days = [datetime.date(2026, 1, day) for day in (1, 3, 5, 7)]
polars = pl.DataFrame({"admitted": days})
pandas = pd.DataFrame({"admitted": pd.to_datetime([str(day) for day in days])})
objects = pd.DataFrame({"admitted": pd.to_datetime(days)})
frames = {"polars": polars, "pandas, of text": pandas, "pandas, of objects": objects}
mean = {name: float(StandardScaler().fit(frame).mean_[0]) for name, frame in frames.items()}
print("mean of four dates:", mean)
across = [float(StandardScaler().fit(polars).transform(frame)[0, 0]) for frame in (pandas, objects)]
print("the first of them from pandas, by the scaler of polars:", across)
try:
    StandardScaler().fit(pandas.assign(age=50.0))
except TypeError as error:
    print("pandas, a column of numbers beside it:", type(error).__name__)
beside = StandardScaler().fit(polars.with_columns(age=50.0)).mean_
print("polars, a column of numbers beside it: mean", beside)

gap = pl.DataFrame({"admitted": [*days, None]})
alone = SimpleImputer().fit_transform(gap)[:, 0]
filled = SimpleImputer().fit_transform(gap.with_columns(age=50.0))[:, 0]
print(f"a missing date, imputed: {alone[-1]:.3g} where dates are alone, {filled[-1]} with numbers beside them")
print(f"a missing date of pandas: {SimpleImputer().fit_transform(pandas.reindex(range(5)))[-1, 0]:.3g}")
if list(mean.values()) != [20457.0, 20457.0 * 86400e6, 20457.0 * 86400] or alone[-1] > -9e18:
    raise SystemExit("changed: what becomes of a column of dates")
assert min(across) > 1e8 and filled[-1] == beside[0] == 20457.0 and np.isfinite(alone).all()
PYTHON
