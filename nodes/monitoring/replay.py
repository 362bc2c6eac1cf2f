"""When what was recorded is played: a pure pace, told what time it is, that returns the events which are due."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .recording import Timeline

AT_A_TIME = 500  # events, so that whoever draws or answers between them has its turn


class Replay:
    """Plays events at a speed: 1 as it was, 10 ten times as fast, `math.inf` all at once.

    `now` is of any clock in seconds that does not run backwards; playing begins at the first call of `due`. Events
    before `from_round` (before the first of that round or of a later one), and those before `from_s` (seconds at
    speed 1), are due at once, so that who follows knows what led there.

    Attributes
    ----------
    speed, paused
        How it is played; see `set_speed`, `pause` and `resume`.
    round
        The highest that an event played so far is of.
    """

    def __init__(
        self,
        events: Iterable[Mapping[str, Any]],
        *,
        speed: float = 1.0,
        from_round: int = 0,
        from_s: float = 0.0,
    ) -> None:
        self.speed, self.paused, self.round = _checked(speed), False, 0
        self._events, self._timeline = iter(events), Timeline()
        self._from_round, self._from_s = from_round, from_s
        self._since: float | None = None  # when it was at `_at_s`
        self._at_s = 0.0
        self._played_s = 0.0  # where the last event stands that was returned
        self._next: Mapping[str, Any] | None = None
        self._next_s = self._next_ahead_s = 0.0
        self._advance()
        self._ahead_s = self._next_ahead_s  # how far the recording's clocks are ahead of the place

    @property
    def ended(self) -> bool:
        """Whether there is no further event."""
        return self._next is None

    def due(self, now: float, most: int = AT_A_TIME) -> list[Mapping[str, Any]]:
        """Return the events whose time has come, in the order of their recording; of more than `most` the first."""
        if self._since is None:
            self._since = now
        found: list[Mapping[str, Any]] = []
        while self._next is not None and len(found) < most:
            if self._skipped(self._next):
                self._at_s, self._since = self._next_s, now
            else:
                self._skipped_to(now)
                if self._next_s > self.place_s(now):
                    break
            found.append(self._next)
            self._advance()
        return found

    def wait_s(self, now: float) -> float | None:
        """Return in how many seconds the next event is due: infinity while paused, None after the last one."""
        if self._next is None:
            return None
        if self._skipped(self._next):
            return 0.0
        if self.paused:
            return math.inf
        return max(0.0, (self._next_s - self.place_s(now)) / self.speed)

    def place_s(self, now: float) -> float:
        """Return how far it has come, in seconds at speed 1; it stays where the last event is."""
        if self._next is None:
            return self._played_s
        if self._since is None or self.paused:
            return self._at_s
        if self.speed == math.inf:
            return self._next_s
        return self._at_s + (now - self._since) * self.speed

    def unix_s(self, now: float) -> float:
        """Return what time it is there, by the clocks of those who published: what ages are to be reckoned from."""
        return self._ahead_s + max(self._played_s, min(self.place_s(now), self._next_s))

    def set_speed(self, speed: float, now: float) -> None:
        self._stay(now)
        self.speed = _checked(speed)

    def pause(self, now: float) -> None:
        """Let nothing be due, but for what is skipped, until it is resumed."""
        self._stay(now)
        self.paused = True

    def resume(self, now: float) -> None:
        self._stay(now)
        self.paused = False

    def skip_to_round(self, number: int) -> None:
        """Let everything before the first event of this round, or of a later one, be due at once."""
        self._from_round = number

    def skip_to(self, place_s: float) -> None:
        """Let everything before this place be due at once."""
        self._from_s = place_s

    def _stay(self, now: float) -> None:
        self._at_s, self._since = min(self.place_s(now), self._next_s), now

    def _skipped(self, event: Mapping[str, Any]) -> bool:
        return _round_of(event) < self._from_round or self._next_s < self._from_s

    def _skipped_to(self, now: float) -> None:
        """Go on from where skipping has led: the first event of the round, or the place."""
        if self._from_round:
            self._at_s, self._since, self._from_round = self._next_s, now, 0
        if self._from_s:
            self._at_s, self._since, self._from_s = max(self.place_s(now), self._from_s), now, 0.0

    def _advance(self) -> None:
        if self._next is not None:
            self._played_s, self._ahead_s = self._next_s, self._next_ahead_s
            self.round = max(self.round, _round_of(self._next))
        self._next = next(self._events, None)
        if self._next is not None:
            self._next_s = self._timeline.place(self._next)
            self._next_ahead_s = self._timeline.unix_s(0.0)


def _round_of(event: Mapping[str, Any]) -> int:
    number = event.get("round")
    return number if isinstance(number, int) else 0


def _checked(speed: float) -> float:
    if not speed > 0:
        raise ValueError(f"speed is {speed}; a number above 0")
    return speed
