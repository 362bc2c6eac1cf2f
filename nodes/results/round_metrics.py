"""``round_metrics.jsonl``: every round of a run as one object, from the reports of its nodes, and from events."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from ..runtime.event_fitting import fitted
from ..runtime.round_history import SCORES, Row, completed_row, judged_row

Sketch: TypeAlias = Sequence[float]
Rounds: TypeAlias = Mapping[str, Mapping[int, Row]]
"""What is known of each round by each node, coordinator or peer."""

FILE = "round_metrics.jsonl"
SUMMARY = "round.summary"  # the type of a line that sums up a round of a gossip run
GREAT = 1e300  # sums of figures beyond it may overflow


class RecordedRounds:
    """What events say of the rounds of a run, in any order; of one that was run again, what came last.

    `sketches` are those of the peers' models, by round and name; `distances` what was recorded in their place.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]] = ()) -> None:
        self.rounds: dict[str, dict[int, Row]] = defaultdict(dict)
        self.sketches: dict[int, dict[str, Sketch]] = defaultdict(dict)
        self.distances: dict[int, float] = {}
        self.rewound: int | None = None  # the first round after which a run was resumed
        self._roles: set[Any] = set()
        for event in events:
            self.add(event)

    def add(self, event: Mapping[str, Any]) -> None:
        event = fitted(event)  # a run folder holds what was received, whoever published it
        kind, node, number = str(event.get("type")), str(event.get("node")), event.get("round")
        if kind == "run.started" and isinstance(event.get("resumed_after"), int):
            self._rewind(after := int(event["resumed_after"]))
            self.rewound = after if self.rewound is None else min(self.rewound, after)
        distance = event.get("consensus_distance")
        if kind == SUMMARY and isinstance(number, int) and isinstance(distance, int | float):
            self.distances[number] = float(distance)
        if not isinstance(number, int) or event.get("role") not in ("coordinator", "peer"):
            return
        self._roles.add(event["role"])
        row = completed_row(event) if kind == "round.completed" else judged_row(kind, event)
        if row:
            self.rounds[node].setdefault(number, {}).update(row)
        if row and isinstance(event.get("sketch"), list | tuple) and event["sketch"]:
            self.sketches[number][node] = event["sketch"]

    def take(self, before: float = math.inf) -> RecordedRounds:
        """Return what is known of the rounds before one, and forget it; so a run need not be held as a whole."""
        taken = RecordedRounds()
        taken._roles = self._roles
        taken.rewound, self.rewound = self.rewound, None
        for node, known in self.rounds.items():
            taken.rounds[node] = _taken(known, before)
        taken.sketches.update(_taken(self.sketches, before))
        taken.distances = _taken(self.distances, before)
        return taken

    def only(self, numbers: set[int]) -> RecordedRounds:
        """Return what is known of some rounds."""
        chosen = RecordedRounds()
        chosen._roles = self._roles
        for node, known in self.rounds.items():
            chosen.rounds[node] = {number: known[number] for number in numbers & known.keys()}
        for number in numbers:
            if number in self.sketches:
                chosen.sketches[number] = self.sketches[number]
            if number in self.distances:
                chosen.distances[number] = self.distances[number]
        return chosen

    @property
    def numbers(self) -> set[int]:
        """Rounds of which something is known."""
        return set().union(*self.rounds.values(), self.sketches, self.distances)

    @property
    def mode(self) -> str:
        """What the run was, by who has completed rounds."""
        return "federated" if "coordinator" in self._roles else "gossip"

    def _rewind(self, after: int) -> None:
        everything: list[dict[int, Any]] = [*self.rounds.values(), self.sketches, self.distances]
        for known in everything:
            for number in [number for number in known if number > after]:
                del known[number]


def _taken(known: dict[int, Any], before: float) -> dict[int, Any]:
    return {number: known.pop(number) for number in [number for number in known if number < before]}


