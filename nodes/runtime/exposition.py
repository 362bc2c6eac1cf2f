"""Prometheus' text format, by its own library, from a registry that knows only what is ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

PACKAGE = "prometheus_client"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def exposition(registry: Collector) -> bytes:
    """Return all metrics of a registry as text.

    Without the library's series of when each counter was created: they double what is scraped, and to switch them off
    in the library is to switch them off for the whole process.
    """
    from prometheus_client import generate_latest

    return generate_latest(_Uncreated(registry))


class _Uncreated:
    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
