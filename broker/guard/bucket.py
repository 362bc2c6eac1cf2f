"""A token bucket: so many at once, and then so many a second. Pure."""

from __future__ import annotations


class Bucket:
    """Holds ``most`` tokens, filled by ``per_s`` of them a second."""

    __slots__ = ("_left", "_most", "_per_s", "_since")

    def __init__(self, most: float, per_s: float, now: float) -> None:
        self._most, self._per_s = most, per_s
        self._left, self._since = most, now

    def take(self, now: float, count: float = 1.0) -> bool:
        """Return whether there were so many tokens, and take them; a refused one costs nothing."""
        if now > self._since:
            self._left = min(self._most, self._left + (now - self._since) * self._per_s)
            self._since = now
        if self._left < count:
            return False
        self._left -= count
        return True

    def give(self, count: float = 1.0) -> None:
        """Put back what was taken and not used."""
        self._left = min(self._most, self._left + count)
