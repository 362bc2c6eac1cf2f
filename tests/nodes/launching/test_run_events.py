"""How a launch tells monitors of its end, and leaves nothing open."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from nervenet.broker import subscriber
from nervenet.broker.broker import Broker
from nervenet.broker.events import Publisher
from nervenet.broker.relay import Relay
from nervenet.broker.subscriber import EventStream
from nervenet.nodes.launching import run_events
from nervenet.nodes.launching.run_events import RunEvents

RELAYED_AFTER_S = 0.3


class NoRunDir:
    """Records nothing."""

    def record(self, _event: dict[str, Any]) -> None:
        """There is no disk."""


def the_events(on_event: Callable[[dict[str, Any]], None] = lambda _: None) -> RunEvents:
    return RunEvents("r", NoRunDir(), on_event, lambda: None)  # type: ignore[arg-type]


async def end_is_relayed(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a monitor would know of the end when the broker, which is slow, may be stopped."""
    relay = Relay._forward
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Relay, "_forward", lambda *given: loop.call_later(RELAYED_AFTER_S, relay, *given) and None)
    async with Broker("tcp://127.0.0.1:0") as broker, the_events() as events:
        events.follow(broker.address, broker.addresses["events_in"])
        events.publish("run.completed", status="completed", completed_rounds=1, wall_s=1.0)
        await events.end_relayed(run_events.END_RELAYED_S)
        return events._end_relayed.is_set()


async def test_a_slow_broker_has_the_time_to_relay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_events.END_RELAYED_S > 1.0, "a busy machine takes that long"
    monkeypatch.setattr(run_events, "END_RELAYED_S", 60.0)
    assert await end_is_relayed(monkeypatch)


async def test_a_wait_that_is_too_short_would_leave_monitors_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_events, "END_RELAYED_S", RELAYED_AFTER_S / 10)
    assert not await end_is_relayed(monkeypatch)


async def check_the_publisher_is_closed() -> None:
    events = the_events()
    async with Broker("tcp://127.0.0.1:0") as broker:
        try:
            with suppress(asyncio.CancelledError):
                async with events:
                    events.follow(broker.address, broker.addresses["events_in"])
                    raise asyncio.CancelledError  # as a second signal cuts an end short
            context = events._publisher.outlet._context
            assert context is None or context.closed
        finally:
            await events._publisher.close()


async def test_the_publisher_is_closed_whatever_cuts_the_end_short() -> None:
    await check_the_publisher_is_closed()


async def test_it_was_closed_at_an_orderly_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunEvents, "__aexit__", lambda events, *_: events._stop_following())
    with pytest.raises(AssertionError):
        await check_the_publisher_is_closed()


async def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is recorded of three events, the second of which nobody can show."""
    kept: list[str] = []
    monkeypatch.setattr(subscriber, "_REQUEST_S", 60.0)  # however long this process stands still, no broker is away
    monkeypatch.setattr(NoRunDir, "record", lambda _, event: kept.append(event["type"]))

    def show(event: dict[str, Any]) -> None:
        if event["type"] == "broken":
            raise ValueError("no such column")

    async with Broker("tcp://127.0.0.1:0") as broker, the_events(show) as events:
        node = Publisher("a", "client", "r", 1)
        node.connect(broker.addresses["events_in"])
        events.follow(broker.address, broker.addresses["events_in"])
        for kind in ("one", "broken", "two"):
            node.publish(kind, reason="x")
        node.publish("node.left", reason="done")
        following = events._following
        assert following is not None
        async with asyncio.timeout(60):
            while "node.left" not in kept and not following.done():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await node.close()
    return kept


async def test_an_event_that_fails_costs_itself_alone_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await recorded(monkeypatch)
    assert sorted(kept) == ["broken", "node.left", "one", "two", "warning"]  # the last one says what failed


async def test_the_recording_would_end_with_it_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def follow(events: RunEvents, broker: str) -> None:
        async with EventStream(broker, run="r") as stream:
            async for event in stream:
                events._run_dir.record(event)
                events._on_event(event)

    monkeypatch.setattr(RunEvents, "_follow", follow)
    with suppress(ValueError):
        assert "node.left" not in await recorded(monkeypatch)


async def test_a_stream_of_events_that_breaks_is_followed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_events, "FOLLOW_AGAIN_S", 0.0)
    opened, enter = [], EventStream.__aenter__

    async def broken_at_first(stream: EventStream) -> EventStream:
        opened.append(stream)
        if len(opened) == 1:
            raise RuntimeError("no descriptors")
        return await enter(stream)

    monkeypatch.setattr(EventStream, "__aenter__", broken_at_first)
    kept = await recorded(monkeypatch)
    assert len(opened) == 2
    assert {"one", "two", "node.left"} <= {*kept}


@pytest.mark.parametrize(("kind", "role", "counts"), [
    ("round.completed", "client", True), ("baseline.progress", "baseline", True), ("metric.local", "client", False),
])  # fmt: skip
def test_a_round_and_a_model_of_the_baselines_are_progress(kind: str, role: str, counts: bool) -> None:
    made: list[bool] = []
    events = RunEvents("r", NoRunDir(), lambda _: None, lambda: made.append(True))  # type: ignore[arg-type]
    events._note({"type": kind, "node": "a", "role": role, "round": 1})
    assert bool(made) == counts