def run_rows(mode: str, recorded: RecordedRounds, reported: Rounds) -> list[Row]:
    """Return the rows of a run, in the order of its rounds: reported figures, and those of events where there are none.

    Federated: as the coordinator has them. Gossip: means over the peers that completed the round, with least and
    greatest, sums of bytes, and how many closed it by what.
    """
    names = sorted({*recorded.rounds, *reported})
    by_node = {name: _of_node(recorded.rounds.get(name, {}), reported.get(name, {})) for name in names}
    rows: list[Row] = []
    for number in sorted({number for rounds in by_node.values() for number in rounds}):
        known = {name: rounds[number] for name, rounds in by_node.items() if "closed_by" in rounds.get(number, {})}
        if known and mode == "gossip":
            sketches, distance = recorded.sketches.get(number, {}), recorded.distances.get(number)
            rows.append({"round": number, **_of_peers(known, sketches, distance)})
        elif known:
            rows.append({"round": number, **next(iter(known.values()))})
    return rows


def with_earlier(rows: Sequence[Row], earlier: Sequence[Row], resumed: int) -> list[Row]:
    """Return the rows of a run that was resumed after a round: up to that as the incarnation before wrote them."""
    known = {row["round"]: row for row in rows} | {row["round"]: row for row in earlier if row["round"] <= resumed}
    return [known[number] for number in sorted(known)]


def with_dropped(rows: Sequence[Row], earlier: Sequence[Row], recorded: RecordedRounds) -> list[Row]:
    """Return the rows of a run of which events were dropped: `earlier`, as they were written then, and those since.

    `recorded` are the events since. A round can be in both: events of it that were dropped, and some that came after.
    """
    rewound = math.inf if recorded.rewound is None else recorded.rewound
    known = {row["round"]: row for row in earlier if row["round"] <= rewound}
    if recorded.mode == "federated":
        for number, judged in (item for rounds in recorded.rounds.values() for item in rounds.items()):
            if number in known:
                known[number] = {**known[number], **judged}
    for row in rows:
        before = known.get(row["round"], {})
        more = before.get("peers", 0) > row.get("peers", 0)
        known[row["round"]] = {**row, **before} if more else {**before, **row}
    return [known[number] for number in sorted(known)]


def _of_node(recorded: Mapping[int, Row], reported: Mapping[int, Row]) -> dict[int, Row]:
    """Return the rounds of a node; the bytes of round 0, which is no row, go with the first, as in what is reported."""
    rounds = {number: dict(row) for number, row in recorded.items() if number}
    if 1 in rounds:
        for name in ("bytes_sent", "bytes_received"):
            rounds[1][name] = rounds[1].get(name, 0) + recorded.get(0, {}).get(name, 0)
    return {**rounds, **reported}


def _of_peers(known: Mapping[str, Row], sketches: Mapping[str, Sketch], distance: float | None) -> Row:
    rows = list(known.values())
    found: Row = {"peers": len(rows), "closings": dict(sorted(Counter(row["closed_by"] for row in rows).items()))}
    found["alone"] = sum(not row.get("participants") for row in rows)
    for name in ("bytes_sent", "bytes_received"):
        found[name] = sum(row.get(name, 0) for row in rows)
    for name in ("duration_s", "train_loss", "loss", *SCORES):
        values = [row[name] for row in rows if name in row]
        if values:
            found[name] = statistics.fmean(values) if max(map(abs, values)) < GREAT else None
        if values and name in ("loss", *SCORES):
            found |= {f"{name}_min": min(values), f"{name}_max": max(values)}
    judged = [row["evaluated_on"] for row in rows if "evaluated_on" in row]
    if judged:
        found["evaluated_on"] = judged[0]
    there = [sketch for name, sketch in sorted(sketches.items()) if name in known]
    if len(there) > 1 and len({len(sketch) for sketch in there}) == 1:
        found["consensus_distance"] = consensus_distance(there)
    elif distance is not None:
        found["consensus_distance"] = distance
    return found


def consensus_distance(sketches: Sequence[Sketch]) -> float:
    """Return sqrt(mean_i ||s_i - mean||²) of equally long sketches, which keep distances in expectation."""
    mean = [math.fsum(column) / len(sketches) for column in zip(*sketches, strict=True)]
    return math.sqrt(math.fsum(math.dist(sketch, mean) ** 2 for sketch in sketches) / len(sketches))


def read_rows(folder: Path) -> list[Row]:
    """Return the rows that stand in a run folder; none where there is no such file, or what is no row."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
        rows = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines if line]
    except (OSError, msgspec.DecodeError):
        return []
    return [row for row in rows if isinstance(row.get("round"), int)]
