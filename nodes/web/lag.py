"""How far behind a view is: on a machine that is busy, events wait until it has its turn."""

from __future__ import annotations

import math

LEAST_S = 2.0  # less is none, and may be a clock's fault
HELD_S = 1.0  # without an event: then none waits


class Lag:
    """Told of each event as it is read: by the youngest of those since the last look, ages are reckoned."""

    def __init__(self) -> None:
        self._youngest_s = math.inf
        self._behind_s = 0.0
        self._read_at = -math.inf

    def read(self, time: float, now: float) -> None:
        """An event of a time is read now."""
        self._youngest_s = min(self._youngest_s, now - time)
        self._read_at = now

    def look(self, now: float) -> float:
        """Return by how many seconds what has been read is older than now, 0 where no more can be waiting."""
        if self._youngest_s < math.inf:
            self._behind_s, self._youngest_s = self._youngest_s, math.inf
        if now - self._read_at > HELD_S or self._behind_s < LEAST_S:
            self._behind_s = 0.0
        return self._behind_s
