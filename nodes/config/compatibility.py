"""What all nodes of a run must have in common, as the broker compares it; and what of an experiment goes with each
task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..topology.edge_list import edges_digest

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

    from .schema import Experiment


def shared_config_of(experiment: Experiment, site_model: SiteModel) -> dict[str, Any]:
    """List, by the keys of the experiment file, what a node must bring exactly as the others do.

    How a node trains is its own affair as long as copies can be averaged; what it trains, and with whom it mixes how,
    is not.
    """
    description = site_model.model.describe()
    shared_config: dict[str, Any] = {
        "mode": experiment.mode,
        "nodes": experiment.min_nodes,
        "seed": experiment.seed,
        "data.scale": experiment.data.scaling,
        "model.name": str(description["name"]),
    }
    for key in ("hidden", "activation", "dtype"):
        if key in description.get("parameters", {}):
            shared_config[f"model.{key}"] = str(description["parameters"][key])
    if experiment.mode == "gossip":
        gossip = experiment.gossip
        shared_config |= {"gossip.topology": gossip.topology, "gossip.algorithm": gossip.algorithm}
        shared_config |= {
            f"gossip.{key}": value for key in ("mixing", "compression") if (value := getattr(gossip, key))
        }
        shared_config |= {f"gossip.{key}": str(value) for key, value in sorted(gossip.arguments.items())}
        drawn = {"gossip.degree": experiment.degree, "gossip.probability": experiment.probability}
        shared_config |= {key: value for key, value in drawn.items() if value is not None}
        if experiment.gossip.edges is not None:
            shared_config["gossip.edges"] = edges_digest(experiment.gossip.edges)
    return shared_config


def task_settings(experiment: Experiment) -> dict[str, Any]:
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


def final_task_settings(experiment: Experiment) -> dict[str, Any]:
    """Give what the last task of a federated run asks for beside the training settings."""
    epochs = experiment.federated.fine_tune
    return {"fine_tune": epochs} if epochs else {}
