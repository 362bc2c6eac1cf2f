"""A connection that ended while one side slept is taken up again by both, whichever looks first."""

from __future__ import annotations

import asyncio
import math
from contextlib import ExitStack
from typing import Any

import pytest
from nervenet.broker import handshake, outbound
from nervenet.broker.handshake import InboundPeers
from nervenet.broker.inbound import Inbound
from nervenet.broker.messages import Heartbeat, Lane, Receipt, Report
from nervenet.broker.transport_events import LinkLost, LinkUp, SendFailed
from relay import Wire

REPORT = Report("result", 1, {})


async def answered_after_a_cut(tcp: Any, *, watched: bool) -> bool:
    """Whether a node with an inbox gets an answer from one that it dialed, and that never dials, after a cut."""
    server, at_server = await tcp.open("server", binds=True)
    node, at_node = await tcp.open("node", binds=True)
    async with Wire(server.addresses["control"]) as wire:
        node.link("server", {"control": wire.address, "bulk": server.addresses["bulk"]}, watched=watched)
        await at_node.first(LinkUp)
        await at_server.first(LinkUp)
        wire.cut()
        await at_server.first(LinkLost)
        if watched:
            await at_node.until(lambda: len(at_node.of(LinkUp)) == 2)
            await at_server.until(lambda: len(at_server.of(LinkUp)) == 2)
        else:
            async with asyncio.timeout(60):
                while wire.accepted < 2:  # noqa: ASYNC110  (ZeroMQ itself has dialed again)
                    await asyncio.sleep(0.005)
        node.send("server", REPORT)
        await at_server.first(Report)
        server.send("node", Receipt(1))
        await asyncio.wait(
            [
                asyncio.ensure_future(at_node.first(Receipt)),
                asyncio.ensure_future(at_server.first(SendFailed)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        return bool(at_node.of(Receipt))


async def test_a_watched_link_says_hello_again_when_its_connection_has_ended(tcp):
    assert await answered_after_a_cut(tcp, watched=True)


async def test_unwatched_it_would_never_be_answered_again(tcp):
    assert not await answered_after_a_cut(tcp, watched=False)


async def heard_after_a_sleep(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a server that slept while a connection was cut and made again hears what comes over the new one.

    Awake, it finds both at once: the HELLO of the new connection, and the end of the old one.
    """
    monkeypatch.setattr(handshake, "PROVEN_S", math.inf)  # however long that takes, nobody doubts the other lane
    server, at_server = await tcp.open("server", binds=True)
    node, at_node = await tcp.open("node")
    async with Wire(server.addresses["control"]) as wire:
        node.link("server", {"control": wire.address, "bulk": server.addresses["bulk"]})
        await at_node.first(LinkUp)
        await at_server.first(LinkUp)
        monkeypatch.setattr(outbound, "_HELLO_S", (3_600.0, 3_600.0))  # nor is HELLO said once more
        channel = server._inbound._channels[Lane.CONTROL]
        watch = server._inbound._monitors[Lane.CONTROL]._channel
        loop = asyncio.get_running_loop()
        for asleep in (channel, watch):
            loop.remove_reader(asleep._fd)
        wire.cut()
        async with asyncio.timeout(60):
            while not (channel._readable() and watch._readable()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        for awake in (channel, watch):
            awake._ready()
            loop.add_reader(awake._fd, awake._ready)
        heard = server._inbound._peers.by_name["node"].lanes == {Lane.CONTROL, Lane.BULK}
        if heard:
            assert [type(item) for item in at_server.items] == [LinkUp, LinkLost, LinkUp]
            node.send("server", Heartbeat(1, "idle", ()))
            await at_server.first(Heartbeat)
        return heard


async def test_a_connection_that_was_made_again_during_a_sleep_is_heard(tcp, monkeypatch):
    assert await heard_after_a_sleep(tcp, monkeypatch)


async def test_admitted_before_the_end_of_the_old_one_is_known_it_would_be_deaf(tcp, monkeypatch):
    def welcome(self: Inbound, lane: Lane, identity: bytes, hello: Any, _sender: Any) -> None:
        peer, _ = self._peers.admit(lane, identity, hello)
        self._monitors[lane].drain()
        self._peers.connected(lane, peer, self._channels[lane].descriptor())
        self._channels[lane].send(identity, self._endpoint.hello_to(peer.node))
        self._established(peer)

    monkeypatch.setattr(Inbound, "_welcome", welcome)
    assert not await heard_after_a_sleep(tcp, monkeypatch)


async def reached_after_an_outage(tcp: Any) -> bool:
    """Whether what a server sends to a node arrives, as soon as the node counts as connected after an outage.

    Both connections were cut, and the one for bulk is back after the other.
    """
    server, at_server = await tcp.open("server", binds=True)
    node, at_node = await tcp.open("node")
    async with Wire(server.addresses["control"]) as control, Wire(server.addresses["bulk"]) as bulk:
        node.link("server", {"control": control.address, "bulk": bulk.address})
        await at_node.first(LinkUp)
        await at_server.first(LinkUp)
        refusing = ExitStack()
        refusing.enter_context(bulk.refusing())
        bulk.cut()
        control.cut()
        await at_server.first(LinkLost)
        async with asyncio.timeout(60):
            while control.accepted < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        node.send("server", Heartbeat(7, "idle", ()))
        await at_server.first(Heartbeat)  # control is back
        up = len(at_server.of(LinkUp))
        if up == 1:
            refusing.close()
            await at_server.until(lambda: len(at_server.of(LinkUp)) == 2)
        server.send("node", REPORT)
        await asyncio.wait(
            [asyncio.ensure_future(at_node.first(Report)), asyncio.ensure_future(at_server.first(SendFailed))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        return bool(at_node.of(Report))


async def test_a_node_counts_as_connected_once_its_bulk_connection_is_back(tcp):
    assert await reached_after_an_outage(tcp)


async def test_with_control_alone_nothing_would_reach_it(tcp, monkeypatch):
    monkeypatch.setattr(InboundPeers, "is_connected", lambda *_: True)
    assert not await reached_after_an_outage(tcp)
