"""The least that a round costs nodes which have an event loop: the second floor of `federated_round.py`.

A coordinator and its clients are processes of an asyncio loop each. A message is a header, as MessagePack of a checked
schema, and an array whose length and values are looked at; the coordinator takes the weighted mean. There is nothing
else: no timer, no deadline, no check of who speaks, no event, no worker, no strategy, no state.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import zmq

SHARED = 16_384  # numbers; from here on vectors are sent without a copy
BEGUN = 5  # rounds that are not counted


class Header(msgspec.Struct, tag=True):
    round: int
    length: int
    dtype: str
    examples: int


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Header).decode


def vector(header: Header, body: bytes) -> Any:
    """Return the array of a message."""
    found = np.frombuffer(body, header.dtype)
    if len(found) != header.length or not np.isfinite(np.vdot(found, found)):
        raise ValueError("no vector of the run")
    return found


class Socket:
    """Hands over what comes, as it comes, until it is closed."""

    def __init__(self, socket: zmq.Socket[bytes], deliver: Callable[[list[bytes]], None]) -> None:
        self.socket, self._deliver = socket, deliver
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(socket.getsockopt(zmq.FD), self.read)

    def read(self) -> None:
        while not self.socket.closed and self.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._deliver(self.socket.recv_multipart(zmq.NOBLOCK))

    def close(self) -> None:
        self._loop.remove_reader(self.socket.getsockopt(zmq.FD))
        self.socket.close(linger=1_000)


class Client:
    def __init__(self, number: int, address: str, size: int, noted: Callable[[int], None]) -> None:
        dealer = zmq.Context.instance().socket(zmq.DEALER)
        dealer.setsockopt(zmq.IDENTITY, b"%d" % number)
        dealer.connect(address)
        self.over = asyncio.get_running_loop().create_future()
        self._size, self._noted = size, noted
        self._socket = Socket(dealer, self._asked)
        dealer.send(b"ready")
        self._socket.read()

    def _asked(self, frames: list[bytes]) -> None:
        if len(frames) == 1:
            self._socket.close()
            self.over.set_result(None)
            return
        header = decode(frames[0])
        model = vector(header, frames[1])
        answer = encode(Header(header.round, self._size, "float32", 64))
        self._socket.socket.send_multipart([answer, model], copy=self._size < SHARED)
        self._noted(header.round + 1)


class Coordinator:
    def __init__(self, size: int, clients: int, rounds: int, noted: Callable[[int], None]) -> None:
        router = zmq.Context.instance().socket(zmq.ROUTER)
        self.address = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        self.times: list[float] = []
        self.over = asyncio.get_running_loop().create_future()
        self._model = np.ones(size, np.float32)
        self._clients, self._rounds, self._noted = clients, rounds, noted
        self._names: list[bytes] = []
        self._came: dict[bytes, tuple[Any, int]] = {}
        self._start = 0.0
        self._socket = Socket(router, self._admit)

    def _admit(self, frames: list[bytes]) -> None:
        name, first, *rest = frames
        if rest:
            header = decode(first)
            self._came[name] = vector(header, rest[0]), header.examples
            if len(self._came) < self._clients:
                return
            self._fold()
        else:
            self._names.append(name)
        if len(self._names) == self._clients:
            self._ask()

    def _fold(self) -> None:
        updates = [self._came[name] for name in self._names]
        total = sum(examples for _, examples in updates)
        model = np.zeros_like(self._model)
        for body, examples in updates:
            model += np.float32(examples / total) * body
        self._model = model
        self._came.clear()
        self.times.append(time.perf_counter() - self._start)
        self._noted(len(self.times))

    def _ask(self) -> None:
        router, size, number = self._socket.socket, len(self._model), len(self.times)
        self._start = time.perf_counter()
        if number == self._rounds:
            for name in self._names:
                router.send_multipart([name, b""])
            self._socket.close()
            self.over.set_result(None)
            return
        header = encode(Header(number, size, "float32", 0))
        for name in self._names:
            router.send_multipart([name, header, self._model], copy=size < SHARED)


def noting(budget: Any, name: str, rounds: int) -> Callable[[int], None]:
    """Return what has a process watched from its first rounds to its last."""

    def noted(done: int) -> None:
        if budget is not None and done == BEGUN:
            budget.begin()
        if budget is not None and done == BEGUN + rounds:
            budget.end(name, rounds)

    return noted


def loop(size: int, clients: int, rounds: int, budget: Any = None) -> float:
    """Median seconds of a round."""
    read, write = os.pipe()
    pids = []

    async def client(number: int) -> None:
        address = os.read(read, 200).decode().strip("\0")
        await Client(number, address, size, noting(budget, f"client-{number}", rounds)).over

    async def coordinator() -> list[float]:
        node = Coordinator(size, clients, rounds + BEGUN, noting(budget, "coordinator", rounds))
        for _ in pids:
            os.write(write, node.address.encode().ljust(200, b"\0"))
        await node.over
        return node.times

    for number in range(clients):
        pid = os.fork()
        if pid == 0:
            os.close(write)
            try:
                asyncio.run(client(number))
                zmq.Context.instance().term()
            finally:
                os._exit(0)
        pids.append(pid)
    times = asyncio.run(coordinator())
    for pid in pids:
        os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    if budget is not None:
        budget.collect()
    return statistics.median(times[BEGUN:])
