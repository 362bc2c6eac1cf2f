"""The figures of runs as Prometheus' metrics, from their events alone; families are named in docs/watching.md."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nervenet.models.extras import require

from ..results.round_metrics import GREAT
from ..runtime.event_fitting import fitted
from ..runtime.event_types import TYPES, Event
from ..runtime.exposition import PACKAGE, exposition
from .run_state import ROLES, RunState

if TYPE_CHECKING:
    from prometheus_client import Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
"""Upper bounds of the buckets of all histograms, but for the last."""

RUNS = 20  # of whom there are series; of more, the one that was silent longest has none any more
TEXT_LENGTH = 120  # of a label
CLOSINGS = ("all", "quorum", "deadline", "buffer", "suspected", "overtaken", "alone", "update")
PER_RUN = {
    "rounds": ("Rounds completed: the run's by its coordinator, each peer's own.", ("role", "closed_by")),
    "rounds_failed": ("Attempts at a round that failed.", ()),
    "sent_bytes": ("Bytes of messages sent, as nodes said with their rounds.", ("role",)),
    "received_bytes": ("Bytes of messages received, as nodes said with their rounds.", ("role",)),
    "answers_missing": ("Nodes that a round waited for, and closed without.", ("role",)),
    "updates_rejected": ("Messages that did not count.", ()),
    "nodes_lost": ("Nodes that were found dead.", ()),
    "nodes_suspected": ("Nodes that were found silent.", ()),
    "warnings": ("Warnings.", ()),
}
TIMED = {
    "round": "From the beginning of a round to its end.",
    "train": "Training of one node in a round.",
    "wait": "Waiting in a round for the answers of others.",
    "fold": "Folding the updates of a round into the next model.",
    "mix": "Mixing a peer's model with those of its neighbors.",
}


class RunMetrics:
    """Counts events; `text` returns all as Prometheus reads it. One for each process, on any thread.

    Labels are few whatever is published: the runs heard of last, and roles, states and closings that exist. No label is
    a node's name.

    Raises
    ------
    MissingExtra
        prometheus_client is not installed.
    """

    def __init__(self) -> None:
        require("--metrics", PACKAGE)
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._runs: dict[str, RunState] = {}
        self._heard = 0
        plain: Any = {"namespace": "nervenet", "registry": self._registry}
        self._counters = {
            name: Counter(name, text, ("run", *labels), **plain) for name, (text, labels) in PER_RUN.items()
        }
        self._seconds = {
            name: Histogram(f"{name}_seconds", text, ("run", "role"), buckets=SECONDS, **plain)
            for name, text in TIMED.items()
        }
        self._events = Counter("events", "Events received, by type.", ("type",), **plain)
        self._missed = Counter("events_missed", "Events that were published and never received.", **plain)
        self._refused = Counter("connections_refused", "Connections and messages that were refused.", **plain)
        self._registry.register(self)

    def text(self) -> bytes:
        return exposition(self._registry)

    def update(self, event: Mapping[str, Any] | Event) -> None:
        """Count an event, whatever it says."""
        kind = str(event.get("type"))
        self._events.labels(kind if kind in TYPES else "other").inc()
        if kind in ("exchange.sent", "exchange.received"):  # there are many, and they are only counted
            return
        event = fitted(event)
        match kind:
            case "gap":
                self._missed.inc(event.get("missed") or 0)
            case "connection.refused":
                self._refused.inc(event.get("count") or 1)
        if event.get("run"):
            with self._lock:
                name = str(event["run"])[:TEXT_LENGTH]
                self._take(name, self._run(name), kind, event)

    def _run(self, name: str) -> RunState:
        self._heard += 1
        if name not in self._runs and len(self._runs) >= RUNS:
            self._forget(min(self._runs, key=lambda each: self._runs[each].seen))
        run = self._runs.setdefault(name, RunState())
        run.seen = self._heard
        return run

    def _forget(self, name: str) -> None:
        del self._runs[name]
        for metric in (*self._counters.values(), *self._seconds.values()):
            metric.remove_by_labels({"run": name})

    def _take(self, name: str, run: RunState, kind: str, event: Mapping[str, Any]) -> None:
        role = event["role"] if event.get("role") in ROLES else "other"
        run.update(kind, role, event)
        match kind:
            case "round.completed" if event.get("round"):
                closed_by = event["closed_by"] if event.get("closed_by") in CLOSINGS else "other"
                self._counters["rounds"].labels(name, role, closed_by).inc()
                self._counters["answers_missing"].labels(name, role).inc(len(event.get("missing") or ()))
                self._time(name, role, event)
            case "metric.local" if role == "client":
                self._observe("train", name, role, event.get("duration_s"))
            case "round.failed":
                self._counters["rounds_failed"].labels(name).inc()
            case "node.lost" | "node.suspect":
                self._counters["nodes_lost" if kind == "node.lost" else "nodes_suspected"].labels(name).inc()
            case "update.rejected":
                self._counters["updates_rejected"].labels(name).inc()
            case "warning":
                self._counters["warnings"].labels(name).inc()
        if kind in ("round.completed", "metric.local"):
            for key in ("sent", "received"):
                self._counters[f"{key}_bytes"].labels(name, role).inc(event.get(f"bytes_{key}") or 0)

    def _time(self, name: str, role: str, event: Mapping[str, Any]) -> None:
        whole, waiting, mixing = (event.get(key) for key in ("duration_s", "waiting_s", "mixing_s"))
        self._observe("round", name, role, whole)
        self._observe("wait", name, role, waiting)
        self._observe("fold", name, role, event.get("folding_s"))
        self._observe("mix", name, role, mixing)
        if role == "peer" and whole is not None and waiting is not None:
            self._observe("train", name, role, max(0.0, whole - waiting - (mixing or 0.0)))

    def _observe(self, what: str, name: str, role: str, seconds: float | None) -> None:
        if seconds is not None and 0 <= seconds < GREAT:
            self._seconds[what].labels(name, role).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges, as the registry asks for them: of what is the case now, and no count."""
        from .gauges import gauges

        with self._lock:
            known = {name: run.copy() for name, run in self._runs.items()}
        yield from gauges(known)
