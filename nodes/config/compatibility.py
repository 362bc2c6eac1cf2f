"""Whether nodes can share a run, and whether an experiment can resume what another has begun."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..topology.base import TopologyError
from ..topology.edge_list import edges_digest
from .idle_parameters import idle_parameters
from .keys import ExperimentError, as_in_file, flat
from .schema import Experiment

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

FREE = (
    "rounds",
    "processes",
    "max_log_bytes",
    "*deadline_s",
    "federated.min_clients",
    "gossip.min_peers",
    "federated.max_examples_ratio",
    "federated.report_outliers",
    "evaluation.*",
    "network.*",
    "cluster.*",
    "site.*",
    "simulation.*",
)
"""Keys on which no round that is already done depends: these alone may change when a run is resumed."""

FIXED = ("evaluation.sites",)
"""But not these: what a site keeps for evaluation it does not train on."""


OF_TRAINING = ("optimizer", "momentum", "l2")
"""Parameters of the built-in network that stand in [training]; its rate is told with each task."""

NO_PART = ("verbose", "n_jobs", "random_state", "warm_start", "max_iter")
"""Parameters of estimators on which no weight depends here: the run's seed addresses what is random."""


def shared_config_of(experiment: Experiment, site_model: SiteModel) -> dict[str, Any]:
    """Return, by the keys of the experiment file, what a node must bring exactly as the others do.

    That is all that an update's meaning depends on: the model with its loss, penalty, solver and type (of an estimator
    of scikit-learn what is not at its default), the scales, and with whom it is mixed how. How much a site trains, in
    which batches, and the built-in network's rate, are not here: a coordinator tells its clients, and peers choose for
    themselves. See docs/data.md.
    """
    model = site_model.model
    description = model.describe()
    parameters = dict(description.get("parameters", {}))
    no_part = {*NO_PART, *idle_parameters(str(description["name"]), parameters)}
    chosen = getattr(model, "chosen_parameters", None)  # scikit-learn's defaults differ by release
    shared: dict[str, Any] = {
        "mode": experiment.mode,
        "nodes": experiment.min_nodes,
        "seed": experiment.seed,
        "data.scale": experiment.data.scaling,
        **({"data.task": task} if (task := experiment.data.task) is not None else {}),
        "model.name": str(description["name"]),
    }
    built_in = description["name"] == "mlp"
    for key, value in sorted((parameters if chosen is None else chosen()).items()):
        if key not in no_part and not (built_in and key == "learning_rate"):
            table = "training" if built_in and key in OF_TRAINING else "model"
            shared[f"{table}.{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    if experiment.mode == "gossip":
        gossip = experiment.gossip
        shared |= {"gossip.topology": gossip.topology, "gossip.algorithm": gossip.algorithm}
        shared |= {f"gossip.{key}": value for key in ("mixing", "compression") if (value := getattr(gossip, key))}
        shared |= {f"gossip.{key}": str(value) for key, value in sorted(gossip.arguments.items())}
        drawn = {"gossip.degree": experiment.degree, "gossip.probability": experiment.probability}
        shared |= {key: value for key, value in drawn.items() if value is not None}
        if (preprocess := site_model.preprocess_digest) is not None:  # a coordinator sends its own with the questions
            shared["data.preprocess"] = preprocess
        if (weights := experiment.training.class_weight) is not None:  # a coordinator tells them
            told = weights if isinstance(weights, str) else ", ".join(f"{k}={v:g}" for k, v in sorted(weights.items()))
            shared["training.class_weight"] = told
        if experiment.training.trees != "own":
            shared["training.trees"] = experiment.training.trees
        if experiment.data.min_frequency is not None:
            shared["data.min_frequency"] = experiment.data.min_frequency
        if experiment.init is not None:
            shared["init"] = _saved_digest(experiment.init)
        if gossip.edges is not None:
            shared["gossip.edges"] = edges_digest(gossip.edges)
    return shared


def _saved_digest(path: str) -> str:
    """Return what peers compare of the saved model that they start from, each of its own copy."""
    from nervenet.models.artifact import ModelFileError, digest_of

    try:
        return digest_of(path)
    except ModelFileError as error:
        raise ExperimentError(f"init = {path!r}: {error}") from None


def check_fits(where: str, number: int, tables: object, experiment: Experiment) -> None:
    """Raise `ExperimentError` for a state of another experiment, or of a later round than this one has.

    `where` begins the message; `tables` are those of the experiment that wrote the state of round `number`, None where
    it does not say.
    """
    if isinstance(tables, Mapping):
        check_same_run(f"{where}: the checkpoint of round {number}", Experiment.from_dict(tables), experiment)
    if number > experiment.rounds:
        raise ExperimentError(f"{where}: rounds = {experiment.rounds}, and round {number} is complete already")


def check_same_run(where: str, found: Experiment, experiment: Experiment) -> None:
    """Raise `ExperimentError` for the first key, in the order of names, in which two experiments must not differ."""
    try:
        ours, theirs = (flat(dataclasses.asdict(each.resolved())) for each in (found, experiment))
    except TopologyError as error:
        raise ExperimentError(f"{where}: gossip.{error}") from None
    for key in sorted(ours.keys() | theirs.keys()):
        fixed = key in FIXED or not any(fnmatchcase(key, free) for free in FREE)
        if fixed and ours.get(key) != theirs.get(key):
            found_value, expected = (f"{each.get(key)!r:.200}" for each in (ours, theirs))  # a pipeline's may be long
            raise ExperimentError(
                f"{where}: is of another experiment: found {as_in_file(key)} = {found_value}, "
                f"expected {expected}; only {', '.join(FREE)} may change"
            )
