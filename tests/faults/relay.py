"""A relay between tcp sockets that injects faults: what a bad network, a sleeping machine or a NAT leaves behind.

`Wire` stands before one address; `Relay` before every port that the processes of a run listen on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

CHUNK = 65_536
LOOK_EVERY_S = 0.1
TURNS = 20  # of the loop; from accepting to the first step of what is done with a connection there are four
LISTENS = "0A"  # in /proc/net/tcp


class Bucket:
    """Shares out a bandwidth: returns how long bytes that come now have to wait."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_at = 0.0

    def wait_s(self, size: int, now: float) -> float:
        if self.bytes_per_s is None:
            return 0.0
        self._free_at = max(self._free_at, now) + size / self.bytes_per_s
        return self._free_at - now


@dataclass(eq=False)
class Connection:
    """One that was accepted, and the one that was made for it: from `port` of who dialed to the port `to`."""

    port: int
    to: int
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    mute: bool = False  # what is sent over it is lost, and nobody is told
    owner: int | None = None  # the process that dialed

    def abort(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()


@dataclass
class Line:
    """What connections go through: how long it delays, what it lets pass, and the connections that there are."""

    delay_s: float = 0.0
    refused: list[Callable[[int, int], bool]] = field(default_factory=list)  # which new connections, each for a while
    held: list[Callable[[Connection], bool]] = field(default_factory=list)  # what passes nothing, and loses nothing
    slow: list[tuple[float, float | None]] = field(default_factory=list)  # seconds, bytes a second
    reads: Callable[[Connection], bool] = lambda _: True  # while not, what is sent fills the buffers on the way
    up: Bucket = field(default_factory=lambda: Bucket(None))
    down: Bucket = field(default_factory=lambda: Bucket(None))
    connections: list[Connection] = field(default_factory=list)
    accepted: int = 0
    passed: int = 0  # bytes
    receive_bytes: int | None = None  # what the kernel takes of one that is not read; None: megabytes, now and then
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    closing: bool = False

    def cut(self, which: Callable[[Connection], bool] = lambda _: True) -> None:
        """End connections; new ones are taken."""
        for connection in [c for c in self.connections if which(c)]:
            connection.abort()
            self.connections.remove(connection)

    @contextmanager
    def refusing(self, which: Callable[[int, int], bool] = lambda _port, _to: True) -> Iterator[None]:
        """Refuse new connections, from a port to a port, within; several of these may overlap."""
        self.refused.append(which)
        try:
            yield
        finally:
            self.refused.remove(which)

    @contextmanager
    def holding(self, which: Callable[[Connection], bool]) -> Iterator[None]:
        """Pass nothing over connections within, and lose nothing; several of these may overlap."""
        self.held.append(which)
        try:
            yield
        finally:
            self.held.remove(which)
            self.changed.set()
            self.changed = asyncio.Event()

    @contextmanager
    def slowed(self, delay_s: float, bytes_per_s: float | None) -> Iterator[None]:
        """Delay everything within, and share out a bandwidth each way; of several that overlap each takes its part."""
        one = delay_s, bytes_per_s
        self.slow.append(one)
        self._slow_down()
        try:
            yield
        finally:
            self.slow.remove(one)
            self._slow_down()

    def _slow_down(self) -> None:
        self.delay_s = sum(delay_s for delay_s, _ in self.slow)
        paces = [pace for _, pace in self.slow if pace is not None]
        self.up.bytes_per_s = self.down.bytes_per_s = min(paces, default=None)

    async def recognize(self, port: int) -> None:
        """Find out who dials from a port, if that matters just now."""

    async def accept(self, host: str, to: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(asyncio.current_task())
        try:
            peer = writer.get_extra_info("peername")
            if self.closing or peer is None:  # it has been reset already
                raise ConnectionRefusedError
            port = peer[1]
            await self.recognize(port)
            if any(which(port, to) for which in self.refused):
                raise ConnectionRefusedError
            back, forth = await self._dial(host, to)
        except (OSError, asyncio.CancelledError):  # cancelled: the line closes, and knows nothing of this one yet
            writer.transport.abort()
            return
        connection = Connection(port, to, writer, forth)
        self.connections.append(connection)
        self.accepted += 1
        for source, sink, bucket in ((reader, forth, self.up), (back, writer, self.down)):
            self._keep(asyncio.create_task(self._pass_on(connection, source, sink, bucket)))

    async def _dial(self, host: str, to: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        dialing = self._limited(socket.socket())
        dialing.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(dialing, (host, to))
        except BaseException:
            dialing.close()
            raise
        return await asyncio.open_connection(sock=dialing)

    def _limited(self, one: socket.socket) -> socket.socket:
        """Limit what a socket receives of what is not read; those that it accepts inherit that."""
        if self.receive_bytes is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        return one

    def _keep(self, task: asyncio.Task[None] | None) -> None:
        """Keep a task until it is done, or this line closes."""
        if task is not None:
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _pass_on(
        self, connection: Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, bucket: Bucket
    ) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)  # what is on its way: no more than a pipe holds
        writing = asyncio.create_task(self._write(connection, queue, sink))
        with suppress(OSError):
            while data := await self._read(connection, source):
                wait_s = bucket.wait_s(len(data), loop.time())
                await queue.put((loop.time() + wait_s + self.delay_s, data))
                if wait_s:
                    await asyncio.sleep(wait_s)  # the sender's kernel queues the rest, as before a slow link
        await queue.put((loop.time() + self.delay_s, b""))
        await writing

    async def _read(self, connection: Connection, source: asyncio.StreamReader) -> bytes:
        while not self.reads(connection):
            await self.changed.wait()
        return await source.read(CHUNK)

    async def _write(
        self, connection: Connection, queue: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            while any(which(connection) for which in self.held):
                await self.changed.wait()
            if connection.mute or (data and sink.is_closing()):  # asyncio warns of each write to one that has ended
                continue
            if not data:
                break
            self.passed += len(data)
            with suppress(OSError):
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        if connection in self.connections:
            self.connections.remove(connection)

    async def close(self) -> None:
        """End all there is; what has been accepted, and has not begun yet, begins within a few turns of the loop."""
        self.closing = True
        await turns()
        self.cut()
        for task in [*self.tasks]:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Wire(Line):
    """Forwards tcp connections to ``address`` from `address`. An async context manager."""

    def __init__(self, address: str, *, receive_bytes: int | None = None) -> None:
        super().__init__(receive_bytes=receive_bytes)
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._to = host, int(port)

    async def __aenter__(self) -> Self:
        listening = self._limited(socket.socket())
        listening.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(lambda r, w: self.accept(*self._to, r, w), sock=listening)
        self.address = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._server)
        await self.close()


class Relay(Line):
    """Listens at one loopback address on every port that is listened on at another. An async context manager (Linux).

    With ``network.bind`` the one and ``network.advertise`` the other, all that the nodes of a run send each other goes
    through it.
    """

    def __init__(self, behind: str, front: str) -> None:
        super().__init__()
        self.behind, self.front = behind, front
        self._servers: dict[int, asyncio.Server] = {}
        self._sockets: list[Socket] = []
        self._next_look: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        for server in self._servers.values():
            await end(server)
        await self.close()

    async def _look(self) -> None:
        """See by and by which sockets there are, in a thread: a busy machine has thousands, which take 0.1 s."""
        wanted, loop = in_hexadecimal(self.behind), asyncio.get_running_loop()
        ours = (f"{wanted}:", f"{in_hexadecimal(self.front)}:")
        self._next_look = loop.create_future()
        while True:
            found = await asyncio.to_thread(lambda: list(sockets(*ours)))
            self._sockets = found
            done, self._next_look = self._next_look, loop.create_future()
            done.set_result(None)
            there = {port for host, port, _, state, _ in found if host == wanted and state == LISTENS}
            for port in there - set(self._servers):
                with suppress(OSError):
                    self._servers[port] = await asyncio.start_server(
                        lambda r, w, port=port: self.accept(self.behind, port, r, w), self.front, port
                    )
            for port in set(self._servers) - there:
                await end(self._servers.pop(port))
            await asyncio.sleep(LOOK_EVERY_S)

    async def recognize(self, port: int) -> None:
        """Hold each new connection up until its owner can be found, while it depends on that what becomes of it."""
        for _ in range(3):  # a look that has begun already may have missed it; who has gone again is never found
            if (
                not (self.refused or self.held)
                or self._next_look is None
                or any(port == known for _, known, *_ in self._sockets)
            ):
                return
            await self._next_look

    def of(self, pids: Collection[int]) -> set[int]:
        """Return the ports at which processes listen, or from which they have dialed, as of the last look."""
        inodes = {inode for pid in pids for inode in inodes_of(pid)}
        return {port for _, port, _, _, inode in self._sockets if inode in inodes}


async def end(server: asyncio.Server) -> None:
    """Close a server once nobody is half accepted: asyncio loses a connection that it has accepted in the same turn."""
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    await turns()
    server.close()


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


Socket: TypeAlias = tuple[str, int, int, str, int]


def in_hexadecimal(host: str) -> str:
    """Return an address as /proc/net/tcp has it."""
    return "".join(f"{int(part):02X}" for part in reversed(host.split(".")))


def sockets(*having: str) -> Iterator[Socket]:
    """Yield the tcp sockets of this machine, of lines `having` a text: local address, port, remote port, state, inode.

    A busy machine has thousands of lines.
    """
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        if not any(text in line for text in having):
            continue
        _, local, remote, state, *rest = line.split()
        host, port = local.split(":")
        yield host, int(port, 16), int(remote.split(":")[1], 16), state, int(rest[5])


def inodes_of(pid: int) -> Iterator[int]:
    """Yield the inodes of the sockets of a process; none if it has ended."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    yield int(target[8:-1])
