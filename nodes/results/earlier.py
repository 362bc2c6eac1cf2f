"""What the earlier incarnations of a run have sent, and how long they took: from what they recorded of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

OWNERS = ("launcher", "coordinator")  # who says that a run has begun, and how it ended
UNATTRIBUTED = "unattributed"  # bytes of an incarnation that was killed: of which kind, nobody reported


@dataclass(frozen=True)
class Earlier:
    wall_s: float = 0.0
    bytes_sent: int = 0
    bytes_sent_by_kind: Mapping[str, int] = field(default_factory=dict)


def of_events(events: Iterable[Mapping[str, Any]], summary: Mapping[str, Any]) -> Earlier:
    """Return the sums over all incarnations in the events of a run folder.

    One that came to an orderly end has said its own and those before it. Of one that was killed, the time from its
    start to its last event counts, and what its nodes said they had sent. `summary` is the folder's,
    which knows the kinds.
    """
    wall_s, sent = 0.0, 0
    began = last = None
    totals: dict[tuple[str, Any], int] = {}
    for event in events:
        kind, at = event.get("type"), event.get("time")
        owner = event.get("role") in OWNERS
        if kind == "run.started" and owner:
            wall_s, sent = wall_s + _lasted(began, last), sent + sum(totals.values())
            began, totals = at, {}
        last = at
        total = event.get("bytes_sent_total")
        if isinstance(total, int):
            totals[str(event.get("node")), event.get("incarnation")] = total
        if kind in ("run.completed", "run.failed") and owner and isinstance(event.get("bytes_sent"), int):
            wall_s, sent = float(event.get("wall_s") or 0.0), int(event["bytes_sent"])
            began, totals = None, {}
    wall_s, sent = wall_s + _lasted(began, last), sent + sum(totals.values())
    kinds = {str(kind): int(count) for kind, count in (summary.get("bytes_sent_by_kind") or {}).items()}
    if sum(kinds.values()) > sent:
        kinds = {}
    unknown = sent - sum(kinds.values())
    return Earlier(wall_s, sent, kinds | ({UNATTRIBUTED: kinds.get(UNATTRIBUTED, 0) + unknown} if unknown else {}))


def _lasted(began: float | None, last: float | None) -> float:
    return 0.0 if began is None or last is None else max(0.0, last - began)
