"""Peers whose model no message carries, for `large_model.py --gossip`: how fast their models travel, what they need.

Peers that all reach each other, a process each, over TCP on this machine; each sends its model to all others in each
round. Prints the GB/s of all ways together in the fastest round, from the first request for a chunk to when the last
model is whole; as the floor those of bare pyzmq ROUTER/DEALER sockets of as many processes that ask each other for the
same chunks, as many ahead, and do nothing with them; and the peak memory of a peer beside the size of the model.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import zmq
from large_model import ROWS, Wide, network_of, peak_mb, result_of
from nervenet.broker import Broker
from nervenet.nodes import Experiment, Peer
from nervenet.nodes.gossip.large.fetches import Fetches
from nervenet.nodes.large.pull import WINDOW


def experiment(options: argparse.Namespace) -> Experiment:
    wanted = {"mode": "gossip", "nodes": options.peers, "rounds": options.rounds}
    gossip = {"topology": "complete", "deadline_s": 120.0}
    network = network_of(options) | {"suspect_after_s": 30.0, "join_deadline_s": 120.0}
    training = {"epochs": 1, "batch_size": 64}
    data = {"test_size": 0.0}
    return Experiment.from_dict({**wanted, "gossip": gossip, "network": network, "training": training, "data": data})


class Watch:
    """By round, when something was asked for first, and when the last model was whole."""

    def __init__(self) -> None:
        self.rounds: dict[int, list[float]] = {}
        begin, remove = Fetches.begin, Fetches.remove

        def begun(fetches: Fetches, fetch: Any, now: float) -> Any:
            self.rounds.setdefault(fetch.round, [time.monotonic(), 0.0])
            return begin(fetches, fetch, now)

        def removed(fetches: Fetches, fetch: Any) -> Any:
            self.rounds[fetch.round][1] = time.monotonic()
            return remove(fetches, fetch)

        Fetches.begin, Fetches.remove = begun, removed  # type: ignore[method-assign]


async def learn(options: argparse.Namespace) -> None:
    watch = Watch()
    where: dict[str, Any] = {"broker": options.address, "run": "large", "name": options.name}
    model = Wide(options.megabytes * 250_000)
    async with Peer(model, ROWS, holdout=0.0, experiment=experiment(options), **where) as peer:
        async for _ in peer.rounds():
            pass
    found = {"rounds": watch.rounds, "peak_mb": peak_mb(), "last": float(peer.weights[-1])}
    print(json.dumps(found), flush=True)


async def ours(options: argparse.Namespace) -> dict[str, Any]:
    async with Broker("tcp://127.0.0.1:0") as broker:
        children = [spawn("learn", options, broker.addresses["directory"], f"p{k}") for k in range(options.peers)]
        said = [json.loads(await asyncio.to_thread(result_of, child)) for child in children]
    lasted = [
        max(each["rounds"][number][1] for each in said) - min(each["rounds"][number][0] for each in said)
        for number in said[0]["rounds"]
    ]
    return {"s": min(lasted), "peak_mb": max(each["peak_mb"] for each in said), "last": [each["last"] for each in said]}


def bare(options: argparse.Namespace) -> float:
    """Return the seconds that the same chunks take, asked for as many ahead, over plain sockets."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        children = [spawn("swap", options, f"tcp://127.0.0.1:{port}") for _ in range(options.peers)]
        ports = dict(socket.recv_multipart() for _ in children)
        for name, own in ports.items():
            others = [other.decode() for other in ports.values() if other != own]
            socket.send_multipart([name, json.dumps(others).encode()])
        for _ in children:
            socket.recv_multipart()
        begun = time.perf_counter()
        for said in (b"go", b"end"):
            for name in ports:
                socket.send_multipart([name, said])
            if said == b"go":
                for _ in children:
                    socket.recv_multipart()
                lasted = time.perf_counter() - begun
        for child in children:
            child.wait()
    return lasted


def swap(options: argparse.Namespace) -> None:
    """Ask all others for all chunks, and hand out one's own, until the parent says that all is done."""
    size, chunk = options.megabytes * 10**6, int(options.chunk_megabytes * 2**20)
    starts, vector = range(0, size, chunk), np.ones(size, np.uint8)
    with zmq.Context() as context:
        parent, own = context.socket(zmq.DEALER), context.socket(zmq.ROUTER)
        parent.connect(options.address)
        parent.send(str(own.bind_to_random_port("tcp://127.0.0.1")).encode())
        others = [context.socket(zmq.DEALER) for _ in range(options.peers - 1)]
        for other, port in zip(others, json.loads(parent.recv()), strict=True):
            other.connect(f"tcp://127.0.0.1:{port}")
        parent.send(b"ready")
        parent.recv()
        asked = dict.fromkeys(others, 0)
        for other in others:
            for start in starts[:WINDOW]:
                other.send(str(start).encode())
            asked[other] = WINDOW
        left, poller = len(starts) * len(others), zmq.Poller()
        for socket in (parent, own, *others):
            poller.register(socket, zmq.POLLIN)
        while True:
            for socket, _ in poller.poll():
                if socket is parent:
                    context.destroy(linger=0)
                    return
                if socket is own:
                    name, said = own.recv_multipart()
                    own.send_multipart([name, said], flags=zmq.SNDMORE)
                    own.send(vector[int(said) : int(said) + chunk], copy=False)
                    continue
                socket.recv_multipart(copy=False)
                left -= 1
                if asked[socket] < len(starts):
                    socket.send(str(starts[asked[socket]]).encode())
                    asked[socket] += 1
                if not left:
                    parent.send(b"done")


def spawn(role: str, options: argparse.Namespace, address: str, name: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "--as", role, "--address", address, "--name", name]
    words += ["--megabytes", str(options.megabytes), "--peers", str(options.peers), "--rounds", str(options.rounds)]
    words += ["--chunk-megabytes", str(options.chunk_megabytes), *(["--mapped"] if options.mapped else [])]
    words += ["--shared-memory"] if options.shared_memory else []
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    atexit.register(child.kill)
    return child


def compare(options: argparse.Namespace) -> None:
    """Print ours beside the floor."""
    gigabytes = options.megabytes * options.peers * (options.peers - 1) / 1000
    before, found, after = bare(options), asyncio.run(ours(options)), bare(options)
    floor = min(before, after)
    print(f"{options.megabytes} MB, {options.peers} peers, chunks of {options.chunk_megabytes:g} MiB")
    print(
        f"all ways     {gigabytes / found['s']:6.2f} GB/s   bare {gigabytes / floor:6.2f}   {floor / found['s']:5.2f}"
    )
    print(
        f"memory       a peer {found['peak_mb']:,.0f} MB at its peak: {found['peak_mb'] / options.megabytes:.1f} models"
    )
    expected = np.float32(0)
    for _ in range(options.rounds):
        expected += np.float32(0.001)
    assert all(abs(last - float(expected)) < 1e-6 for last in found["last"]), found["last"]


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--chunk-megabytes", type=float, default=4.0)
    parser.add_argument("--mapped", action="store_true")
    parser.add_argument("--shared-memory", action="store_true")
    parser.add_argument("--as", dest="role", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--name", default="")
    return parser


if __name__ == "__main__":
    given = arguments(argparse.ArgumentParser()).parse_args()
    if given.role == "learn":
        asyncio.run(learn(given))
    else:
        swap(given)
