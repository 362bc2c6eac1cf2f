"""Where the time of each node went, round by round: training, waiting, mixing; a message leaves beside these."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from ..monitoring.node_row import CLIENTS
from .text import number

IN_ALL = 8192  # spans that are kept, of all nodes together
AT_MOST, AT_LEAST = 240, 16  # of one node
LONGEST_S = 1e6  # what claims to have taken longer is none

Span = tuple[int, str, float, float]
"""Round, kind (``train``, ``wait``, ``mix``), and from when to when, in seconds since `Spans.origin`."""


class Spans:
    """The last spans of each node. `new` are those since it was cleared."""

    def __init__(self) -> None:
        self.origin: float | None = None  # unix seconds: of the first event that any span begins with
        self.limit = AT_MOST
        self.new: dict[str, deque[Span]] = {}
        self._kept: dict[str, deque[Span]] = {}
        self._trained: dict[str, tuple[int, float]] = {}  # of a client: the round, and when it had trained

    def update(self, event: Mapping[str, Any]) -> None:
        kind, node, said = event.get("type"), str(event.get("node")), event.get("round")
        if self.origin is None and kind in ("run.started", "round.started"):
            self.origin = number(event.get("time"))
        ended, took = number(event.get("time")), number(event.get("duration_s"))
        if ended is None or self.origin is None or not isinstance(said, int) or said < 1:
            return
        if took is None or not 0 <= took <= LONGEST_S:
            return
        if kind == "metric.local" and event.get("role") in CLIENTS:
            self._of_client(node, said, ended, took)
        elif kind == "round.completed" and event.get("role") == "peer":
            self._of_peer(node, said, ended, took, number(event.get("waiting_s")), number(event.get("mixing_s")))
        elif kind == "round.completed" and event.get("role") == "coordinator":
            folded = min(max(number(event.get("folding_s")) or 0.0, 0.0), took)
            self._put(node, (said, "wait", ended - took, ended - folded))
            if folded > 0:
                self._put(node, (said, "mix", ended - folded, ended))

    def all(self) -> dict[str, list[Span]]:
        return {node: list(spans) for node, spans in self._kept.items()}

    def _of_client(self, node: str, said: int, ended: float, took: float) -> None:
        before = self._trained.get(node)
        begun = ended - took
        if before is not None and before[1] < begun and begun - before[1] <= LONGEST_S:
            self._put(node, (before[0], "wait", before[1], begun))
        self._put(node, (said, "train", begun, ended))
        self._trained[node] = said, ended

    def _of_peer(
        self, node: str, said: int, ended: float, took: float, waited: float | None, mixed: float | None
    ) -> None:
        """A peer trains, waits for its neighbors, and mixes; to send is part of none, and takes no time of its own."""
        mixed = min(max(mixed or 0.0, 0.0), took)
        waited = min(max(waited or 0.0, 0.0), took - mixed)
        waits, mixes = ended - mixed - waited, ended - mixed
        self._put(node, (said, "train", ended - took, waits))
        if waited > 0:
            self._put(node, (said, "wait", waits, mixes))
        if mixed > 0:
            self._put(node, (said, "mix", mixes, ended))

    def _put(self, node: str, span: Span) -> None:
        if node not in self._kept:
            self._kept[node] = deque(maxlen=self.limit)
            self._bound()
        origin = self.origin or 0.0
        found = (span[0], span[1], round(span[2] - origin, 4), round(span[3] - origin, 4))
        self._kept[node].append(found)
        self.new.setdefault(node, deque(maxlen=self.limit)).append(found)

    def _bound(self) -> None:
        """Keep fewer of each, where there are more nodes."""
        limit = max(AT_LEAST, min(AT_MOST, IN_ALL // len(self._kept)))
        if limit < self.limit // 2 or limit == AT_LEAST < self.limit:
            self.limit = limit
            self._kept = {node: deque(spans, limit) for node, spans in self._kept.items()}
