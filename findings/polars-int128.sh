#!/bin/sh
# polars 2.1.0: what type UInt64 and Int64 make together, and who can read it.
#
# Guess: two columns of whole numbers, added or put under each other, are whole numbers that anybody can read: Int64, or
#        Float64 as in polars 1.30.
# Seen:  they are Int128. `hash()` is UInt64, so a shard by hash plus an Int64 column is Int128, and so are the files of
#        two sites put together by `concat(how="vertical_relaxed")`, one with ids of UInt64. It shows where the frame
#        leaves polars: no way to NumPy, pandas, scikit-learn or Arrow, whatever the numbers; and a Parquet file with one
#        such column is one of which pyarrow, and so pandas, reads no column at all. DuckDB takes the column for bytes.
#        Cast to Int64 before.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polars==2.1.0 pyarrow==26.0.1 pandas==3.1.1 scikit-learn==1.9.1 numpy==2.4.6 duckdb==2.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import duckdb
import pandas as pd
import polars as pl
import pyarrow
import pyarrow.parquet as pq
from sklearn.preprocessing import StandardScaler

print("polars", pl.__version__, "pyarrow", pyarrow.__version__, "pandas", pd.__version__, "duckdb", duckdb.__version__)
north = pl.DataFrame({"patient": pl.Series([1, 2, 3, 4], dtype=pl.UInt64), "age": [50, 61, 47, 70]})
south = pl.DataFrame({"patient": [5, 6], "age": [33, 48]})
pooled = pl.concat([north, south], how="vertical_relaxed")
sharded = pooled.with_columns(shard=pl.col("age").hash() % 4 + pl.col("age"))
chosen = north.select(pl.when(pl.col("age") > 60).then("patient").otherwise("age"))
types = {"concat": pooled.schema["patient"], "+": sharded.schema["shard"], "when": chosen.schema["patient"]}
print("UInt64 and Int64:", {way: str(dtype) for way, dtype in types.items()})

pooled.write_parquet("pooled.parquet")
readers = {
    "to_numpy": lambda: pooled.to_numpy(),
    "to_pandas": lambda: pooled.to_pandas(),
    "to_arrow": lambda: pooled.to_arrow(),
    "StandardScaler": lambda: StandardScaler().fit(pooled),
    "pyarrow, column age alone": lambda: pq.read_table("pooled.parquet", columns=["age"]),
    "pandas, column age alone": lambda: pd.read_parquet("pooled.parquet", columns=["age"]),
}
refused = 0
for name, read in readers.items():
    try:
        print(f"{name}: read", read() is not None)
    except Exception as error:
        refused += 1
        print(f"{name}: {type(error).__name__}: {error}")
print("duckdb:", duckdb.sql("from 'pooled.parquet' limit 1").fetchall())
cast = pooled.cast({"patient": pl.Int64})
cast.write_parquet("cast.parquet")
assert pq.read_table("cast.parquet").num_rows == len(StandardScaler().fit_transform(cast)) == 6
if set(types.values()) != {pl.Int128}:
    raise SystemExit("changed: UInt64 and Int64 make another type")
if refused != len(readers):
    raise SystemExit("changed: somebody reads it")
PYTHON
