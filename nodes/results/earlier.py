"""What the earlier incarnations of a run have sent, and how long they took: from what they recorded of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LAUNCHER = "launcher"
OWNERS = (LAUNCHER, "coordinator")  # who says how a run ended
LONGEST_S = 1e12  # beyond any run and any clock: what is more, or NaN, is nonsense
UNATTRIBUTED = "unattributed"  # bytes of an incarnation that was killed: of which kind, nobody reported


@dataclass(frozen=True)
class Earlier:
    wall_s: float = 0.0
    bytes_sent: int = 0
    bytes_sent_by_kind: Mapping[str, int] = field(default_factory=dict)


def of_events(events: Iterable[Mapping[str, Any]], summary: Mapping[str, Any]) -> Earlier:
    """Return the sums over all incarnations in the events of a run folder.

    One that came to an orderly end has said its own and those before it, and what its nodes still say is in that. Of
    one that was killed, the time from its start to its last event counts, and what its nodes said they had sent. An
    incarnation starts with the launcher or, in the folder of one node, with that node's first event. `summary` is the
    folder's, which knows the kinds; since some incarnation has written it, there was at least as much as it says.
    """
    wall_s, sent = 0.0, 0
    began = last = incarnation = None
    launched = over = False
    totals: dict[tuple[str, str], int] = {}
    for event in events:
        kind, at, role = event.get("type"), _finite(event.get("time")), event.get("role")
        launched = launched or role == LAUNCHER
        if (kind == "run.started" and role == LAUNCHER) or (not launched and event.get("incarnation") != incarnation):
            wall_s, sent = wall_s + _lasted(began, last), sent + sum(totals.values())
            began, totals, incarnation, over = at, {}, event.get("incarnation"), False
        if over:
            continue
        last = at
        total = event.get("bytes_sent_total")
        if isinstance(total, int):
            totals[str(event.get("node")), str(event.get("incarnation"))] = total
        if kind in ("run.completed", "run.failed") and role in OWNERS and isinstance(event.get("bytes_sent"), int):
            wall_s, sent = _finite(event.get("wall_s")) or 0.0, int(event["bytes_sent"])
            began, totals, over = None, {}, True
    wall_s, sent = wall_s + _lasted(began, last), sent + sum(totals.values())
    said = summary.get("bytes_sent_by_kind")
    kinds = {kind: count for kind, count in said.items() if isinstance(count, int)} if isinstance(said, dict) else {}
    wall_s, sent = max(wall_s, _finite(summary.get("wall_s")) or 0.0), max(sent, sum(kinds.values()))
    unknown = sent - sum(kinds.values())
    return Earlier(wall_s, sent, kinds | ({UNATTRIBUTED: kinds.get(UNATTRIBUTED, 0) + unknown} if unknown else {}))


def _finite(value: Any) -> float | None:
    """Return a number of seconds, None for what is none: a folder is what people and disks have made of it."""
    return float(value) if isinstance(value, int | float) and abs(value) <= LONGEST_S else None


def _lasted(began: float | None, last: float | None) -> float:
    return 0.0 if began is None or last is None else max(0.0, last - began)
