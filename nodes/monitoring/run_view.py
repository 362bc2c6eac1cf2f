"""The state of a run as its events tell it: folded without a clock, so that any view of it can be tested.

Events may come late, twice over a snapshot, or with gaps; a final event always wins.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nervenet.nodes.monitoring.clusters import PeerClusters, find_clusters

LEARNERS = ("coordinator", "client", "peer")
GONE = ("lost", "left", "done")
TOLD = frozenset(
    {"node.suspect", "node.lost", "round.failed", "update.rejected", "run.stopping", "run.failed", "warning", "gap"}
)


@dataclass
class Row:
    """What is known of one node."""

    role: str = ""
    state: str = "joined"
    round: int = 0
    loss: float | None = None  # of its training
    test_loss: float | None = None
    score: float | None = None
    sent: int = 0
    received: int = 0
    rejected: int = 0
    seen: float = 0.0  # unix seconds of its last event

    @property
    def living(self) -> bool:
        """Whether it still takes part, as far as anybody said."""
        return self.state not in GONE


@dataclass
class RunView:
    """One run."""

    run: str = ""
    mode: str = ""
    data: str = ""
    model: str = ""
    rounds: int = 0
    score_name: str = "accuracy"
    status: str = "starting"
    reason: str = ""
    round: int = 0  # the last round that everybody who still takes part has completed
    score: float | None = None  # on the test set: the global model's, or the mean of the living peers'
    loss: float | None = None
    staleness: float | None = None  # of the last step's updates, in the mean, where there are no rounds
    projections: dict[str, Sequence[float]] = field(default_factory=dict)  # of the peers' last models
    rows: dict[str, Row] = field(default_factory=dict)
    missed: int = 0
    resumed_after: int = 0  # the last round of this run's former life
    seen: float = 0.0
    first_round_at: float | None = None
    last_round_at: float | None = None

    @property
    def finished(self) -> bool:
        """Whether a final event has come."""
        return self.status in ("completed", "failed", "interrupted")

    @property
    def lost(self) -> list[str]:
        """Names of the nodes that were lost."""
        return sorted(name for name, row in self.rows.items() if row.state == "lost")

    def fold(self, event: Mapping[str, Any]) -> None:
        """Take one event in; unknown types and missing fields change nothing."""
        kind, at = str(event.get("type")), _number(event.get("time")) or 0.0
        self.seen = max(self.seen, at)
        row = self._row(event, at)
        number = event.get("round") if isinstance(event.get("round"), int) else None
        match kind:
            case "run.started":
                self._started(event)
            case "run.completed" | "run.failed":
                self.status = "failed" if kind == "run.failed" else str(event.get("status") or "completed")
                self.reason = str(event.get("reason") or "")
            case "gap":
                self.missed += int(event.get("missed") or 0)
            case "node.suspect" | "node.lost":
                self._doubt(str(event.get("subject")), "lost" if kind == "node.lost" else "suspect")
            case "update.rejected":
                self._subject(event).rejected += 1
            case _ if row is not None:
                self._of_node(kind, event, row, number, at)

    def find_clusters(self) -> PeerClusters | None:
        """How far the living peers are apart, as far as two or more have told a projection of their weights."""
        living = {name: told for name, told in self.projections.items() if self.rows[name].living}
        lengths = {len(told) for told in living.values()}
        return find_clusters(living) if len(lengths) == 1 else None

    def eta_s(self) -> float | None:
        """Seconds that the rounds to come will take at the pace so far; None where there is no pace yet."""
        if self.finished or self.first_round_at is None or self.last_round_at is None or self.round < 1:
            return None
        done = max(1, self.round - self.resumed_after)  # in this life of the run
        return (self.last_round_at - self.first_round_at) / done * max(0, self.rounds - self.round)

    def _started(self, event: Mapping[str, Any]) -> None:
        for name in ("mode", "data", "model"):
            setattr(self, name, str(event.get(name) or getattr(self, name)))
        self.rounds = int(event.get("rounds") or self.rounds)
        after = event.get("resumed_after")
        self.resumed_after = after if isinstance(after, int) else 0
        if self.status == "starting":
            self.status = "running"

    def _row(self, event: Mapping[str, Any], at: float) -> Row | None:
        if event.get("role") not in LEARNERS:
            return None
        row = self.rows.setdefault(str(event.get("node")), Row())
        row.role = str(event["role"])
        row.seen = max(row.seen, at)
        if row.state == "suspect":
            row.state = "ready"
        return row

    def _subject(self, event: Mapping[str, Any]) -> Row:
        return self.rows.setdefault(str(event.get("subject")), Row())

    def _doubt(self, subject: str, state: str) -> None:
        row = self.rows.get(subject)
        # One neighbor's late suspicion says nothing of a node that has left or is known to be lost.
        if row is not None and (row.living or state == "lost"):
            row.state = state

    def _of_node(self, kind: str, event: Mapping[str, Any], row: Row, number: int | None, at: float) -> None:
        if kind == "node.ready":
            row.state = "ready"
        elif kind == "node.left":
            row.state = "left"
        elif kind == "round.started":
            self._round_started(event, row, number, at)
        elif kind == "round.completed":
            self._round_completed(event, row, number, at)
        elif kind == "metric.local":
            row.state = "sent" if row.role == "client" else "exchanging"
            row.round = max(row.round, number or 0)
            row.loss = _number(event.get("loss"))
            row.score = self._score(event) if self._score(event) is not None else row.score
            if row.role == "client" and not any(other.role == "coordinator" for other in self.rows.values()):
                self.round = max(self.round, row.round)  # a client by itself has nobody else's word
            self._count(row, event)
            self._project(event, row)
        elif kind == "metric.test":
            row.score, row.test_loss = self._score(event), _number(event.get("loss"))
            self._project(event, row)
            self._judge(row)

    def _project(self, event: Mapping[str, Any], row: Row) -> None:
        if row.role == "peer" and isinstance(event.get("sketch"), list | tuple):
            self.projections[str(event["node"])] = event["sketch"]

    def _round_started(self, event: Mapping[str, Any], row: Row, number: int | None, at: float) -> None:
        if self.status == "starting":
            self.status = "running"
        if number and self.first_round_at is None:
            self.first_round_at = at
        row.state = "asking" if row.role == "coordinator" else "training"
        asked = event.get("asked")
        for name in asked if isinstance(asked, list | tuple) else ():
            client = self.rows.get(str(name))
            if client is not None and client.living:
                client.state = "training"

    def _round_completed(self, event: Mapping[str, Any], row: Row, number: int | None, at: float) -> None:
        row.state, row.round = "ready", max(row.round, number or 0)
        self._count(row, event)
        row.loss = _number(event.get("loss"))
        if row.role == "coordinator":
            self.round = max(self.round, row.round)
            self.staleness = _number(event.get("staleness_mean"))
            for client in self.rows.values():
                client.state = "ready" if client.state == "sent" else client.state
        else:
            peers = [peer.round for peer in self.rows.values() if peer.role == "peer" and peer.living]
            self.round = max(self.round, min(peers, default=0))
        if number:
            self.last_round_at = max(self.last_round_at or at, at)

    def _judge(self, row: Row) -> None:
        if row.role == "coordinator":
            self.score, self.loss = row.score, row.test_loss
            return
        peers = [peer for peer in self.rows.values() if peer.role == "peer" and peer.living]
        self.score = _mean(peer.score for peer in peers)
        self.loss = _mean(peer.test_loss for peer in peers)

    def _score(self, event: Mapping[str, Any]) -> float | None:
        if "r2" in event:
            self.score_name = "r2"
        return _number(event.get("accuracy", event.get("r2")))

    @staticmethod
    def _count(row: Row, event: Mapping[str, Any]) -> None:
        row.sent += int(event.get("bytes_sent") or 0)
        row.received += int(event.get("bytes_received") or 0)


def told(event: Mapping[str, Any]) -> str | None:
    """The line for an event that a user should read even if no table shows it; None for all others."""
    kind = event.get("type")
    if kind not in TOLD:
        return None
    if kind == "gap":
        return f"missed {event.get('missed')} events of {event.get('subject')}"
    subject = event.get("subject") or event.get("node")
    at = f" in round {event['round']}" if event.get("round") is not None else ""
    words = {
        "node.suspect": f"{subject} is suspected",
        "node.lost": f"{subject} is lost",
        "round.failed": f"round {event.get('round')} failed",
        "update.rejected": f"an update of {subject} was rejected{at}",
        "run.stopping": f"the run ends with round {event.get('round')}",
        "run.failed": "the run failed",
        "warning": str(event.get("node")),
    }[str(kind)]
    return f"{words}: {event['reason']}" if event.get("reason") else words


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
