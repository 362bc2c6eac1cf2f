"""What a run may ask of a summed model, whose vector is what the rows of all sites add up to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from .keys import ExperimentError
from .rounds_to_agree import rounds_to_agree
from .schema import Experiment, FederatedConfig, TrainingConfig

if TYPE_CHECKING:
    from nervenet.models.model import Model

ALGORITHMS = ("dpsgd", "sgp")
"""Those of gossip that mix, and do nothing else, and keep the mean over the peers."""

MOST_ROUNDS = 1000
"""That are done where nobody says how many, on a graph on which peers take longer to agree."""

ONE_PER_ROW = ("class_weight",)
"""Keys of [training] that are about rows and not about steps."""


def summed_model(experiment: Experiment) -> Model | None:
    """Return the model that an experiment names, if that is known to be a summed one.

    Nothing is imported for a family that is none, nor a class of the user's own: whoever makes that asks it. What is
    wrong with a model is said where it is made.
    """
    name = experiment.model.name
    if "." not in name or ":" in name:
        return None
    from nervenet.models.model import CannotMerge, is_summed
    from nervenet.models.registry import FAMILIES, family_of

    from .factory import build_model

    if name in FAMILIES.builtin and not is_summed(family_of(name, experiment.model.parameters)):
        return None
    try:
        model = build_model(experiment)
    except (ExperimentError, CannotMerge):
        return None
    return model if is_summed(model) else None


def with_defaults(experiment: Experiment, model: object, *, rounds: bool) -> Experiment:
    """Return an experiment in which what was left open is as suits a summed model.

    That is one round, if the model needs no more and `rounds` says that they were left open, or under gossip as many as
    it takes until peers agree; and columns as they are, which `fit` is to be compared on. Of another model, or none,
    nothing changes.
    """
    if model is None:
        return experiment
    from nervenet.models.model import in_one_round, is_summed

    if not is_summed(model):
        return experiment
    if rounds and in_one_round(model):
        experiment = replace(experiment, rounds=min(rounds_to_agree(experiment) or experiment.rounds, MOST_ROUNDS))
    if experiment.data.scale is None:
        experiment = replace(experiment, data=replace(experiment.data, scale="none"))
    return experiment


def target_problems(experiment: Experiment) -> Iterator[str]:
    """Yield why a run of commands cannot be of a model without a target: its files, splits and scores have one."""
    name = experiment.model.name
    if not name.startswith("sklearn."):
        return
    from nervenet.models.registry import FAMILIES, family_of
    from nervenet.models.targetless import has_target

    if name not in FAMILIES.builtin or has_target(family := family_of(name, experiment.model.parameters)):
        return
    who = "FederatedClusterer fits it, and so do" if getattr(family, "summed", False) else "it is learned by"
    yield (
        f"model.name = {name!r}: {name.rpartition('.')[2]} has no target, and a run of commands learns one; "
        f"{who} the peers and clients of a program"
    )


def problems(experiment: Experiment, model: Any) -> Iterator[str]:
    """Yield why a run cannot be of this model, if it is a summed one: only the plain mean of all sites' sums means
    something.
    """
    from nervenet.models.model import is_summed

    if not is_summed(model):
        return
    name = short_name(model)
    if experiment.init is not None:
        yield f"init = {experiment.init!r}: {name} is solved from the rows of this run's sites alone; leave it out"
    if experiment.data.scaling != "none" and (why := getattr(model, "needs_raw", "")):
        yield f"data.scale = {experiment.data.scaling!r}: {name} {why}; expected data.scale = 'none'"
    yield from _federated(experiment, name) if experiment.mode == "federated" else _gossip(experiment, model)


def _federated(experiment: Experiment, name: str) -> Iterator[str]:
    federated = experiment.federated
    because = f"{name} is a sum over the rows of all sites"
    if federated.strategy != FederatedConfig.strategy:
        yield (
            f"federated.strategy = {federated.strategy!r}: {because}, and only their plain mean has a meaning; "
            f"expected {FederatedConfig.strategy!r}"
        )
    if experiment.clients_per_round < experiment.nodes:
        yield (
            f"federated.participation = {federated.participation:g}: {because}, and who is not asked would be left out "
            "of it; expected 1"
        )
    for key in ("personal", "ditto", "fine_tune", "site_settings"):
        if value := getattr(federated, key):
            shown = list(value) if isinstance(value, tuple) else value
            yield f"federated.{key} = {shown!r}: {because}, and no site trains it by itself; leave it out"
    if federated.compression and not is_exact(federated.compression):
        yield (
            f"federated.compression = {federated.compression!r}: {because}, and what is rounded away would be missing; "
            "expected 'deflate', or none"
        )


def _gossip(experiment: Experiment, model: object) -> Iterator[str]:
    from nervenet.models.model import in_one_round

    gossip, name = experiment.gossip, short_name(model)
    if gossip.topology != "complete" and not in_one_round(model):
        yield (
            f"gossip.topology = {gossip.topology!r}: each step of {name} needs the sums of all sites, and all have to "
            "take the same one; expected 'complete', where every peer hears all others"
        )
    if gossip.algorithm not in ALGORITHMS:
        yield (
            f"gossip.algorithm = {gossip.algorithm!r}: {name} is a sum over the rows of all sites, and only mixing "
            f"that keeps the mean over the peers has a meaning; expected {' or '.join(map(repr, ALGORITHMS))}"
        )


def is_exact(compression: str) -> bool:
    """Whether a codec gives back what it was given; what is wrong with one that cannot be read is said elsewhere."""
    from nervenet.models.compress import parse

    try:
        codec = parse(compression)
    except ValueError:
        return True
    return not (codec.lossy or codec.relative)


def idle_training(training: TrainingConfig, model: object) -> list[str]:
    """Return a line for each key of [training] that was changed and has no effect on a summed model; else nothing."""
    from nervenet.models.model import is_summed

    if not is_summed(model):
        return []
    fresh = TrainingConfig()
    changed = [f.name for f in fields(fresh) if getattr(training, f.name) != getattr(fresh, f.name)]
    why = f"on {short_name(model)}, which is solved from sums over rows, and trains by no steps"
    return [f"training.{key} has no effect {why}" for key in changed if key not in ONE_PER_ROW]


def missing_rows(experiment: Experiment, model: object) -> list[str]:
    """Return a line where a round may close without a site that is there, of a summed model; else none."""
    from nervenet.models.model import is_summed

    quorum = experiment.federated.quorum
    if experiment.mode != "federated" or quorum >= 1 or not is_summed(model):
        return []
    line = (
        f"federated.quorum = {quorum:g}: a round may close before all sites have answered, and the rows of the others "
        f"are then missing from the sums of {short_name(model)}"
    )
    return [line]


def too_few_rounds(experiment: Experiment, model: object) -> list[str]:
    """Return a line where peers do not agree by the end of the run, and each then has a model of its own; else none."""
    from nervenet.models.model import in_one_round

    needed = rounds_to_agree(experiment) if in_one_round(model) else None
    if needed is None or needed <= experiment.rounds:
        return []
    line = (
        f"rounds = {experiment.rounds}: on gossip.topology = {experiment.gossip.topology!r} it takes {needed} until "
        f"the sums of all have reached all peers, to ten digits; before, each has a {short_name(model)} of its own"
    )
    return [line]


def short_name(model: Any) -> str:
    return str(model.describe()["name"]).rpartition(".")[2]
