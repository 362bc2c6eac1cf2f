#!/bin/sh
# pandas 3.1.1, read_sas of a SAS transport file (XPORT version 5), as NHANES and submissions to the FDA come in.
#
# Guess: a number that is zero is read as zero, and what is coded as 0 and 1 as 0.0 and 1.0.
# Seen:  each zero is 5.397605346934028e-79, the smallest IBM float there is; all other numbers are right. So no answer is
#        0, a yes/no column is True in every row once it is `bool`, the logarithm of "no drinks" is -181 in place of
#        minus infinity, a classifier takes a target of 0 and 1 for continuous, and an encoder that was fitted on the
#        same table from a CSV file, as at another site, knows none of the zeros. pyreadstat, which wrote the file,
#        reads zeros.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 pyreadstat==1.3.7 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import pandas as pd
import pyreadstat
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.multiclass import type_of_target

print("pandas", pd.__version__, "pyreadstat", pyreadstat.__version__)
rng = np.random.default_rng(0)
table = pd.DataFrame({"DRINKS": rng.poisson(1.0, 600).astype(float), "ILL": np.repeat([0.0, 1.0], [400, 200])})
pyreadstat.write_xport(table, "site.xpt", file_format_version=5)
true, _ = pyreadstat.read_xport("site.xpt")
read = pd.read_sas("site.xpt", encoding="infer")
assert true.equals(table)
with open("site.xpt", "rb") as file:  # nothing else can be meant: a row of two zeros is 16 bytes of zero
    assert b"\0" * 16 in file.read()

zeros = {name: (frame == 0).sum().to_dict() for name, frame in (("pyreadstat", true), ("pandas", read))}
print("zeros:", zeros)
print("pandas, the smallest of each column:", read.min().to_dict())
print("ill, as bool:", int(true["ILL"].astype(bool).sum()), "by pyreadstat,", int(read["ILL"].astype(bool).sum()), "by pandas")
print("logarithm of the smallest count of drinks:", float(np.log(read["DRINKS"].min())))
encoder = OneHotEncoder(handle_unknown="ignore").fit(true[["ILL"]])
unknown = int((encoder.transform(read[["ILL"]]).sum(axis=1) == 0).sum())
print("rows of 600 that are in no category of the same table by pyreadstat:", unknown)
kinds = type_of_target(true["ILL"]), type_of_target(read["ILL"])
print("the target ILL is", kinds[0], "by pyreadstat,", kinds[1], "by pandas")
assert read.where(true != 0).equals(true.where(true != 0))
if read.equals(true):
    raise SystemExit("changed: zeros are read as zeros")
assert zeros["pandas"] == {"DRINKS": 0, "ILL": 0} and read["ILL"].astype(bool).all()
assert unknown == 400 and kinds == ("binary", "continuous")
PYTHON
