#!/bin/sh
# pyarrow 26.0.1, pandas 3.1.1 and polars 2.1.0 about one Parquet file with dates of type INT96, as Spark, Hive and Impala
# write them.
#
# Guess: all read the same dates; one that nanoseconds cannot hold, 9999-12-31 for "until further notice" or a birth in
#        1600, raises, as casting it to nanoseconds does, or comes in a coarser unit.
# Seen:  pyarrow makes nanoseconds of them and wraps around: 9999-12-31 is 1816-03-29, 2500-01-01 is 1915-06-14, and
#        1600-01-01 is 2184-07-20, without a word; so does pandas, and polars with `use_pyarrow=True`. polars itself
#        reads what was written, and pyarrow does with `coerce_int96_timestamp_unit="us"`, which pandas does not set.
#        Two sites with the same file differ by 584 years, or a multiple.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1 pandas==3.1.1 polars==2.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import datetime

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

print("pyarrow", pa.__version__, "pandas", pd.__version__, "polars", pl.__version__)
years = [datetime.datetime(1600, 1, 1), datetime.datetime(2500, 1, 1), datetime.datetime(9999, 12, 31)]
fine = datetime.datetime(2020, 5, 1, 12, 0, 0, 123456)
written = pa.table({"until": pa.array([fine, *years], pa.timestamp("us"))})
pq.write_table(written, "site.parquet", use_deprecated_int96_timestamps=True)
assert pq.ParquetFile("site.parquet").schema.column(0).physical_type == "INT96"
try:
    written["until"].cast(pa.timestamp("ns"))
except pa.ArrowInvalid as error:
    print("cast to nanoseconds:", error)

read = {
    "pyarrow": pq.read_table("site.parquet")["until"].cast("string").to_pylist(),
    "pandas": pd.read_parquet("site.parquet")["until"].astype(str).tolist(),
    "polars, use_pyarrow": pl.read_parquet("site.parquet", use_pyarrow=True)["until"].cast(pl.String).to_list(),
    "polars": pl.read_parquet("site.parquet")["until"].cast(pl.String).to_list(),
    "pyarrow, coerced": pq.read_table("site.parquet", coerce_int96_timestamp_unit="us")["until"].cast("string").to_pylist(),
}
true = ["2020", "1600", "2500", "9999"]
found = {name: [text[:4] for text in texts] for name, texts in read.items()}
for name, texts in read.items():
    print(f"{name}: {[text[:19] for text in texts]}")
assert found["polars"] == found["pyarrow, coerced"] == true
if any(found[name] == true for name in ("pyarrow", "pandas", "polars, use_pyarrow")):
    raise SystemExit("changed: dates stay what they are")
assert found["pyarrow"] == found["pandas"] == ["2020", "2184", "1915", "1816"]
PYTHON
