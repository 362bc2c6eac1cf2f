"""A model that no message carries, in chunks: how fast it travels, and what the coordinator needs of memory.

One coordinator and three clients, a process each, over TCP on this machine. Prints the GB/s down (the clients fetch the
model) and up (the coordinator fetches and folds their updates), as the floor those of a bare pyzmq ROUTER/DEALER loop
of as many processes that moves the same chunks, as many ahead, and does nothing with them; and the coordinator's peak
memory, which is that of two vectors, of its own model and of the chunks on their way; with shared memory it counts the
clients' updates, too, which it reads where they lie.

    python benchmarks/large_model.py [--megabytes 1000] [--clients 3] [--rounds 2] [--chunk-megabytes 4] [--mapped]
        [--shared-memory]
    python benchmarks/large_model.py --gossip [--peers 3] [the others]      of peers: see large_gossip.py
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import zmq
from nervenet.broker import Broker
from nervenet.models.base import FlatModel
from nervenet.nodes import Client, Coordinator, Experiment
from nervenet.nodes.federated.large.folding import Folding
from nervenet.nodes.federated.large.offers import Offers
from nervenet.nodes.large.pull import WINDOW

ROWS = np.arange(24.0).reshape(12, 2), np.arange(12) % 2


class Wide(FlatModel):
    """As many parameters as are wanted, each of which a step moves a little: no arithmetic to speak of."""

    name = "wide"
    classifies = True
    dtype = "float32"

    def __init__(self, parameters: int) -> None:
        self.parameters = parameters

    def shapes(self, n_features: int, n_classes: int | None) -> dict[str, tuple[int, ...]]:  # noqa: ARG002
        return {"weight": (self.parameters,)}

    def initialize(self, rng: np.random.Generator) -> None:  # noqa: ARG002
        self.weights[...] = 0.0  # so that their memory is there, as after any draw

    def step(self, X: Any, y: Any) -> float:
        self.weights += np.float32(0.001)
        return float(len(y)) if len(X) else 0.0

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), np.int64)


def network_of(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "max_message_bytes": max(65_536, min(256 * 2**20, options.megabytes * 10**6 // 2)),
        "chunk_bytes": int(options.chunk_megabytes * 2**20),
        "mapped": options.mapped,
        "shared_memory": options.shared_memory,
    }


def experiment(options: argparse.Namespace) -> Experiment:
    network = network_of(options)
    training = {"epochs": 1, "batch_size": 64}
    federated = {"deadline_s": 120.0}
    wanted = {"nodes": options.clients, "rounds": options.rounds, "training": training, "federated": federated}
    return Experiment.from_dict({**wanted, "data": {"test_size": 0.0}, "network": network})


class Watch:
    """When what is offered was asked for first, and was all handed out; and when each fold began and ended."""

    def __init__(self) -> None:
        self.down: dict[int, list[float]] = {}
        self.up: list[list[float]] = []
        serve, begin, result = Offers.serve, Folding.__init__, Folding.result

        def served(offers: Offers, sender: str, asked: Any) -> Any:
            times = self.down.setdefault(asked.generation, [time.perf_counter(), 0.0])
            times[1] = time.perf_counter()
            return serve(offers, sender, asked)

        def began(folding: Folding, *given: Any) -> None:
            self.up.append([time.perf_counter(), 0.0])
            begin(folding, *given)

        def ended(folding: Folding, event: Any) -> Any:
            self.up[-1][1] = time.perf_counter()
            return result(folding, event)

        Offers.serve, Folding.__init__, Folding.result = served, began, ended  # type: ignore[method-assign]


async def coordinate(options: argparse.Namespace) -> None:
    watch = Watch()
    async with Coordinator(
        Wide(options.megabytes * 250_000), broker=options.address, run="large", experiment=experiment(options)
    ) as node:
        async for _ in node.rounds():
            pass
    found = {
        "down_s": [last - first for first, last in watch.down.values()][: options.rounds],
        "up_s": [last - first for first, last in watch.up],
        "peak_mb": peak_mb(),
        "last": float(node.weights[-1]),
    }
    print(json.dumps(found), flush=True)


async def follow(options: argparse.Namespace) -> None:
    async with Client(
        Wide(options.megabytes * 250_000),
        ROWS,
        broker=options.address,
        run="large",
        name=options.name,
        holdout=0.0,
        experiment=experiment(options),
    ) as node:
        async for _ in node.rounds():
            pass
    print(json.dumps({"peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


async def ours(options: argparse.Namespace) -> dict[str, Any]:
    async with Broker("tcp://127.0.0.1:0") as broker:
        address = broker.addresses["directory"]
        children = [spawn("coordinate", options, address)]
        children += [spawn("follow", options, address, f"c{k}") for k in range(options.clients)]
        said = [json.loads(await asyncio.to_thread(result_of, child)) for child in children]
    return said[0] | {"client_peak_mb": max(each["peak_mb"] for each in said[1:])}


def bare(options: argparse.Namespace) -> dict[str, float]:
    """Seconds that the same chunks take down and up, asked for as many ahead, over plain sockets."""
    size, chunk = options.megabytes * 10**6, int(options.chunk_megabytes * 2**20)
    vector = np.ones(size, np.uint8)
    starts = range(0, size, chunk)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        children = [spawn("echo", options, f"tcp://127.0.0.1:{port}") for _ in range(options.clients)]
        names = [socket.recv_multipart()[0] for _ in children]
        begun = time.perf_counter()
        for name in names:
            socket.send_multipart([name, b"down"])
        done = 0
        while done < len(names):
            name, start = socket.recv_multipart()
            if start == b"done":
                done += 1
                continue
            first = int(start)
            socket.send_multipart([name, start], flags=zmq.SNDMORE)
            socket.send(vector[first : first + chunk], copy=False)
        down_s = time.perf_counter() - begun
        begun = time.perf_counter()
        came, asked = 0, dict.fromkeys(names, 0)
        for name in names:
            for start in starts[:WINDOW]:
                socket.send_multipart([name, str(start).encode()])
            asked[name] = WINDOW
        while came < len(starts) * len(names):
            name, _ = socket.recv_multipart(copy=False)
            came += 1
            to = bytes(name)
            if asked[to] < len(starts):
                socket.send_multipart([to, str(starts[asked[to]]).encode()])
                asked[to] += 1
        up_s = time.perf_counter() - begun
        for name in names:
            socket.send_multipart([name, b"end"])
        for child in children:
            child.wait()
    return {"down_s": down_s, "up_s": up_s}


def echo(options: argparse.Namespace) -> None:
    """Ask for all chunks, then hand out what is asked for."""
    size, chunk = options.megabytes * 10**6, int(options.chunk_megabytes * 2**20)
    starts = range(0, size, chunk)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.connect(options.address)
        socket.send(b"ready")
        socket.recv()
        for start in starts[:WINDOW]:
            socket.send(str(start).encode())
        for k in range(len(starts)):
            socket.recv_multipart(copy=False)
            if k + WINDOW < len(starts):
                socket.send(str(starts[k + WINDOW]).encode())
        vector = np.ones(size, np.uint8)
        socket.send(b"done")
        while (said := socket.recv()) != b"end":
            socket.send(vector[int(said) : int(said) + chunk], copy=False)


def spawn(role: str, options: argparse.Namespace, address: str, name: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "--as", role, "--address", address, "--name", name]
    words += ["--megabytes", str(options.megabytes), "--clients", str(options.clients), "--rounds", str(options.rounds)]
    words += ["--chunk-megabytes", str(options.chunk_megabytes), *(["--mapped"] if options.mapped else [])]
    words += ["--shared-memory"] if options.shared_memory else []
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    atexit.register(child.kill)
    return child


def result_of(child: subprocess.Popen[str]) -> str:
    out, _ = child.communicate(timeout=600)
    return out.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--chunk-megabytes", type=float, default=4.0)
    parser.add_argument("--mapped", action="store_true", help="the coordinator's vectors lie in files")
    parser.add_argument("--shared-memory", action="store_true", help="chunks go through shared memory, and not by TCP")
    parser.add_argument("--gossip", action="store_true", help="peers, in place of a coordinator and its clients")
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--as", dest="role", default="", help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    parser.add_argument("--name", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role in ("coordinate", "follow"):
        asyncio.run(coordinate(options) if options.role == "coordinate" else follow(options))
        return
    if options.role == "echo":
        echo(options)
        return
    if options.gossip:
        from large_gossip import compare

        compare(options)
        return
    gigabytes = options.megabytes * options.clients / 1000
    before = bare(options)
    found = asyncio.run(ours(options))
    after = bare(options)
    floor = {key: min(before[key], after[key]) for key in before}
    best = {key: min(found[key]) for key in ("down_s", "up_s")}
    print(f"{options.megabytes} MB, {options.clients} clients, chunks of {options.chunk_megabytes:g} MiB")
    for key, what in (("down_s", "down"), ("up_s", "up, folded")):
        ours_s, bare_s = best[key], floor[key]
        print(f"{what:12} {gigabytes / ours_s:6.2f} GB/s   bare {gigabytes / bare_s:6.2f}   {bare_s / ours_s:5.2f}")
    ours_s, bare_s = sum(best.values()), sum(floor.values())
    both = 2 * gigabytes
    print(f"{'both':12} {both / ours_s:6.2f} GB/s   bare {both / bare_s:6.2f}   {bare_s / ours_s:5.2f}")
    print(f"memory       coordinator {found['peak_mb']:,.0f} MB at its peak, a client {found['client_peak_mb']:,.0f}")
    expected = np.float32(0)
    for _ in range(options.rounds):
        expected += np.float32(0.001)
    assert abs(found["last"] - float(expected)) < 1e-6, found["last"]


if __name__ == "__main__":
    main()
