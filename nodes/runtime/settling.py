"""Round 0 in this process: questions and answers of all sites, one call after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nervenet.models.site_model import SiteModel

from . import effects as e
from . import events as ev
from .model_worker import ModelWorker


def settled(
    workers: Sequence[ModelWorker],
    sites: Mapping[str, SiteModel],
    agreement: Mapping[str, Any] | None,
    *,
    limited: bool = False,
) -> ev.ModelReady:
    """Have each of the workers settle with all sites what they must share, unless there is an `agreement`, and build
    its model; return what the first of them says.

    `limited`: the statistics of a site count for its rows at most, as a coordinator has it.
    """
    if agreement is not None:
        found = [worker.apply_agreement(e.ApplyAgreement(agreement=agreement)) for worker in workers]
        assert isinstance(found[0], ev.ModelReady)  # noqa: S101 - an agreement is the end of the dialog
        return found[0]
    rows = {name: site.examples for name, site in sites.items()} if limited else {}
    question: Mapping[str, Any] = {}
    step = 0
    while True:
        surveys: dict[str, tuple[Mapping[str, Any], Any]] = {}
        for name in sorted(sites):
            fields, vector = sites[name].answer(question)
            surveys[name] = fields, vector
        found = [worker.apply_agreement(e.ApplyAgreement(surveys=surveys, rows=rows, step=step)) for worker in workers]
        if isinstance(found[0], ev.ModelReady):
            return found[0]
        question, step = found[0].question, found[0].step
