"""How much of what has come a channel hands over before others get the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from nervenet.broker import channel as channels
from nervenet.broker.channel import Channel
from nervenet.broker.transport_events import Counters

EACH_S = 0.001  # that a message takes whoever it is for


class Full:
    """A socket from which there is always more to read."""

    def __init__(self) -> None:
        self.silent, self._other = os.pipe()

    def recv(self, *_: Any, **__: Any) -> zmq.Frame:
        return zmq.Frame(b"message")

    def getsockopt(self, option: int) -> int:
        return self.silent if option == zmq.FD else zmq.POLLIN

    def close(self, *_: Any, **__: Any) -> None:
        """Nothing: the pipe is the fixture's."""

    def end(self) -> None:
        os.close(self.silent)
        os.close(self._other)


@pytest.fixture
def socket() -> Iterator[Full]:
    made = Full()
    yield made
    made.end()


async def taken(socket: Any, monkeypatch: pytest.MonkeyPatch, others_s: float) -> int:
    """How many messages are taken in a turn, after others have had the loop for so long."""
    clock, count = [100.0], 0

    def deliver(*_: Any) -> None:
        nonlocal count
        count += 1
        clock[0] += EACH_S

    monkeypatch.setattr(channels, "monotonic", lambda: clock[0])
    channel = Channel(socket, deliver=deliver, counters=Counters())
    channel._ready()
    clock[0] += others_s
    before = count
    channel._ready()
    channel.close()
    await asyncio.sleep(0)
    return count - before


@pytest.mark.parametrize(("others_s", "at_least", "at_most"), [(0.0, 15, 25), (0.1, 90, 110), (9.0, 240, 260)])
async def test_it_reads_for_as_long_as_others_had_the_loop(
    socket: Any, monkeypatch: pytest.MonkeyPatch, others_s: float, at_least: int, at_most: int
) -> None:
    """Within bounds: hundreds of nodes on one loop would else fall behind all that comes from elsewhere."""
    assert at_least <= await taken(socket, monkeypatch, others_s) <= at_most


async def test_in_turns_of_one_length_it_would_fall_behind(socket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_LONGEST_TURN_S", 0.0)
    assert await taken(socket, monkeypatch, 0.1) < 25
