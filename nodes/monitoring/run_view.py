"""The state of a run, computed from its events alone, without a clock: events in, rows out.

Events may come late, twice over a snapshot, or with gaps; a final event always wins.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..results.round_metrics import Sketch
from ..runtime.event_fitting import fitted
from .clusters import PeerClusters, find_clusters
from .event_fields import Fields, number_of
from .losses import Loss, Losses
from .node_row import CLIENTS, LEARNERS, NodeRow
from .notices import agreeing

MOST_MALFORMED = 256  # publishers and types whose malformed events are told apart
OTHERS = "others any"  # as a stream of events calls those that it does not tell apart


@dataclass
class RunView:
    """One run; call `update` with each of its events."""

    run: str = ""
    mode: str = ""
    data: str = ""
    model: str = ""
    rounds: int = 0
    target: str = ""  # what round 0 has found it to be, in words
    score_name: str = "accuracy"
    status: str = "starting"
    reason: str = ""
    round: int = 0  # the last that every living node has completed
    agreeing: str = ""  # how far round 0 is, in words, while it takes its time
    score: float | None = None  # of the global model, or the mean over the peers that are not lost
    loss: float | None = None
    evaluated_on: str = "test"  # or holdout: what score and loss are of
    rate: float | None = None  # rounds a second, as the nodes say
    staleness: float | None = None  # mean over the last step's updates, where there are no rounds
    sketches: dict[str, Sketch] = field(default_factory=dict)  # of the peers' last models
    rows: dict[str, NodeRow] = field(default_factory=dict)  # by name of the node
    stopping: str = ""  # why the run ends before its last round
    baselines: tuple[int, int] = (0, 0)  # models trained for comparison, and of how many
    malformed: dict[str, int] = field(default_factory=dict)  # events that do not fit their type, by publisher and type
    missed: int = 0  # events that were published and never received
    resumed_after: int = 0  # the last round of the previous incarnation
    insecure: bool = False  # somebody in it leaves its machine without keys
    waiting: str = ""  # for whom, before the next round can begin
    seen: float = 0.0
    first_round_at: float | None = None
    last_round_at: float | None = None
    completed: int | None = None  # rounds, as the end of the run has it
    incarnations: dict[str, int] = field(default_factory=dict)  # of each publisher, the newest
    ended_by: tuple[str, int] | None = None  # publisher and incarnation that said how the run ended
    losses: Losses = field(default_factory=Losses)
    final: set[str] = field(default_factory=set)  # nodes whose result is known: it stays, whatever still comes

    @property
    def finished(self) -> bool:
        return self.status in ("completed", "failed", "interrupted")

    @property
    def finishing(self) -> bool:
        """Whether the rounds are done, or about to be, and the run is not over: its nodes leave one after the other."""
        return not self.finished and bool(self.stopping or (self.rounds and self.round >= self.rounds))

    @property
    def training(self) -> list[NodeRow]:
        """Those who train: clients or peers; where only aggregators are known, these do for their regions."""
        rows = [row for row in self.rows.values() if row.role in ("client", "peer")]
        return rows or [row for row in self.rows.values() if row.role in CLIENTS]

    @property
    def regional(self) -> bool:
        """Whether clients are in regions."""
        return any(row.region and row.role == "client" for row in self.rows.values())

    @property
    def lost(self) -> list[str]:
        return sorted(name for name, row in self.rows.items() if row.state == "lost")

    def update(self, event: Fields) -> None:
        event = fitted(event)
        kind, at = str(event.get("type")), number_of(event.get("time")) or 0.0
        self.seen = max(self.seen, at)
        self.insecure = self.insecure or event.get("insecure") is True
        self._heard(str(event.get("node")), int(event.get("incarnation") or 0))
        row = self._row(event, at)
        number = event.get("round") if isinstance(event.get("round"), int) else None
        match kind:
            case "run.started":
                self._started(event)
            case "run.completed" | "run.failed":
                self._ended(kind, event)
            case "node.result":
                self._result(str(event.get("subject")), event)
            case "node.waiting":
                self.waiting = str(event.get("reason") or "")
            case "run.stopping":
                self.stopping = str(event.get("stopped_by") or "")
            case "baseline.progress":
                self.baselines = (int(event.get("done") or 0), int(event.get("models") or 0))
            case "malformed":
                whose = f"{event.get('subject')} {event.get('about')}"[:200]
                _count_malformed(self.malformed, whose, int(event.get("count") or 0))
            case "gap":
                self.missed += int(event.get("missed") or 0)
            case "node.suspect" | "node.lost":
                self._mark(str(event.get("subject")), kind.removeprefix("node."), str(event.get("node")), at)
            case "node.ready" if "subject" in event:  # another has heard of it again
                self._heard_again(str(event["subject"]), at)
            case "update.rejected":
                self.rows.setdefault(str(event.get("subject")), NodeRow()).rejected += 1
            case _ if row is not None and str(event.get("node")) not in self.final:
                self._of_node(kind, event, row, number, at)
        if self.finished and row is not None:
            self._settle(str(event.get("node")), row)

    def find_clusters(self) -> PeerClusters | None:
        """Return how far the living peers are apart, from the sketches of their weights; None for fewer than two."""
        living = {name: sketch for name, sketch in self.sketches.items() if self.rows[name].state != "lost"}
        lengths = {len(sketch) for sketch in living.values()}
        return find_clusters(living) if len(lengths) == 1 else None

    def eta_s(self) -> float | None:
        """Return the seconds until the last round at the pace so far; None where there is no pace yet.

        The pace is what the nodes say of it: who attached late has not seen all rounds.
        """
        if self.finished or self.round < 1:
            return None
        if self.rate:
            return max(0, self.rounds - self.round) / self.rate
        if self.first_round_at is None or self.last_round_at is None:
            return None
        done = max(1, self.round - self.resumed_after)
        return (self.last_round_at - self.first_round_at) / done * max(0, self.rounds - self.round)

    def _heard(self, node: str, incarnation: int) -> None:
        """Who said that the run is over, and has been started again since, goes on with it."""
        self.incarnations[node] = max(incarnation, self.incarnations.get(node, 0))
        if self.ended_by is not None and node == self.ended_by[0] and incarnation > self.ended_by[1]:
            self.status, self.reason, self.stopping = "starting", "", ""
            self.completed, self.ended_by = None, None
            self.final.clear()

    def _started(self, event: Fields) -> None:
        for name in ("mode", "data", "model"):
            setattr(self, name, str(event.get(name) or getattr(self, name)))
        self.rounds = int(event.get("rounds") or self.rounds)
        after = event.get("resumed_after")
        self.resumed_after = after if isinstance(after, int) else 0
        if self.status == "starting":
            self.status = "running"

    def _ended(self, kind: str, event: Fields) -> None:
        node, incarnation = str(event.get("node")), int(event.get("incarnation") or 0)
        if incarnation < self.incarnations[node]:  # it has been started again since
            return
        self.ended_by = (node, incarnation)
        self.status = str(event.get("status") or ("failed" if kind == "run.failed" else "completed"))
        self.reason = str(event.get("reason") or "")
        completed = event.get("completed_rounds")
        if kind == "run.completed" and isinstance(completed, int):
            self.completed = self.round = completed
            score, loss = self._score(event), number_of(event.get("loss"))
            self.score = self.score if score is None else score
            self.loss = self.loss if loss is None else loss
        for name, row in self.rows.items():
            self._settle(name, row)

    def _settle(self, name: str, row: NodeRow) -> None:
        """A run that has ended leaves nobody training, however late an event comes."""
        if row.state != "lost":
            row.state = "done"
            if name not in self.final and self.completed is not None:
                row.round = self.completed

    def _result(self, name: str, event: Fields) -> None:
        row = self.rows.setdefault(name, NodeRow())
        self.final.add(name)
        row.state = "lost" if event.get("state") == "lost" else "done"
        if row.state == "lost":
            self._mark(name, "lost", str(event.get("node")), number_of(event.get("time")) or 0.0)
        completed = event.get("completed_rounds")
        row.round = completed if isinstance(completed, int) else max(self.round, row.round)
        row.score, row.test_loss = self._score(event), number_of(event.get("loss"))
        row.sent = int(event.get("bytes_sent") or row.sent)
        row.received = int(event.get("bytes_received") or row.received)

    def _row(self, event: Fields, at: float) -> NodeRow | None:
        if event.get("role") not in LEARNERS:
            return None
        name = str(event.get("node"))
        newer = self.losses.outlived(name, at, int(event.get("incarnation") or 0))
        row = self.rows.setdefault(name, NodeRow(state="joined" if newer else "lost"))
        row.role, row.seen = str(event["role"]), max(row.seen, at)
        if row.state == "suspect" or (row.state == "lost" and newer and name not in self.final):
            row.state = "ready"
        return row

    def _mark(self, subject: str, state: str, by: str, at: float) -> None:
        row, loss = self.rows.get(subject), Loss(by, at, self.incarnations.get(subject))
        living = row is not None and row.living
        if state == "lost" and not self.losses.add(subject, loss, back=living):
            return
        # A late suspicion of a neighbor does not concern a node that has left or is known to be lost.
        if row is not None and (living or state == "lost"):
            row.state = state

    def _heard_again(self, subject: str, at: float) -> None:
        """Clocks of sites differ: who said that a node was lost says by the same clock that it is back."""
        row = self.rows.get(subject)
        if row is not None and row.state == "lost" and subject not in self.final and self.losses.outlived(subject, at):
            row.state = "ready"

    def _of_node(self, kind: str, event: Fields, row: NodeRow, number: int | None, at: float) -> None:
        if kind in ("round.started", "round.completed", "metric.local"):
            self.waiting = ""
        if kind in ("node.ready", "node.left"):
            if "subject" not in event:  # else it says so of another node
                row.turn(kind.removeprefix("node."))
                row.region = str(event.get("region") or row.region)
                if kind == "node.ready" and not any(other.role == "coordinator" for other in self.rows.values()):
                    self.waiting = "the coordinator" if row.role in CLIENTS else ""
        elif kind == "round.started":
            self._round_started(event, row, number, at)
        elif kind == "round.progress":
            self.agreeing = agreeing(event)
        elif kind == "round.completed":
            self._round_completed(event, row, number, at)
        elif kind == "metric.local":
            row.turn("sent" if row.role in CLIENTS else "exchanging")
            row.round = max(row.round, number or 0)
            _keep_sketch(self.sketches, event, row)
            if row.role == "peer":
                self._judged(event, row, "holdout")
                return
            row.loss = number_of(event.get("loss"))
            row.score = self._score(event) if self._score(event) is not None else row.score
            self._follow_client(row, event.get("rounds"))
            row.count(event)
        elif kind == "node.finished":
            row.turn("done")
            row.round = number or row.round
            self._follow_client(row, None)
        elif kind == "metric.test":
            _keep_sketch(self.sketches, event, row)
            self._judged(event, row, "holdout" if event.get("source") == "sites" else "test")

    def _follow_client(self, row: NodeRow, rounds: Any) -> None:
        """A client on its own publishes all there is to know; the coordinator has told it how many rounds there are."""
        if not any(other.role == "coordinator" for other in self.rows.values()):
            self.round = max(self.round, row.round)
            self.rounds = rounds if isinstance(rounds, int) and rounds else self.rounds

    def _judged(self, event: Fields, row: NodeRow, on: str) -> None:
        row.score, row.test_loss = self._score(event), number_of(event.get("loss"))
        self.evaluated_on = on
        self._evaluate(row)

    def _round_started(self, event: Fields, row: NodeRow, number: int | None, at: float) -> None:
        if self.status == "starting":
            self.status = "running"
        if number and self.first_round_at is None:
            self.first_round_at = at
        row.turn("asking" if row.role == "coordinator" else "training")
        if row.role == "peer" and number and number <= row.round:  # it was alone, and has gone back to the others
            row.round = number - 1
            self.round = min(self.round, row.round)
        listed = event.get("asked")
        asked = set(map(str, listed)) if isinstance(listed, list | tuple) else set[str]()
        for name, client in self.rows.items():
            if (name in asked or (client.role == "client" and client.region in asked)) and client.living:
                client.state = "training"

    def _round_completed(self, event: Fields, row: NodeRow, number: int | None, at: float) -> None:
        row.turn("ready")
        row.round = max(row.round, number or 0)
        self.agreeing = ""
        row.count(event)
        row.loss = number_of(event.get("loss"))
        if event.get("task"):
            labels = event["task"] == "classification"
            self.target = f"labels of {event.get('classes')} classes" if labels else "a quantity"
        row.rate = number_of(event.get("rounds_per_s")) or row.rate
        if row.role == "coordinator":
            self.rate = row.rate
            self.round = max(self.round, row.round)
            self.staleness = number_of(event.get("staleness_mean"))
            for client in self.rows.values():
                client.state = "ready" if client.state == "sent" else client.state
        else:
            self._follow_peers()
        if number:
            self.last_round_at = max(self.last_round_at or at, at)

    def _follow_peers(self) -> None:
        """The run is as far, and as fast, as the last of its living peers."""
        peers = [peer for peer in self.rows.values() if peer.role == "peer" and peer.living]
        self.round = max(self.round, min((peer.round for peer in peers), default=0))
        self.rate = min((peer.rate for peer in peers if peer.rate), default=self.rate)

    def _evaluate(self, row: NodeRow) -> None:
        if row.role == "coordinator":
            self.score, self.loss = row.score, row.test_loss
        else:
            self._evaluate_peers()

    def _evaluate_peers(self) -> None:
        # Who has done its rounds and left counts; who left before them is no longer part of what is learned.
        rows = (other for other in self.rows.values() if other.role == "peer" and other.state != "lost")
        peers = [peer for peer in rows if peer.living or peer.round >= self.round]
        self.score = _mean(peer.score for peer in peers)
        self.loss = _mean(peer.test_loss for peer in peers)

    def _score(self, event: Fields) -> float | None:
        if "r2" in event:
            self.score_name = "r2"
        return number_of(event.get("accuracy", event.get("r2")))


def _count_malformed(known: dict[str, int], whose: str, count: int) -> None:
    if whose in known or len(known) < MOST_MALFORMED:
        known[whose] = count
    else:  # a hostile publisher has a name for each; how often is not known of those that are not told apart
        known[OTHERS] = known.get(OTHERS, 0) + 1


def _keep_sketch(sketches: dict[str, Sketch], event: Fields, row: NodeRow) -> None:
    if row.role == "peer" and isinstance(event.get("sketch"), list | tuple):
        sketches[str(event["node"])] = event["sketch"]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    try:
        return statistics.fmean(known) if known else None
    except OverflowError:  # of finite numbers near the greatest there are
        return None
