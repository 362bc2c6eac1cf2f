"""A revoked key is cut off on every socket, by the first look at the list that no longer has it."""

from __future__ import annotations

import asyncio
import socket as system
from contextlib import AsyncExitStack
from typing import Any

import pytest
import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.events import Publisher
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Goodbye, Join
from nervenet.broker.security import gate as gate_module
from nervenet.broker.security.connections import AcceptedConnections
from nervenet.broker.sockets import dial
from nervenet.broker.subscriber import EventStream
from nervenet.broker.transport import ZmqTransport
from nervenet.broker.transport_events import LinkLost, LinkUp

from .conftest import Sites

DEADLINE_S = 60.0


def test_the_list_is_looked_at_four_times_in_the_time_that_is_promised() -> None:
    assert gate_module.WATCH_S <= 2.0 / 4


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  what is waited for sets no event
            await asyncio.sleep(0.005)


class Watched:
    """A gate whose list is looked at by hand, and the connections of its sockets, by service."""

    def __init__(self, security: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = security.gate
        monkeypatch.setattr(type(self.gate), "_tick", lambda _: None)

    def count(self) -> dict[str, int]:
        return {each.domain.partition("/")[0]: len(each.connections) for each in self.gate._listeners.values()}

    def lanes(self) -> list[int]:
        return [len(each.connections) for each in self.gate._listeners.values()]


async def at_a_broker(sites: Sites, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, *, silent: bool) -> Watched:
    """A broker to which north has a connection on each socket; ``silent``: over which nothing has come."""
    sites.make("hub", "north")
    sites.allow("hub", "north", "client")
    sites.allow("north", "hub", "broker")
    security, north = sites.curve("hub"), sites.curve("north")
    watched = Watched(security, monkeypatch)
    broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0", lease_s=60.0, security=security))
    context: zmq.Context[Any] = zmq.Context()
    stack.callback(context.destroy, 0)
    if silent:
        for kind, service in (
            ("directory.client", "directory"),
            ("publisher", "events_in"),
            ("subscriber", "events_out"),
        ):
            socket, dialer = dial(context, kind, broker.addresses[service], security=north)
            assert dialer is not None
            stack.callback(socket.close, 0)
            stack.callback(dialer.close)
    else:
        join = Join(0, "demo", "north", "client", 1, 1, {}, {"mode": "gossip"}, 1, 60.0)
        lease = await stack.enter_async_context(Lease(broker.address, join, context, security=north))
        stream = await stack.enter_async_context(EventStream(broker.address, security=north))
        publisher = Publisher("north", "client", "demo", 1, security=north)
        stack.push_async_callback(publisher.close, 0.0)
        publisher.connect(lease.events_in)
        publisher.publish("node.ready", pid=1)
        async with asyncio.timeout(DEADLINE_S):
            while (await anext(stream))["type"] != "node.ready":
                pass
    await until(lambda: all(watched.count().values()))
    return watched


@pytest.mark.parametrize("silent", [False, True])
async def test_at_a_broker_one_look_cuts_it_off_on_all_three_sockets(sites, monkeypatch, silent):
    async with AsyncExitStack() as stack:
        watched = await at_a_broker(sites, stack, monkeypatch, silent=silent)
        assert set(watched.count()) == {"directory", "events_in", "events_out"}
        sites.revoke("hub", "north")
        watched.gate.look()
        assert set(watched.count().values()) == {0}


async def test_by_its_messages_alone_a_silent_one_would_stay(sites, monkeypatch):
    monkeypatch.setattr(AcceptedConnections, "cut_silent", lambda _: 0)
    async with AsyncExitStack() as stack:
        watched = await at_a_broker(sites, stack, monkeypatch, silent=True)
        sites.revoke("hub", "north")
        watched.gate.look()
        assert set(watched.count().values()) == {1}


@pytest.mark.parametrize(("hub", "north"), [("coordinator", "client"), ("peer", "peer")])
async def test_at_an_inbox_one_look_cuts_it_off_on_both_lanes_and_ends_its_own_links_there(
    sites, monkeypatch, hub, north
):
    sites.make("hub", "north")
    sites.allow("hub", "north", north)
    sites.allow("north", "hub", hub)
    heard: dict[str, list[Any]] = {"hub": [], "north": []}
    async with AsyncExitStack() as stack:
        transports = {}
        security = {name: sites.curve(name) for name in heard}
        watched = Watched(security["hub"], monkeypatch)
        for name, role in (("hub", hub), ("north", north)):
            bind = None if role == "client" else "tcp://127.0.0.1:*"
            transports[name] = ZmqTransport(name, role, "demo", bind=bind, security=security[name])
            await transports[name].open(heard[name].append, heard[name].append)
            stack.push_async_callback(transports[name].close, 0.0)
        transports["north"].link("hub", transports["hub"].addresses)
        ups = 1
        if north == "peer":
            transports["hub"].link("north", transports["north"].addresses)
            ups = 2
        for items in heard.values():
            await until(lambda items=items: sum(isinstance(item, LinkUp) for item in items) == ups)
        assert watched.lanes() == [1, 1]
        heard["hub"].clear()
        sites.revoke("hub", "north")
        watched.gate.look()
        assert watched.lanes() == [0, 0]
        assert [item.peer for item in heard["hub"] if isinstance(item, LinkLost)] == ["north"]
        await until(lambda: any(isinstance(item, LinkLost) for item in heard["north"]))
        # Whatever it still says is dropped: its connections are gone, and it is let in no more.
        heard["hub"].clear()
        transports["north"].send("hub", Goodbye(1, "still here"))
        await until(lambda: any(getattr(item, "service", "").startswith("inbox") for item in heard["hub"]))
        assert not any(isinstance(item, LinkUp) for item in heard["hub"])


def test_the_news_of_a_connection_may_come_after_its_first_message() -> None:
    ours, theirs = system.socketpair()
    with ours, theirs:
        found = AcceptedConnections()
        found.seen(ours.fileno(), "key")
        found.accepted(ours.fileno())
        assert found.cut_silent() == 0
        found.accepted(theirs.fileno())
        assert (len(found), found.cut_silent(), len(found)) == (2, 1, 1)
        assert found.closed(ours.fileno())
        assert not found.closed(theirs.fileno())
