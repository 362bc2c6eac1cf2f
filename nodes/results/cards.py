"""The cards of a run's models: what model.json knows of each, and how the run went."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..config.schema import Experiment

MODEL = "model"  # stems of the files of the final model, and of that of the best round
BEST = "best"

_TRAINED = ("mode", "data", "nodes", "rounds", "completed_rounds", "seed", "task", "status", "undisturbed", "wall_s")
_FIGURES = ("accuracy", "accuracy_min", "accuracy_max", "r2", "r2_min", "r2_max", "loss", "evaluated_on")


def write_cards(experiment: Experiment, path: Path, summary: Mapping[str, Any]) -> None:
    """Write the cards of the models of a run folder, as far as there are any, with what the run came to."""
    from nervenet.models.artifact import ModelFileError, write_card

    for stem in (MODEL, BEST):
        described = path / f"{stem}.json"
        # What an earlier incarnation has left, where this one could not write its own, may be of any kind.
        with suppress(ModelFileError):
            write_card(described, _trained(experiment, summary), _figures(summary, stem))


def _trained(experiment: Experiment, summary: Mapping[str, Any]) -> dict[str, Any]:
    training = experiment.training
    how = {key: summary.get(key) for key in _TRAINED}
    if experiment.mode == "federated":
        how["strategy"] = experiment.federated.strategy
    else:
        how |= {"topology": experiment.gossip.topology, "algorithm": experiment.gossip.algorithm}
    how |= {key: getattr(training, key) for key in ("epochs", "local_steps", "batch_size")}
    return how | {"nodes lost": len(summary.get("nodes_lost") or ()), "insecure": summary.get("insecure")}


def _figures(summary: Mapping[str, Any], stem: str) -> dict[str, Any]:
    best = summary.get("best")
    if stem == BEST and best:
        return dict(best)
    known = {key: summary.get(key) for key in _FIGURES} | dict(summary.get("scores") or {})
    baseline = summary.get("baseline") or {}
    return known | {
        "trained on all rows in one place": baseline.get("centralised"),
        "mean of models of one site each": baseline.get("local_only_mean"),
    }
