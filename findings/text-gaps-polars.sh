#!/bin/sh
# scikit-learn 1.9.1 with pandas 3.1.1, polars 2.1.0 and pyarrow 26.0.1: one table, of which a text column has a gap.
#
# Guess: an empty cell is a missing value whichever library has read the table, as it is in a column of numbers: what
#        is fitted on the pandas frame does the same to the polars frame and to the Arrow table.
# Seen:  a gap is NaN from pandas and None from the other two, and `missing_values=np.nan` means NaN alone where cells
#        are text. Of polars and pyarrow, SimpleImputer hands the gap on, MissingIndicator counts none, and
#        OrdinalEncoder gives it a code like a category's. A OneHotEncoder that was fitted on pandas takes it for a
#        category that it has never seen: a row of zeros. No warning. A site that moves to polars predicts otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import sklearn
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

print("scikit-learn", sklearn.__version__, "pandas", pd.__version__, "polars", pl.__version__,
      "pyarrow", pa.__version__)
arrow = pa.table({"ward": ["east", None, "west", "east"], "age": [30.0, None, 50.0, 40.0]})
tables = {"pandas": arrow.to_pandas(), "polars": pl.from_arrow(arrow), "pyarrow": arrow}
on_pandas = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(tables["pandas"][["ward"]])
found = {}
for name, table in tables.items():
    words, numbers = (table[[column]] if name == "pandas" else table.select([column]) for column in ("ward", "age"))
    found[name] = (
        SimpleImputer(strategy="most_frequent").fit_transform(words)[1, 0],
        int(MissingIndicator(features="all").fit_transform(words).sum()),
        float(OrdinalEncoder().fit_transform(words)[1, 0]),
        on_pandas.transform(words)[1].tolist(),
        float(SimpleImputer().fit_transform(numbers)[1, 0]),
    )
    print(f"{name:8} imputed {found[name][0]!r}, gaps {found[name][1]}, code {found[name][2]},", end=" ")
    print(f"encoded as pandas was {found[name][3]}; a gap among numbers {found[name][4]}")
assert found["pandas"][:2] == ("east", 1) and np.isnan(found["pandas"][2]) and found["pandas"][3] == [0.0, 0.0, 1.0]
assert all(of[4] == 40.0 for of in found.values())
for name in ("polars", "pyarrow"):
    if found[name][:4] != (None, 0, 2.0, [0.0, 0.0, 0.0]):
        raise SystemExit(f"changed: a gap in a text column of {name}")
PYTHON
