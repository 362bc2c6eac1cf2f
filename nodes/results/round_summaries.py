"""The rounds of a gossip run in a run folder: one line for all its peers, in place of three events or more of each.

On the wire nothing changes. `RoundSummaries` sums up before lines are written, `unfolded` takes them apart for readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from .round_metrics import SUMMARY, consensus_distance

Event: TypeAlias = Mapping[str, Any]

HELD = 4096  # events in memory, whatever peers do; of the oldest round they are then written as they came
EXCHANGES_OVER = 50  # rounds over which what was exchanged with a neighbor is added up

COMPLETED = "round.completed"
JUDGED = ("metric.test", "metric.local")
_HEAD = frozenset(("type", "run", "node", "role", "incarnation", "seq", "time", "round"))
# Which follow from the rest, or which the last round has; a summary leaves them out.
_LEFT_OUT = frozenset(("elapsed_s", "rounds_per_s", "mass_out", "bytes_received_total"))
_SECONDS = ("duration_s", "waiting_s", "mixing_s")  # kept to the microsecond
_KEPT = frozenset(("participants", "closed_by", "age", "loss", "mass", "radius", *_SECONDS))
_BYTES = frozenset(f"bytes_{way}{end}" for way in ("sent", "received") for end in ("", "_total"))
_ORDINARY = ("all", "update")  # closings of a round in which nobody was missed
_SUMS = ("count", "bytes", "stale", "dropped")


@dataclass
class _Round:
    events: list[Event] = field(default_factory=list)  # as they came
    completed: dict[str, Event] = field(default_factory=dict)
    judged: dict[str, Event] = field(default_factory=dict)
    again: bool = False  # it was written before, or a peer has said something twice


class RoundSummaries:
    """Takes the events of a run as they arrive, and returns what is written of them.

    A round in which all went as planned becomes one ``round.summary`` as soon as every peer has completed it, and
    measured it where that is due; the first and the last one, and any other that was not like that, stay as they came.
    What a peer has exchanged with a neighbor is added up over 50 rounds. Everything else is returned at once.

    Parameters
    ----------
    every
        Rounds from one evaluation to the next.
    last
        The last round that was asked for, where no ``run.started`` says it.
    alone
        Whether the folder is that of one peer, which mixes with others that are not in it.
    """

    def __init__(self, every: int = 1, last: int | None = None, *, alone: bool = False) -> None:
        self._every, self._alone = every, alone
        self._ends: set[Any] = {0, 1, last}  # the rounds that stay as they came
        self._peers: dict[str, int] = {}  # those that are waited for, and the last round that each completed
        self._rounds: dict[int, _Round] = {}
        self._exchanges: dict[tuple[Any, ...], tuple[int, dict[str, Any]]] = {}  # since which round, and the sums
        self._held = self._seq = 0
        self._done = -1  # the last round that was written

    def take(self, event: Event) -> list[Event]:
        """Return what is to be written now that this event has come."""
        kind, node, number = event.get("type"), str(event.get("node")), event.get("round")
        if kind == "run.started":
            after = event.get("resumed_after")
            self._ends |= {event.get("rounds"), after + 1 if isinstance(after, int) else 1}
        gone = _gone(event)
        if gone is not None:
            self._peers.pop(gone, None)
            return [*self._added_up(gone), *self._settled(), event]
        if event.get("role") != "peer" or not isinstance(number, int):
            return [event]
        if kind in ("exchange.sent", "exchange.received"):
            return self._exchanged(event, number)
        if kind not in ("round.started", COMPLETED) and (kind not in JUDGED or number not in self._rounds):
            return [event]
        self._hold(event, node, number)
        return self._settled()

    def rest(self) -> list[Event]:
        """Return what is still held, as it came: the run has ended."""
        self._peers = {}
        return [*self._settled(), *self._added_up(None)]

    def _hold(self, event: Event, node: str, number: int) -> None:
        held, kind = self._rounds.setdefault(number, _Round(again=number <= self._done)), event["type"]
        held.events.append(event)
        self._held += 1
        if kind == "round.started":
            self._peers[node] = min(self._peers.get(node, number - 1), number - 1)
            return
        found = held.completed if kind == COMPLETED else held.judged
        held.again |= node in found
        found[node] = event
        if kind == COMPLETED:
            self._peers[node] = number

    def _settled(self) -> list[Event]:
        """Return the rounds of which no peer will say more, in their order."""
        lines: list[Event] = []
        while self._rounds:
            number = min(self._rounds)
            if self._held <= HELD and not self._is_settled(number):
                break
            held = self._rounds.pop(number)
            self._held -= len(held.events)
            self._done = max(self._done, number)
            summary = None if number in self._ends or not self._peers else self._summary(number, held)
            lines += held.events if summary is None else [summary]
        return lines

    def _is_settled(self, number: int) -> bool:
        held, due = self._rounds[number], number % self._every == 0 or number in self._ends
        return all(
            last > number or (node in held.completed and (not due or number == 0 or node in held.judged))
            for node, last in self._peers.items()
        )

    def _summary(self, number: int, held: _Round) -> Event | None:
        """Return the line for a round; None if it is not as planned, or one line could not say all that was said."""
        names = sorted(held.completed)
        kinds = {event["type"] for event in held.judged.values()}
        judged = sorted(held.judged) == names and len(kinds) == 1
        if held.again or not names or not (self._peers.keys() <= {*names}) or (held.judged and not judged):
            return None
        completed = [held.completed[name] for name in names]
        measured = [held.judged[name] for name in names] if judged else []
        if not all(map(_as_planned, completed)) or not all(map(_is_plain, measured)):
            return None
        others = sorted({name for event in completed for name in event["participants"]}.difference(names))
        if others and not self._alone:
            return None
        place = {name: index for index, name in enumerate((*names, *others))}
        self._seq += 1
        events = [*completed, *measured]
        line: dict[str, Any] = {"type": SUMMARY, "run": events[0].get("run"), "node": "launcher", "role": "launcher"}
        line |= {"incarnation": 0, "seq": self._seq, "time": max(event.get("time", 0.0) for event in events)}
        line |= {key: events[0].get(key) for key in ("node", "role", "incarnation") if self._alone}
        line |= {"round": number, "peers": names, **({"others": others} if others else {})}
        line[COMPLETED] = {
            "participants": [[place[name] for name in event["participants"]] for event in completed],
            **_columns(completed, _HEAD | _LEFT_OUT | {"participants"}),
        }
        if measured:
            line[kinds.pop()] = _columns(measured, _HEAD | {"sketch"})
        sketches = [event["sketch"] for event in measured if event.get("sketch")]
        if sketches and (len(sketches) < len(names) or len({*map(len, sketches)}) > 1):
            return None
        if len(sketches) > 1:
            line["consensus_distance"] = consensus_distance(sketches)
        return line

    def _exchanged(self, event: Event, number: int) -> list[Event]:
        """Add up what was exchanged with a neighbor; return the sum when it is of enough rounds."""
        key = (event.get("node"), event.get("incarnation"), event["type"], event.get("subject"))
        since, before = self._exchanges.get(key, (number, {}))
        added = {name: before.get(name, 0) + event.get(name, 0) for name in _SUMS if name in before or name in event}
        self._exchanges[key] = since, {**event, **added}
        return [self._exchanges.pop(key)[1]] if number - since >= EXCHANGES_OVER else []

    def _added_up(self, node: str | None) -> list[Event]:
        keys = [key for key in self._exchanges if node in (None, key[0])]
        return [self._exchanges.pop(key)[1] for key in keys]


def _gone(event: Event) -> str | None:
    """Return the node for which no round has to wait after this event: it has left, or nothing is heard of it."""
    match event.get("type"):
        case "node.suspect" | "node.lost" | "node.left" if "subject" in event:
            return str(event["subject"])
        case "node.left" | "run.failed" if event.get("role") == "peer":
            return str(event.get("node"))
    return None


def _as_planned(event: Event) -> bool:
    known = event.keys() <= _HEAD | _LEFT_OUT | _KEPT | _BYTES
    return known and event.get("closed_by") in _ORDINARY and bool(event.get("participants"))


def _is_plain(event: Event) -> bool:
    return all(isinstance(event[name], int | float | str) for name in event.keys() - _HEAD - {"sketch"})


def _columns(events: list[Event], without: frozenset[str]) -> dict[str, Any]:
    """Return each field by peer, in their order, or once where it is the same for all."""
    columns: dict[str, Any] = {}
    for name in sorted({name for event in events for name in event} - without):
        values = [event.get(name) for event in events]
        if name in _SECONDS:
            values = [value if value is None else round(value, 6) for value in values]
        columns[name] = values if any(value != values[0] for value in values) else values[0]
    return columns


class _Line(msgspec.Struct):
    run: str
    time: float
    round: int
    peers: list[str]
    others: list[str] = msgspec.field(default_factory=list)
    completed: dict[str, Any] = msgspec.field(name=COMPLETED, default_factory=dict)
    test: dict[str, Any] = msgspec.field(name=JUDGED[0], default_factory=dict)
    local: dict[str, Any] = msgspec.field(name=JUDGED[1], default_factory=dict)


def unfolded(lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the events of a run folder; after a ``round.summary`` those that it stands for, as far as it has them."""
    incarnations: dict[Any, Any] = {}  # of each peer, as the last event that stayed as it came has it
    for event in lines:
        yield event
        if event.get("type") == SUMMARY:
            yield from _of_summary(event, incarnations)
        elif event.get("role") == "peer" and isinstance(event.get("node"), str):
            incarnations[event["node"]] = event.get("incarnation")


def _of_summary(event: dict[str, Any], incarnations: Mapping[Any, Any]) -> Iterator[dict[str, Any]]:
    try:
        line = msgspec.convert(event, _Line)
    except msgspec.ValidationError:
        return  # of another version, or damaged
    names = [*line.peers, *line.others]
    for kind, columns in ((COMPLETED, line.completed), (JUDGED[0], line.test), (JUDGED[1], line.local)):
        for index, node in enumerate(line.peers if columns else ()):
            own = {name: _of_peer(column, index) for name, column in columns.items()}
            if "participants" in own:
                own["participants"] = [names[i] for i in _indexes(own["participants"], len(names))]
            head = {"type": kind, "run": line.run, "node": node, "role": "peer", "incarnation": incarnations.get(node)}
            known = {name: value for name, value in own.items() if value is not None}
            yield {**head, "time": line.time, "round": line.round, **known}


def _of_peer(column: Any, index: int) -> Any:
    if not isinstance(column, list):
        return column
    return column[index] if index < len(column) else None


def _indexes(found: Any, below: int) -> Iterable[int]:
    return [i for i in found if isinstance(i, int) and 0 <= i < below] if isinstance(found, list) else []
