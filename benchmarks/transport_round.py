"""One round of mail: a coordinator sends a vector to N client processes and waits until each has sent it back.

Prints the median round over `ZmqTransport` (asyncio, codec, introductions, both lanes) and, as the floor, over a bare
pyzmq ROUTER/DEALER loop that moves the same bytes between as many processes, taken in turns in the same run.

    python benchmarks/transport_round.py [--clients 8] [--rounds 300] [--parameters 5000 200000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import zmq
from nervenet.broker.messages import Payload, Task, Update
from nervenet.broker.transport import Arrival, LinkUp, ZmqTransport

LAYOUT = "0123456789abcdef"


def bare_client(address: str, name: str) -> None:
    """Send back whatever comes, until told to stop."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.IDENTITY, name.encode())
        socket.connect(address)
        socket.send(b"ready")
        while True:
            header, array = socket.recv_multipart(copy=False)
            if not len(array):
                return
            socket.send_multipart([header, array], copy=False)


def bare_rounds(parameters: int, clients: int, rounds: int) -> list[float]:
    """Durations of rounds over plain sockets, in seconds."""
    weights = np.zeros(parameters, np.float32)
    header = bytes(150)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        children = spawn("bare", clients, f"tcp://127.0.0.1:{port}")
        names = [socket.recv_multipart()[0] for _ in range(clients)]
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            for name in names:
                socket.send(name, zmq.SNDMORE)
                socket.send(header, zmq.SNDMORE)
                socket.send(weights, copy=parameters < 50_000)
            for _ in names:
                socket.recv_multipart(copy=False)
            times.append(time.perf_counter() - start)
        for name in names:
            socket.send_multipart([name, b"", b""])
        reap(children)
    return times


async def client(addresses: dict[str, str], name: str) -> None:
    """Answer each task with its own weights, until told to finish."""
    transport = ZmqTransport(name, "client", "bench", bind=None)
    done = asyncio.get_running_loop().create_future()

    def receive(item: Any) -> None:
        match item:
            case Arrival(sender, Task(work="train", round=number, payload=payload), array):
                transport.send(sender, Update(number, 0, 10, {"loss": 0.5}, None, payload), array)
            case Arrival():
                done.set_result(None)

    await transport.open(receive, done.set_exception)
    transport.link("coordinator", addresses)
    await done
    await transport.close(0.5)


async def rounds_of(parameters: int, clients: int, rounds: int) -> list[float]:
    """Durations of rounds over `ZmqTransport`, in seconds."""
    transport = ZmqTransport("coordinator", "coordinator", "bench", bind="tcp://127.0.0.1:*")
    weights = np.zeros(parameters, np.float32)
    payload = Payload(LAYOUT, "float32", parameters)
    names: list[str] = []
    waiting: set[str] = set()
    times: list[float] = []
    done = asyncio.get_running_loop().create_future()
    start = 0.0

    def begin() -> None:
        nonlocal start
        start = time.perf_counter()
        waiting.update(names)
        transport.send(names, Task(len(times), 0, "train", 30.0, False, {}, None, payload), weights)

    def receive(item: Any) -> None:
        match item:
            case LinkUp(peer):
                names.append(peer)
                if len(names) == clients:
                    begin()
            case Arrival(sender, Update()):
                waiting.discard(sender)
                if waiting:
                    return
                times.append(time.perf_counter() - start)
                if len(times) < rounds:
                    begin()
                else:
                    transport.send(names, Task(len(times), 0, "finish", 1.0, False, {}))
                    done.set_result(None)

    await transport.open(receive, done.set_exception)
    children = spawn("ours", clients, transport.addresses["control"], transport.addresses["bulk"])
    await done
    await transport.close(1.0)
    reap(children)
    return times


def spawn(kind: str, clients: int, *addresses: str) -> list[subprocess.Popen[bytes]]:
    """Start the client processes."""
    return [
        subprocess.Popen([sys.executable, __file__, "--child", kind, f"client-{i}", *addresses]) for i in range(clients)
    ]


def reap(children: list[subprocess.Popen[bytes]]) -> None:
    """See all of them end."""
    for child in children:
        child.wait(20)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        kind, name, *addresses = sys.argv[2:]
        if kind == "bare":
            bare_client(addresses[0], name)
        else:
            asyncio.run(client(dict(zip(("control", "bulk"), addresses, strict=True)), name))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--parameters", type=int, nargs="+", default=[5_000, 200_000])
    options = parser.parse_args()
    print(f"{options.clients} client processes, {os.cpu_count()} cores, median of 2 x {options.rounds} rounds")
    print(f"{'parameters':>12} {'floor, ms':>12} {'ours, ms':>12} {'ratio':>8}")
    for parameters in options.parameters:
        rounds = max(8, min(options.rounds, 60_000_000 // parameters))
        floor: list[float] = []
        ours: list[float] = []
        for _ in range(2):
            floor += bare_rounds(parameters, options.clients, rounds)[3:]
            ours += asyncio.run(rounds_of(parameters, options.clients, rounds))[3:]
        low, high = 1e3 * statistics.median(floor), 1e3 * statistics.median(ours)
        print(f"{parameters:>12,} {low:>12.2f} {high:>12.2f} {high / low:>8.2f}")


if __name__ == "__main__":
    main()
