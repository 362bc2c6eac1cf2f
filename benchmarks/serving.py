"""What `nervenet serve` adds to a prediction, and how soon others are answered meanwhile.

`nervenet serve` is a process of its own, and who asks is another one. Three parts, each with its floor from the same
run:

rate
    Requests of one row a second, over eight connections, against a bare Starlette endpoint that returns a constant
    behind the same server; slices of a second, in turn.
rows
    100,000 rows in one request against the model's own `predict` in this process, in turn, by format. Two floors: what
    a parser alone takes that knows nothing of rows or columns (simdjson; pyarrow for CSV, on all processors), and what
    a bare server takes that throws the body away. Beside predict they bound the ratio, whatever the server does.
health
    How soon ``GET /healthz`` is answered while eight clients post the longest bodies, and strangers unfinished ones;
    the floor is the same question when nobody else asks.

    python benchmarks/serving.py [rate] [rows] [health] [--posters 8] [--seconds 6] [--idle 500]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from nervenet.models.artifact import load_model, save_model
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.serving.answers import MAX_BODY_BYTES

COLUMNS = 64
ROWS = 100_000
CONNECTIONS = 8
PARTS = ("rate", "rows", "health")


def model(folder: Path, columns: int = COLUMNS, hidden: int = 32) -> None:
    X = np.random.default_rng(0).normal(size=(200, columns))
    site_model = SiteModel(MLP(hidden=(hidden,)), X, np.arange(200) % 5)
    site_model.build(agree({"a": site_model.statistics()}), seed=0)
    save_model(folder, site_model.model, site_model.preprocessing, site_model.get_weights(), {})


@contextlib.contextmanager
def started(*command: str) -> Iterator[tuple[str, int, psutil.Process]]:
    """Yield host, port and process of a server that prints its address."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            host, _, port = server.stdout.readline().split()[1].split("/")[2].rpartition(":")
            yield host, int(port), psutil.Process(server.pid)
        finally:
            server.kill()


def serving(folder: str, *options: str) -> contextlib.AbstractContextManager[tuple[str, int, psutil.Process]]:
    return started("-m", "nervenet.scripts.main", "serve", folder, "--http", "127.0.0.1:0", *options)


# requests of one row


async def bare() -> None:
    """Answer a constant, by Starlette and uvicorn as `nervenet serve` has them."""
    import uvicorn
    from nervenet.scripts.http_connections import BoundedProtocol
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def constant(request: Request) -> JSONResponse:
        async for _ in request.stream():
            pass
        return JSONResponse({"y_pred": [0]})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvicorn's own has it
        print(f"serving http://127.0.0.1:{listener.getsockname()[1]}/predict", flush=True)
        app = Starlette(routes=[Route("/predict", constant, methods=["POST"])])
        config = uvicorn.Config(app, http=BoundedProtocol, ws="none", log_level="critical", access_log=False)
        await uvicorn.Server(config).serve(sockets=[listener])


