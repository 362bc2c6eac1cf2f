#!/bin/sh
# pyarrow 26.0.1, read_table(file, filters=...) on a column of floats with NaN, as a column of measurements has.
#
# Guess: which rows a filter keeps depends on the rows: it is the same for the file and for the table in memory,
#        however the file was cut into row groups, which statistics let it skip only where no row can match.
# Seen:  the statistics of a row group leave NaN out, and a group is skipped where its smallest and largest value rule
#        it out. NaN matches `x != 0` and `~(x <= 1)` in memory; in a file only where its group holds another value
#        that matches, or no number. Of 30 rows that both keep in memory, 30, 20 or 10 come from files with 1000, 100
#        or 10 rows in a group: rows of a site depend on who wrote its file. `not in`, which skips nothing, keeps all.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

print("pyarrow", pa.__version__)
x = np.zeros(1000)
x[::50] = np.nan
x[25:500:50] = 3.0
table = pa.table({"x": pa.array(x, from_pandas=False)})
field = ds.field("x")
filters = {"x != 0": field != 0.0, "~(x <= 1)": ~(field <= 1.0), "x not in (0, 1)": ~field.isin([0.0, 1.0])}
changed = True
for name, chosen in filters.items():
    in_memory = table.filter(chosen).num_rows
    in_files = {}
    for rows in (1000, 100, 10):
        path = f"{sys.argv[1]}/{rows}.parquet"
        pq.write_table(table, path, row_group_size=rows)
        in_files[rows] = pq.read_table(path, filters=chosen).num_rows
        assert pq.read_table(path).filter(chosen).num_rows == in_memory == 30
    print(f"{name}: {in_memory} rows in memory; by rows in a group of the file: {in_files}")
    changed = changed and set(in_files.values()) == {30}
if changed:
    raise SystemExit("changed: a filter keeps the same rows of a file as in memory")
PYTHON
