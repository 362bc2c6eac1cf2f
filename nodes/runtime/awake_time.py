"""Time in which this process was awake: its own sleep is nobody else's silence."""

from __future__ import annotations

SLACK_S = 1.0  # by which a wait may be late because the machine is busy


class AwakeTime:
    """A clock that stands while its process is stopped (SIGSTOP, a frozen container); `seconds` since it was made.

    It goes by waits: one that took much longer than it was to take was slept through, and what others have sent
    meanwhile is still to be read.
    """

    def __init__(self, now: float) -> None:
        self.seconds = 0.0
        self._at = now

    def waited(self, now: float, at_most_s: float) -> None:
        """Note the end of a wait that was to last `at_most_s` seconds at most; `now` by a monotonic clock."""
        self.seconds += min(now - self._at, at_most_s + SLACK_S)
        self._at = now

    def begin(self, now: float) -> None:
        """Note that a wait begins: what was before it counts as awake."""
        self.seconds += now - self._at
        self._at = now

    def deadline(self, now: float, within_s: float) -> float:
        """Return when so much will have passed, by this clock: what was before it, as a wait for a fork, has passed."""
        self.begin(now)
        return self.seconds + within_s
