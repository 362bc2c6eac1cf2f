"""When a broker that has died is started again: at once, then after longer and longer pauses, and never for the last
time, because nodes that are connected go on without it.
"""

from __future__ import annotations

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STEADY_S = 60.0  # a broker that has lived so long begins with the first pause again


class RestartPacing:
    """The pauses between restarts; `now` in seconds of any clock that does not run backwards."""

    def __init__(self) -> None:
        self._deaths = 0
        self._died_at = float("-inf")

    def pause_s(self, now: float) -> float:
        """Return how long to wait before the restart after a death at `now`."""
        if now - self._died_at > STEADY_S + PAUSES_S[-1]:
            self._deaths = 0
        self._died_at = now
        pause = PAUSES_S[min(self._deaths, len(PAUSES_S) - 1)]
        self._deaths += 1
        return pause
