"""What a peer has exchanged with each neighbour, told a few times a second instead of message by message."""

from __future__ import annotations

from collections import Counter
from typing import Any

REPORT_EVERY_S = 0.25


class Traffic:
    """Counts exchanges; `report` turns what has come together since the last report into events."""

    def __init__(self) -> None:
        self.stale = 0
        self.dropped = 0
        self.rejected: dict[str, int] = {}
        self._sent: Counter[str] = Counter()
        self._received: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._reported_at = float("-inf")

    def sent(self, peer: str) -> None:
        """Count a model sent."""
        self._sent[peer] += 1

    def received(self, peer: str, nbytes: int) -> None:
        """Count a model received that was in time."""
        self._received[peer] += 1
        self._bytes[peer] += nbytes

    def report(self, now: float, number: int) -> list[tuple[str, dict[str, Any]]]:
        """Give (event type, fields) for each neighbour, at most every `REPORT_EVERY_S` seconds."""
        if now - self._reported_at < REPORT_EVERY_S:
            return []
        self._reported_at = now
        told = [("exchange.sent", {"subject": p, "round": number, "count": c}) for p, c in sorted(self._sent.items())]
        told += [
            ("exchange.received", {"subject": p, "round": number, "count": c, "bytes": self._bytes[p]})
            for p, c in sorted(self._received.items())
        ]
        self._sent.clear()
        self._received.clear()
        self._bytes.clear()
        return told
