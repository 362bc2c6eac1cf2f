"""A policy in plain words, and what of a run it would decline: for people who are to say yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config.site import AllowConfig
from .decide import MODEL, Request, decide
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
        lines.append(f"statistics: {_listed([meant(kind) for kind in allow.statistics])}")
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


def conflicts(experiment: Experiment, run: str | None, rows: int | None = None) -> list[str]:
    """Return what the policy of an experiment's [site.allow] would decline in the run that it describes.

    None: the run, or the number of this site's rows, is not known yet. Nothing is imported, and so the hash of the
    model is not known: where the policy names some, that is judged when the node starts.
    """
    allow = experiment.site.allow
    by_hash = any(entry.startswith(MODEL) for entry in allow.models or ())
    request = Request(
        run=run,
        strategy=experiment.federated.strategy if experiment.mode == "federated" else experiment.gossip.algorithm,
        model=None if by_hash else experiment.model.name,
        rounds=experiment.rounds,
        rows=rows,
        clients=experiment.min_nodes,
        statistics=sure_statistics(experiment),
    )
    declined = decide(request, allow)
    return [] if declined is None else [str(declined)]


def meant(kind: str) -> str:
    """Return a statistic with what it is."""
    return f"{kind} ({MEANING[kind]})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
