"""Counts of what a server has answered, as Prometheus reads them; nothing is counted without its library."""

from __future__ import annotations

from typing import Any

from nervenet.models.extras import how_to_install, installed

from ..runtime.exposition import PACKAGE, exposition

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, seconds."""


class Metrics:
    """Requests by path and status, how long they took, rows, and which model answers; one for each server."""

    def __init__(self) -> None:
        self.missing = "" if installed(PACKAGE) else how_to_install(PACKAGE)
        if self.missing:
            return
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        plain: Any = {"namespace": "nervenet", "registry": CollectorRegistry()}
        self._registry = plain["registry"]
        by_path = "Time from the head of a request to its answer."
        self._requests = Counter("requests", "Requests answered, by path and status.", ("path", "status"), **plain)
        self._seconds = Histogram("request_seconds", by_path, ("path",), buckets=BOUNDS, **plain)
        self._rows = Counter("rows", "Rows predicted.", **plain)
        self._swaps = Counter("model_swaps", "How often a newer model has taken over.", **plain)
        self._gauge = Gauge("model_round", "The round of the model that answers.", namespace="nervenet", registry=None)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one answer."""
        if not self.missing:
            self._requests.labels(path, status).inc()
            self._seconds.labels(path).observe(seconds)

    def predicted(self, rows: int) -> None:
        if not self.missing:
            self._rows.inc(rows)

    def swapped(self) -> None:
        """Count a newer model."""
        if not self.missing:
            self._swaps.inc()

    def exposition(self, number: int | None) -> bytes:
        """Return all as text; `number` is the round of the model that answers, where that is known."""
        if number is None:
            return exposition(self._registry)
        self._gauge.set(number)
        return exposition(self._registry) + exposition(self._gauge)
