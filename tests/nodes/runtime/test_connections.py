"""Leaving: who is done waits for goodbyes, and longer while the last that it sends still moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nervenet.broker.messages import Goodbye, Heartbeat
from nervenet.broker.transport import Arrival, LinkLost, LinkUp
from nervenet.nodes.runtime import connections as c
from nervenet.nodes.runtime.connections import LONGEST_S, STALLED_S, Connections, LastWords, Progress


def test_without_anything_large_it_is_the_usual_time():
    progress = Progress(100.0, 2.0)
    progress.look({}, 101.0)
    assert progress.until == 102.0


def test_what_moves_is_waited_for():
    progress = Progress(100.0, 2.0)
    for k in range(60):
        progress.look({"north": 1_000 * k}, 100.0 + k)
        assert progress.until == 100.0 + k + STALLED_S


def test_what_has_stalled_is_given_up():
    progress = Progress(100.0, 2.0)
    for k in range(60):
        progress.look({"north": 5_000}, 100.0 + k)
    assert progress.until == 100.0 + STALLED_S


def test_one_that_moves_is_enough():
    progress = Progress(100.0, 2.0)
    for k in range(60):
        progress.look({"north": 5_000, "south": k}, 100.0 + k)
    assert progress.until == 159.0 + STALLED_S


def test_an_end_is_set_to_what_moves_for_ever():
    progress = Progress(100.0, 2.0)
    for k in range(2_000):
        progress.look({"north": k}, 100.0 + k)
    assert progress.until == 100.0 + LONGEST_S


class Slow:
    """A transport over which the last message takes some looks to leave."""

    def __init__(self, looks: int) -> None:
        self.left = looks
        self.sent: list[tuple[str, Any]] = []

    def sending(self, _to: str) -> tuple[int, ...]:
        self.left -= 1
        return (7,) if self.left > 0 else ()

    def moved(self, _to: str) -> int:
        return -self.left

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
    assert said == [("node.waiting", {"reason": "north, to whom the last of round 7 is still being sent"})]
    assert transport.sent[0] == ("north", Heartbeat(round=7, state="leaving", sending=(7,)))


async def test_without_that_it_would_leave_before_the_model_has_arrived(connections):
    assert not await leave(connections, Slow(200), None)


async def test_nobody_waits_for_one_who_is_gone(connections):
    connections.note(LinkLost("north", 1, "cut"))
    async with asyncio.timeout(60):
        await connections.wait_for_goodbyes(1_000.0, None)
