"""Whether what a run has learned is worth less than no learning, and the cause as far as the figures tell it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

from ..config.grown import is_grown
from ..config.schema import Experiment
from ..config.summed import summed_model

GREW = 1000.0  # times its first value: a loss that has diverged, and does not merely sway
APART = 100.0  # times the median site's: a site whose loss is the cause, and not merely larger
DIVERGED = -10.0  # R²: the errors are that many times those of predicting the mean, from the first round on
LEAST = 1e-6  # what a first loss counts as at least: it may well be 0

Losses: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]
"""The first and the last loss by node, and then by kind: ``train``, ``test``."""


def doubt(
    experiment: Experiment,
    task: str,
    score: float | None,
    majority: float | None,
    losses: Losses,
    evaluators: Collection[str],
) -> str | None:
    """Return what is wrong with the model of a completed run, and why; None if nothing is.

    Parameters
    ----------
    score
        Accuracy or R\u00b2 of the model; None: not known.
    majority
        The share of the test rows that have the most frequent label; None: not known.
    losses
        Of all nodes.
    evaluators
        The nodes whose figures are the run's.
    """
    found = []
    if task == "regression" and score is not None and score < 0:
        found.append(f"it is worse than predicting the mean (R\u00b2 {score:.3g})")
    if task == "classification" and score is not None and majority is not None and score < majority:
        found.append(f"it is worse than predicting the most frequent label, which {majority:.3f} of the rows have")
    grown = _grown({name: losses[name] for name in sorted(evaluators) if name in losses})
    if not found and not grown:
        return None
    sites = {name: known["train"][1] for name, known in sorted(losses.items()) if "train" in known}
    if experiment.mode == "federated":
        sites = {name: loss for name, loss in sites.items() if name not in evaluators}
    return f"{'; '.join(found + grown)}: {_cause(experiment, sites, diverged=bool(grown) or (score or 0.0) < DIVERGED)}"


def _grown(losses: Losses) -> list[str]:
    lines = []
    for kind, words in (("train", "training"), ("test", "test")):
        ends = [known[kind] for known in losses.values() if kind in known]
        worst: Any = max(ends, key=lambda pair: pair[1] / max(pair[0], LEAST), default=None)
        if worst is not None and worst[1] > GREW * max(worst[0], LEAST):
            lines.append(f"the {words} loss grew from {worst[0]:.3g} to {worst[1]:.3g}")
    return lines


def _cause(experiment: Experiment, sites: Mapping[str, float], *, diverged: bool) -> str:
    """Return the site, the scale or the rate that the figures point to."""
    median = sorted(sites.values())[(len(sites) - 1) // 2] if sites else 0.0
    apart = [name for name, loss in sites.items() if loss > APART * max(median, LEAST)]
    if apart:
        return f"the training loss of {', '.join(apart)} is over {APART:g} times the median site's; look at its rows"
    if summed_model(experiment) is not None or is_grown(experiment):
        return "no step or rate had a part in it; other parameters of the model, or another model may help"
    if experiment.data.scale == "none":
        return "inputs and targets are not scaled (data.scale = 'none')"
    if diverged:
        return "training diverged at every site; a smaller learning rate may help"
    return "no cause was found; other settings of [training], more rounds or another model may help"
