"""The public face of a listener."""

import asyncio
from typing import Any

import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.errors import BadAddress
from nervenet.broker.publisher import Publisher
from nervenet.broker.transport import new_incarnation
from nervenet.nodes import Monitor


def publisher(name: str, broker: Broker, run: str = "r") -> Publisher:
    made = Publisher(name, "peer", run, new_incarnation())
    made.connect(broker.addresses["events_in"])
    return made


async def first(monitor: Monitor, count: int, kind: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        async for event in monitor:
            if event["type"].startswith(kind):
                found.append(event)
            if len(found) >= count:
                break
    return found


async def test_a_late_listener_hears_the_last_of_each_kind_and_then_what_happens() -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        address = broker.addresses["directory"]
        one = publisher("one", broker)
        async with Monitor(address) as early:
            # What comes before the subscription stands is known by its last value alone: begin when it does.
            one.publish("node.joined", pid=1, address="")
            await first(early, 1)
            one.publish("round.completed", round=1)
            one.publish("round.completed", round=2)
            await first(early, 2)
            assert (early.received, early.missed) == (3, 0)
            assert early.last["one"]["round"] == 2
        async with Monitor(address) as late:
            known = await first(late, 2)
            assert {(e["type"], e.get("round")) for e in known} == {("node.joined", None), ("round.completed", 2)}
            one.publish("round.completed", round=3)
            assert (await first(late, 1))[0]["round"] == 3
        await one.close()


async def test_a_listener_chooses_by_type_and_by_run() -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        mine, theirs = publisher("a", broker, "mine"), publisher("b", broker, "theirs")
        async with Monitor(broker.addresses["directory"], ["round."], run="mine") as monitor:
            mine.publish("round.started", round=0)
            await first(monitor, 1)
            for count in range(3):
                theirs.publish("round.completed", round=count)
                mine.publish("metric.test", round=count)
                mine.publish("round.completed", round=count)
            found = await first(monitor, 3)
        assert [(e["run"], e["type"], e["round"]) for e in found] == [("mine", "round.completed", n) for n in range(3)]
        await mine.close()
        await theirs.close()


async def test_what_an_event_is_about_is_remembered_by_its_subject() -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        one = publisher("one", broker)
        async with Monitor(broker.addresses["directory"]) as monitor:
            one.publish("node.lost", subject="other", reason="silent")
            await first(monitor, 1)
            assert set(monitor.last) == {"other"}
        await one.close()


async def test_an_address_that_is_none() -> None:
    with pytest.raises(BadAddress, match="nowhere"):
        async with Monitor("nowhere"):
            pass
