"""Every round of a node in figures, from its own events: reported with its result, since events may be lost."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row: TypeAlias = dict[str, Any]
"""What is known of one round; see `completed_row` and `judged_row`. What is not known is left out."""

Reported: TypeAlias = tuple[Mapping[str, Any], Any]
"""Rounds of a node as `RoundHistory.to_report` returns them, for `rows_of`."""

SCORES = ("accuracy", "r2")
_ON = ("test", "holdout")
_FIGURES = ("duration_s", "train_loss", "bytes_sent", "bytes_received", "loss", "loss_min", "loss_max")
_SCORED = tuple(f"{score}{end}" for score in SCORES for end in ("", "_min", "_max"))
_ALWAYS = ("round", "closed_by", "participants")
_BLOCK = 256  # rounds
_COLUMNS = (*_ALWAYS, "evaluated_on", *_FIGURES, *_SCORED)


def completed_row(fields: Mapping[str, Any]) -> Row:
    """Return what the fields of ``round.completed`` say of a round; ``participants`` is how many there were."""
    row = {
        "closed_by": fields.get("closed_by"),
        "participants": len(fields.get("participants") or ()),
        "duration_s": fields.get("duration_s"),
        "train_loss": _finite(fields.get("loss")),
        "bytes_sent": fields.get("bytes_sent"),
        "bytes_received": fields.get("bytes_received"),
    }
    return {key: value for key, value in row.items() if value is not None}


def judged_row(kind: str, fields: Mapping[str, Any]) -> Row:
    """Return what an evaluation says of a round's model: ``evaluated_on`` is ``test``, or ``holdout`` where it was
    measured on rows of the sites, or of the peer, that are kept apart. Empty for what is no evaluation of it.
    """
    if kind not in ("metric.test", "metric.local"):
        return {}
    local = kind == "metric.local" or fields.get("source") == "sites"
    spread = fields.get("spread") or {}
    row: Row = {}
    for name in ("loss", *SCORES):
        value = _finite(fields.get(name))
        if value is None:
            continue
        row[name] = value
        for end in ("min", "max"):
            outer = _finite(spread.get(name, {}).get(end))
            if outer is not None:
                row[f"{name}_{end}"] = outer
    return {"evaluated_on": _ON[local], **row} if row else {}


class RoundHistory:
    """The rounds of one node, in a few numbers each: a run of a million rounds takes no more than they do.

    There is a column for what any round of the run has: no run has all figures. Rows are in blocks, so that more of
    them move none.
    """

    def __init__(self) -> None:
        self._columns: list[str] = list(_ALWAYS)
        self._blocks = [array("d")]
        self._closings: list[str] = []
        self._carried = {"bytes_sent": 0, "bytes_received": 0}  # of round 0, which is no row: they go with the first

    def __len__(self) -> int:
        return sum(map(len, self._blocks)) // len(self._columns)

    def completed(self, fields: Mapping[str, Any]) -> None:
        row, number = completed_row(fields), int(fields["round"])
        for name, count in self._carried.items():
            row[name] = int(row.get(name, 0)) + count
        if not number:
            self._carried = {name: row[name] for name in self._carried}
            return
        self._carried = dict.fromkeys(self._carried, 0)
        if row.get("closed_by") not in self._closings:
            self._closings.append(str(row.get("closed_by")))
        code = self._closings.index(str(row.get("closed_by")))
        known = {**row, "round": number, "closed_by": code}
        self._widen(known)
        if len(self._blocks[-1]) >= _BLOCK * len(self._columns):
            self._blocks.append(array("d"))
        self._blocks[-1].extend(float(known.get(name, math.nan)) for name in self._columns)

    def judged(self, kind: str, fields: Mapping[str, Any]) -> None:
        row, number = judged_row(kind, fields), int(fields.get("round", -1))
        if row:
            self._widen(row)
        for block, start in self._newest_first() if row else ():
            if block[start] < number:
                return
            if block[start] == number:
                known = {**row, "evaluated_on": _ON.index(row["evaluated_on"])}
                for name, value in known.items():
                    block[start + self._columns.index(name)] = float(value)
                return

    def _newest_first(self) -> Iterator[tuple[array[float], int]]:
        """Yield where each row begins."""
        width = len(self._columns)
        for block in reversed(self._blocks):
            for start in range(len(block) - width, -1, -width):
                yield block, start

    def _widen(self, row: Row) -> None:
        """Make a column for each figure that no round had before."""
        new = [name for name in _COLUMNS if name in row and name not in self._columns]
        width, blocks = len(self._columns), self._blocks if new else []
        for place, before in enumerate(blocks):
            self._blocks[place] = array("d")
            for start in range(0, len(before), width):
                self._blocks[place].extend((*before[start : start + width], *(math.nan for _ in new)))
        self._columns += new

    def to_report(self) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Return what makes rows of the numbers, and the numbers."""
        import numpy as np  # not for a monitor, which only reads rows

        how = {"columns": list(self._columns), "closings": list(self._closings)}
        return how, np.concatenate([np.asarray(block, dtype=np.float64) for block in self._blocks])

    def to_reports(self, most_bytes: int) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Yield the same in parts of whole rounds, whose numbers take at most so many bytes (of one, if need be)."""
        how, numbers = self.to_report()
        width = len(self._columns)
        step = max(1, most_bytes // (width * numbers.itemsize)) * width
        for start in range(0, numbers.size, step):
            yield how, numbers[start : start + step]


def rows_of(fields: Mapping[str, Any], numbers: Any) -> Iterator[tuple[int, Row]]:
    """Yield number and figures of each round of what `RoundHistory.to_report` returned."""
    import numpy as np

    columns, closings = fields["columns"], fields["closings"]
    whole = {"participants", "bytes_sent", "bytes_received"}
    for values in np.asarray(numbers, dtype=np.float64).reshape(-1, len(columns)).tolist():
        known = {name: value for name, value in zip(columns, values, strict=True) if value == value}
        row: Row = {name: int(value) if name in whole else value for name, value in known.items()}
        row["closed_by"] = closings[int(known["closed_by"])]
        if "evaluated_on" in known:
            row["evaluated_on"] = _ON[int(known["evaluated_on"])]
        yield int(row.pop("round")), row


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
