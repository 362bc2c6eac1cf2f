"""What a peer has exchanged with each neighbor, reported now and then instead of message by message."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..runtime import effects as e

REPORT_EVERY_S, SELDOM_S = 0.25, 4.0
TOGETHER = 4  # peers in one process, up to which each reports as often as one that is there by itself


def pause_s(peers: float) -> float:
    """Return the time between two reports of a peer that shares its process with so many.

    With every report an event a neighbor and direction goes through three processes: of a round of hundreds of peers
    these were three events in four, and a fifth of the processor time.
    """
    return min(SELDOM_S, REPORT_EVERY_S * max(1.0, peers / TOGETHER))


class ExchangeStats:
    """Counts exchanges; `report` turns what has come together since the last report into events.

    By neighbor, since the start: `stale` came too late to count; `dropped` did not go out, or gave way to a newer one
    before it was used. `rejected` is by reason.
    """

    def __init__(self, every_s: float = REPORT_EVERY_S) -> None:
        self._every_s = every_s
        self.stale: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.rejected: dict[str, int] = {}
        self._sent: dict[str, Counter[str]] = {}
        self._received: dict[str, Counter[str]] = {}
        self._reported_at = float("-inf")

    def sent(self, peer: str) -> None:
        self._sent.setdefault(peer, Counter())["count"] += 1

    def lost(self, peer: str) -> None:
        self.dropped[peer] += 1
        self._sent.setdefault(peer, Counter())["dropped"] += 1

    def received(self, peer: str, nbytes: int) -> None:
        self._received.setdefault(peer, Counter()).update(count=1, bytes=nbytes)

    def late(self, peer: str) -> None:
        self.stale[peer] += 1
        self._received.setdefault(peer, Counter())["stale"] += 1

    def superseded(self, peer: str) -> None:
        """Count a model that was in time and gave way to another."""
        self.dropped[peer] += 1
        self._received.setdefault(peer, Counter())["dropped"] += 1

    def report(self, now: float, number: int, *, last: bool = False) -> list[e.Effect]:
        """Return an event for each neighbor, at most every `every_s` seconds; the `last` at once."""
        if now - self._reported_at < self._every_s and not last:
            return []
        self._reported_at = now
        effects: list[e.Effect] = []
        for peer, counts in sorted(self._sent.items()):
            effects.append(e.Publish("exchange.sent", _sent(peer, number, counts)))
        for peer, counts in sorted(self._received.items()):
            effects.append(e.Publish("exchange.received", _received(peer, number, counts)))
        self._sent.clear()
        self._received.clear()
        return effects


def _sent(peer: str, number: int, counts: Counter[str]) -> dict[str, Any]:
    return _nonzero(counts, {"subject": peer, "round": number, "count": counts["count"], "dropped": 0})


def _received(peer: str, number: int, counts: Counter[str]) -> dict[str, Any]:
    always = {"subject": peer, "round": number, "count": counts["count"], "bytes": counts["bytes"]}
    return _nonzero(counts, {**always, "stale": 0, "dropped": 0})


def _nonzero(counts: Counter[str], fields: dict[str, Any]) -> dict[str, Any]:
    """Fill in what seldom happens, and leave it out where it did not."""
    seldom = {name: counts[name] for name in ("stale", "dropped") if name in fields}
    return {name: value for name, value in (fields | seldom).items() if value or name not in seldom}
