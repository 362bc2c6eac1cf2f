"""Nodes that are killed (SIGKILL) while vectors go between them by shared memory: what is left, and what arrives.

A hub and two clients, each a process with a deployed transport, send each other vectors without a pause, hold each one
for some milliseconds, and look at every number when it comes and again before they let it go. One of the three is
killed at a random moment, again and again, and started anew under its name; then all must go on. The rival is the same
by sockets.

    python benchmarks/shared_memory_kills.py [--kills 100] [--parameters 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from nervenet.broker.messages import Payload, Task, Update
from nervenet.broker.transport import Arrival, LinkUp, ZmqTransport

LAYOUT = "0123456789abcdef"
NAMES = ("hub", "client-0", "client-1")
MOST_S = 60.0  # in which all three have gone on after a kill, else that is a hang
COMING, WRONG, SHARED = range(3)  # columns of what the processes count


class Counts:
    """Numbers that all processes write, each its own row."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 4096)
        self.rows: np.ndarray[Any, Any] = np.frombuffer(self._memory, np.int64)[:9].reshape(3, 3)


class Holder:
    """Holds what comes for a while, and looks at it twice."""

    def __init__(self, row: np.ndarray[Any, Any], seed: int) -> None:
        self._row, self._random = row, random.Random(seed)

    def take(self, array: np.ndarray[Any, Any], value: float, then: Any) -> None:
        self._row[WRONG] += int((array != value).any())
        asyncio.get_running_loop().call_later(self._random.uniform(0, 0.008), self._let_go, array, value, then)

    def _let_go(self, array: np.ndarray[Any, Any], value: float, then: Any) -> None:
        self._row[WRONG] += int((array != value).any())
        self._row[COMING] += 1
        del array
        then()


async def hub(port: int, size: int, row: np.ndarray[Any, Any], shared: bool) -> None:
    transport = ZmqTransport("hub", "coordinator", "kills", bind=f"tcp://127.0.0.1:{port}", shared_memory=shared)
    holder, number, payload = Holder(row, os.getpid()), 0, Payload(LAYOUT, "float32", size)
    linked: set[str] = set()

    def ask(*names: str) -> None:
        nonlocal number
        number += 1
        before = transport.counters.bytes_shared
        vector = transport.share(np.full(size, number, np.float32))
        transport.send(names, Task(number, 0, "train", 30.0, False, {}, None, payload), vector)
        row[SHARED] += transport.counters.bytes_shared > before

    def receive(item: Any) -> None:
        match item:
            case LinkUp(peer):
                linked.add(peer)
                ask(peer)
            case Arrival(sender, Update(round=came), array):
                holder.take(array, -came, lambda: ask(*(linked if came % 3 == 0 else [sender])))

    await transport.open(receive, print)
    await asyncio.Event().wait()


async def client(name: str, port: int, size: int, row: np.ndarray[Any, Any], shared: bool) -> None:
    transport = ZmqTransport(name, "client", "kills", bind=None, shared_memory=shared)
    holder, payload = Holder(row, os.getpid()), Payload(LAYOUT, "float32", size)

    def answer(number: int) -> None:
        before = transport.counters.bytes_shared
        vector = transport.share(np.full(size, -number, np.float32))
        transport.send("hub", Update(number, 0, 10, {}, None, payload), vector)
        row[SHARED] += transport.counters.bytes_shared > before

    def receive(item: Any) -> None:
        match item:
            case Arrival(_, Task(round=number), array):
                holder.take(array, number, lambda: answer(number))

    await transport.open(receive, print)
    transport.link("hub", {"control": f"tcp://127.0.0.1:{port}", "bulk": f"tcp://127.0.0.1:{port + 1}"})
    await asyncio.Event().wait()


def start(place: int, port: int, size: int, counts: Counts, shared: bool) -> int:
    """Return the process id of a node that was started."""
    pid = os.fork()
    if pid:
        return pid
    row = counts.rows[place]
    work = hub(port, size, row, shared) if place == 0 else client(NAMES[place], port, size, row, shared)
    try:
        asyncio.run(work)
    finally:
        os._exit(1)


def regions() -> int:
    """Return how many descriptors and mappings of all processes are regions, and how many files shared memory has."""
    found = len(list(Path("/dev/shm").iterdir()))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += sum("memfd:nervenet" in str(each.readlink()) for each in (process / "fd").iterdir())
            found += (process / "maps").read_text().count("memfd:nervenet")
        except OSError:
            continue
    return found


def free_port() -> int:
    """Return the first of two ports below those that the system takes for connections of its own choice."""
    while True:
        port = random.randrange(20_000, 30_000, 2)
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port
        except OSError:
            continue


def gone_on(counts: Counts, before: np.ndarray[Any, Any]) -> float:
    """Return how many seconds it takes until each process has had three more vectors; infinity: it takes too long."""
    began = time.monotonic()
    while (counts.rows[:, COMING] < before[:, COMING] + 3).any():
        if time.monotonic() - began > MOST_S:
            return float("inf")
        time.sleep(0.002)
    return time.monotonic() - began


def kills(number: int, size: int, shared: bool) -> tuple[list[float], Counts, float]:
    """Return how long each kill held the others up, what was counted, and vectors a second."""
    counts, port, chosen = Counts(), free_port(), random.Random(7)
    pids = [start(place, port, size, counts, shared) for place in range(3)]
    waits = []
    try:
        gone_on(counts, counts.rows.copy())
        began = time.monotonic()
        for kill in range(number):
            time.sleep(chosen.uniform(0.0, 0.06))
            place = kill % 3
            os.kill(pids[place], signal.SIGKILL)
            os.waitpid(pids[place], 0)
            before = counts.rows.copy()
            pids[place] = start(place, port, size, counts, shared)
            waits.append(gone_on(counts, before))
            if waits[-1] == float("inf"):
                break
        return waits, counts, float(counts.rows[:, COMING].sum()) / (time.monotonic() - began)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--no-rival", action="store_true", help="by shared memory alone")
    args = parser.parse_args()
    before = regions()
    size = 4 * args.parameters / 1e6
    print(f"{args.kills} kills of one of three nodes, {size:.0f} MB vectors; {os.cpu_count()} cores")
    flaws = 0
    for name, shared in (("sockets", False), ("shared memory", True))[args.no_rival :]:
        waits, counts, rate = kills(args.kills, args.parameters, shared)
        hangs = sum(wait == float("inf") for wait in waits)
        coming, wrong, by_memory = counts.rows.sum(axis=0)
        flaws += wrong + hangs + (bool(by_memory) != shared)
        told = f"{coming:,} vectors, {rate:.0f}/s; {wrong} wrong; {hangs} hangs"
        slowest = f"all go on after {sorted(waits)[len(waits) // 2]:.2f} s, {max(waits):.2f} s at the most"
        print(f"{name}: {told}; {slowest}; {by_memory:,} sends by shared memory")
    print(f"regions in all processes, and files in /dev/shm: {before} before, {regions()} after")
    sys.exit(int(flaws > 0))


if __name__ == "__main__":
    main()
