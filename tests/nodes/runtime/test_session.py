"""Who leaves when: nobody hangs up on mail that is still to be read, and nobody waits for those who have gone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nervenet.broker import transport as t
from nervenet.broker.handshake import Link
from nervenet.broker.messages import Goodbye
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.runtime.identity import NodeIdentity, inbox_address
from nervenet.nodes.runtime.session import Session

LONG_S = 1.0


async def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def left_alone(close: Callable[[t.ZmqTransport], Awaitable[None]]) -> float:
    """How long a node takes to close, in seconds, when the one it has dialed has gone before."""
    heard: list[Any] = []
    one = t.ZmqTransport("one", "peer", "r", bind="tcp://127.0.0.1:*")
    other = t.ZmqTransport("other", "peer", "r", bind="tcp://127.0.0.1:*")
    for transport, into in ((one, heard), (other, [])):
        await transport.open(into.append, lambda error: pytest.fail(str(error)))
    one.link("other", other.addresses)
    other.link("one", one.addresses)
    await until(lambda: any(isinstance(item, t.LinkUp) and item.dialed for item in heard))
    await other.close(0.0)
    await until(lambda: any(isinstance(item, t.LinkLost) for item in heard))
    # Told of either direction; the one that matters is the one that is dialed again.
    await until(lambda: one._outbound._links["other"].up is None)
    began = time.monotonic()
    await close(one)
    return time.monotonic() - began


async def test_nobody_waits_for_one_who_has_gone() -> None:
    # Allowed a minute, it takes none of it; how much a busy machine takes for the rest does not matter.
    assert await left_alone(lambda transport: transport.close(60.0)) < 50.0


async def test_without_that_rule_a_hello_to_nobody_holds_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Link.close
    monkeypatch.setattr(Link, "close", lambda link, _linger_s=0.0: close(link, LONG_S))
    # Not each time: a HELLO that went out just before the news that nobody is there holds up nothing.
    for _ in range(20):
        if await left_alone(lambda transport: transport.close(LONG_S)) >= 0.8 * LONG_S:
            return
    pytest.fail("the rule is not needed")


def a_session() -> Session:
    return Session("coordinator", NodeIdentity("tcp://127.0.0.1:1", "r", "c"), Experiment(), binds=True)


def link(peer: str) -> t.LinkUp:
    return t.LinkUp(peer, "client", 1, False)


async def test_whoever_said_something_last_leaves_last() -> None:
    session = a_session()
    for name in ("a", "b", "launcher"):
        session._receive(link(name))
    waiting = asyncio.create_task(session.connections.wait_for_goodbyes(20.0))
    session._receive(t.Arrival("a", Goodbye(1, "done"), None, 9))
    await asyncio.sleep(0)
    assert not waiting.done()
    session._receive(t.LinkLost("b", 1, "gone"))
    async with asyncio.timeout(60):
        await waiting
    session._context.term()


async def test_and_waits_no_longer_than_it_says() -> None:
    session = a_session()
    session._receive(link("silent"))
    async with asyncio.timeout(60):
        await session.connections.wait_for_goodbyes(0.01)
    session._context.term()


def test_an_inbox_for_each_transport() -> None:
    def address(**network: object) -> str:
        return inbox_address(Experiment.from_dict({"processes": 1, "network": network}).network)

    assert address() == "tcp://127.0.0.1:*"
    assert address(transport="inproc").startswith("inproc://nervenet-")
    path = address(transport="ipc")
    assert path.startswith("ipc:///")
    assert len(path) < 95  # with the lane's suffix still under what a socket's path may have
    assert address(transport="ipc") != path
