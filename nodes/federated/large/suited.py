"""What a run of a model larger than a message cannot have: pure, and asked before the run and again in it."""

from __future__ import annotations

from ...config.schema import FederatedConfig
from ..strategies import Strategy

SUITED = "fedavg, fedprox, fednova, the server optimizers, median and trimmed-mean are"


def unsuited(strategy: Strategy, federated: FederatedConfig, *, site_matrix: bool = False) -> str | None:
    """Return why a run cannot train a model that travels in chunks, and what can; None if it can."""
    if strategy.demands.asynchronous:
        return f"federated.strategy = {federated.strategy!r} has no rounds, in which ranges are folded: {SUITED} suited"
    if len(strategy.demands.parts) > 1:
        further = ", ".join(strategy.demands.parts[1:])
        return f"federated.strategy = {federated.strategy!r} sends {further} beside the weights: {SUITED} suited"
    if not getattr(strategy, "by_coordinate", False):
        return f"federated.strategy = {federated.strategy!r} needs each update as a whole: {SUITED} suited"
    if federated.compression:
        return f"federated.compression = {federated.compression!r} encodes whole vectors: leave it out"
    if federated.report_outliers:
        return "federated.report_outliers measures whole updates: leave it out"
    if site_matrix:
        return "evaluation.site_matrix hands on whole models of sites: leave it out"
    return None
