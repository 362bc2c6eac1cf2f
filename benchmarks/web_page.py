"""What the page of the web view holds in a browser: 256 peers, 10,000 rounds, every screen looked at.

The page is fed by a server of this script, four rounds in each message, as fast as it is read: what folds events is not
measured here. The heap is what is left after a collection; beside it stand the elements of the document, and how long a
message took, its making included. The floor is an empty page of the same browser.

    python benchmarks/web_page.py [--peers 256] [--rounds 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nervenet.nodes.web
import uvicorn
from playwright.sync_api import CDPSession, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PAGE = nervenet.nodes.web.__path__[0] + "/page/"
SCREENS = ("overview", "nodes", "time", "graph", "network", "compare", "nodes/peer-1")
EACH = 4  # rounds in a message
OFFSETS = (1, 2, 4)  # to which neighbors a peer has edges
KINDS = (("train", 0.0), ("wait", 0.1))


class Feed:
    """States of a made-up run; `reached` says up to which round the browser may be told."""

    def __init__(self, peers: int, rounds: int) -> None:
        self.names = [f"peer-{i}" for i in range(peers)]
        self.rounds = rounds
        self.reached = 0
        self._drawn = random.Random(0)

    def message(self, first: int, last: int) -> dict[str, Any]:
        """Return what there is to be told of some rounds, as a state or a change has it."""
        draw, now = self._drawn.random, 1.7e9 + 0.3 * last
        numbers = range(first, last + 1)
        score = 1 - 1 / math.sqrt(last + 3)
        column = {"metric": score, "worst": score - 0.02, "best": score + 0.02, "loss": 1 - score, "train_loss": 0.5}
        column |= {"consensus_distance": 9 / math.sqrt(last), "bytes": 15_000_000, "duration_s": 0.3}
        nodes = {
            name: {"role": "peer", "state": "training", "round": last, "loss": draw(), "metric": score + 0.01 * draw()}
            | {"model_at": now, "bytes_sent": 57_000 * last, "bytes_received": 57_000 * last, "wait_s": draw() / 9}
            | {"last_seen": now, "rejected": {"late": last}, "duration_s": 0.3}
            for name in self.names
        }
        spans = {
            name: [[k, kind, 0.3 * k + at, 0.3 * k + at + 0.1] for k in numbers for kind, at in KINDS]
            for name in self.names
        }
        n = len(self.names)
        edges = [
            [a, self.names[(i + by) % n], "use", 19_000 * last, last, 0, last]
            for i, a in enumerate(self.names)
            for by in OFFSETS
        ]
        return {
            "now": now,
            "outcome": {"run": "made-up", "mode": "gossip", "round": last, "rounds": self.rounds, "status": "running"}
            | {"metric_name": "accuracy", "metric": score, "started": 1.7e9, "line": f"Round {last} of {self.rounds}."},
            "nodes": nodes,
            "rounds": {"round": list(numbers), **{name: [value] * len(numbers) for name, value in column.items()}},
            "spans": spans,
            "edges": edges,
            "feed": [{"time": now, "text": f"round {k} took 0.3 s", "kind": "info", "node": "peer-1"} for k in numbers],
            "projection": {name: [draw(), draw()] for name in self.names},
            "mass": {name: 1 + draw() / 9 for name in self.names},
            "groups": [self.names],
            "outliers": [],
        }

    async def stream(self) -> AsyncIterator[str]:
        yield self._event("state", {"v": 0, "live": True, "span_limit": 60, **self.message(1, EACH)})
        for v, first in enumerate(range(EACH + 1, self.rounds + 1, EACH), 1):
            while first > self.reached:  # noqa: ASYNC110 - another thread counts it up
                await asyncio.sleep(0.01)
            yield self._event("delta", {"v": v, **self.message(first, min(self.rounds, first + EACH - 1))})

    def _event(self, kind: str, fields: dict[str, Any]) -> str:
        return f"event: {kind}\ndata: {json.dumps(fields)}\n\n"


@contextlib.contextmanager
def served(feed: Feed) -> Iterator[str]:
    """Serve the page, and yield its address."""

    async def stream(_: Request) -> Response:
        return StreamingResponse(feed.stream(), media_type="text/event-stream")

    async def file(request: Request) -> Response:
        return FileResponse(PAGE + request.path_params.get("name", "index.html"))

    async def runs(_: Request) -> Response:
        return JSONResponse({"runs": []})

    routes = [Route("/", file), Route("/page/{name}", file), Route("/stream", stream), Route("/runs", runs)]
    app = Starlette(routes=routes)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def held(devtools: CDPSession) -> tuple[float, int]:
    """Return the heap in MB, and how many elements there are."""
    devtools.send("HeapProfiler.collectGarbage")
    found = {metric["name"]: metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]}
    return found["JSHeapUsedSize"] / 1e6, int(found["Nodes"])


def go_on(page: Page, feed: Feed, to: int) -> None:
    feed.reached = to
    expect(page.locator("#outcome")).to_have_text(re.compile(rf"Round {to} of"), timeout=600_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=10_000)
    options = parser.parse_args()
    feed = Feed(options.peers, options.rounds)
    with served(feed) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable")
        print(f"floor, an empty page: {held(devtools)[0]:.1f} MB")
        page.goto(address)
        print(f"{options.peers} peers, {options.rounds} rounds\n round   heap  elements  a message")
        for step in range(1, 11):
            begun, to = time.monotonic(), options.rounds * step // 10
            for k, screen in enumerate(SCREENS):
                page.goto(f"{address}#{screen}")
                go_on(page, feed, to - (len(SCREENS) - 1 - k) * EACH * max(1, options.rounds // 100 // EACH))
            each = (time.monotonic() - begun) / (options.rounds / 10 / EACH)
            heap, elements = held(devtools)
            print(f"{to:6d}  {heap:5.1f} MB  {elements:6d}  {1000 * each:6.1f} ms")
        browser.close()


if __name__ == "__main__":
    main()
