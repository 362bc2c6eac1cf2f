"""One run as browsers see it, folded from its events: pure, without a clock; what it holds is bounded.

`whole` is all of it, `changes` what has come since the last call. docs/watching.md has the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..monitoring.event_fields import Fields
from ..monitoring.node_row import LEARNERS, NodeRow
from ..results.round_metrics import RecordedRounds, read_rows, run_rows
from ..runtime.event_fitting import Fitted, fitted
from ..runtime.event_types import Event
from .edges import Edges
from .feed import Feed
from .headline import headline, outcome
from .large_view import LargeView
from .node_curves import Curves, NodeCurves
from .node_table import NodeTable
from .projection import Points, project
from .round_columns import RoundColumns
from .spans import Spans
from .text import number, short
from .waits import MOST as MOST_WAITS
from .waits import Waits

MOST_NODES = 1024  # and as many others that publish; of further ones nothing is kept
OPEN = 64  # rounds behind the newest one of which more may be said
LATE = 4  # and behind the last that every node has completed
EDGES_EVERY_S = 1.0
MODELS_EVERY_S = 2.0  # where models lie, and in which groups
STALE_AFTER_S = 5.0
_OF_ROUNDS = ("round.completed", "metric.test", "metric.local", "round.summary", "run.started")
_OF_ALL = ("round.started", "round.completed", "run.started", "run.completed", "run.failed")
_WITHOUT = NodeRow()


class WatchedRun:
    """Call `update` with each event of one run, and with those of no run."""

    def __init__(self, run: str = "") -> None:
        self.view = LargeView(run=run)
        self.columns = RoundColumns()
        self.left_out = 0  # events of nodes beyond `MOST_NODES`
        self._nodes, self._edges, self._spans = NodeTable(), Edges(), Spans()
        self._curves = NodeCurves()
        self._feed, self._waits = Feed(), Waits()
        self._recorded = RecordedRounds()
        self._others: set[str] = set()  # who publishes and is no node: a launcher, a broker
        self._dirty: set[int] = set()
        self._started: float | None = None
        self._ended: float | None = None
        self._points: Points = {}
        self._groups: dict[str, Any] = {"groups": [], "outliers": []}
        self._models_at = self._edges_at = float("-inf")
        self._told: dict[str, Any] = {}
        self._told_rows: dict[str, dict[str, Any]] = {}

    def update(self, event: Fields) -> None:
        event = Fitted(event.raw) if isinstance(event, Event) else fitted(event)
        if not self._has_room(event):
            self.left_out += 1
            return
        if not (self.view.finished and event.get("node") == "stream"):  # a broker ends with its run
            self._feed.update(event)
        if not event.get("run"):
            return
        kind, said = str(event.get("type")), event.get("round")
        if kind == "run.started":
            self._begin(event)
        self.view.update(event)
        self._nodes.update(event)
        self._edges.update(event)
        self._spans.update(event)
        self._waits.update(event)
        if kind in _OF_ALL and event.get("role") != "peer":
            self._nodes.changed.update(self.view.rows)
        if kind in _OF_ROUNDS:
            self._recorded.add(event)
            self._follow(str(event.get("node")))
            if isinstance(said, int):
                self._dirty.add(said)
            if len(self._dirty) > 2 * OPEN:
                self._settle_rounds()
        if self.view.finished and self._ended is None:
            self._ended = number(event.get("time"))

    def curves(self, name: str) -> Curves | None:
        """Return the columns of a node, by the name that browsers know; None for one of which nothing was measured."""
        return self._curves.of(name)

    def add_rows(self, folder: Path) -> None:
        """Take the rounds that a run folder sums up; they are all there, where of its events some may not be."""
        self._settle_rounds()
        for row in read_rows(folder):
            self.columns.put(row, "r2" if "r2" in row else "accuracy")

    def whole(self, now: float) -> dict[str, Any]:
        """Return everything; of the rest that `changes` returns nothing is marked as told."""
        self._settle_rounds()
        self._settle_models(now)
        rows = {name: self._row(name, row) for name, row in self._shown()}
        return {
            **self._figures(now),
            "nodes": {short(name): row for name, row in rows.items()},
            "rounds": self.columns.columns(),
            "spans": {short(node): spans for node, spans in self._spans.all().items()},
            "span_limit": self._spans.limit,
            "edges": self._edges.all(self._state, self._reached),
            "feed": list(self._feed.lines),
            "projection": {short(name): point for name, point in self._points.items()},
            "stale_after_s": STALE_AFTER_S,
        }

    def changes(self, now: float) -> dict[str, Any] | None:
        """Return what is new since the last call, None for nothing; ``whole`` alone if that has to be sent again."""
        self._settle_rounds()
        moved = self._settle_models(now)
        figures = self._figures(now)
        found = {key: value for key, value in figures.items() if self._told.get(key) != value}
        self._told = figures
        nodes = self._changed_rows()
        spans, self._spans.new = self._spans.new, {}
        feed = list(self._feed.new)
        self._feed.new.clear()
        rounds, self.columns.changed = self.columns.changed, set()
        if self.columns.thinned:
            self.columns.thinned = False
            return {"whole": True}
        found |= {"nodes": nodes} if nodes else {}
        found |= {"spans": {short(node): list(new) for node, new in spans.items()}} if spans else {}
        found |= {"span_limit": self._spans.limit} if spans else {}
        found |= {"feed": feed} if feed else {}
        found |= {"rounds": self.columns.columns(rounds)} if rounds else {}
        if moved:
            found["projection"] = {short(name): point for name, point in self._points.items()}
        if now - self._edges_at >= EDGES_EVERY_S or self.view.finished:
            self._edges_at = now
            edges = self._edges.changes(self._state, self._reached)
            found |= {"edges": edges} if edges else {}
        return found or None

    def _figures(self, now: float) -> dict[str, Any]:
        """Return what is replaced as a whole where it changes."""
        waiting = self._waits.now(self.view, self._nodes, self._edges.sources_of, now)
        shown = [{key: short(v) if isinstance(v, str) else v for key, v in wait.items()} for wait in waiting]
        figures = outcome(self.view, self._ends(), (self._started, self._ended))
        return {
            "outcome": {**figures, "line": headline(figures, shown, int(len(waiting) >= MOST_WAITS))},
            "waiting": shown,
            "mass": {short(name): mass for name, mass in self._nodes.mass().items()},
            "gaps": self.view.missed,
            "malformed": sum(self.view.malformed.values()),
            "left_out": self.left_out,
            "edges_left_out": self._edges.left_out,
            **self._groups,
        }

    def _follow(self, name: str) -> None:
        """Add to a node's curves what has just been said of it."""
        row = self.view.rows.get(name)
        if row is not None and abs(row.round) < 2**53:
            self._curves.put(short(name), row.round, number(row.loss), self._nodes.metric(name, row))

    def _changed_rows(self) -> dict[str, dict[str, Any]]:
        changed, self._nodes.changed = self._nodes.changed, set()
        found = {}
        for name in changed:
            if name not in self.view.rows or not self._is_shown(name, self.view.rows[name]):
                continue
            row, before = self._row(name, self.view.rows[name]), self._told_rows.get(name, {})
            different = {key: value for key, value in row.items() if key not in before or before[key] != value}
            if different:
                found[short(name)] = different
                self._told_rows[name] = row
        return found

    def _row(self, name: str, row: NodeRow) -> dict[str, Any]:
        found = self._nodes.row(name, row)
        found["group"] = self._group_of.get(name)
        return {key: short(value) if isinstance(value, str) else value for key, value in found.items()}

    def _shown(self) -> list[tuple[str, NodeRow]]:
        return [(name, row) for name, row in self.view.rows.items() if self._is_shown(name, row)]

    @staticmethod
    def _is_shown(name: str, row: NodeRow) -> bool:
        """Whether it is a node: who was refused may be a stranger."""
        return bool(name) and bool(row.role or row.rejected or row.state in ("lost", "suspect", "done"))

    def _begin(self, event: Mapping[str, Any]) -> None:
        after, at = event.get("resumed_after"), number(event.get("time"))
        if isinstance(after, int):
            self._settle_rounds()
            self.columns.rewind(after)
        if at is not None:
            self._started = at if self._started is None else min(self._started, at)
        self._ended = None

    def _settle_rounds(self) -> None:
        """Make rows of the rounds that are complete, and of those that are so old that no more will be said of them."""
        self.view.settle()
        if not self._dirty:
            return
        newest, gossip = max(self._dirty), self._recorded.mode == "gossip"
        complete = self.view.round if gossip and not self.view.finished else newest
        ready = {said for said in self._dirty if said <= complete or said <= newest - OPEN}
        with_bytes = ready | {0} if 1 in ready else ready  # those of round 0 go with the first
        for row in run_rows(self._recorded.mode, self._recorded.only(with_bytes), {}):
            self.columns.put(row, "r2" if "r2" in row else "accuracy")
        self._dirty -= ready
        self._recorded.take(max(complete - LATE, newest - OPEN))

    def _settle_models(self, now: float) -> bool:
        """Find out where the models lie, every `MODELS_EVERY_S`; return whether that was done."""
        if not self.view.sketches or now - self._models_at < MODELS_EVERY_S:
            return False
        self._models_at = now
        living = {name: sketch for name, sketch in self.view.sketches.items() if name in self.view.rows}
        before, self._points = self._points, project(living, self._points)
        found = self.view.find_clusters()
        groups = [] if found is None else [list(map(short, names)) for names in found.clusters]
        self._groups = {"groups": groups, "outliers": [] if found is None else list(map(short, found.outliers))}
        if len(groups) > 1 or self._groups["outliers"]:
            self._nodes.changed.update(living)
        return before != self._points

    @property
    def _group_of(self) -> dict[str, int]:
        groups: list[list[str]] = self._groups["groups"]
        found = {name: index for index, names in enumerate(groups) for name in names} if len(groups) > 1 else {}
        return found | dict.fromkeys(self._groups["outliers"], -1)

    def _ends(self) -> tuple[float | None, float | None]:
        """Return the worst and the best score: of the peers as they are, else of the last round that has them."""
        peers = [row for row in self.view.rows.values() if row.role == "peer" and row.state != "lost"]
        scores = [row.score for row in peers if row.score is not None]
        return (min(scores), max(scores)) if scores else self.columns.last_ends()

    def _state(self, name: str) -> str:
        return self.view.rows.get(name, _WITHOUT).state

    def _reached(self, name: str) -> int:
        return self.view.rows.get(name, _WITHOUT).round

    def _has_room(self, event: Mapping[str, Any]) -> bool:
        known, node, subject = self.view.rows, event.get("node"), event.get("subject")
        if event.get("role") not in LEARNERS:
            if node not in self._others and len(self._others) >= MOST_NODES:
                return False
            self._others.add(str(node))
            node = None
        return len(known) < MOST_NODES or all(name is None or name in known for name in (node, subject))
