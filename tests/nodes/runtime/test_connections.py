"""Leaving: who is done waits for goodbyes, and longer while the last that it sends still moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nervenet.broker.messages import Goodbye, Heartbeat
from nervenet.broker.transport import Arrival, LinkLost, LinkUp
from nervenet.nodes.runtime import connections as c
from nervenet.nodes.runtime.connections import STRETCH_BYTES, STRETCH_S, Connections, LastWords, Progress


def test_without_anything_large_it_is_the_usual_time():
    progress = Progress(100.0, 2.0)
    progress.look({}, 101.0)
    assert progress.until == 102.0


def waited_s(pace: float, seconds: int, *, unit: int = STRETCH_BYTES) -> float:
    """How long somebody is waited for who takes so many units a second, for so long, and then nothing."""
    progress = Progress(100.0, 2.0)
    now = 100.0
    while now < progress.until:
        progress.look({"north": int(pace * unit * min(now - 100.0, seconds))}, now)
        now += 1.0
    return progress.until - 100.0


def test_what_moves_is_waited_for():
    assert waited_s(1.0, 60) == 60 + STRETCH_S


def test_what_has_stalled_is_given_up():
    assert waited_s(0.0, 60) == STRETCH_S


def test_a_pace_just_above_the_lowest_is_waited_for_as_long_as_there_are_bytes():
    assert waited_s(1.2 / STRETCH_S, 3_000) > 3_000


def test_one_who_reads_a_few_bytes_now_and_then_is_given_up_at_once():
    assert waited_s(0.9 / STRETCH_S, 3_000) == STRETCH_S
    assert waited_s(1, 3_000, unit=1) == STRETCH_S


def test_if_any_byte_counted_it_would_hold_the_node_as_long_as_it_likes(monkeypatch):
    monkeypatch.setattr(c, "STRETCH_BYTES", 1)
    assert waited_s(1, 3_000, unit=1) > 3_000


def test_one_that_moves_is_enough():
    progress = Progress(100.0, 2.0)
    for k in range(60):
        progress.look({"north": 5_000, "south": k * STRETCH_BYTES}, 100.0 + k)
    assert progress.until == 159.0 + STRETCH_S


def test_a_connection_that_is_made_again_and_again_moves_nothing():
    progress = Progress(100.0, 2.0)
    for k in range(60):
        progress.look({"north": (STRETCH_BYTES - 1) * (k % 2)}, 100.0 + k)
    assert progress.until == 100.0 + STRETCH_S


class Slow:
    """A transport over which the last message takes some looks to leave."""

    def __init__(self, looks: int) -> None:
        self.looks = self.left = looks
        self.sent: list[tuple[str, Any]] = []

    def sending(self, _to: str) -> tuple[int, ...]:
        self.left -= 1
        return (7,) if self.left > 0 else ()

    def moved(self, _to: str) -> int:
        return (self.looks - self.left) * c.STRETCH_BYTES

    def send(self, to: str, message: Any) -> None:
        self.sent.append((to, message))


@pytest.fixture
def connections(monkeypatch):
    monkeypatch.setattr(c, "BEAT_S", 0.001)
    found = Connections()
    found.note(LinkUp("north", "client", 1, False))
    return found


async def leave(connections: Connections, transport: Slow, last: LastWords | None) -> bool:
    """Whether a client that says goodbye as soon as it has the last message has been waited for."""

    async def answer() -> None:
        while transport.left > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.0005)
        connections.note(Arrival("north", Goodbye(round=7, reason="done"), None, 10))

    answering = asyncio.create_task(answer())
    async with asyncio.timeout(60):
        await connections.wait_for_goodbyes(0.005, last)
    waited = "north" in connections.departed
    answering.cancel()
    return waited


async def test_a_slow_line_is_waited_for_and_said(connections):
    transport, said = Slow(200), []
    last = LastWords(transport, 7, lambda kind, fields: said.append((kind, fields)))
    assert await leave(connections, transport, last)
    ((kind, fields),) = said
    assert kind == "node.waiting"
    assert fields["reason"].startswith("north (")
    assert fields["reason"].endswith("bytes so far), to whom the last of round 7 is still being sent")
    assert transport.sent[0] == ("north", Heartbeat(round=7, state="leaving", sending=(7,)))


async def test_whoever_hardly_reads_is_given_up_and_named(connections, monkeypatch):
    monkeypatch.setattr(c, "STRETCH_S", 0.02)
    transport, said = Slow(10**9), []
    monkeypatch.setattr(transport, "moved", lambda _to: 12)
    last = LastWords(transport, 7, lambda kind, fields: said.append((kind, fields)))
    async with asyncio.timeout(60):
        await connections.wait_for_goodbyes(0.005, last)
    kind, fields = said[-1]
    assert kind == "warning"
    assert fields["reason"].startswith("not all of the last of round 7 has reached north: less than 81,920 bytes moved")


async def test_without_that_it_would_leave_before_the_model_has_arrived(connections):
    assert not await leave(connections, Slow(200), None)


async def test_nobody_waits_for_one_who_is_gone(connections):
    connections.note(LinkLost("north", 1, "cut"))
    async with asyncio.timeout(60):
        await connections.wait_for_goodbyes(1_000.0, None)
