"""Counts of what a server has answered, in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from itertools import accumulate

TEXT = "text/plain; version=0.0.4; charset=utf-8"

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, seconds."""


class Metrics:
    """Requests by path and status, how long they took, rows, and which model answers; one for each server."""

    def __init__(self) -> None:
        self.rows = 0
        self.swaps = 0
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one answer."""
        with self._lock:
            self._requests[path, status] += 1
            buckets = self._buckets.setdefault(path, [0] * (len(BOUNDS) + 1))
            buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds[path] += seconds  # type: ignore[assignment]

    def exposition(self, number: int | None) -> str:
        """Return all as text; `number` is the round of the model that answers, where that is known."""
        with self._lock:
            requests, seconds = dict(self._requests), dict(self._seconds)
            buckets = {path: list(counts) for path, counts in self._buckets.items()}
        lines = _head("nervenet_requests_total", "counter", "Requests answered, by path and status.")
        for (path, status), count in sorted(requests.items()):
            lines.append(f'nervenet_requests_total{{path="{path}",status="{status}"}} {count}')
        lines += _head("nervenet_request_seconds", "histogram", "Time from the head of a request to its answer.")
        for path, counts in sorted(buckets.items()):
            name, sums = "nervenet_request_seconds", list(accumulate(counts))
            for bound, count in zip((*map(repr, BOUNDS), "+Inf"), sums, strict=True):
                lines.append(f'{name}_bucket{{path="{path}",le="{bound}"}} {count}')
            lines += [f'{name}_sum{{path="{path}"}} {seconds[path]!r}', f'{name}_count{{path="{path}"}} {sums[-1]}']
        lines += _head("nervenet_rows_total", "counter", "Rows predicted.")
        lines.append(f"nervenet_rows_total {self.rows}")
        lines += _head("nervenet_model_swaps_total", "counter", "How often a newer model has taken over.")
        lines.append(f"nervenet_model_swaps_total {self.swaps}")
        if number is not None:
            lines += _head("nervenet_model_round", "gauge", "The round of the model that answers.")
            lines.append(f"nervenet_model_round {number}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, what: str) -> list[str]:
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
