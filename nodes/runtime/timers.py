"""Deadlines by key on one timer of the event loop: most are set and cancelled again, round after round."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .events import Key

_NEVER = float("inf")


class Timers:
    """Calls ``fire(key, at)`` for each key at its time.

    The loop has a timer for the earliest deadline that was ever set since it last rang, and looks then for what is due:
    a deadline that lies further off costs an entry of a dictionary, and so does its end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[Key, float], None]) -> None:
        self._loop = loop
        self._fire = fire
        self._due: dict[Key, float] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at = _NEVER

    def set(self, key: Key, at: float) -> None:
        """Have a key fire at a time of the loop's clock, in place of when it was to before."""
        self._due.pop(key, None)  # of two that are due together the one that was set first fires first
        self._due[key] = at
        if at < self._rings_at:
            self._ring_at(at)

    def cancel(self, key: Key) -> None:
        self._due.pop(key, None)

    def close(self) -> None:
        """Forget all of them."""
        self._due.clear()
        self._ring_at(_NEVER)

    def _ring_at(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if at == _NEVER else self._loop.call_at(at, self._ring)
        self._rings_at = at

    def _ring(self) -> None:
        # The loop counts what is due within the resolution of its clock as due; that is when this timer was to ring.
        now = max(self._loop.time(), self._rings_at)
        self._alarm, self._rings_at = None, _NEVER
        due = sorted((pair for pair in self._due.items() if pair[1] <= now), key=lambda pair: pair[1])
        self._ring_at(min((at for at in self._due.values() if at > now), default=_NEVER))
        for key, at in due:
            if self._due.get(key) == at:  # or the one before it has cancelled it, or set it anew
                del self._due[key]
                self._fire(key, at)
