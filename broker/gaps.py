"""Counts what a subscriber missed, from the sequence numbers that every event carries; pure."""

from __future__ import annotations

from typing import Any

__all__ = ["Gaps"]


class Gaps:
    """The last sequence number of each (run, node, incarnation, type)."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int, str], int] = {}
        self._fresh: set[tuple[str, str, int, str]] = set()

    def missed(self, event: dict[str, Any], from_snapshot: bool = False) -> int | None:
        """How many events of this kind are missing before this one; None if this one was held already.

        The first of its kind starts the count, because whatever came before it was before our time. The holes of a
        first snapshot, which holds the last event of each subject only, are of that time, too.
        """
        key = (event["run"], event["node"], event["incarnation"], event["type"])
        last = self._last.get(key)
        seq: int = event["seq"]
        if last is not None and seq <= last:
            return None
        self._last[key] = seq
        if last is None:
            if from_snapshot:
                self._fresh.add(key)
            return 0
        if from_snapshot and key in self._fresh:
            return 0
        self._fresh.discard(key)
        return seq - last - 1
