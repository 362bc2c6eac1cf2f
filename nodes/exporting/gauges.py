"""What is the case in each run now, as Prometheus' gauges."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..results.round_metrics import GREAT, consensus_distance
from .run_state import RUN_STATES, RunState

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.metrics_core import GaugeMetricFamily

OF: dict[str, Callable[[Sequence[float]], float]] = {"mean": statistics.fmean, "min": min, "max": max}
"""How the figures of several peers are one; of a coordinator's model all three are the same."""

GAUGES = {
    "run_info": ("What is learned from what: 1.", ("run", "mode", "data", "model")),
    "run_state": ("1 for the state that the run is in, 0 for the others.", ("run", "state")),
    "rounds_requested": ("Rounds that the run was asked for.", ("run",)),
    "round": ("The last round that all living nodes have completed.", ("run",)),
    "nodes": ("Nodes of the run by role and state.", ("run", "role", "state")),
    "train_loss": ("Training loss in the last round, mean over the nodes.", ("run",)),
    "loss": ("Loss of the models as they were measured last.", ("run", "of")),
    "score": ("Score of the models as they were measured last.", ("run", "score", "of")),
    "consensus_distance": ("How far the peers' models are apart, by their sketches.", ("run",)),
}


def gauges(runs: Mapping[str, RunState]) -> Iterator[Metric]:
    """Yield a family for each of `GAUGES`."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    families = {
        name: GaugeMetricFamily(f"nervenet_{name}", text, labels=labels) for name, (text, labels) in GAUGES.items()
    }
    for name, run in runs.items():
        _of_run(families, name, run)
    yield from families.values()


def _of_run(families: Mapping[str, GaugeMetricFamily], name: str, run: RunState) -> None:
    families["run_info"].add_metric((name, run.mode, run.data, run.model), 1)
    for state in RUN_STATES:
        families["run_state"].add_metric((name, state), state == run.state)
    families["rounds_requested"].add_metric((name,), run.rounds)
    if rounds := run.there(run.round):
        families["round"].add_metric((name,), min(rounds))
    for role, state, count in run.counted():
        families["nodes"].add_metric((name, role, state), count)
    if losses := run.there(run.train_loss):
        families["train_loss"].add_metric((name,), _of("mean", losses))
    for of in OF:
        if losses := run.there(run.loss):
            families["loss"].add_metric((name, of), _of(of, losses))
        for score, values in run.scores.items():
            if known := run.there(values):
                families["score"].add_metric((name, score, of), _of(of, known))
    sketches = run.there(run.sketches)
    if len(sketches) > 1 and len({len(sketch) for sketch in sketches}) == 1:
        families["consensus_distance"].add_metric((name,), consensus_distance(sketches))


def _of(of: str, values: Sequence[float]) -> float:
    return OF[of]([max(-GREAT, min(GREAT, value)) for value in values])
