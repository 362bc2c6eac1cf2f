#!/bin/sh
# pandas 3.1.1, numpy 2.4.6, pyreadstat 1.3.7: to_stata of columns of whole numbers with the greatest value of their type,
# which stands for "never" or "no limit": 2,147,483,647 is the last second of a Unix time of 32 bits.
#
# Guess: Stata keeps the 27 greatest values of each type for missing ones, so a column that has one is written in a wider type,
#        or refused: int8 and int16 are widened, int64 becomes float64, float64 raises.
# Seen:  int32, and uint32 which becomes int32, are written as they are: each value above 2,147,483,620, and the least one, is
#        read back as missing, by pandas and by pyreadstat, without a warning. The same numbers as int64 come back.
#        pyreadstat's own writer refuses the int32 column.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 numpy==2.4.6 pyreadstat==1.3.7
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import pyreadstat

print("pandas", pd.__version__, "numpy", np.__version__, "pyreadstat", pyreadstat.__version__)
path = f"{sys.argv[1]}/rows.dta"
lost = {}
kept = {"int8", "int16", "int64"}
for dtype, greatest in (("int8", 127), ("int16", 32_767), ("int32", 2**31 - 1), ("int64", 2**31 - 1), ("uint32", 2**31 - 1)):
    frame = pd.DataFrame({"until": np.array([1, 2, greatest - 26, greatest, greatest], dtype)})
    frame.to_stata(path, write_index=False)
    back = pd.read_stata(path).until
    lost[dtype] = int(back.isna().sum())
    print(f"{dtype}: written {frame.until.tolist()}, read {back.tolist()}")
    if dtype in kept:
        assert back.tolist() == frame.until.tolist()
        continue
    other, _ = pyreadstat.read_dta(path)
    assert lost[dtype] == int(other.until.isna().sum())
    if dtype == "uint32":
        continue
    try:
        pyreadstat.write_dta(frame, path)
    except pyreadstat.ReadstatError as error:
        print("pyreadstat refuses to write it:", error)
    else:
        raise SystemExit("changed: pyreadstat writes the column")
pd.DataFrame({"since": np.array([-(2**31), 0], "int32")}).to_stata(path, write_index=False)
least = int(pd.read_stata(path).since.isna().sum())
print("the least int32: missing", least)
if not lost["int32"] and not lost["uint32"]:
    raise SystemExit("changed: columns of 32 bits come back whole")
assert lost["int32"] == lost["uint32"] == 3 and least == 1
PYTHON
