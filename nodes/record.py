"""What a node's result is judged by: counted from its own decisions as they are made, and reported by request and
reply.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

DISTURBING = {"node.suspect": "suspected", "node.lost": "lost", "round.failed": "a round failed"}
INCOMPLETE = {"deadline", "overtaken"}


class Record:
    """Follows a node's events and completed rounds; `facts` is its report."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.completed = 0
        self.metrics: dict[str, Any] = {}
        self.worst: str | None = None
        self.round_s: list[float] = []
        self.rejected: Counter[str] = Counter()
        self.disturbed: list[str] = []
        self.personal: dict[str, float] = {}

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Take note of an event that this node publishes."""
        if kind == "round.completed":
            self._round(fields)
        elif kind == "metric.test" or (kind == "metric.local" and self.role == "peer"):
            self.metrics = {k: v for k, v in fields.items() if isinstance(v, (int, float))}
            if isinstance(fields.get("worst"), dict):
                self.worst = fields["worst"].get("site")
        elif kind == "metric.personal":
            self.personal = {k: float(v) for k, v in fields.items() if k != "round"}
        elif kind == "update.rejected":
            self.rejected[str(fields.get("subject"))] += 1
        elif kind in DISTURBING:
            subject = fields.get("subject", "")
            self.disturbed.append(f"{DISTURBING[kind]} {subject}: {fields.get('reason', '')}".replace(" :", ":"))

    def _round(self, fields: Mapping[str, Any]) -> None:
        number = int(fields["round"])
        if number:
            self.completed = number
            self.round_s.append(float(fields["duration_s"]))
        by = fields.get("closed_by")
        if by in INCOMPLETE or fields.get("missing"):
            missing = "; ".join(f"{name}: {why}" for name, why in sorted(fields.get("missing", {}).items()))
            self.disturbed.append(f"round {number} closed by {by} without {missing}")

    def facts(self, counters: Any) -> dict[str, Any]:
        """Give the report, with the transport's byte counts."""
        found: dict[str, Any] = {
            "role": self.role,
            "completed_rounds": self.completed,
            "metrics": self.metrics,
            "bytes_sent": counters.bytes_sent,
            "bytes_received": counters.bytes_received,
            "bytes_sent_by_kind": dict(counters.sent_by_kind),
            "round_s": self.round_s[-10_000:],
            "rejected": dict(self.rejected),
            "disturbed": self.disturbed[:100],
        }
        if self.personal:
            found["personal"] = self.personal
        if self.worst:
            found["worst_site"] = self.worst
        return found
