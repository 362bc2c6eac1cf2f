#!/bin/sh
# mlflow-skinny 3.17.2: the small client alone, where there is no server.
#
# Guess: it keeps runs in a folder (file:), as MLflow has done since its first version, or else in a SQLite file.
# Seen:  neither. The folder is refused (it is in maintenance mode, and wants MLFLOW_ALLOW_FILE_STORE=true), and what the
#        refusal proposes, sqlite:///mlflow.db, is to the small package an unsupported URI of a model registry, of which
#        nothing was asked. So it writes to no local store until a variable is set, or mlflow itself is installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mlflow-skinny==3.17.2
cd "$folder"
cat >try.py <<'PYTHON'
import sys
from importlib.metadata import version

from mlflow import MlflowClient

print("mlflow-skinny", version("mlflow-skinny"), sys.argv[1])
try:
    print("experiment", MlflowClient(tracking_uri=sys.argv[1]).create_experiment("e"))
except Exception as error:
    print(type(error).__name__, str(error)[:90])
PYTHON
"$folder/venv/bin/python" try.py "file:$folder/runs" | tee seen
"$folder/venv/bin/python" try.py "sqlite:///$folder/mlflow.db" | tee -a seen
MLFLOW_ALLOW_FILE_STORE=true "$folder/venv/bin/python" try.py "file:$folder/allowed" | tee -a seen
grep -q "MlflowException The filesystem tracking backend" seen || { echo "changed: a folder is taken"; exit 1; }
grep -q "UnsupportedModelRegistryStoreURIException" seen || { echo "changed: a SQLite file is taken"; exit 1; }
grep -q "^experiment" seen || { echo "changed: the variable does not help"; exit 1; }
