"""Settings that were changed from their defaults, or said by name, and have no effect in a run."""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import fields
from typing import Any

from ..config import grown
from ..config.idle_parameters import idle_lines
from ..config.schema import Experiment
from ..config.site_names import repeated
from ..config.summed import idle_training, missing_rows, summed_model, too_few_rounds

STEERING = (
    "sites",
    "report_rows",
    "until",
    "patience",
    "min_delta",
    "budget_s",
)  # keys of [evaluation] that a coordinator heeds
PARTITIONS = {"alpha": ("dirichlet", "quantity"), "shards_per_node": ("shards",), "column": ("column",)}


def warnings(experiment: Experiment, said: Collection[str] = ()) -> list[str]:
    """Return a line for each setting that has no effect in this run, or another than one would think.

    `said` are dotted keys that a user has just named: they are told of even where the value is the default.
    """
    mode, name, data, federated = experiment.mode, experiment.model.name, experiment.data, experiment.federated
    other = "gossip" if mode == "federated" else "federated"
    rows: list[tuple[str, Container[str], str]] = [(other, _given(experiment, other, said), f"in {mode} mode")]
    if mode == "gossip":
        rows.append(("evaluation", STEERING, "in gossip mode"))
    elif experiment.evaluation.patience is None:
        rows.append(("evaluation", ("min_delta",), "without evaluation.patience"))
    summed = summed_model(experiment)
    if name != "mlp":
        why = f"on {name}; give its own arguments under [model]"
        rows.append(("model", _not_taken(experiment), why))
    if name != "mlp" and summed is None and not grown.is_grown(experiment):
        rows.append(("training", ("optimizer", "learning_rate", "momentum", "nesterov", "l2"), why))
    if summed is None and not grown.is_grown(experiment):
        rows.append(("training", ("trees",), f"on {name}, which is no forest"))
    if name == "sklearn.linear_model.LogisticRegression" and summed is None:
        rows.append(("training", ("batch_size",), "on LogisticRegression, whose solver takes all rows at a time"))
    unused = [key for key, schemes in PARTITIONS.items() if data.partition not in schemes]
    if data.sites:
        rows.append(("data", ("partition", *PARTITIONS), "where each site has its own file (data.sites)"))
    else:
        rows.append(("data", unused, f"with data.partition = {data.partition!r}"))
    if mode == "federated" and experiment.clients_per_round == experiment.nodes:
        rows.append(("federated", ("over_selection",), "where federated.participation wants every client"))
    closing = [key for key in ("quorum", "over_selection") if key in _given(experiment, "federated", said)]
    if mode == "federated" and closing and _asynchronous(experiment):
        rows.append(("federated", closing, f"with federated.strategy = {federated.strategy!r}, which has no rounds"))
    found = [
        f"{table}.{key} has no effect {why}"
        for table, keys, why in rows
        for key in _given(experiment, table, said)
        if key in keys
    ]
    found += [f"data.sites: {line}" for line in repeated(data.sites or ())]
    found += idle_lines(name, experiment.model.parameters)
    if summed is not None:
        found += [
            *idle_training(experiment.training, summed),
            *missing_rows(experiment, summed),
            *too_few_rounds(experiment, summed),
        ]
    found += grown.idle_training(experiment)
    weighted = experiment.training.class_weight is not None or data.weight is not None
    if weighted and experiment.training.batch_size == 1 and (name == "mlp" or "neural_network" in name):
        found.append("training.batch_size = 1: a batch is divided by its weights, so that in training they cancel")
    if mode == "federated" and federated.personal:
        found.append(
            "federated.personal: the coordinator's model has only the initial values of these arrays, and its "
            "test figures mean little; the clients' own are in the summary under personal"
        )
    return found


def idle_simulation(experiment: Experiment, said: Collection[str] = ()) -> list[str]:
    """Return a line for each setting of what is there only in a simulation, or in a region."""
    there = _given(experiment, "simulation", said)
    found = [f"simulation.{key} has no effect but in nervenet simulate" for key in there]
    return found + _said_of_regions(experiment, said)


def idle_in_simulation(experiment: Experiment, said: Collection[str] = ()) -> list[str]:
    """Return a line for each setting of processes, connections and their logs, of which a simulation has none."""
    found = ["processes"] if experiment.process_count != experiment.nodes else []
    found += [f"cluster.{key}" for key in _changed(experiment.cluster)]
    found += [f"network.{key}" for key in ("keys", "insecure") if key in _changed(experiment.network)]
    found += ["site.audit"] if experiment.site.audit else []
    return [f"{key} has no effect in nervenet simulate" for key in found] + _said_of_regions(experiment, said)


def idle_hierarchy(experiment: Experiment, said: Collection[str] = ()) -> list[str]:
    """Return the keys of [hierarchy] that were changed, or said, of a launch without regions; it refuses the former."""
    return _given(experiment, "hierarchy", said) if experiment.hierarchy.regions is None else []


def _said_of_regions(experiment: Experiment, said: Collection[str]) -> list[str]:
    refused = idle_hierarchy(experiment)
    idle = [key for key in idle_hierarchy(experiment, said) if key not in refused]
    return [f"hierarchy.{key} has no effect without hierarchy.regions" for key in idle]


def _asynchronous(experiment: Experiment) -> bool:
    from ..federated.strategies.registry import build_strategy

    return build_strategy(experiment.federated.strategy, experiment.federated.arguments).demands.asynchronous


def _not_taken(experiment: Experiment) -> set[str]:
    """Return the keys of [model] that are neither the chosen family's own nor gathered for it."""
    keys = {key for key in _changed(experiment.model) if key not in ("name", "parameters")}
    if not keys:
        return keys  # nothing has to be imported to know that
    from nervenet.models.registry import parameters_of

    return keys - parameters_of(experiment.model.name)


def _given(experiment: Experiment, table: str, said: Collection[str]) -> list[str]:
    """Return the keys of a table that were changed from their defaults, or said."""
    values = getattr(experiment, table)
    changed = _changed(values)
    return [f.name for f in fields(values) if f.name in changed or f"{table}.{f.name}" in said]


def _changed(table: Any) -> list[str]:
    fresh = type(table)()
    return [f.name for f in fields(table) if getattr(table, f.name) != getattr(fresh, f.name)]
