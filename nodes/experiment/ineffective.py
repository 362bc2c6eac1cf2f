"""Settings that were changed from their defaults and have no effect in a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from ..config.schema import Experiment

STEERING = ("sites", "until", "patience", "min_delta", "budget_s")  # keys of [evaluation] that a coordinator heeds
PARTITIONS = {"alpha": ("dirichlet", "quantity"), "shards_per_node": ("shards",), "column": ("column",)}
MLP_ONLY = (
    ("model", ("hidden", "activation", "dtype")),
    ("training", ("optimizer", "learning_rate", "momentum", "nesterov", "l2")),
)


def warnings(experiment: Experiment) -> list[str]:
    """Return a line for each setting that has no effect in this run, or less than one would think."""
    return [
        *_of_the_mode(experiment),
        *_of_the_model(experiment),
        *_of_the_data(experiment),
        *(_of_the_strategy(experiment) if experiment.mode == "federated" else ()),
    ]


def _of_the_mode(experiment: Experiment) -> Iterator[str]:
    mode, other = experiment.mode, "gossip" if experiment.mode == "federated" else "federated"
    for key in _changed(getattr(experiment, other)):
        yield f"{other}.{key} has no effect in {mode} mode"
    changed = [key for key in _changed(experiment.evaluation) if key in STEERING]
    if mode == "gossip":
        yield from (f"evaluation.{key} has no effect in gossip mode" for key in changed)
    elif "min_delta" in changed and experiment.evaluation.patience is None:
        yield "evaluation.min_delta has no effect without evaluation.patience"


def _of_the_model(experiment: Experiment) -> Iterator[str]:
    name = experiment.model.name
    for table, keys in MLP_ONLY if name != "mlp" else ():
        for key in _changed(getattr(experiment, table)):
            if key in keys:
                yield f"{table}.{key} has no effect on {name}; give its own arguments under [model]"


def _of_the_data(experiment: Experiment) -> Iterator[str]:
    data = experiment.data
    for key in _changed(data):
        if data.partition not in PARTITIONS.get(key, (data.partition,)):
            yield f"data.{key} has no effect with data.partition = {data.partition!r}"


def _of_the_strategy(experiment: Experiment) -> Iterator[str]:
    federated = experiment.federated
    if federated.personal:
        yield (
            "federated.personal: the coordinator's model has only the initial values of these arrays, and its "
            "test figures mean little; the clients' own are in the summary under personal"
        )
    if federated.over_selection > 1 and experiment.clients_per_round == experiment.nodes:
        yield "federated.over_selection has no effect where federated.participation wants every client"
    closing = [key for key in ("quorum", "over_selection") if key in _changed(federated)]
    if closing and _asynchronous(experiment):
        for key in closing:
            yield f"federated.{key} has no effect with federated.strategy = {federated.strategy!r}, which has no rounds"


def _asynchronous(experiment: Experiment) -> bool:
    from ..federated.strategies.registry import build_strategy

    return build_strategy(experiment.federated.strategy, experiment.federated.arguments).demands.asynchronous


def _changed(section: Any) -> list[str]:
    """Return the keys of a table that differ from their defaults."""
    fresh = type(section)()
    return [f.name for f in fields(section) if getattr(section, f.name) != getattr(fresh, f.name)]
