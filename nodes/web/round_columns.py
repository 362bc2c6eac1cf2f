"""The rounds of a run as columns for curves; of many, the older ones more and more coarsely."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..runtime.round_history import Row
from .text import number

MOST = 4096  # rows; beyond, of the older half each two become one
OFTEN = 64  # rounds: a run is measured at least so often
COLUMNS = (
    "round",
    "metric",
    "worst",
    "best",
    "loss",
    "train_loss",
    "consensus_distance",
    "bytes",
    "duration_s",
    "closed_by",
    "participants",
)

Columns = dict[str, list[Any]]


class RoundColumns:
    """Rows by round. `changed` are rounds that came or changed since it was cleared; `thinned`, whether any went."""

    def __init__(self, most: int = MOST) -> None:
        self.changed: set[int] = set()
        self.thinned = False
        self._most = most
        self._rows: dict[int, dict[str, Any]] = {}
        self._covered = 0  # the last round of which less than a row of its own is left

    def put(self, row: Row, metric: str) -> None:
        """Take what is known of a round, by the names of ``round_metrics.jsonl``; what knows of fewer peers is late."""
        found = _row(row, metric)
        before = self._rows.get(found["round"])
        if found["round"] <= self._covered or found == before:
            return
        if before is not None and (before["participants"] or 0) > (found["participants"] or 0) and "peers" in row:
            return
        self._rows[found["round"]] = found
        self.changed.add(found["round"])
        if len(self._rows) > self._most:
            self._thin()

    def rewind(self, after: int) -> None:
        """Forget the rounds after one, from which the run was resumed."""
        later = [number for number in self._rows if number > after]
        for number_ in later:
            del self._rows[number_]
        self.thinned = self.thinned or bool(later)
        self._covered = min(self._covered, after)

    def last_ends(self) -> tuple[float | None, float | None]:
        """Return the worst and the best of the last round that has both."""
        for said in sorted(self._rows, reverse=True)[:OFTEN]:
            row = self._rows[said]
            if row["worst"] is not None and row["best"] is not None:
                return row["worst"], row["best"]
        return None, None

    def columns(self, rounds: Iterable[int] | None = None) -> Columns:
        """Return the columns of all rounds, or of some."""
        chosen = sorted(self._rows if rounds is None else self._rows.keys() & set(rounds))
        return {name: [self._rows[number][name] for number in chosen] for name in COLUMNS}

    def _thin(self) -> None:
        numbers = sorted(self._rows)
        older = numbers[: len(numbers) // 4 * 2]
        for first, second in zip(older[::2], older[1::2], strict=True):
            self._rows[second] = _merged(self._rows.pop(first), self._rows[second])
        self.changed &= self._rows.keys()  # of which there may be many, while nobody looks
        self._covered = max(self._covered, older[-1])
        self.thinned = True


def _row(row: Row, metric: str) -> dict[str, Any]:
    closings = row.get("closings") or {}
    moved = (number(row.get("bytes_sent")) or 0) + (0 if "peers" in row else number(row.get("bytes_received")) or 0)
    return {
        "round": row["round"],
        "metric": number(row.get(metric)),
        "worst": number(row.get(f"{metric}_min")),
        "best": number(row.get(f"{metric}_max")),
        "loss": number(row.get("loss")),
        "train_loss": number(row.get("train_loss")),
        "consensus_distance": number(row.get("consensus_distance")),
        "bytes": moved,
        "duration_s": number(row.get("duration_s")),
        "closed_by": row.get("closed_by") or max(closings, key=closings.__getitem__, default=None),
        "participants": row.get("participants", row.get("peers")),
    }


def _merged(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Return two rows as one: the later, with the worst and the best of both, their bytes, and the mean time."""

    def both(name: str, of: Any) -> Any:
        known = [row[name] for row in (a, b) if row[name] is not None]
        return of(known) if known else None

    return {
        **b,
        "worst": both("worst", min),
        "best": both("best", max),
        "bytes": a["bytes"] + b["bytes"],
        "duration_s": both("duration_s", lambda known: sum(known) / len(known)),
        "participants": both("participants", min),
    }
