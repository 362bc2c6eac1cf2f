"""Round 0 of tables of plain numbers without gaps: one question, for every site's statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ..data.data import Task
from ..moments import IncompatibleSites
from ..preprocessing import Preprocessing
from ..site_statistics import Scale, SiteStatistics, agree
from .questions import Answer, Question, Questions


class Agreed(NamedTuple):
    """What round 0 comes to; `cautions` are reasons why the sites, as their answers show them, may learn little."""

    preprocessing: Preprocessing
    cautions: tuple[str, ...] = ()


class Judge(Protocol):
    """What a `SiteModel` knows of the sites that its model can learn from."""

    def misfit(self, classes: Sequence[object]) -> str | None: ...

    def caution(self, sites: Mapping[str, Sequence[object]], classes: Sequence[object]) -> str | None: ...


class Site(Protocol):
    def statistics(self) -> SiteStatistics: ...


def plain_questions(judge: Judge, scale: Scale, task: Task | None, rows: Mapping[str, int]) -> Questions[Agreed]:
    """Return the dialog: the question, which is empty, and `site_statistics.agree`.

    `rows` is the most that each site counts for, by its name; it is looked at when the statistics are there. Raises
    IncompatibleSites: the sites do not fit each other, or one does not fit the model, or has answered something else.
    """
    answers = yield {}
    sites: dict[str, SiteStatistics] = {}
    for name, (fields, vector) in answers.items():
        try:
            sites[name] = SiteStatistics.from_parts(fields, vector).limited(rows.get(name))
        except IncompatibleSites as error:
            raise IncompatibleSites(f"site {name}: {error}", name) from error
    agreed = agree(sites, scale, task)
    if agreed.classes is None:
        return Agreed(agreed)
    for name, statistics in sites.items():
        if misfit := judge.misfit(statistics.classes or ()):
            raise IncompatibleSites(f"site {name}: {misfit}", name)
    caution = judge.caution({name: site.classes or () for name, site in sites.items()}, agreed.classes)
    return Agreed(agreed, (caution,) if caution else ())


def plain_answer(site: Site, question: Question) -> Answer:
    """Return a site's answer. Raises IncompatibleSites for another question than that for its statistics."""
    if question.get("ask", "statistics") != "statistics":
        raise IncompatibleSites(f"a table of plain numbers has no answer to the question {question['ask']!r:.80}")
    statistics = site.statistics()
    return Answer(statistics.header(), statistics.vector())
