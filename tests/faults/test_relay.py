"""The relay between sockets does what the vocabulary of faults says, to whom it says, and loses nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest
from relay import Bucket, Relay, Wire
from vocabulary import Cut, Kill, Slow, Stop, over_at, standing_s

LOCAL = "127.0.0.1"


@asynccontextmanager
async def echo(host: str = LOCAL) -> AsyncIterator[str]:
    """Send back what comes, at an address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, host, 0)
    try:
        yield f"tcp://{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


class Caller:
    """One connection to an address."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.port: int = writer.get_extra_info("sockname")[1]

    async def ask(self, text: bytes) -> bytes:
        self.writer.write(text)
        return await self.reader.readexactly(len(text))


Dial = Callable[[str], Awaitable[Caller]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connect to an address."""
    callers: list[Caller] = []

    async def connect(address: str) -> Caller:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        callers.append(Caller(*await asyncio.open_connection(host, int(port))))
        return callers[-1]

    yield connect
    for caller in callers:
        caller.writer.close()
    await asyncio.gather(*(caller.writer.wait_closed() for caller in callers), return_exceptions=True)


async def test_what_is_held_comes_late_and_what_is_mute_never(dial: Dial) -> None:
    async with echo() as address, Wire(address) as wire:
        one, other = await dial(wire.address), await dial(wire.address)
        assert await one.ask(b"a") == await other.ask(b"a") == b"a"
        with wire.holding(lambda connection: connection.port == one.port):
            held = asyncio.create_task(one.ask(b"late"))
            assert await other.ask(b"now") == b"now"
            assert not held.done()
        assert await held == b"late"
        next(c for c in wire.connections if c.port == one.port).mute = True
        lost = asyncio.create_task(one.ask(b"lost"))
        for _ in range(3):
            assert await other.ask(b"now") == b"now"
        assert not lost.done()
        assert await (await dial(wire.address)).ask(b"new") == b"new"
        lost.cancel()


async def test_a_cut_ends_connections_and_new_ones_are_refused_as_long_as_it_is_said(dial: Dial) -> None:
    async with echo() as address, Wire(address) as wire:
        one = await dial(wire.address)
        assert await one.ask(b"a") == b"a"
        with wire.refusing():
            wire.cut()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await one.ask(b"b")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await (await dial(wire.address)).ask(b"c")
        assert await (await dial(wire.address)).ask(b"d") == b"d"


async def test_of_two_cuts_that_overlap_each_lasts_to_its_own_end(dial: Dial) -> None:
    async with echo() as address, Wire(address) as wire:
        one, other = await dial(wire.address), await dial(wire.address)
        assert await one.ask(b"a") == await other.ask(b"a") == b"a"
        first, second = ExitStack(), ExitStack()
        first.enter_context(wire.refusing())
        first.enter_context(wire.holding(lambda connection: connection.port == one.port))
        second.enter_context(wire.refusing())
        second.enter_context(wire.holding(lambda connection: connection.port == other.port))
        held = asyncio.create_task(other.ask(b"late"))
        first.close()
        assert await one.ask(b"now") == b"now"
        assert not held.done()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await (await dial(wire.address)).ask(b"b")
        second.close()
        assert await held == b"late"
        assert await (await dial(wire.address)).ask(b"c") == b"c"


async def test_a_relay_stands_before_whatever_listens_behind_it(dial: Dial) -> None:
    async with echo("127.77.0.1") as address, Relay("127.77.0.1", "127.77.0.2") as relay:
        before = address.replace("127.77.0.1", "127.77.0.2")
        async with asyncio.timeout(60):
            while True:
                try:
                    caller = await dial(before)
                    break
                except ConnectionError:
                    await asyncio.sleep(0.01)
        assert await caller.ask(b"x" * 200_000) == b"x" * 200_000
        assert relay.passed == 400_000
        async with echo("127.77.0.3"):
            assert len(relay._servers) == 1


def test_a_bandwidth_is_shared_by_all_that_goes_one_way() -> None:
    bucket = Bucket(1000.0)
    assert [round(bucket.wait_s(500, now), 6) for now in (0.0, 0.0, 0.2, 5.0)] == [0.5, 1.0, 1.3, 0.5]


def test_when_faults_are_over_and_how_long_somebody_stood_still() -> None:
    faults = [Kill("a", 3.0, down_s=9.0), Kill("b", 20.0), Stop("c", 1.0, 4.0), Cut(frozenset("d"), 2.0, 3.0)]
    assert over_at([]) == 0.0
    assert over_at(faults) == 20.0
    assert over_at(faults[:1]) == 12.0
    assert standing_s(faults) == 7.0
    assert standing_s([Slow(0.0, 2.0, 0.05)]) == 2.0
    assert faults[3].between("a", "d", 4.9)  # type: ignore[union-attr]
    assert not faults[3].between("a", "d", 5.0)  # type: ignore[union-attr]
    assert not faults[3].between("a", "b", 3.0)  # type: ignore[union-attr]


async def test_a_connection_that_is_still_being_made_ends_with_the_relay(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = asyncio.Event()

    async def forever(_relay: Wire, _port: int) -> None:
        accepted.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Wire, "recognize", forever)
    async with echo() as address:
        async with Wire(address) as wire:
            caller = await dial(wire.address)
            await accepted.wait()
        with suppress(ConnectionResetError):
            assert await caller.reader.read() == b""


@pytest.mark.parametrize("turns", range(12))
async def test_a_connection_that_has_just_come_ends_with_the_wire(turns: int) -> None:
    async with echo() as address:
        async with Wire(address) as wire:
            host, _, port = wire.address.removeprefix("tcp://").rpartition(":")
            dialed = socket.create_connection((host, int(port)), timeout=60)
            for _ in range(turns):  # between which it is accepted, given to a task, and passed on
                await asyncio.sleep(0)
        with dialed, suppress(ConnectionResetError):
            assert await asyncio.to_thread(dialed.recv, 1) == b""
