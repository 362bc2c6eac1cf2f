"""Who has exchanged what with whom: the edges of a run, in use, late, cut or idle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..monitoring.node_row import CLIENTS
from .text import names

MOST = 8192
IDLE_ROUNDS = 3  # after so many rounds of its receiver without it, an edge is idle

Key = tuple[str, str]
"""From whom, to whom."""


@dataclass(slots=True)
class Edge:
    late: bool = False
    bytes: int = 0
    messages: int = 0
    dropped: int = 0
    round: int = 0  # the last in which it counted


class Edges:
    """What went over each edge. `left_out` counts those beyond `MOST` that were heard of."""

    def __init__(self) -> None:
        self.left_out = 0
        self._edges: dict[Key, Edge] = {}
        self._at: dict[str, list[Key]] = {}  # by either end
        self._told: dict[Key, list[Any]] = {}

    def update(self, event: Mapping[str, Any]) -> None:
        kind, node, role = event.get("type"), str(event.get("node")), event.get("role")
        subject, said = str(event.get("subject")), event.get("round")
        match kind:
            case "exchange.received" if (edge := self._of(subject, node)) is not None:
                edge.bytes += _count(event, "bytes")
                edge.messages += _count(event, "count")
                edge.dropped += _count(event, "dropped") + _count(event, "stale")
            case "exchange.sent" if (edge := self._of(node, subject)) is not None:
                edge.dropped += _count(event, "dropped")
            case "round.completed" if role in ("peer", "coordinator") and isinstance(said, int):
                self._completed(node, event, said, both=role == "coordinator")
            case "metric.local" if role in CLIENTS:
                self._of_client(node, event)

    def all(self, state: Callable[[str], str], reached: Callable[[str], int]) -> list[list[Any]]:
        """Return every edge as a browser gets it; `state` and last `reached` round of a node are asked for by name."""
        return [_row(key, edge, state, reached) for key, edge in self._edges.items()]

    def changes(self, state: Callable[[str], str], reached: Callable[[str], int]) -> list[list[Any]]:
        """Return those that differ from what this has returned before."""
        rows = {(row[0], row[1]): row for row in self.all(state, reached)}
        found = [row for key, row in rows.items() if self._told.get(key) != row]
        self._told = rows
        return found

    def sources_of(self, node: str) -> list[str]:
        """Return the neighbors whose models a node mixes, or waits for."""
        return [a for a, b in self._at.get(node, ()) if b == node]

    def _completed(self, node: str, event: Mapping[str, Any], said: int, *, both: bool) -> None:
        missing = event.get("missing")
        for name in names(event.get("participants")):
            for key in ((name, node), (node, name)) if both else ((name, node),):
                if (edge := self._of(*key)) is not None:
                    edge.late, edge.round = False, max(edge.round, said)
                    edge.messages += both  # a client's task and its update; peers say what they exchanged
        for name in missing if isinstance(missing, Mapping) else ():
            if (edge := self._of(str(name), node)) is not None:
                edge.late = True

    def _of_client(self, node: str, event: Mapping[str, Any]) -> None:
        """A client's bytes go to its coordinator and come from there."""
        for key in self._at.get(node, ()):
            total = event.get("bytes_sent_total" if key[0] == node else "bytes_received_total")
            edge = self._edges[key]
            edge.bytes = max(edge.bytes, total) if isinstance(total, int) else edge.bytes

    def _of(self, a: str, b: str) -> Edge | None:
        edge = self._edges.get((a, b))
        if edge is not None:
            return edge
        if len(self._edges) >= MOST:
            self.left_out += 1
            return None
        for end in (a, b):
            self._at.setdefault(end, []).append((a, b))
        return self._edges.setdefault((a, b), Edge())


def _row(key: Key, edge: Edge, state: Callable[[str], str], reached: Callable[[str], int]) -> list[Any]:
    ends = {state(key[0]), state(key[1])}
    found = "use"
    if ends & {"lost", "left"}:
        found = "cut"
    elif edge.late or "suspect" in ends:
        found = "late"
    elif reached(key[1]) - edge.round > IDLE_ROUNDS or not edge.round:
        found = "idle"
    return [*key, found, edge.bytes, edge.messages, edge.dropped, edge.round]


def _count(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0