class Asker(asyncio.Protocol):
    """Sends a request again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self.request, self.answered, self.other = request, 0, 0
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self.answered += 1
        self.other += not head.startswith(b"HTTP/1.1 200")
        self.received = b""
        self.transport.write(self.request)


async def asked_for(
    seconds: float, host: str, port: int, server: psutil.Process, request: bytes
) -> tuple[float, float]:
    """Return how many requests a second were answered over several connections, and the server's processor time for
    each: microseconds, which a busy machine does not change.
    """
    loop = asyncio.get_running_loop()
    askers = [(await loop.create_connection(lambda: Asker(request), host, port)) for _ in range(CONNECTIONS)]
    began, before, spent = time.perf_counter(), sum(asker.answered for _, asker in askers), cpu(server)
    await asyncio.sleep(seconds)
    answered, took = sum(asker.answered for _, asker in askers) - before, time.perf_counter() - began
    spent = cpu(server) - spent
    assert not any(asker.other for _, asker in askers)
    for transport, _ in askers:
        transport.abort()
    return answered / took, spent / max(1, answered) * 1e6


def cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def rate() -> None:
    body = json.dumps({"X_test": [[5.1, 3.5, 1.4, 0.2]]}).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    with tempfile.TemporaryDirectory() as folder:
        model(Path(folder), columns=4, hidden=64)
        with serving(folder) as ours, started(__file__, "--bare") as floor:
            for server in (ours, floor):
                asyncio.run(asked_for(0.5, *server, request))
            pairs = [[asyncio.run(asked_for(1.0, *server, request)) for server in (ours, floor)] for _ in range(7)]
    for what, place in (("requests/s", 0), ("us of processor time a request", 1)):
        found, bound = (statistics.median(each[place] for each in column) for column in zip(*pairs, strict=True))
        ratio = statistics.median((one[place] / other[place]) ** (1 - 2 * place) for one, other in pairs)
        print(f"one row: {found:7.0f}   bare Starlette {bound:7.0f} {what:31} ratio {ratio:.2f} (to reach 0.5)")


# many rows


def bodies(X: np.ndarray[Any, Any], names: tuple[str, ...]) -> Iterator[tuple[str, str, bytes]]:
    """Yield format, media type and body of the same rows."""
    import pyarrow as pa

    yield "JSON", "application/json", json.dumps({"X_test": X.tolist()}, separators=(",", ":")).encode()
    text = io.BytesIO(",".join(names).encode() + b"\n")
    text.seek(0, io.SEEK_END)
    np.savetxt(text, X, fmt="%g", delimiter=",")
    yield "CSV", "text/csv", text.getvalue()
    for kind in (np.float64, np.float32):
        columns = [pa.array(np.ascontiguousarray(column, kind)) for column in X.T]
        batch, sink = pa.record_batch(columns, names=list(names)), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield f"Arrow {kind.__name__}", "application/vnd.apache.arrow.stream", bytes(sink.getvalue())


def parsing(name: str, body: bytes) -> Callable[[], Any]:
    """Return what reads the bytes of a format, and makes nothing of them."""
    if name == "JSON":
        import simdjson

        parser = simdjson.Parser()
        return lambda: parser.parse(body) and None
    if name == "CSV":
        import pyarrow as pa
        from pyarrow import csv

        return lambda: csv.read_csv(pa.BufferReader(body))
    return lambda: None  # columns are used where they lie


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rows(only: int | None) -> None:
    own = psutil.Process()
    for columns, hidden in ((4, 64), (30, 64), (30, 256))[:only]:
        with tempfile.TemporaryDirectory() as folder, httpx.Client(timeout=120, trust_env=False) as http:
            model(Path(folder), columns, hidden)
            site_model = load_model(folder)
            X = np.random.default_rng(1).normal(size=(ROWS, columns)).round(3)
            wanted = site_model.predict(X).tolist()
            bodied = bodies(X, site_model.preprocessing.columns)
            with serving(folder, "--max-body", "64") as (host, port, server), started(__file__, "--bare") as bare_one:
                addresses = [f"http://{host}:{port}/predict", f"http://{bare_one[0]}:{bare_one[1]}/predict"]
                for name, media, body in bodied:

                    def ask(address: str, media: str = media, body: bytes = body) -> Any:
                        headers = {"content-type": media, "accept": media}
                        return http.post(address, content=body, headers=headers).raise_for_status()

                    answer = ask(addresses[0])
                    assert media != "application/json" or answer.json()["y_pred"] == wanted
                    ask(addresses[1])
                    parse = parsing(name, body)
                    turns = []
                    for _ in range(5):
                        before = cpu(own)
                        took = timed(lambda: site_model.predict(X))  # noqa: B023
                        between, spent = cpu(own), cpu(server)
                        ours = timed(lambda: ask(addresses[0]))  # noqa: B023
                        used = cpu(server) - spent
                        floors = timed(parse), timed(lambda: ask(addresses[1]))  # noqa: B023
                        turns.append((took, ours, between - before, used, *floors))
                    medians = [statistics.median(each) * 1e3 for each in zip(*turns, strict=True)]
                    alone, took, cpu_alone, cpu_took, parsed, sent = medians
                    what = f"{ROWS:,} rows x {columns}, hidden {hidden}, {name}, {len(body) / 2**20:.1f} MiB"
                    ratio, of_cpu, bound = alone / took, cpu_alone / cpu_took, alone / (alone + parsed + sent)
                    print(f"{what:55} {took:5.0f} ms, predict alone {alone:5.0f} ms, ratio {ratio:.2f}", end=" ")
                    print(
                        f"(to reach 0.7); of processor time {cpu_took:4.0f} and {cpu_alone:4.0f} ms, {of_cpu:.2f};",
                        end=" ",
                    )
                    print(f"floors: parser {parsed:.0f} ms, transfer {sent:.0f} ms, so at most {bound:.2f}", flush=True)


# beside others


async def post(address: str, posters: int, seconds: float) -> None:
    """Post bodies of the largest size, all the time; print how many were answered."""
    row = np.random.default_rng(1).normal(size=COLUMNS).round(16).tolist()
    many = [row] * (MAX_BODY_BYTES * 9 // 10 // len(json.dumps(row)))
    body = json.dumps({"X_test": many}).encode()
    until, answered = time.monotonic() + seconds, 0

    async def one() -> None:
        nonlocal answered
        async with httpx.AsyncClient(timeout=120, trust_env=False) as http:
            while time.monotonic() < until:
                answered += (await http.post(f"{address}/predict", content=body)).status_code == 200
                await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(posters)))
    print(answered, flush=True)


def asked(address: str, seconds: float) -> list[float]:
    """Milliseconds that each of many questions took, one after another."""
    took = []
    until = time.monotonic() + seconds
    with httpx.Client(timeout=60, trust_env=False) as http:
        http.get(f"{address}/healthz")
        while time.monotonic() < until:
            took.append(timed(lambda: http.get(f"{address}/healthz").raise_for_status()) * 1e3)
            time.sleep(0.02)
    return took


def shown(name: str, took: list[float]) -> None:
    ordered = sorted(took)
    p99 = ordered[int(len(ordered) * 0.99) - 1]
    median, most = statistics.median(took), ordered[-1]
    print(f"{name:34} {len(took):5} x   median {median:7.1f}   p99 {p99:7.1f}   most {most:7.1f} ms")


def health(posters: int, seconds: float, unfinished: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model(Path(folder))
        with serving(folder) as (host, port, _):
            address = f"http://{host}:{port}"
            shown("nobody else", asked(address, seconds / 2))
            idle = [socket.create_connection((host, port)) for _ in range(min(unfinished, 200))]
            for each in idle:
                each.sendall(b"POST /predict HTTP/1.1\r\n")
            shown(f"{len(idle)} unfinished requests", asked(address, seconds / 2))
            options = ["--posters", str(posters), "--seconds", str(seconds)]
            command = [sys.executable, __file__, "--post", address, *options]
            posting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            time.sleep(1.5)
            shown(f"{posters} posters of {MAX_BODY_BYTES >> 20} MiB", asked(address, seconds - 1.5))
            print(f"{'':34} {posting.communicate()[0].strip()} of their requests were answered")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS))
    parser.add_argument("--posters", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--idle", type=int, default=500)
    parser.add_argument("--models", type=int, help="of `rows`: how many of the models")
    parser.add_argument("--post")
    parser.add_argument("--bare", action="store_true")
    arguments = parser.parse_args()
    if arguments.post:
        asyncio.run(post(arguments.post, arguments.posters, arguments.seconds))
    elif arguments.bare:
        asyncio.run(bare())
    else:
        for part in arguments.parts or PARTS:
            if part == "rate":
                rate()
            elif part == "rows":
                rows(arguments.models)
            else:
                health(arguments.posters, arguments.seconds, arguments.idle)


if __name__ == "__main__":
    main()
