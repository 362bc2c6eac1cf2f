#!/bin/sh
# mlflow 3.17.2: what its low-level client writes to standard output.
#
# Guess: `MlflowClient`, which is the interface for programs, prints nothing; the fluent functions may.
# Seen:  `set_terminated` prints two lines with addresses to standard output, if the runs are kept by a server, and none
#        if they are kept in a SQLite file. A program whose standard output is JSON lines passes every test with a file
#        and has two more lines with a server; MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT=true keeps them away.
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mlflow==3.17.2
cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/mlflow" server --backend-store-uri "sqlite:///$folder/server.db" --host 127.0.0.1 --port "$port" --workers 1 >log 2>&1 &
server=$!
cat >try.py <<'PYTHON'
import sys
import time
from importlib.metadata import version

from mlflow import MlflowClient

client = MlflowClient(tracking_uri=sys.argv[1])
for _ in range(120):
    try:
        experiment = client.create_experiment("e" + str(time.time_ns()))
        break
    except Exception:  # it has not started yet
        time.sleep(1)
run = client.create_run(experiment, run_name="first").info.run_id
client.log_metric(run, "loss", 0.5, step=1)
client.set_terminated(run)
sys.stderr.write(f"mlflow {version('mlflow')} {sys.argv[1].partition(':')[0]}: {client.get_run(run).info.status}\n")
PYTHON
export MLFLOW_HTTP_REQUEST_MAX_RETRIES=0
"$folder/venv/bin/python" try.py "sqlite:///$folder/own.db" >of_a_file 2>>said
"$folder/venv/bin/python" try.py "http://127.0.0.1:$port" >of_a_server 2>>said
MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT=true "$folder/venv/bin/python" try.py "http://127.0.0.1:$port" >kept_away 2>>said
grep '^mlflow' said
echo "lines on standard output: $(wc -l <of_a_file) of a file, $(wc -l <of_a_server) of a server, $(wc -l <kept_away) with the variable"
[ "$(wc -l <of_a_file)" -eq 0 ] || { echo "changed: a file prints, too"; exit 1; }
[ "$(wc -l <of_a_server)" -eq 2 ] || { echo "changed: a server does not print two lines"; exit 1; }
[ "$(wc -l <kept_away)" -eq 0 ] || { echo "changed: the variable does not help"; exit 1; }
