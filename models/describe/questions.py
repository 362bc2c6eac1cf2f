"""The dialog that describes the tables of all sites: three or four questions, and those for the exact quartiles."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ..agreement.order_statistics import order_statistics
from ..agreement.questions import Answer, Answers, Question, Questions
from ..moments import IncompatibleSites
from ..tables.table import Kind
from .correlations import CORRELATED, correlations
from .description import Account, Description
from .figures import of_categories, of_numbers, pooled_moments
from .histogram import common_edges
from .quartiles import of_ranks, ranks_of
from .site import MIN_ROWS
from .told import Told, agreed_kinds, counts_of

Asking: TypeAlias = Generator[Question, Answers, Answers]

MOST_BYTES = 300_000
"""About so much text is in one question, or in an answer to it: messages have a limit."""

COLUMNS = 20
"""Of so many columns a site tells figures and names in one answer."""

BITS = 4
"""Of the keys of values, so many at a time: sixteen questions, and little is said of what is far from a quartile."""

WHAT = {
    "columns": "how many rows it has; the names and kinds of its columns",
    "figures": "of each column: count, mean, sum of squares, extremes, quartiles; or count and names of categories",
    "ranks": "of each column: how many values lie in which ranges around the quartiles of all sites",
    "counts": "of each column: how many values lie between common edges, or have the name of which category",
    "co-moments": "of every two columns: rows, sums, sums of squares and of products",
}


@dataclass(frozen=True)
class DescribeOptions:
    """What to ask: the floor of rows, how many bins a histogram has at most, and whether for correlations."""

    min_rows: int = MIN_ROWS
    bins: int = 20
    correlations: bool = False


@dataclass
class _Inquiry:
    """What is known so far, and how the next question is asked."""

    floor: int
    account: Account = field(default_factory=Account)
    sites: dict[str, Told] = field(default_factory=dict)  # that describe their columns
    declined: dict[str, str] = field(default_factory=dict)  # the others, and why

    def ask(self, part: str, **fields: Any) -> Asking:
        """Ask all sites, and return the answers of those that describe their columns."""
        answers = yield {"ask": "describe", "part": part, "min_rows": self.floor, **fields}
        return self.entered(part, answers)

    def relay(self, part: str, questions: Questions[Any]) -> Questions[Any]:
        """Ask the questions of another dialog, which hears only the sites that describe their columns."""
        answers: Answers | None = None
        while True:
            try:
                question = next(questions) if answers is None else questions.send(answers)
            except StopIteration as end:
                return end.value
            asked = {**question, "ask": "describe", "part": part, "min_rows": self.floor}
            answers = self.entered(part, (yield asked))

    def entered(self, part: str, answers: Answers) -> dict[str, Answer]:
        found = {site: answer for site, answer in answers.items() if site in self.sites}
        for site, answer in found.items():
            if "declined" in answer.fields:
                raise IncompatibleSites(f"site {site} stopped answering: it {answer.fields['declined']}", site)
            names = answer.fields.get("names", {})
            told = sum(map(len, names.values())) if isinstance(names, Mapping) else 0
            self.account.add(site, part, WHAT[part], answer.vector.size, told)
        return found

    def with_column(self, column: str) -> list[Told]:
        return [told for told in self.sites.values() if column in told.figures]


def describe_questions(options: DescribeOptions | None = None) -> Questions[Description]:
    """Return the dialog of the coordinator: it ends with the description of all sites.

    Raises IncompatibleSites, within the dialog: no site has as many rows as the floor; an answer is malformed.
    """
    options = options or DescribeOptions()
    inquiry = _Inquiry(options.min_rows)
    answers = yield {"ask": "describe", "part": "columns", "min_rows": options.min_rows}
    _begin(inquiry, answers)
    kinds, odd = agreed_kinds(list(inquiry.sites.values()))
    for part in batched(dict.fromkeys(kinds, MOST_BYTES // COLUMNS)):
        answers = yield from inquiry.ask("figures", columns=part)
        for site, told in inquiry.sites.items():
            told.hear({name: kinds[name] for name in part}, answers[site], inquiry.floor)
    described = {name: kind for name, kind in kinds.items() if inquiry.with_column(name)}
    quartiles = yield from _quartiles(inquiry, described)
    columns = yield from _columns(inquiry, described, quartiles, options)
    for name, kind in kinds.items():
        columns.setdefault(name, {"kind": kind, "pooled": {}, "sites": {}})
        _say_who_is_missing(inquiry, name, columns[name])
    for name, found in odd.items():
        listed = ", ".join(f"{kind} at {site}" for site, kind in found.items())
        columns[name] = {"kind": "mixed", "pooled": {}, "sites": {}, "note": f"not described: {listed}"}
    ordered = {name: columns[name] for told in inquiry.sites.values() for name in told.kinds}
    related = (yield from _correlations(inquiry, described)) if options.correlations else None
    return Description(inquiry.floor, ordered, _accounts(inquiry), related)


def _begin(inquiry: _Inquiry, answers: Answers) -> None:
    """Sort sites into those that describe their columns and those that do not; the highest floor of all counts."""
    for site, answer in answers.items():
        if "declined" in answer.fields:
            inquiry.declined[site] = str(answer.fields["declined"])
            continue
        inquiry.sites[site] = Told.of(site, answer)
        own = answer.fields.get("min_rows")
        inquiry.floor = max(inquiry.floor, own if isinstance(own, int) else 1)
        inquiry.account.add(site, "columns", WHAT["columns"], 1, len(inquiry.sites[site].kinds))
    for site, told in list(inquiry.sites.items()):
        if told.rows < inquiry.floor:
            inquiry.declined[site] = f"has fewer than {inquiry.floor} rows, the highest floor of all sites"
            del inquiry.sites[site]
    if not inquiry.sites:
        raise IncompatibleSites(f"no site has {inquiry.floor} rows or more, so there is nothing to describe (min_rows)")


def _quartiles(inquiry: _Inquiry, kinds: Mapping[str, Kind]) -> Questions[dict[str, dict[str, float]]]:
    """Return the exact quartiles of each column of numbers or dates, of all sites together."""
    names = [name for name, kind in kinds.items() if kind != "category"]
    found = yield from inquiry.relay("ranks", order_statistics(names, ranks_of, BITS))
    return {name: of_ranks(column) for name, column in zip(names, found, strict=True)}


def _columns(
    inquiry: _Inquiry, kinds: Mapping[str, Kind], quartiles: Mapping[str, Mapping[str, float]], options: DescribeOptions
) -> Questions[dict[str, dict[str, Any]]]:
    """Return the figures of all columns, having asked for the counts that are left to ask for."""
    cells: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        sites = inquiry.with_column(name)
        if kind == "category":
            cells[name] = sorted({category for told in sites for category in told.names.get(name, [])})
            continue
        ends = {end: pick(told.figures[name][end] for told in sites) for end, pick in (("min", min), ("max", max))}
        whole = kind == "number" and all(name in told.whole for told in sites)
        cells[name] = common_edges({**ends, **quartiles[name]}, options.bins, whole=whole).tolist()
    counted: dict[str, dict[str, Any]] = {site: {} for site in inquiry.sites}
    for part in batched({name: sum(len(str(cell)) + 9 for cell in found) for name, found in cells.items()}):
        answers = yield from inquiry.ask("counts", columns={name: cells[name] for name in part})
        width = {name: len(cells[name]) + (1 if kinds[name] == "category" else -1) for name in part}
        for site, told in inquiry.sites.items():
            counted[site] |= counts_of(told, width, answers[site])
    columns = {}
    for name, kind in kinds.items():
        sites = inquiry.with_column(name)
        counts = np.array([counted[told.site][name] for told in sites])
        if kind == "category":
            pooled, each = of_categories(sites, name, cells[name], counts, inquiry.floor)
        else:
            edges = np.array(cells[name])
            found = (quartiles[name], edges, counts, inquiry.floor)
            pooled, each = of_numbers(sites, name, *found, dates=kind == "date")
        columns[name] = {"kind": kind, "pooled": pooled, "sites": each}
    return columns


def _say_who_is_missing(inquiry: _Inquiry, name: str, column: dict[str, Any]) -> None:
    """Add the sites with gaps only, and a note of those that are not in the figures of a column."""
    for told in inquiry.sites.values():
        if name in told.empty:
            column["sites"][told.site] = {"count": 0, "gaps": told.rows}
            column["pooled"] = {"count": 0, "gaps": 0} | column["pooled"]
            column["pooled"]["gaps"] += told.rows
    few = [told.site for told in inquiry.sites.values() if name in told.few]
    without = [told.site for told in inquiry.sites.values() if name not in told.kinds]
    notes = [f"{', '.join(few)}: fewer than {inquiry.floor} values"] if few else []
    notes += [f"{', '.join(without)}: no such column"] if without else []
    if notes:
        column["note"] = "; ".join(notes)


def _correlations(inquiry: _Inquiry, kinds: Mapping[str, Kind]) -> Questions[dict[str, Any]]:
    """Return the correlations of the columns of numbers, of all sites together and of each."""
    names = [name for name, kind in kinds.items() if kind == "number"]
    if len(names) > CORRELATED:
        raise IncompatibleSites(f"{len(names)} columns to correlate: at most {CORRELATED} are; leave some out (drop)")
    center = [float(pooled_moments(inquiry.with_column(name), name).mean[0]) for name in names]
    answers = yield from inquiry.ask("co-moments", columns=names, center=center)
    sums = {site: answer.vector for site, answer in answers.items()}
    for site, found in sums.items():
        if found.shape != (6 * len(names) * (len(names) - 1) // 2,):
            raise IncompatibleSites(f"site {site}: {len(found)} sums of {len(names)} columns", site)

    def matrix(found: Any) -> list[list[float | None]]:
        rows = correlations(found, center, inquiry.floor).tolist()
        return [[None if value != value else value for value in row] for row in rows]

    total = np.sum([sums[site] for site in sorted(sums)], axis=0)
    each = {site: matrix(found) for site, found in sums.items()}
    return {"columns": names, "pooled": matrix(total), "sites": each}


def batched(sizes: Mapping[str, int]) -> list[list[str]]:
    """Return names in their order, in parts of about `MOST_BYTES`; at least one part."""
    parts: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if parts[-1] and filled + size > MOST_BYTES:
            parts.append([])
            filled = 0
        parts[-1].append(name)
        filled += size
    return parts


def _accounts(inquiry: _Inquiry) -> dict[str, dict[str, Any]]:
    """Return of each site, by name, whether it has answered, and what it has given away."""
    found: dict[str, dict[str, Any]] = {}
    for site in sorted([*inquiry.sites, *inquiry.declined]):
        gave = inquiry.account.lines.get(site, [])
        if site in inquiry.declined:
            found[site] = {"answered": False, "reason": inquiry.declined[site], "gave": gave}
        else:
            found[site] = {"answered": True, "reason": None, "rows": inquiry.sites[site].rows, "gave": gave}
    return found
