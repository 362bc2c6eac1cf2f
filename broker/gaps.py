"""Counting of missed events, from the sequence numbers that every event carries; pure."""

from __future__ import annotations

from typing import Any


class Gaps:
    """The last sequence number of each (run, node, incarnation, type)."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int, str], int] = {}
        self._first_seen: dict[tuple[str, str, int, str], int] = {}  # kinds first seen in a snapshot: its number

    def missed(self, event: dict[str, Any], snapshot: int = 0) -> int | None:
        """Return how many events of this kind are missing before this one; None if this one is a duplicate.

        The first event of a kind starts the count. The gaps within the first snapshot (it holds only the last event of
        each subject) do not count; those within a later one do (``snapshot`` numbers them from 1; 0 is a live event).
        """
        key = (event["run"], event["node"], event["incarnation"], event["type"])
        last = self._last.get(key)
        seq: int = event["seq"]
        if last is not None and seq <= last:
            return None
        self._last[key] = seq
        if last is None:
            if snapshot:
                self._first_seen[key] = snapshot
            return 0
        if snapshot and self._first_seen.get(key) == snapshot:
            return 0
        self._first_seen.pop(key, None)
        return seq - last - 1
