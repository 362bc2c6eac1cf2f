"""Nodes that have ended since somebody told them to: lost, if the launcher is not told the same."""

from __future__ import annotations

from collections.abc import Iterator


class Departures:
    """Holds for `grace_s` seconds who has ended so, with the reason; true while it holds anybody. Pure."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._left: dict[str, tuple[float, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._left)

    def note(self, node: str, reason: str, now: float) -> None:
        """Take note of what a node has said first."""
        self._left.setdefault(node, (now, reason))

    def due(self, now: float) -> Iterator[tuple[str, str]]:
        """Yield those whose time is over, and their reasons; they are held no longer."""
        for node, (at, reason) in list(self._left.items()):
            if now >= at + self._grace_s:
                del self._left[node]
                yield node, reason
