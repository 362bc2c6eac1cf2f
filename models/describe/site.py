"""What one site answers when its table is to be described: counts, moments and order statistics of its own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement import order_statistics
from ..agreement.questions import Answer, Question
from ..moments import IncompatibleSites, Moments
from ..tables.table import Table, gaps
from .asked import check_asked, check_column
from .correlations import co_moments
from .histogram import count
from .quartiles import of_values

MIN_ROWS = 10
"""The floor where nothing else is said; usual for published tables."""

MOST_NAMES = 100
"""So many categories of a column a site names at most, the most frequent ones."""

LONGEST_NAME = 100
"""A category with a longer name, in characters, is none: it is text that somebody has written."""

FIGURES = ("count", "mean", "m2", "min", "q1", "median", "q3", "max")
"""What a site tells of a column of numbers or dates, in this order."""

_NONE = np.empty(0)


class SiteDescriber:
    """Answers the questions of `describe_questions` from one site's table.

    Parameters
    ----------
    table
        The rows of the site.
    min_rows
        The site's own floor, at least 1. A question may raise it, never lower it: of fewer rows, and of a column with
        fewer values, it tells nothing, and it names no category that has fewer.
    """

    def __init__(self, table: Table, min_rows: int = MIN_ROWS) -> None:
        if min_rows < 1:
            raise ValueError(f"min_rows is {min_rows}; a number from 1 up is allowed")
        self.table = table
        self.min_rows = min_rows
        self._values: dict[str, NDArray[Any]] = {}

    def answer(self, question: Question) -> Answer:
        """Return the answer to one question.

        Raises MalformedQuestion for one that nobody asks; IncompatibleSites for a column of this site's own that has no
        figures.
        """
        check_asked(question)
        floor = max(self.min_rows, question["min_rows"])
        if len(self.table) < floor:
            return Answer({"declined": f"has fewer than {floor} rows"}, _NONE)
        for name in question.get("columns", ()):
            if self._enough(name, floor):
                check_column(question, name, self.table.kind(name), self.values(name))
        match question["part"]:
            case "figures":
                return self._figures(question["columns"], floor)
            case "ranks":
                return order_statistics.count(
                    question, lambda name: self.values(str(name)) if self._enough(str(name), floor) else _NONE
                )
            case "counts":
                return self._counts(question["columns"], floor)
            case "co-moments":
                names = [name if self._enough(name, floor) else None for name in question["columns"]]
                return Answer({}, co_moments(self.table, names, question["center"], floor))
        return self._columns()

    def values(self, column: str) -> NDArray[Any]:
        """Return a column without its gaps: text as objects, numbers as float64, dates as seconds since 1970."""
        if column not in self._values:
            array = self.table[column]
            array = array[~gaps(array)]
            self._values[column] = array.astype(np.int64).astype(np.float64) if array.dtype.kind == "M" else array
        return self._values[column]

    def _enough(self, column: str, floor: int) -> bool:
        return column in self.table.columns and len(self.values(column)) >= floor

    def _columns(self) -> Answer:
        """Tell how many rows there are, and the columns with their kinds; of one without any value, none."""
        pairs = zip(self.table.columns, self.table.kinds, strict=True)
        kinds = {name: kind if len(self.values(name)) else "" for name, kind in pairs}
        return Answer({"min_rows": self.min_rows, "rows": len(self.table), "columns": kinds}, _NONE)

    def _figures(self, columns: Sequence[str], floor: int) -> Answer:
        told: list[NDArray[np.float64]] = []
        fields: dict[str, Any] = {"few": [], "empty": [], "whole": [], "names": {}}
        for name in columns:
            if name not in self.table.columns:
                continue
            if not self._enough(name, floor):
                fields["few" if len(self.values(name)) else "empty"].append(name)
                continue
            if self.table.kind(name) == "category":
                fields["names"][name] = self._names(name, floor)
                told.append(np.array([float(len(self.values(name)))]))
                continue
            told.append(_figures_of(self.values(name), name))
            if (self.values(name) % 1 == 0).all():
                fields["whole"].append(name)
        return Answer(fields, np.concatenate([_NONE, *told]))

    def _names(self, column: str, floor: int) -> list[str]:
        names, counts = np.unique(self.values(column).astype(np.str_), return_counts=True)
        kept = [place for place in np.argsort(-counts, kind="stable") if counts[place] >= floor]
        return sorted(name for name in names[kept[:MOST_NAMES]].tolist() if len(name) <= LONGEST_NAME)

    def _counts(self, columns: Mapping[str, Sequence[Any]], floor: int) -> Answer:
        """Count values between edges, or of names and, last, of any other name."""
        told = [_NONE]
        for name, cells in columns.items():
            if not self._enough(name, floor):
                continue
            if self.table.kind(name) == "category":
                found = _by_name(self.values(name), cells)
            else:
                found = count(self.values(name), np.array(cells, dtype=np.float64))
            told.append(found.astype(np.float64))
        return Answer({}, np.concatenate(told))


def _figures_of(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    try:
        moments = Moments.of(values.reshape(-1, 1))
    except IncompatibleSites as error:
        raise IncompatibleSites(f'column "{name}": {error}') from None
    found = {"count": len(values), "mean": moments.mean[0], "m2": moments.m2[0], "min": np.min(values)}
    found |= {"max": np.max(values), **of_values(values)}
    return np.array([found[figure] for figure in FIGURES], dtype=np.float64)


def _by_name(values: NDArray[Any], names: Sequence[str]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(names)}
    found, counts = np.unique(values.astype(np.str_), return_counts=True)
    counted = np.zeros(len(names) + 1, dtype=np.int64)
    for name, times in zip(found.tolist(), counts.tolist(), strict=True):
        counted[places.get(name, len(names))] += times
    return counted
