"""A publisher's events: the first after a pause leaves at once, those that follow it closely leave together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from nervenet.broker import event_outlet
from nervenet.broker.events import Publisher, decode_event


class Relay:
    """In place of a channel: takes what is sent, in turns of the event loop."""

    def __init__(self) -> None:
        self.turns: list[list[int]] = []
        self._turn: asyncio.Handle | None = None

    def send(self, _to: bytes, envelope: Any) -> None:
        if self._turn is None:
            self.turns.append([])
            self._turn = asyncio.get_running_loop().call_soon(self._over)
        self.turns[-1].append(decode_event(envelope.frames)["seq"])

    def _over(self) -> None:
        self._turn = None

    def close(self, _linger_s: float) -> None:
        pass

    @property
    def seen(self) -> list[int]:
        return [number for turn in self.turns for number in turn]


@pytest.fixture
async def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    monkeypatch.setattr(event_outlet, "_TOGETHER_S", 3_600.0)  # closely, however slow this machine is
    made = Publisher("a", "client", "run", 1)
    made.outlet._channel, made.outlet._subscribed = Relay(), True  # type: ignore[assignment]
    return made


async def until(relay: Relay, count: int) -> None:
    async with asyncio.timeout(60):
        while len(relay.seen) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_the_first_leaves_at_once_and_what_follows_leaves_together(
    publisher: Publisher, pass_time: Callable[[float], None]
) -> None:
    relay: Any = publisher.outlet._channel
    for _ in range(5):
        publisher.publish("metric.local", round=1)
    assert relay.seen == [1]
    pass_time(3_600.0)
    await until(relay, 5)
    assert relay.turns == [[1], [2, 3, 4, 5]]


async def test_many_do_not_wait_for_each_other(publisher: Publisher) -> None:
    relay: Any = publisher.outlet._channel
    for _ in range(event_outlet._TOGETHER + 1):
        publisher.publish("metric.local", round=1)
    assert relay.seen == list(range(1, event_outlet._TOGETHER + 2))


async def test_what_waits_leaves_before_the_publisher_closes(publisher: Publisher) -> None:
    relay: Any = publisher.outlet._channel
    for _ in range(3):
        publisher.publish("metric.local", round=1)
    await publisher.close()
    assert relay.seen == [1, 2, 3]


async def test_without_a_subscription_nothing_leaves(publisher: Publisher) -> None:
    relay: Any = publisher.outlet._channel
    publisher.outlet._subscribed = False
    publisher.publish("metric.local", round=1)
    await publisher.close()
    assert relay.seen == []
