#!/bin/sh
# The whole suite, again and again, on two cores that four busy processes want as well.
#
#   tests/under_load.sh [TIMES] [ARGUMENT OF PYTEST]...     ten times, if TIMES is not given
#
# Prints the last line of each run, and what failed. Ends with 0 if nothing did. PYTHON names the interpreter.
set -u
cd "$(dirname "$0")/.."
times=${1:-10}
[ $# -gt 0 ] && shift
python=${PYTHON:-.venv/bin/python}
pin=
command -v taskset >/dev/null && pin="taskset -c 0,1"
log=$(mktemp)
busy=

end() {
    [ -n "$busy" ] && kill $busy 2>/dev/null
    rm -f "$log"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for _ in 1 2 3 4; do
    # Each watches who started it: nothing stays busy when this script is killed.
    $pin "$python" -c 'import os
parent = os.getppid()
while os.getppid() == parent:
    sum(range(100_000))' &
    busy="$busy $!"
done

failed=0
run=1
while [ "$run" -le "$times" ]; do
    # -P: the folder in which this runs is not on the path, as it is not for `make test`.
    if $pin "$python" -P -m pytest -n 2 --dist worksteal --color=no "$@" >"$log" 2>&1; then
        echo "$run of $times: $(tail -n 1 "$log")"
    else
        failed=$((failed + 1))
        sed -n '/^=* \(FAILURES\|ERRORS\) =*$/,$p' "$log"
        echo "$run of $times: FAILED: $(tail -n 1 "$log")"
    fi
    run=$((run + 1))
done
[ "$failed" -eq 0 ]
