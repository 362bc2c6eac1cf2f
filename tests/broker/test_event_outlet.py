"""An outlet: the events of several nodes of a process leave by one socket, which is there until the last has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nervenet.broker import event_outlet
from nervenet.broker.broker import Broker
from nervenet.broker.event_outlet import EventOutlet
from nervenet.broker.events import Publisher
from nervenet.broker.hosting import Host
from nervenet.broker.hosting.host import MANY, OF_AN_OUTLET
from nervenet.broker.subscriber import EventStream

PATIENCE_S = 60.0


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker("tcp://127.0.0.1:*") as one:
        yield one


def publishers(outlet: EventOutlet, *names: str) -> list[Publisher]:
    return [Publisher(name, "peer", "demo", place, outlet=outlet) for place, name in enumerate(names, 1)]


async def next_of(stream: EventStream, count: int) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in stream:
            if event["role"] == "peer":
                found.append((event["node"], event["round"]))
            if len(found) == count:
                return found
    raise AssertionError("the stream has ended")


async def test_nodes_share_a_socket_and_each_speaks_for_itself(broker: Broker) -> None:
    outlet = EventOutlet(publishers=2)
    a, b = publishers(outlet, "a", "b")
    for each in (a, b):
        each.connect(broker.addresses["events_in"])
    channel = outlet._channel
    async with EventStream(broker.address, ("metric.",)) as stream:
        for number, each in enumerate((a, b, a)):
            name = each.publish("metric.local", round=number)["node"]
            assert await next_of(stream, 1) == [(name, number)]  # before the next: a late stream gets the last of each
        assert outlet._channel is channel, "the second found it connected"
        await a.close()
        await a.close()
        b.publish("metric.local", round=3)
        assert await next_of(stream, 1) == [("b", 3)]
        b.publish("metric.local", round=4)
        await b.close()
        assert outlet._channel is None
        assert await next_of(stream, 1) == [("b", 4)], "what had not left yet"


async def test_one_that_is_used_again_connects_again(broker: Broker) -> None:
    outlet = EventOutlet()
    async with EventStream(broker.address, ("metric.",)) as stream:
        for name in "ab":
            (each,) = publishers(outlet, name)
            each.connect(broker.addresses["events_in"])
            each.publish("metric.local", round=1)
            assert await next_of(stream, 1) == [(name, 1)]
            await each.close()


async def test_as_many_events_are_kept_as_its_publishers_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_outlet, "_KEPT", 3)
    outlet = EventOutlet(publishers=2)
    a, b = publishers(outlet, "a", "b")
    for number in range(4):
        a.publish("metric.local", round=number)
        b.publish("metric.local", round=number)
    assert len(outlet._queued) == 6
    for each in (a, b):
        await each.close()


@pytest.mark.parametrize(("nodes", "outlets"), [(MANY - 1, 0), (MANY, MANY // OF_AN_OUTLET), (125, 32)])
def test_a_process_of_many_nodes_has_a_few(nodes: int, outlets: int) -> None:
    host = Host("host-1", "demo", bind="tcp://127.0.0.1:*", nodes=nodes)
    found = [host.outlet() for _ in range(nodes)]
    if not outlets:
        assert found == [None] * nodes
        return
    uses = [found.count(each) for each in set(found)]
    assert len(uses) == outlets
    assert max(uses) <= OF_AN_OUTLET
