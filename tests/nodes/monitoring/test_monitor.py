"""What a monitor yields."""

import asyncio
from pathlib import Path

import pytest
from nervenet.broker import subscriber
from nervenet.broker.broker import Broker
from nervenet.broker.errors import BadAddress
from nervenet.broker.events import Publisher
from nervenet.broker.security.allow_list import allow
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.broker.transport import new_incarnation
from nervenet.nodes import Monitor
from nervenet.nodes.monitoring import monitor as monitor_module
from nervenet.nodes.runtime.event_types import AnyEvent, Malformed, NodeLost, RoundCompleted, UnknownEvent


def publisher(name: str, broker: Broker, run: str = "r") -> Publisher:
    made = Publisher(name, "peer", run, new_incarnation())
    made.connect(broker.addresses["events_in"])
    return made


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long this process stands still, no broker is taken for away."""
    monkeypatch.setattr(subscriber, "_REQUEST_S", 60.0)


async def first(monitor: Monitor, count: int, kind: str = "") -> list[AnyEvent]:
    found: list[AnyEvent] = []
    async with asyncio.timeout(60):
        async for event in monitor:
            if event.type.startswith(kind):
                found.append(event)
            if len(found) >= count:
                break
    return found


async def test_a_late_monitor_gets_the_last_of_each_kind_and_then_what_happens() -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        address = broker.addresses["directory"]
        one = publisher("one", broker)
        async with Monitor(address) as early:
            # What comes before the subscription stands is known by its last value alone: begin when it does.
            one.publish("node.joined", pid=1, address="")
            await first(early, 1)
            one.publish("round.completed", closed_by="all", round=1)
            one.publish("round.completed", closed_by="all", round=2)
            await first(early, 2)
            assert (early.received, early.missed) == (3, 0)
            assert early.last["one"]["round"] == 2
        async with Monitor(address) as late:
            known = await first(late, 2)
            assert {(e["type"], e.get("round")) for e in known} == {("node.joined", None), ("round.completed", 2)}
            one.publish("round.completed", closed_by="all", round=3)
            assert (await first(late, 1))[0]["round"] == 3
        await one.close()


async def test_a_monitor_chooses_by_type_and_by_run() -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        mine, theirs = publisher("a", broker, "mine"), publisher("b", broker, "theirs")
        async with Monitor(broker.addresses["directory"], ["round."], run="mine") as monitor:
            mine.publish("round.started", round=0)
            await first(monitor, 1)
            for count in range(3):
                theirs.publish("round.completed", closed_by="all", round=count)
                mine.publish("metric.test", round=count)
                mine.publish("round.completed", closed_by="all", round=count)
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
            (last,) = monitor.last.items()
            assert (last[0], isinstance(last[1], NodeLost)) == ("other", True)
        await one.close()


async def test_events_are_typed_and_keep_what_was_received() -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        one = publisher("one", broker)
        async with Monitor(broker.addresses["directory"]) as monitor:
            one.publish("round.completed", round=3, closed_by="all", participants=["two"], news=1)
            (event,) = await first(monitor, 1)
            assert isinstance(event, RoundCompleted)
            assert (event.type, event.node, event.round, event.participants) == ("round.completed", "one", 3, ("two",))
            assert (event.raw["news"], event["news"], event.get("other"), "news" in event) == (1, 1, None, True)
            one.publish("nobody.knows", round=3)
            one.publish("round.started", round="three")
            for kind in ("nobody.knows", "round.started"):
                event, *more = await first(monitor, 1 if kind == "nobody.knows" else 2)
                if more:
                    assert isinstance(event, Malformed)
                    assert (event.subject, event.about, event.count) == ("one", kind, 1)
                    assert event.reason == "round: Expected `int`, got `str`"
                    event = more[0]
                    assert "round" not in event
                assert isinstance(event, UnknownEvent)
                assert (event.type, event.node, event["type"]) == (kind, "one", kind)
        await one.close()


async def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(BadAddress, match="nowhere"):
        async with Monitor("nowhere"):
            pass


async def ticks_after_a_failed_start(tmp_path: Path) -> bool:
    """Whether the gate of a monitor that could not start goes on looking at its folder."""
    _, public = write_keys(tmp_path, new_key_pair("hub"))
    allow(tmp_path, public, ["broker"])
    monitor = Monitor("nonsense", keys=tmp_path)
    gate = monitor._security.gate  # type: ignore[union-attr]
    gate.watch(lambda _: None)  # as a dialer has done by the time its socket fails
    with pytest.raises(BadAddress):
        await monitor.__aenter__()
    assert gate._timer is not None
    cancelled = gate._timer.cancelled()
    gate.close()
    return not cancelled


async def test_a_monitor_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    assert not await ticks_after_a_failed_start(tmp_path)


async def test_its_gate_would_go_on_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "close_gate", lambda _: None)
    assert await ticks_after_a_failed_start(tmp_path)
