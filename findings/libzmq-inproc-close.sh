#!/bin/sh
# pyzmq 27.3.0 with libzmq 4.3.5: when the name of an inproc address is free again.
#
# Guess: once the socket that was bound to it is closed, as a second one is bound after the first in one thread.
# Seen:  closing hands the socket to ZeroMQ's own thread, and the name with it: bound again at once, about every second
#        attempt fails with "Address already in use". It is free at once after `unbind`, before the socket is closed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyzmq==27.3.0
cat >"$folder/try.py" <<'PYTHON'
import sys

import zmq

NAME, TIMES = "inproc://handler", 4000


def failures(unbind):
    failed = 0
    with zmq.Context() as context:
        for _ in range(TIMES):
            with context.socket(zmq.ROUTER) as socket:
                try:
                    socket.bind(NAME)
                except zmq.ZMQError as error:
                    assert error.errno == zmq.EADDRINUSE, error
                    failed += 1
                    continue
                if unbind:
                    socket.unbind(NAME)
    return failed


closed, unbound = failures(False), failures(True)
print(f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}: of {TIMES:,} in turn, {closed:,} find the name taken by a closed socket")
print(f"and {unbound:,} where it was unbound before")
sys.exit(not (closed > TIMES // 100 and unbound == 0) and "changed: closing gives the name back at once, or unbinding does not")
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
