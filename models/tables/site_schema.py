"""What a site tells first of a table with categories, dates or gaps: kinds, gaps, categories, and no row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..data.data import Task, is_whole
from ..moments import IncompatibleSites, Moments
from ..preprocessing import checked_columns
from ..site_statistics import SiteStatistics
from .stored_table import StoredTable
from .table import Kind, Table, gaps

MOST_CATEGORIES = 256
"""Of a column, that a site tells by name; of more it tells the number."""

LONGEST_CATEGORY = 200
"""Characters: a column with a longer one holds texts, and they are told by number."""

_KEYS = {"columns", "classes", "kinds", "rows", "gaps", "differ", "categories"}


@dataclass(frozen=True, eq=False)
class SiteSchema:
    """The columns of one site.

    Kinds, gaps and categories are those of all its rows. Means and spreads of `statistics` are of the cells that are no
    gaps, for dates in seconds since 1970, for categories 0.
    """

    statistics: SiteStatistics  # names, classes, means and spreads; its target is that of the training rows
    kinds: tuple[Kind, ...]
    rows: int  # the hold-out's too
    gaps: tuple[int, ...]  # empty cells of each column
    differ: tuple[bool | None, ...]  # whether each row has another category or whole number, as an id; None: not told
    categories: Mapping[str, tuple[str, ...] | int]  # of each column of this kind, sorted; or how many, where withheld

    def __post_init__(self) -> None:
        width = len(self.statistics.columns)
        if not width == len(self.kinds) == len(self.gaps) == len(self.differ):
            raise IncompatibleSites(f"{width} columns with {len(self.kinds)} kinds, {len(self.gaps)} counts of gaps")
        if self.rows < 1 or any(not 0 <= count <= self.rows for count in self.gaps):
            raise IncompatibleSites(f"columns with fewer than 0, or more than {self.rows} gaps in {self.rows} rows")
        wanted = {name for name, kind in zip(self.columns, self.kinds, strict=True) if kind == "category"}
        if set(self.categories) != wanted:
            raise IncompatibleSites("categories are told of the columns that have them, and of no other")

    @classmethod
    def of(
        cls,
        table: Table | StoredTable,
        y: NDArray[Any],
        task: Task | None,
        more: tuple[Table | StoredTable, NDArray[Any]] | None = None,
    ) -> SiteSchema:
        """Return the facts of a site's own rows, and of those that it holds out, `more`.

        Raises IncompatibleSites when there are no rows, or a value is infinite.
        """
        target = SiteStatistics.of(np.zeros((len(y), 1)), y, ("none",), task, None if more is None else more[1])
        n = target.inputs.n
        told: list[_Told] = []
        for name, kind in zip(table.columns, table.kinds, strict=True):  # one at a time: they may be on disk
            values = table[name] if more is None else np.concatenate([table[name], more[0][name]])
            told.append(_told(name, kind, values, n))
        inputs = Moments(n, np.array([one.mean for one in told]), np.array([one.m2 for one in told]))
        statistics = replace(target, columns=checked_columns(list(table.columns)), inputs=inputs)
        return cls(
            statistics,
            table.kinds,
            len(table) + (0 if more is None else len(more[0])),
            tuple(one.gaps for one in told),
            tuple(one.differ for one in told),
            {name: one.categories for name, one in zip(table.columns, told, strict=True) if one.categories is not None},
        )

    @classmethod
    def of_numbers(cls, statistics: SiteStatistics) -> SiteSchema:
        """Return what is known of a site whose table is plain numbers without gaps."""
        width = len(statistics.columns)
        kind: Kind = "number"
        return cls(statistics, (kind,) * width, int(statistics.inputs.n), (0,) * width, (None,) * width, {})

    @property
    def columns(self) -> tuple[str, ...]:
        return self.statistics.columns

    def present(self, place: int) -> int:
        """Return how many cells of a column are no gaps."""
        return self.rows - self.gaps[place]

    def in_order(self, columns: tuple[str, ...]) -> SiteSchema:
        """Return the same facts with the columns in this order."""
        if columns == self.columns:
            return self
        order = [self.columns.index(name) for name in columns]
        kinds, counts, differ = (tuple(part[place] for place in order) for part in (self.kinds, self.gaps, self.differ))
        return replace(
            self,
            statistics=self.statistics.in_order(columns),
            kinds=cast(tuple[Kind, ...], kinds),
            gaps=cast(tuple[int, ...], counts),
            differ=cast(tuple[bool | None, ...], differ),
        )

    def header(self) -> dict[str, Any]:
        """Return all but the vector of the statistics, as plain values."""
        told = {name: known if isinstance(known, int) else list(known) for name, known in self.categories.items()}
        lists = {"kinds": list(self.kinds), "gaps": list(self.gaps), "differ": list(self.differ)}
        return {**self.statistics.header(), **lists, "rows": self.rows, "categories": told}

    def vector(self) -> NDArray[np.float64]:
        """Return the vector of the statistics."""
        return self.statistics.vector()

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], vector: NDArray[Any]) -> SiteSchema:
        """Return what another site sent as `header` and `vector`: of plain numbers, or of a table.

        Raises IncompatibleSites for whatever an honest site would not have sent.
        """
        if "kinds" not in header:
            return cls.of_numbers(SiteStatistics.from_parts(header, vector))
        if set(header) - {"written"} != _KEYS:
            raise IncompatibleSites(f"the header of a site's schema has {', '.join(sorted(_KEYS))}, and nothing else")
        of_statistics = {key: part for key, part in header.items() if key in ("columns", "classes", "written")}
        statistics = SiteStatistics.from_parts(of_statistics, vector)
        kinds = _listed(header["kinds"], str, "kinds")
        if odd := [kind for kind in kinds if kind not in get_args(Kind)]:
            raise IncompatibleSites(f"kind {odd[0]!r} is unknown; allowed: {', '.join(get_args(Kind))}")
        told, rows = header["categories"], header["rows"]
        if not isinstance(told, Mapping) or type(rows) is not int:
            raise IncompatibleSites("categories come by column, and rows are a whole number")
        return cls(
            statistics,
            cast(tuple[Kind, ...], kinds),
            rows,
            _listed(header["gaps"], int, "gaps"),
            _listed(header["differ"], bool, "differ"),
            {str(name): _checked_categories(known) for name, known in told.items()},
        )


class _Told(NamedTuple):
    """What is told of one column."""

    gaps: int
    mean: float
    m2: float
    differ: bool
    categories: tuple[str, ...] | int | None


def _told(name: str, kind: Kind, values: NDArray[Any], n: float) -> _Told:
    """Return the facts of a column; mean and spread of the cells that are no gaps, as if of `n` rows."""
    empty = gaps(values)
    cells = values[~empty]
    mean = m2 = 0.0
    if kind != "category" and len(cells):
        numbers = cells.astype(np.float64)
        if not np.isfinite(numbers).all():
            raise IncompatibleSites(f"column {name!r}: found an infinite number, expected a finite one or a gap")
        own = Moments.of(numbers.reshape(-1, 1))
        mean, m2 = float(own.mean[0]), float(own.deviation[0] ** 2 * n)
    categories = _categories(cells) if kind == "category" else None
    return _Told(int(empty.sum()), mean, m2, _differ(kind, cells), categories)


def _differ(kind: Kind, cells: NDArray[Any]) -> bool:
    if len(cells) < 2 or kind == "date" or (kind == "number" and not is_whole(cells)):
        return False
    return len(np.unique(cells) if kind == "number" else set(cells.tolist())) == len(cells)


def _categories(cells: NDArray[Any]) -> tuple[str, ...] | int:
    """Return a column's categories; only their number where they are too many, texts, or another one in every row.

    However few the rows are: a small site's column of names would be told otherwise, before all sites have left it out.
    """
    distinct = sorted(set(cells.tolist()))
    too_long = any(len(category) > LONGEST_CATEGORY for category in distinct)
    if len(distinct) > MOST_CATEGORIES or too_long or 0 < len(distinct) == len(cells):
        return len(distinct)
    return tuple(distinct)


def _listed(values: object, kind: type, what: str) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple) or any(type(value) is not kind for value in values):
        raise IncompatibleSites(f"{what} must be a list of {kind.__name__}, one for each column")
    return tuple(values)


def _checked_categories(known: object) -> tuple[str, ...] | int:
    if type(known) is int and known >= 0:
        return known
    told = _listed(known, str, "categories")
    if len(told) > MOST_CATEGORIES or list(told) != sorted(set(told)):
        raise IncompatibleSites(f"categories must be sorted, each once, at most {MOST_CATEGORIES}")
    return told
