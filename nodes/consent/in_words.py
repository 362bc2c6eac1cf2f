"""A policy, and what a run asks a site for, in plain words: for people who are to say yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config.site import AllowConfig
from .decide import Request, decide
from .statistics import MEANING

if TYPE_CHECKING:
    from ..config.schema import Experiment


def policy_lines(allow: AllowConfig) -> list[str]:
    """Return what a policy admits, a line for each key of [site.allow] that limits anything."""
    if allow.everything:
        return ["anything: no policy is set ([site.allow])"]
    lines = []
    for what, names in (("runs", allow.runs), ("strategies", allow.strategies), ("models", allow.models)):
        if names is not None:
            lines.append(f"{what}: {_listed(names)}")
    if allow.max_rounds is not None:
        lines.append(f"runs of at most {allow.max_rounds} rounds")
    if allow.min_rows is not None:
        lines.append(f"nothing with fewer than {allow.min_rows} rows of its own")
    if allow.min_clients is not None:
        lines.append(f"nothing with fewer than {allow.min_clients} sites together")
    if allow.statistics is not None:
        lines.append(f"statistics: {_listed([_meant(kind) for kind in allow.statistics])}")
    return lines


def request_lines(experiment: Experiment, run: str) -> list[str]:
    """Return what a run asks a site for, as far as the site's part of the experiment says it."""
    federated = experiment.mode == "federated"
    whom = "the coordinator" if federated else f"its neighbors ({experiment.gossip.topology})"
    lines = [
        f"run {run}: {_how(experiment)}, {experiment.rounds} rounds, {experiment.min_nodes} sites",
        f"model {experiment.model.name}, trained on this site's own rows, which stay here",
        f"after each round its weights go to {whom}"
        + (f", encoded as {experiment.compression}" if experiment.compression else ""),
    ]
    lines += [f"before the first round: {_meant(kind)}" for kind in sorted(sure_statistics(experiment) - LATER)]
    for kind in sorted(possible_statistics(experiment)):
        lines.append(f"where its table has text, dates, gaps or a pipeline: {_meant(kind)}")
    lines += [f"later: {_meant(kind)}" for kind in sorted(sure_statistics(experiment) & LATER)]
    return lines


LATER = frozenset({"scores", "reports", "site-matrix"})
"""Statistics that are asked for in and after the rounds."""


def sure_statistics(experiment: Experiment) -> frozenset[str]:
    """Return what a site is asked to tell in such a run, whatever its table holds."""
    found = {"moments"}
    if experiment.training.class_weight == "balanced":
        found.add("counts")
    if experiment.mode == "federated":
        found |= {"scores", "reports"}  # a coordinator has no rows of its own
        if experiment.evaluation.site_matrix:
            found.add("site-matrix")
    return frozenset(found)


def possible_statistics(experiment: Experiment) -> frozenset[str]:
    """Return what a site may be asked to tell beside, by what the tables of all sites hold."""
    found = {"categories", "quantiles"}
    if experiment.data.preprocess != "auto":
        found |= {"limits", "counts", "correlations"}
    return frozenset(found - sure_statistics(experiment))


def conflicts(experiment: Experiment, run: str, model_hash: str = "") -> list[str]:
    """Return what the policy of an experiment's [site.allow] would decline in the run that it describes."""
    request = Request(
        run=run,
        strategy=experiment.federated.strategy if experiment.mode == "federated" else experiment.gossip.algorithm,
        model=experiment.model.name,
        model_hash=model_hash,
        rounds=experiment.rounds,
        clients=experiment.min_nodes,
        statistics=sure_statistics(experiment),
    )
    declined = decide(request, experiment.site.allow)
    return [] if declined is None else [str(declined)]


def _how(experiment: Experiment) -> str:
    if experiment.mode == "federated":
        return f"federated, strategy {experiment.federated.strategy}"
    return f"gossip, algorithm {experiment.gossip.algorithm}"


def _meant(kind: str) -> str:
    return f"{kind} ({MEANING[kind]})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
