"""What taking part in a run makes leave a site, for people: what, when, to whom, and what stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..consent.in_words import LATER, conflicts, meant, policy_lines, possible_statistics, sure_statistics
from .shared_part import is_import_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config.schema import Experiment
    from .invitation import Invitation


@dataclass(frozen=True)
class Leaving:
    """Something that leaves the site: when, what it is, and who gets it."""

    when: str
    what: str
    to: str


@dataclass(frozen=True)
class Disclosure:
    """What an invitation comes to for a site.

    `code` are import paths that its machine needs, and would run; `policy` is what the site's own policy admits, and
    `declined` what that would decline in this run.
    """

    plan: str
    leaves: tuple[Leaving, ...]
    stays: tuple[str, ...]
    code: tuple[str, ...]
    policy: tuple[str, ...]
    declined: tuple[str, ...]


def disclosure(invitation: Invitation, experiment: Experiment, rows: int | None = None) -> Disclosure:
    """Return what is shown to a site before it joins.

    `experiment` is that of the invitation with what the site says for itself; nothing of it has been imported. `rows`
    is how many the site has, None where that is not known.
    """
    code = [
        f"{key} = {value}"
        for key, value in (
            ("model.name", experiment.model.name),
            ("data.preprocess", experiment.data.preprocess if experiment.mode == "gossip" else "auto"),
            ("gossip.topology", experiment.gossip.topology if experiment.mode == "gossip" else ""),
            ("gossip.algorithm", experiment.gossip.algorithm if experiment.mode == "gossip" else ""),
        )
        if is_import_path(value) and not value.lstrip().startswith("{")
    ]
    return Disclosure(
        plan_of(experiment),
        tuple(_leaves(invitation, experiment)),
        tuple(_stays(experiment)),
        tuple(code),
        tuple(policy_lines(experiment.site.allow)),
        tuple(conflicts(experiment, invitation.run, rows)),
    )


def plan_of(experiment: Experiment) -> str:
    """Return a run in a line: mode, strategy, rounds, sites, model."""
    model = experiment.model
    units = f" of {', '.join(map(str, model.hidden))} hidden units" if model.name == "mlp" else ""
    gossip = experiment.gossip
    how = (
        experiment.federated.strategy if experiment.mode == "federated" else f"{gossip.algorithm} on {gossip.topology}"
    )
    return f"{experiment.mode}, {how}; {experiment.rounds} rounds, {experiment.nodes} sites; model {model.name}{units}"


def _leaves(invitation: Invitation, experiment: Experiment) -> Iterator[Leaving]:
    federated = experiment.mode == "federated"
    to = f"the coordinator ({', '.join(invitation.of_role('coordinator'))})" if federated else "all peers of the run"
    sure = sure_statistics(experiment)
    further = ", ".join(map(meant, sorted(possible_statistics(experiment))))
    weights = ""
    if experiment.data.weight is not None:
        weights = f"; the sums of the weights of its rows (column {experiment.data.weight})"
    first = ", ".join(map(meant, sorted(sure - LATER)))
    yield Leaving("before round 1", f"{first}; of text, dates and gaps also {further}{weights}", to)
    yield from _of_rounds(experiment, to)
    if sure & LATER:
        least = experiment.evaluation.report_rows
        judged = ", ".join(meant(kind) for kind in ("scores", "reports") if kind in sure)
        yield Leaving("when judged", f"{judged}, these if they are of {least} rows or more", to)
    if "site-matrix" in sure:
        yield Leaving("at the end", meant("site-matrix"), f"{to}, and all sites")
    yield Leaving(
        "all the time",
        "its name and process number; numbers of rows trained on and kept; losses and scores; times and bytes",
        f"the broker ({invitation.hub}), and whom that lets watch",
    )


def _of_rounds(experiment: Experiment, to: str) -> Iterator[Leaving]:
    if experiment.mode == "gossip":
        yield Leaving(
            "in each round",
            "the weights of its model, trained on its rows",
            f"its neighbors ({experiment.gossip.topology})",
        )
        return
    kept = experiment.federated.personal
    without = f", all but {', '.join(kept)}" if kept else ""
    share = experiment.federated.participation
    when = "in each round" if share == 1 else f"when asked ({share:.0%} of the sites a round)"
    yield Leaving(when, f"the model's weights{without}, trained on its rows; its loss; how many rows that were", to)


def _stays(experiment: Experiment) -> Iterator[str]:
    yield "the rows themselves, the file and its path"
    yield "this site's secret key"
    if experiment.mode == "federated" and (experiment.federated.ditto or experiment.federated.fine_tune):
        yield "the model that is made for this site alone, but for its scores"
