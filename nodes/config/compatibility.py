"""What all nodes of a run must have in common, as the broker compares it; and what of an experiment goes with each
task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..experiment.layout import edges_digest

if TYPE_CHECKING:
    from nervenet.models.site_model import Learner

    from .schema import Experiment


def run_terms(experiment: Experiment, learner: Learner) -> dict[str, Any]:
    """List, by the keys of the experiment file, what a node must bring exactly as the others do.

    How a node trains is its own affair as long as copies can be averaged; what it trains, and with whom it mixes how,
    is not.
    """
    description = learner.model.describe()
    terms: dict[str, Any] = {
        "mode": experiment.mode,
        "nodes": experiment.min_nodes,
        "seed": experiment.seed,
        "data.scale": experiment.data.scaling,
        "model.name": str(description["name"]),
    }
    for key in ("hidden", "activation", "dtype"):
        if key in description.get("parameters", {}):
            terms[f"model.{key}"] = str(description["parameters"][key])
    if experiment.mode == "gossip":
        gossip = experiment.gossip
        terms |= {"gossip.topology": gossip.topology, "gossip.algorithm": gossip.algorithm}
        terms |= {f"gossip.{key}": value for key in ("mixing", "compression") if (value := getattr(gossip, key))}
        terms |= {f"gossip.{key}": str(value) for key, value in sorted(gossip.arguments.items())}
        drawn = {"gossip.degree": experiment.degree, "gossip.probability": experiment.probability}
        terms |= {key: value for key, value in drawn.items() if value is not None}
        if experiment.gossip.edges is not None:
            terms["gossip.edges"] = edges_digest(experiment.gossip.edges)
    return terms


def settings_of(experiment: Experiment) -> dict[str, Any]:
    """Give the training settings of one round, as a task carries them (`nervenet.models.local.LocalSettings`)."""
    training, federated = experiment.training, experiment.federated
    settings: dict[str, Any] = {
        "epochs": training.epochs,
        "local_steps": training.local_steps,
        "batch_size": training.batch_size,
        "carry_optimizer": experiment.carry_optimizer,
    }
    if experiment.mode == "federated" and federated.personal:
        settings["personal"] = list(federated.personal)
    if experiment.mode == "federated" and federated.ditto:
        settings["ditto"] = federated.ditto
    return settings


def parting_of(experiment: Experiment) -> dict[str, Any]:
    """Give what the last task of a federated run asks for beside the training settings."""
    epochs = experiment.federated.fine_tune
    return {"fine_tune": epochs} if epochs else {}
