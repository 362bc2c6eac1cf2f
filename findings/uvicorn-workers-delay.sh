#!/bin/sh
# CPython 3.11, uvicorn 0.54.0 with h11 0.16.0, on Linux: a small answer over a connection that is kept alive.
#
# Guess: a server answers as fast whether uvicorn is given an address, or a socket that is bound already, as it gives its
#        own processes with --workers and --reload.
# Seen:  from the bound socket each answer after the first few takes about 40 ms, from the address less than one. uvicorn
#        sends head and body apart, and asyncio sets TCP_NODELAY only where the socket says that its protocol is TCP. One
#        that asyncio makes from an address says so; one of socket.socket(family) or socket.create_server has protocol
#        0, and those that it accepts, too. Nagle's algorithm then keeps the body until the client has acknowledged the
#        head, which it delays. TCP_NODELAY set on the listening socket is inherited, and mends it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet uvicorn==0.54.0 h11==0.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import statistics
import sys
import threading
import time

import uvicorn


async def app(scope, receive, send):
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def median_ms(bound, nodelay=False):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off", loop="asyncio", http="h11")
    server, sockets = uvicorn.Server(config), [config.bind_socket()] if bound else None
    if nodelay:
        sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    taken = []
    port = (sockets or server.servers[0].sockets)[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        for _ in range(40):
            began = time.perf_counter()
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            answer = b""
            while not answer.endswith(b"ok"):
                answer += client.recv(4096)
            taken.append(time.perf_counter() - began)
    server.should_exit = True
    thread.join()
    return statistics.median(taken) * 1e3


print("CPython", sys.version.split()[0], "uvicorn", uvicorn.__version__)
address, bound, mended = median_ms(False), median_ms(True), median_ms(True, nodelay=True)
print(f"median of 40 answers: address {address:.2f} ms, bound socket {bound:.2f} ms, with TCP_NODELAY {mended:.2f} ms")
assert bound > 30 > 5 * mended, "changed: a socket that is bound already is as fast as an address"
PYTHON
