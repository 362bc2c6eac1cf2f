#!/bin/sh
# pyarrow 26.0.1: pictures as a column of FixedShapeTensor, read by to_pandas, to_pylist and polars 2.1.0.
#
# Guess: all see the numbers in the order in which pyarrow's own to_numpy_ndarray has them, whatever lay in memory.
# Seen:  what `from_numpy_ndarray` is given as a view, such as channels moved to the front, is stored as it lies in memory,
#        with a `permutation` in the type that to_numpy_ndarray alone heeds. to_pandas, to_pylist and polars hand out
#        flat rows in the order of memory: of a view other pixels under each number than of a copy that is equal to it,
#        of as many numbers and with no warning. A model that was fitted to the copy knows 0.19 of the digits of the view,
#        and 0.96 of those of the copy. `np.ascontiguousarray` before ends it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1 polars==2.1.0 pandas==3.1.1 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

print("pyarrow", pa.__version__, "polars", pl.__version__)
pictures, labels = load_digits(return_X_y=True)
stored = np.ascontiguousarray(pictures.reshape(-1, 8, 8).transpose(0, 2, 1))  # column by column
view = stored.transpose(0, 2, 1)  # row by row again
copy = np.ascontiguousarray(view)
assert np.array_equal(view, copy)
read = {}
for name, array in (("view", view), ("copy", copy)):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(array)
    pq.write_table(pa.table({"picture": column}), f"{name}.parquet")
    table = pq.read_table(f"{name}.parquet")
    assert np.array_equal(table["picture"].combine_chunks().to_numpy_ndarray(), copy)
    read[name] = {
        "to_pandas": np.stack(table.to_pandas()["picture"]),
        "to_pylist": np.array(table["picture"].to_pylist()),
        "polars": pl.read_parquet(f"{name}.parquet")["picture"].to_numpy().reshape(len(copy), -1),
    }
    print(name, table.schema.field("picture").type)

model = KNeighborsClassifier().fit(pictures[:900], labels[:900])
right = {}
for name, readers in read.items():
    for reader, rows in readers.items():
        same, right[name, reader] = np.array_equal(rows, pictures), model.score(rows[900:], labels[900:])
        print(f"{name} by {reader}: equal to the pictures {same}, right {right[name, reader]:.2f}")
if any(right["view", reader] > 0.9 for reader in read["view"]):
    raise SystemExit("changed: the order of a tensor's numbers is the same for all who read it")
assert all(right["copy", reader] > 0.9 for reader in read["copy"])
PYTHON
