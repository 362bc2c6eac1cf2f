#!/bin/sh
# pysimdjson 7.0.2: Array.as_buffer(of_type="d"), the quick way from a table of numbers in JSON to NumPy.
#
# Guess: rows of unequal lengths are refused, as numpy.array refuses them, or their shape can be asked for.
# Seen:  brackets are ignored at any depth. A table whose first row has lost a value and whose last has one too many is
#        as long as a whole one, and `reshape` moves every number behind the gap into a column that it is not of.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pysimdjson==7.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import simdjson

print("pysimdjson", version("pysimdjson"))
WHOLE = b"[[1, 2, 3], [4, 5, 6], [7, 8, 9]]"
SHIFTED = b"[[1, 3], [4, 5, 6], [7, 8, 9, 10]]"


def table(text):
    return np.frombuffer(simdjson.Parser().parse(text).as_buffer(of_type="d")).reshape(3, 3)


print("whole:  ", table(WHOLE).tolist())
print("shifted:", table(SHIFTED).tolist())
print("nested: ", np.frombuffer(simdjson.Parser().parse(b"[[1, [2]], 3]").as_buffer(of_type="d")).tolist())
try:
    np.array([[1, 3], [4, 5, 6], [7, 8, 9, 10]], float)
except ValueError as error:
    print("NumPy:  ", str(error).split(". ")[0])
if table(SHIFTED).tolist() != [[1, 3, 4], [5, 6, 7], [8, 9, 10]]:
    raise SystemExit("changed: rows of unequal lengths are no table")
PYTHON
