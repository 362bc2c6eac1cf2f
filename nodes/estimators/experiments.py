"""From the parameters of an estimator to the experiment that its run is, in this process or in others."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

from nervenet.models.data.data import Task
from nervenet.models.model import Model
from nervenet.models.registry import describe

from ..config.keys import ExperimentError, override
from ..config.schema import Experiment
from ..experiment.ineffective import warnings as ineffective
from ..experiment.validation import validate

OF_NETWORK = ("learning_rate", "momentum", "l2")
"""Parameters of the built-in network that an experiment has under [training]."""

SAID_ELSEWHERE = {
    "mode": "it is that of the class",
    "nodes": "as many as there are sites in fit",
    "rounds": "give rounds=",
    "seed": "give random_state=",
    "data": "the rows are those of fit, as they are; scaling is a step, FederatedTransformer(StandardScaler())",
    "model": "it is estimator=, with its own parameters",
    "evaluation": "fit has no test rows",
}
"""Tables and keys of an experiment that `settings` may not have, and why."""


def experiment_of(
    mode: Literal["federated", "gossip"],
    model: Model,
    task: Task,
    *,
    nodes: int,
    rounds: int,
    seed: int,
    training: Mapping[str, Any],
    table: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
) -> Experiment:
    """Return the checked experiment.

    `training` and `table` are the keys of [training] and of the mode's own table; `settings` are further keys of an
    experiment file, dotted, which win. Raises ValueError (`ExperimentError`), naming the key.
    """
    name, parameters = _described(model)
    tables: dict[str, Any] = {
        "mode": mode,
        "nodes": nodes,
        "rounds": rounds,
        "seed": seed,
        "data": {"name": "digits", "scale": "none", "min_rows": 1, "task": task},  # the rows are those of `fit`
        "model": _model_table(name, parameters),
        "training": {key: value for key, value in training.items() if value is not None},
        "evaluation": {"baseline": False},
        mode: {key: value for key, value in table.items() if value is not None},
    }
    if name == "mlp":
        tables["training"] |= _of_network(parameters)
    experiment = Experiment.from_dict(override(tables, _checked(settings)))
    validate(experiment)
    for line in ineffective(experiment):
        if line.startswith(tuple(settings or ())):  # of the others `fit` has its own parameters, and defaults
            warnings.warn(f"settings: {line}", UserWarning, stacklevel=6)
    return experiment


def _checked(settings: Any) -> dict[str, Any]:
    """Return settings that are dotted keys and say nothing that is said elsewhere. Raises ExperimentError."""
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise ExperimentError(f"settings = {settings!r}: expected a mapping of dotted keys to values")
    for key, value in settings.items():
        if isinstance(value, Mapping) and "." not in str(key):
            example = f"{key}.{next(iter(value), 'key')}"
            raise ExperimentError(f"settings: {key} is a table; expected its keys, dotted, as in {example}")
        if why := SAID_ELSEWHERE.get(str(key).partition(".")[0]):
            raise ExperimentError(f"settings: {key} is not for an estimator: {why}")
    return dict(settings)


def _described(model: Model) -> tuple[str, dict[str, Any]]:
    """Return a model's name in an experiment file, and its parameters; of scikit-learn's those that were chosen."""
    known, chosen = describe(model), getattr(model, "chosen_parameters", None)
    return str(known["name"]), dict(known["parameters"] if chosen is None else chosen())


def _model_table(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if name == "mlp":
        kept = {key: parameters[key] for key in ("hidden", "activation", "dtype")}
        return {"name": name, **kept}
    return {"name": name, "parameters": {key: "none" if v is None else v for key, v in parameters.items()}}


def _of_network(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the built-in network is trained by, as [training] says it."""
    rule = parameters["optimizer"]
    known = {key: parameters[key] for key in OF_NETWORK if parameters[key] is not None}
    known |= {"optimizer": "adam" if rule == "adam" else "sgd", "nesterov": rule == "nesterov"}
    return known | ({"momentum": 0.0} if rule == "sgd" else {})
