"""What the tests of this room share: transports over every carrier, a box that collects, raw sockets for strangers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from nervenet.broker.codec import Limits, decode, encode
from nervenet.broker.hosting import Host, HostedTransport
from nervenet.broker.messages import VERSION, Hello, Payload, Task
from nervenet.broker.testing import MemoryNetwork, MemoryTransport
from nervenet.broker.transport import ZmqTransport
from nervenet.broker.transport_events import Arrival
from nervenet.broker.transport_protocol import new_incarnation

DEADLINE_S = 60.0


class Box:
    """Collects what a transport delivers, and lets a test wait for it."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.failures: list[BaseException] = []
        self.hook: Callable[[Any], None] | None = None
        self._news = asyncio.Event()

    def __call__(self, item: Any) -> None:
        self.items.append(item)
        self._news.set()
        if self.hook is not None:
            self.hook(item)

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)
        self._news.set()

    def of(self, kind: type) -> list[Any]:
        """Items of a notice's class, or arrivals of a message's class."""
        return [
            item for item in self.items if isinstance(item, kind) or isinstance(getattr(item, "message", None), kind)
        ]

    async def until(self, done: Callable[[], Any]) -> Any:
        """Wait until ``done()`` is true, and give what it returned."""
        async with asyncio.timeout(DEADLINE_S):
            while not (result := done()):
                self._news.clear()
                await self._news.wait()
        return result

    async def first(self, kind: type, where: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first item of a kind, as soon as there is one."""
        return await self.until(lambda: next((item for item in self.of(kind) if where(item)), None))


class World:
    """Opens transports over one carrier, and closes them all in the end."""

    def __init__(self, carrier: str, folder: Path) -> None:
        self.carrier = carrier
        self.network = MemoryNetwork()
        self.context: zmq.Context[Any] = zmq.Context()
        self._folder = folder
        self._open: list[Any] = []
        self._hosts: dict[str, Host] = {}

    def where(self, node: str, port: int | None = None) -> str:
        """Where a node binds."""
        match self.carrier:
            case "tcp" | "hosted" | "hosted-apart":
                return f"tcp://127.0.0.1:{port or '*'}"
            case "ipc":
                return f"ipc://{self._folder}/{node}"
            case _:
                return f"inproc://{node}"

    async def open(self, node: str, *, binds: bool = False, port: int | None = None, **options: Any) -> tuple[Any, Box]:
        """A transport and the box it delivers to."""
        run = options.pop("run", "demo")
        if self.carrier.startswith("hosted"):
            # One process for all; or apart, each its own, and the same one again at the same port.
            alone = node if port else f"{node}-{len(self._hosts)}"
            host = await self._host("all" if self.carrier == "hosted" else alone)
            options.setdefault("incarnation", new_incarnation())
            transport: Any = HostedTransport(host, node, "node", run, binds=binds, **options)
        elif self.carrier == "memory":
            transport = MemoryTransport(node, "node", run, network=self.network, binds=binds, **options)
        else:
            bind = self.where(node, port) if binds else None
            # Where somebody else is to bind the same port afterwards: a context of one's own ends with its sockets, so
            # the port is free once the transport is closed. In one that goes on, ZeroMQ frees it a little later.
            context = self.context if port is None or self.carrier == "inproc" else None
            transport = ZmqTransport(node, "node", run, bind=bind, context=context, **options)
        box = Box()
        await transport.open(box, box.fail)
        self._open.append(transport)
        return transport, box

    async def _host(self, name: str) -> Host:
        if name not in self._hosts:
            host = Host(f"host-{name}", "demo", bind=self.where(""), context=self.context)
            self._hosts[name] = await host.__aenter__()
        return self._hosts[name]

    async def close(self) -> None:
        """Close everything."""
        for transport in self._open:
            await transport.close(0.0)
        for host in self._hosts.values():
            await host.__aexit__()
        self.context.term()


class Stranger:
    """A raw DEALER, for what no transport of ours would say."""

    def __init__(self, context: zmq.Context[Any], identity: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.setsockopt(zmq.IDENTITY, identity.encode())

    def dial(self, address: str) -> Stranger:
        self.socket.connect(address)
        return self

    def say(self, message: Any, array: Any = None) -> Stranger:
        self.socket.send_multipart(encode(message, array))
        return self

    def hello(
        self, node: str, incarnation: int = 1, run: str = "demo", version: int = VERSION, oldest: int = 1
    ) -> Stranger:
        return self.say(Hello(node, "node", run, incarnation, version, oldest, "9.9"))

    async def hear(self) -> Any:
        """The next message, read beside the event loop."""
        frames = await asyncio.to_thread(self._receive)
        return decode(frames, Limits())[0]

    def _receive(self) -> list[bytes]:
        assert self.socket.poll(DEADLINE_S * 1000), "nothing came"
        return self.socket.recv_multipart()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket, wherever TMPDIR is."""
    with tempfile.TemporaryDirectory(prefix="nv-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(params=["tcp", "ipc", "inproc", "memory", "hosted", "hosted-apart"])
async def world(request: pytest.FixtureRequest, short_folder: Path) -> AsyncIterator[World]:
    """The same world over each carrier."""
    world = World(request.param, short_folder)
    yield world
    await world.close()


@pytest.fixture
async def tcp(short_folder: Path) -> AsyncIterator[World]:
    """A world over tcp alone."""
    world = World("tcp", short_folder)
    yield world
    await world.close()


@pytest.fixture
async def stranger(tcp: World) -> AsyncIterator[Callable[[str], Stranger]]:
    """A factory of raw sockets, which are closed in the end."""
    made: list[Stranger] = []

    def make(identity: str) -> Stranger:
        made.append(Stranger(tcp.context, identity))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


@pytest.fixture
def box() -> type[Box]:
    """What collects the events of a transport."""
    return Box


@pytest.fixture
def weights() -> np.ndarray[Any, Any]:
    """Twelve numbers."""
    return np.arange(12, dtype=np.float32)


@pytest.fixture
def task(weights: np.ndarray[Any, Any]) -> Callable[[int], Task]:
    """Makes the task of a round that carries ``weights``."""
    payload = Payload("00ff", "float32", weights.size)
    return lambda round_: Task(round_, 0, "train", 5.0, False, {}, None, payload)


@pytest.fixture
def rounds_in() -> Callable[[Box], list[int]]:
    """Rounds of the tasks in a box."""
    return lambda box: [item.message.round for item in box.of(Task) if isinstance(item, Arrival)]
