"""Counts what a subscriber missed, from the sequence numbers that every event carries; pure."""

from __future__ import annotations

from typing import Any

__all__ = ["Gaps"]


class Gaps:
    """The last sequence number of each (run, node, incarnation, type)."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int, str], int] = {}
        self._fresh: dict[tuple[str, str, int, str], int] = {}  # kinds first met in a snapshot, and in which

    def missed(self, event: dict[str, Any], snapshot: int = 0) -> int | None:
        """How many events of this kind are missing before this one; None if this one was held already.

        The first of its kind starts the count, because whatever came before it was before our time. The holes of a
        first snapshot, which holds the last event of each subject only, are of that time, too; those of a later one
        (``snapshot`` numbers them from 1; 0 is an event that came by itself) are not.
        """
        key = (event["run"], event["node"], event["incarnation"], event["type"])
        last = self._last.get(key)
        seq: int = event["seq"]
        if last is not None and seq <= last:
            return None
        self._last[key] = seq
        if last is None:
            if snapshot:
                self._fresh[key] = snapshot
            return 0
        if snapshot and self._fresh.get(key) == snapshot:
            return 0
        self._fresh.pop(key, None)
        return seq - last - 1
