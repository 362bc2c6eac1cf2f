"""What several sites answer to the first question of round 0, as one site would that had all their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from .agreement.questions import Answer
from .data.written import merged
from .moments import IncompatibleSites, Moments
from .site_statistics import SiteStatistics, agreed_columns
from .targets import Label


def merged_answer(answers: Mapping[str, Answer], rows: Mapping[str, int]) -> Answer:
    """Return the statistics of all rows of these sites together, merged in the order of their names.

    Parameters
    ----------
    answers
        What each site has answered, by its name.
    rows
        The most rows that each counts for.

    Raises
    ------
    IncompatibleSites
        They do not fit each other, or one has a table with text, dates or gaps, of which more is asked than can be
        summed; it names the site.
    """
    sites: dict[str, SiteStatistics] = {}
    for site, (fields, vector) in sorted(answers.items()):
        if "kinds" in fields:
            raise IncompatibleSites(
                f"site {site} has a table with text, dates or gaps, and a region only sums the statistics of numbers",
                site,
            )
        try:
            sites[site] = SiteStatistics.from_parts(fields, vector).limited(rows.get(site))
        except IncompatibleSites as error:
            raise IncompatibleSites(f"site {site}: {error}", site) from error
    found = merge_statistics(sites)
    return Answer(found.header(), found.vector())


def merge_statistics(sites: Mapping[str, SiteStatistics]) -> SiteStatistics:
    """Return the statistics of the pooled rows (Chan, Golub & LeVeque 1979).

    A site whose targets can only be labels, or only quantities, settles what those of all are; one whose are either
    leaves it open. Raises IncompatibleSites where two sites settle it differently, or columns differ.
    """
    columns = agreed_columns(sites)
    known = [sites[name].in_order(columns) for name in sorted(sites)]
    quantities = [name for name in sorted(sites) if sites[name].classes is None]
    labels = [name for name in sorted(sites) if sites[name].target is None]
    if quantities and labels:
        raise IncompatibleSites(f"site {labels[0]} has labels as targets; site {quantities[0]} has quantities")
    classes = None if quantities else _union(one.classes or () for one in known)
    targets = [] if labels else [one.target for one in known if one.target is not None]
    target = reduce(Moments.merge, targets) if targets else None
    inputs = reduce(Moments.merge, (one.inputs for one in known))
    return SiteStatistics(columns, classes, inputs, target, merged(one.written for one in known))


def _union(classes: Iterable[Sequence[Label]]) -> tuple[Label, ...]:
    found = {label for labels in classes for label in labels}
    if len({isinstance(label, str) for label in found}) > 1:
        raise IncompatibleSites("some sites have text labels as targets, others have numbers")
    return tuple(sorted(found))
