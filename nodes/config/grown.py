"""What a run may ask of a model that is grown in round 0, such as a forest, and left as it is by the rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from .schema import Experiment, TrainingConfig
from .summed import ONE_PER_ROW, is_exact

ALGORITHMS = ("dpsgd", "sgp", "ad-psgd", "gossip-learning")
"""Those of gossip that take means of models, and do nothing else."""


def is_grown(experiment: Experiment, model: object = None) -> bool:
    """Whether the model of a run is `grown`: the one that a program has given, else the one that is named."""
    if model is not None:
        return bool(getattr(model, "grown", False))
    name = experiment.model.name
    if "." not in name or ":" in name:
        return False
    from nervenet.models.registry import FAMILIES

    return name in FAMILIES.builtin and bool(getattr(FAMILIES[name], "grown", False))


def with_defaults(experiment: Experiment, model: object, *, rounds: bool) -> Experiment:
    """Return an experiment with one round for such a model, where `rounds` says that they were left open."""
    return replace(experiment, rounds=1) if rounds and is_grown(experiment, model) else experiment


def problems(experiment: Experiment, model: object = None) -> Iterator[str]:
    """Yield why a run cannot be of such a model; nothing for another."""
    if not is_grown(experiment, model):
        return
    federated, gossip = experiment.federated, experiment.gossip
    because = "its model is grown in round 0, from the rows of this run's sites"
    if experiment.init is not None:
        yield f"init = {experiment.init!r}: {because}; leave it out"
    if experiment.evaluation.site_matrix:
        yield f"evaluation.site_matrix = true: {because}, and a site has none of its own; leave it out"
    if experiment.training.trees == "shared":
        yield from _unshared(experiment, model)
    if experiment.mode == "federated":
        for key in ("personal", "ditto", "fine_tune"):
            if value := getattr(federated, key):
                shown = list(value) if isinstance(value, tuple) else value
                yield f"federated.{key} = {shown!r}: {because}, and no site trains it on; leave it out"
    elif gossip.algorithm not in ALGORITHMS:
        expected = ", ".join(map(repr, ALGORITHMS))
        yield f"gossip.algorithm = {gossip.algorithm!r}: {because}, and only means leave it so; expected {expected}"
    if experiment.compression and not is_exact(experiment.compression):
        yield (
            f"{experiment.mode}.compression = {experiment.compression!r}: {because}, and rounded trees are none; "
            "expected 'deflate', or none"
        )


def _unshared(experiment: Experiment, model: object) -> Iterator[str]:
    from nervenet.models.sklearn.ensembles.growth import unshared

    from .factory import build_model

    weighted = "training.class_weight" if experiment.training.class_weight is not None else "data.weight"
    if weighted != "data.weight" or experiment.data.weight is not None:
        yield f"{weighted}: with training.trees = 'shared' rows have no weights; leave it out"
    given = getattr(build_model(experiment) if model is None else model, "given", None)
    for why in () if given is None else unshared(given):
        yield f"training.trees = 'shared': {why}"


def idle_training(experiment: Experiment, model: object = None) -> list[str]:
    """Return a line for each setting of how to train that was changed and has no effect; nothing for another model."""
    if not is_grown(experiment, model):
        return []
    training, fresh = experiment.training, TrainingConfig()
    changed = [f.name for f in fields(fresh) if getattr(training, f.name) != getattr(fresh, f.name)]
    why = "on a model that is grown in round 0"
    found = [f"training.{key} has no effect {why}" for key in changed if key not in (*ONE_PER_ROW, "trees")]
    return [*found, f"rounds beyond 1 have no effect {why}"] if experiment.rounds > 1 else found
