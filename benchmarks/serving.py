"""How soon ``GET /healthz`` is answered while eight clients post the longest bodies, and strangers unfinished ones.

`nervenet serve` is a process of its own, and the eight are one more. The floor is the same question to the same server
when nobody else asks, in the same run.

    python benchmarks/serving.py [--posters 8] [--seconds 6] [--idle 500]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from nervenet.models.artifact import save_model
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.serving import MAX_BODY_BYTES

COLUMNS = 64


def model(folder: Path) -> None:
    X = np.random.default_rng(0).normal(size=(200, COLUMNS))
    site_model = SiteModel(MLP(hidden=(32,)), X, np.arange(200) % 5)
    site_model.build(agree({"a": site_model.statistics()}), seed=0)
    save_model(folder, site_model.model, site_model.preprocessing, site_model.get_weights(), {})


async def post(address: str, posters: int, seconds: float) -> None:
    """Post bodies of the largest size, all the time; print how many were answered."""
    row = np.random.default_rng(1).normal(size=COLUMNS).round(16).tolist()
    rows = [row] * (MAX_BODY_BYTES * 9 // 10 // len(json.dumps(row)))
    body = json.dumps({"X_test": rows}).encode()
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
            began = time.perf_counter()
            http.get(f"{address}/healthz").raise_for_status()
            took.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.02)
    return took


def shown(name: str, took: list[float]) -> None:
    ordered = sorted(took)
    p99 = ordered[int(len(ordered) * 0.99) - 1]
    median, most = statistics.median(took), ordered[-1]
    print(f"{name:34} {len(took):5} x   median {median:7.1f}   p99 {p99:7.1f}   most {most:7.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--posters", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--idle", type=int, default=500)
    parser.add_argument("--post")
    arguments = parser.parse_args()
    if arguments.post:
        asyncio.run(post(arguments.post, arguments.posters, arguments.seconds))
        return
    with tempfile.TemporaryDirectory() as folder:
        model(Path(folder))
        command = [sys.executable, "-m", "nervenet.scripts.main", "serve", folder, "--http", "127.0.0.1:0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                address = server.stdout.readline().split()[1].removesuffix("/predict")
                shown("nobody else", asked(address, arguments.seconds / 2))
                port = int(address.rpartition(":")[2])
                idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(arguments.idle, 200))]
                for each in idle:
                    each.sendall(b"POST /predict HTTP/1.1\r\n")
                shown(f"{len(idle)} unfinished requests", asked(address, arguments.seconds / 2))
                options = ["--posters", str(arguments.posters), "--seconds", str(arguments.seconds)]
                posting = subprocess.Popen(
                    [sys.executable, __file__, "--post", address, *options], stdout=subprocess.PIPE, text=True
                )
                time.sleep(1.5)
                name = f"{arguments.posters} posters of {MAX_BODY_BYTES >> 20} MiB"
                shown(name, asked(address, arguments.seconds - 1.5))
                print(f"{'':34} {posting.communicate()[0].strip()} of their requests were answered")
            finally:
                server.kill()


if __name__ == "__main__":
    main()
