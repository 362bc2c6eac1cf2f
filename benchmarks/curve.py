"""What encryption costs: a coordinator sends a vector to 8 client processes and waits until each has sent it back.

Four rounds are taken in turns in one run: nervenet's transport plain and with keys (CURVE, both sides authenticated),
and as the floor of each a bare pyzmq ROUTER/DEALER loop that moves the same bytes, plain and with libzmq's CURVE alone.
Prints the medians, how much slower keys make a round (at most 2.5), and how much of what libzmq's CURVE can do is
reached (at least 0.8): by the clock, and by the processor time of all processes, which others on the machine disturb
less.

    python benchmarks/curve.py [--clients 8] [--parameters 200000 10000000] [--turns 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from nervenet.broker.codec import Limits
from nervenet.broker.messages import Payload, Task, Update
from nervenet.broker.security.allow_list import allow
from nervenet.broker.security.gate import Gate
from nervenet.broker.security.keys import new_key_pair, read_secret, write_keys
from nervenet.broker.security.plain import LOCAL
from nervenet.broker.security.policy import Curve
from nervenet.broker.sockets import Security
from nervenet.broker.transport import Arrival, LinkLost, LinkUp, ZmqTransport

LAYOUT = "0123456789abcdef"
LIMITS = Limits(message_bytes=1 << 28)
HUB = "hub"
WARM_UP = 2


def make_keys(folder: Path, clients: int) -> None:
    """Make a folder of keys for everybody, who all allow each other."""
    for name, role in [(HUB, "coordinator"), *((f"client-{number}", "client") for number in range(clients))]:
        _, public = write_keys(folder, new_key_pair(name))
        allow(folder, public, [role])


def security_of(folder: str, name: str) -> Security:
    """Return how a node's sockets are secured; plain without a folder."""
    if not folder:
        return LOCAL
    keys = read_secret(Path(folder) / f"{name}.key")
    return Curve(keys, Gate(Path(folder), own=keys))


