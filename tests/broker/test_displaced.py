"""A connection that is open and mute, displaced by another of its identity or forgotten on the way, is made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from nervenet.broker import handshake, inbound, outbound
from nervenet.broker.handshake import identity_of
from nervenet.broker.messages import Goodbye, Heartbeat, Lane, Refused, Report
from nervenet.broker.transport_events import ConnectionRefused, LinkLost, LinkUp
from relay import Wire

from .conftest import Stranger

BEFORE, REPORT = Report("result", 0, {}), Report("result", 1, {})
LEAVES = Goodbye(1, "I am the node, and leave")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "_HELLO_S", (0.01, 0.02))
    monkeypatch.setattr(outbound, "_PROBE_S", 0.05)
    monkeypatch.setattr(outbound, "_DEAD_S", 0.05)


class Pair:
    """A server and a node that has dialed it, bulk through a wire."""

    async def open(self, tcp: Any) -> Pair:
        self.context, self.strangers = tcp.context, list[Stranger]()
        self.server, self.at_server = await tcp.open("server", binds=True)
        self.node, self.at_node = await tcp.open("node")
        self.wire = Wire(self.server.addresses["bulk"])
        await self.wire.__aenter__()
        there = {"control": self.server.addresses["control"], "bulk": self.wire.address}
        self.node.link("server", there, watched=True)
        await self.at_node.first(LinkUp)
        await self.at_server.first(LinkUp)
        return self

    def stranger(self, lane: str = "control", source: str = "") -> Stranger:
        """Connect by the identity of the node, from another address if one is given."""
        address = self.server.addresses[lane].replace("tcp://", f"tcp://{source}:0;" if source else "tcp://")
        identity = identity_of("node", self.node.incarnation).decode()
        self.strangers.append(Stranger(self.context, identity).dial(address))
        return self.strangers[-1]

    async def close(self) -> None:
        for stranger in self.strangers:
            stranger.socket.close(0)
        await self.wire.__aexit__()


Dies: TypeAlias = Callable[[Pair], Awaitable[None]]


async def goes_mute(pair: Pair) -> None:
    for connection in pair.wire.connections:
        connection.mute = True


async def is_displaced(pair: Pair) -> None:
    """Let a stranger take the identity, and say nothing; what is for the node goes to it by then."""
    stranger = pair.stranger("bulk")
    async with asyncio.timeout(60):
        while not stranger.socket.poll(0):
            pair.server.send("node", BEFORE)
            await asyncio.sleep(0.005)


async def reached_over_a_dead_bulk(tcp: Any, dies: Dies, again: Callable[[], int]) -> bool:
    """Whether a model arrives at a node whose bulk connection is dead; `again()`: how often it was dialed anew."""
    pair = await Pair().open(tcp)
    try:
        await dies(pair)
        async with asyncio.timeout(60):
            while again() < 3 and not [item for item in pair.at_node.of(Report) if item.message == REPORT]:
                pair.server.send("node", REPORT)
                pair.node.send("server", BEFORE)  # held, as long as bulk is in doubt
                await asyncio.sleep(0.02)
        reached = any(item.message == REPORT for item in pair.at_node.of(Report))
        for box in (pair.at_server, pair.at_node) if reached else ():  # or what was on its way would not be sent again
            await box.first(LinkLost)
            await box.until(lambda box=box: len(box.of(LinkUp)) >= 2)  # type: ignore[misc]
        return reached
    finally:
        await pair.close()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("dies", [goes_mute, is_displaced])
async def test_bulk_that_is_mute_while_control_is_alive_is_dialed_anew(tcp: Any, dies: Dies) -> None:
    assert await reached_over_a_dead_bulk(tcp, dies, lambda: 0)


@pytest.mark.usefixtures("soon")
async def test_what_is_held_until_it_is_alive_would_keep_it_dead(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []
    look_at_bulk = outbound.Outbound._look_at_bulk

    def look(out: outbound.Outbound, link: Any) -> None:
        looks.append(link)
        if not link.channels[Lane.BULK].sending(b""):
            look_at_bulk(out, link)

    monkeypatch.setattr(outbound.Outbound, "_look_at_bulk", look)
    assert not await reached_over_a_dead_bulk(tcp, goes_mute, lambda: 3 * (len(looks) > 50))


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("dies", [goes_mute, is_displaced])
async def test_it_would_stay_mute_otherwise(tcp: Any, dies: Dies, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []
    monkeypatch.setattr(outbound, "dial_again", lambda _socket, address, _dialer: wanted.append(address))
    assert not await reached_over_a_dead_bulk(tcp, dies, lambda: len(wanted))


async def test_a_farewell_over_a_displacing_connection_counts_for_nobody(tcp: Any) -> None:
    pair = await Pair().open(tcp)
    stranger = pair.stranger().say(LEAVES)
    try:
        refused = await stranger.hear()
        assert (type(refused), refused.code) == (Refused, "stranger")
        told = await pair.at_server.first(ConnectionRefused)
        assert told.reason == "the connection of node was displaced by one that has not said HELLO"
        await pair.at_server.until(lambda: len(pair.at_server.of(LinkUp)) == 2)  # the node has noticed, and is back
        pair.node.send("server", Heartbeat(3, "idle", ()))
        await pair.at_server.first(Heartbeat)
        assert pair.at_server.of(Goodbye) == []
    finally:
        await pair.close()


async def test_if_any_connection_of_its_identity_spoke_for_it_the_node_would_be_gone(
    tcp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "speaks_displaced", lambda *_: False)
    pair = await Pair().open(tcp)
    pair.stranger().say(LEAVES)
    try:
        await pair.at_server.first(Goodbye)
        assert pair.at_node.of(LinkLost) == [], "and it would not know"
    finally:
        await pair.close()


async def test_a_hello_from_elsewhere_over_its_identity_is_told_and_the_node_dials_anew(tcp: Any) -> None:
    pair = await Pair().open(tcp)
    stranger = pair.stranger(source="127.0.0.2").hello("node", pair.node.incarnation)
    try:
        told = await pair.at_server.first(ConnectionRefused)
        assert told.reason == "node has said HELLO from 127.0.0.2 over the identity of its connection from 127.0.0.1"
        await pair.at_node.first(LinkLost)
        stranger.socket.close(0)
        await pair.at_node.until(lambda: len(pair.at_node.of(LinkUp)) == 2)
        pair.node.send("server", Heartbeat(3, "idle", ()))
        await pair.at_server.first(Heartbeat)
    finally:
        await pair.close()


async def counted_as_connected_with_dead_bulk(tcp: Any) -> bool:
    """Whether a server takes a node for connected whose control is back, and whose bulk is mute."""
    pair = await Pair().open(tcp)
    try:
        await goes_mute(pair)
        before = len(pair.at_server.of(LinkUp))
        peer = pair.server._inbound._peers.by_name["node"]
        peer.bulk_at -= 60.0
        pair.server._inbound._guards[Lane.CONTROL].displaced(peer.descriptors[Lane.CONTROL])  # cut
        await pair.at_server.first(LinkLost)
        async with asyncio.timeout(60):
            while Lane.CONTROL not in peer.lanes:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return len(pair.at_server.of(LinkUp)) > before
    finally:
        await pair.close()


async def test_after_a_cut_a_node_counts_as_connected_once_something_has_come_by_bulk(tcp: Any) -> None:
    assert not await counted_as_connected_with_dead_bulk(tcp)


async def test_else_it_would_be_asked_over_a_dead_connection(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "PROVEN_S", 3600.0)
    assert await counted_as_connected_with_dead_bulk(tcp)
