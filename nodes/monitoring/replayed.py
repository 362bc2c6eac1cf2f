"""Watching what was recorded as if it happened now: `ReplayedEvents` in place of a `Monitor`."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from ..runtime.event_edge import Edge, with_head
from ..runtime.event_fitting import parse_event
from ..runtime.event_types import AnyEvent
from .recording import Recording
from .replay import Replay

FASTEST, SLOWEST = 1024.0, 1 / 16  # between these steps are taken; beyond the fastest all comes at once


class ReplayedEvents:
    """The events of a recording, as they become due; an async iterator of what `Monitor` yields, which ends with it.

    Parameters
    ----------
    recording : Recording
        What is played.
    speed : float
        1 as it was, `math.inf` all at once.
    from_round : int
        What was before it comes at once.
    clock : callable
        Returns seconds; for tests.

    Attributes
    ----------
    replay : Replay
        How it is played. Whoever changes that calls `changed`.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float = 1.0,
        from_round: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.replay = Replay(recording.events(), speed=speed, from_round=from_round)
        self._clock = clock
        self._edge = Edge()
        self._due: deque[dict[str, Any]] = deque()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        while not self._due:
            for raw in self.replay.due(self._clock()):
                event, malformed = self._edge.decode(with_head(raw))
                event = with_head(event)
                self._due.extend((event,) if malformed is None else (malformed, event))
            if not self._due:
                await self._wait()
        return parse_event(self._due.popleft())

    def steer(self, action: str) -> None:
        """Do one of "pause", "resume", "faster" and "slower" (twice, half as fast), and "next round"."""
        now, speed = self._clock(), self.replay.speed
        match action:
            case "pause":
                self.replay.pause(now)
            case "resume":
                self.replay.resume(now)
            case "faster":
                self.replay.set_speed(speed * 2 if speed < FASTEST else math.inf, now)
            case "slower":
                self.replay.set_speed(min(FASTEST, max(SLOWEST, speed / 2)), now)
            case "next round":
                self.replay.skip_to_round(self.replay.round + 1)
        self.changed()

    def changed(self) -> None:
        """Look again when the next event is due."""
        self._changed.set()

    def unix_s(self) -> float:
        """Return what time it is in the recording."""
        return self.replay.unix_s(self._clock())

    async def _wait(self) -> None:
        wait_s = self.replay.wait_s(self._clock())
        if wait_s is None:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