def bare_client(folder: str, name: str, address: str) -> None:
    """Send back whatever comes, until told to stop."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.IDENTITY, name.encode())
        if folder:
            mine, hub = (read_secret(Path(folder) / f"{each}.key") for each in (name, HUB))
            socket.curve_publickey, socket.curve_secretkey = mine.public.encode(), mine.secret.encode()
            socket.curve_serverkey = hub.public.encode()
        socket.connect(address)
        socket.send(b"ready")
        began = time.process_time()
        while True:
            header, array = socket.recv_multipart(copy=False)
            if not len(array):
                print(time.process_time() - began)
                return
            socket.send_multipart([header, array], copy=False)


def bare_rounds(folder: str, parameters: int, clients: int, rounds: int) -> tuple[list[float], float]:
    """Durations of rounds over bare sockets, and the processor time of one, in seconds."""
    weights, header = np.zeros(parameters, np.float32), bytes(150)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        if folder:
            socket.curve_server, socket.curve_secretkey = True, read_secret(Path(folder) / f"{HUB}.key").secret.encode()
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        children = spawn("bare", folder, clients, f"tcp://127.0.0.1:{port}")
        names = [socket.recv_multipart()[0] for _ in range(clients)]
        times = []
        began = time.process_time()
        for _ in range(rounds):
            start = time.perf_counter()
            for name in names:
                socket.send(name, zmq.SNDMORE)
                socket.send(header, zmq.SNDMORE)
                socket.send(weights, copy=False)
            for _ in names:
                socket.recv_multipart(copy=False)
            times.append(time.perf_counter() - start)
        for name in names:
            socket.send_multipart([name, b"", b""])
        spent = reap(children) + time.process_time() - began
    return times, spent / rounds


async def client(folder: str, name: str, addresses: dict[str, str]) -> None:
    """Answer each task with its own weights, until told to finish."""
    transport = ZmqTransport(name, "client", "bench", bind=None, limits=LIMITS, security=security_of(folder, name))
    done = asyncio.get_running_loop().create_future()

    def receive(item: Any) -> None:
        match item:
            case Arrival(sender, Task(work="train", round=number, payload=payload), array):
                transport.send(sender, Update(number, 0, 10, {"loss": 0.5}, None, payload), array)
            case Arrival(_, Task(work="finish")) | LinkLost() if not done.done():
                done.set_result(None)

    await transport.open(receive, done.set_exception)
    transport.link(HUB, addresses)
    began = time.process_time()
    await done
    print(time.process_time() - began)
    await transport.close(0.5)


async def rounds_of(folder: str, parameters: int, clients: int, rounds: int) -> tuple[list[float], float]:
    """Durations of rounds over `ZmqTransport`, and the processor time of one, in seconds."""
    security = security_of(folder, HUB)
    transport = ZmqTransport(HUB, "coordinator", "bench", bind="tcp://127.0.0.1:*", limits=LIMITS, security=security)
    weights, payload = np.zeros(parameters, np.float32), Payload(LAYOUT, "float32", parameters)
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
    began = time.process_time()
    children = spawn("ours", folder, clients, transport.addresses["control"], transport.addresses["bulk"])
    await done
    await transport.close(10.0)
    if isinstance(security, Curve):
        security.gate.close()
    spent = reap(children) + time.process_time() - began
    return times, spent / rounds


def spawn(kind: str, folder: str, clients: int, *addresses: str) -> list[subprocess.Popen[bytes]]:
    """Start the client processes."""
    command = [sys.executable, __file__, "--child", kind, folder]
    return [
        subprocess.Popen([*command, f"client-{number}", *addresses], stdout=subprocess.PIPE)
        for number in range(clients)
    ]


def reap(children: list[subprocess.Popen[bytes]]) -> float:
    """See all of them end; return the processor time that they say they have taken, in seconds."""
    return sum(float(child.communicate(timeout=60)[0]) for child in children)


def measure(folder: str, parameters: int, clients: int, turns: int) -> dict[str, tuple[float, float]]:
    """Return, in milliseconds a round, clock and processor time by kind: bare or ours, plain or with keys; in turns."""
    rounds = max(4, min(100, 60_000_000 // parameters)) + WARM_UP
    clock: dict[str, list[float]] = {"bare plain": [], "bare CURVE": [], "plain": [], "CURVE": []}
    spent: dict[str, list[float]] = {kind: [] for kind in clock}
    for _ in range(turns):
        for keys, kind in (("", "plain"), (folder, "CURVE")):
            for each, (times, processor) in (
                (f"bare {kind}", bare_rounds(keys, parameters, clients, rounds)),
                (kind, asyncio.run(rounds_of(keys, parameters, clients, rounds))),
            ):
                clock[each] += times[WARM_UP:]
                spent[each].append(processor)
    return {kind: (1e3 * statistics.median(clock[kind]), 1e3 * statistics.median(spent[kind])) for kind in clock}


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        kind, folder, name, *addresses = sys.argv[2:]
        if kind == "bare":
            bare_client(folder, name, *addresses)
        else:
            asyncio.run(client(folder, name, dict(zip(("control", "bulk"), addresses, strict=True))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--parameters", type=int, nargs="+", default=[200_000, 10_000_000])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.clients} client processes, {os.cpu_count()} cores; medians in ms")
    print(
        f"{'parameters':>12}{'':>11}{'bare plain':>12}{'bare CURVE':>12}{'plain':>10}{'CURVE':>10}{'CURVE/plain':>13}"
        f"{'bare alike':>12}{'of libzmq':>11}"
    )
    with tempfile.TemporaryDirectory() as folder:
        make_keys(Path(folder) / "keys", options.clients)
        for parameters in options.parameters:
            found = measure(f"{folder}/keys", parameters, options.clients, options.turns)
            for what, values in zip(("clock", "processor"), zip(*found.values(), strict=True), strict=True):
                bare, bare_curve, plain, curve = values
                print(
                    f"{parameters:>12,}{what:>11}{bare:>12.1f}{bare_curve:>12.1f}{plain:>10.1f}{curve:>10.1f}"
                    f"{curve / plain:>13.2f}{bare_curve / bare:>12.2f}{bare_curve / curve:>11.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
