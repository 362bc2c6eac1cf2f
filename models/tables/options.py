"""What a user says of a table: which column is what, and how its cells are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from typing import Literal

from ..data.data import DataError, Task
from ..plugins import listed, suggest
from .table import Kind

USUAL_GAPS = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "Null", "null", "NaT", "?")
"""The texts that are an empty cell, in every kind of file."""

_YEAR = re.compile("%[YyGcx]")

_NAN = (f"{sign}{''.join(letters)}" for sign in ("", "+", "-") for letters in product("nN", "aA", "nN"))
_USUAL = frozenset((*USUAL_GAPS, *_NAN))

TARGET_NAMES = ("target", "y", "label", "class")
"""A column with one of these names is the target, the first in this order, unless another is named."""


@dataclass(frozen=True)
class ColumnOptions:
    """What is said of one column.

    Parameters
    ----------
    kind
        What it holds; None: its values decide.
    format
        Of dates: as `datetime.strptime` takes it, such as "%d/%m/%Y". Of numbers: "1,5" where the comma is a decimal
        comma, "1,500" where it separates thousands.
    gaps
        Texts that are an empty cell besides the usual ones. An empty list: only cells without a character are.
    """

    kind: Kind | None = None
    format: str | None = None
    gaps: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in (None, "number", "category", "date"):
            raise DataError(f"kind {self.kind!r} is unknown; allowed: number, category, date")

    @property
    def gap_words(self) -> frozenset[str]:
        """The texts of cells that are empty."""
        if self.gaps is None:
            return _USUAL
        return _USUAL.union(self.gaps) if self.gaps else frozenset(("",))


@dataclass(frozen=True)
class ReadOptions:
    """Which column of a table is what; None or empty: what `read_table` finds.

    Parameters
    ----------
    target
        The column to predict; by default one of `TARGET_NAMES`, else the last one.
    drop
        Columns that are left out.
    id
        A column that names each row; it is no input.
    weight
        A column of how much each row counts, numbers of at least 0; it is no input.
    sites
        A column that says where each row was collected; it is no input.
    categorical, numeric, date
        Columns of these kinds, whatever their values look like.
    columns
        Further options by the column's name.
    missing_target
        Of rows without a target: "refuse" the file, or "drop" them.
    task
        "classification" or "regression", where the targets alone would be misread.

    Raises DataError: a column is given two kinds, or two roles, or dates without a year.
    """

    target: str | None = None
    drop: tuple[str, ...] = ()
    id: str | None = None
    weight: str | None = None
    sites: str | None = None
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    columns: Mapping[str, ColumnOptions] = field(default_factory=dict)
    missing_target: Literal["refuse", "drop"] = "refuse"
    task: Task | None = None

    def __post_init__(self) -> None:
        roles = {
            role: name for role in ("target", "id", "weight", "sites") if (name := getattr(self, role)) is not None
        }
        for role, name in roles.items():
            other = next((one for one in roles if one != role and roles[one] == name), None)
            if other is not None:
                raise DataError(f"column {name!r} cannot be both the {role} and the {other}")
            if name in self.drop:
                raise DataError(f"column {name!r} is the {role}, and is to be dropped")
        for name in self.kinds:
            said = self.of(name)
            if said.format and "%d" in said.format and not _YEAR.search(said.format):
                # datetime.strptime takes 1900 for it, which has no 29 February, and will not for ever.
                raise DataError(f"column {name!r}: the format {said.format!r} has no year; it needs %Y or %y")

    def of(self, column: str) -> ColumnOptions:
        """Return what is said of a column. Raises DataError where it is given two kinds."""
        said = self.columns.get(column, ColumnOptions())
        listed: dict[Kind, Sequence[str]] = {
            "category": self.categorical,
            "number": self.numeric,
            "date": self.date,
        }
        kinds = [kind for kind, names in listed.items() if column in names]
        if said.kind is not None and said.kind not in kinds:
            kinds.append(said.kind)
        if len(kinds) > 1:
            raise DataError(f"column {column!r} cannot be both a {kinds[0]} and a {kinds[1]}")
        return ColumnOptions(kinds[0] if kinds else None, said.format, said.gaps)

    def of_columns(self) -> list[str]:
        """Return the names of the options that say something of a file's columns, beside the target and the sites."""
        fresh = ReadOptions()
        names = (field.name for field in fields(self) if field.name not in ("target", "sites", "task"))
        return [name for name in names if getattr(self, name) != getattr(fresh, name)]

    def as_text(self) -> frozenset[str]:
        """Return the columns whose very letters matter: those of which something is said."""
        roles = (self.target, self.id, self.weight, self.sites)
        return frozenset({*self.kinds, *(name for name in roles if name is not None)})

    @property
    def kinds(self) -> tuple[str, ...]:
        """The columns of which something is said beside their role."""
        return (*self.categorical, *self.numeric, *self.date, *self.columns)

    def check_names(self, what: object, columns: Sequence[str]) -> None:
        """Raise DataError for the first name that is none of the columns of `what`."""
        named = (*filter(None, (self.target, self.sites, self.id, self.weight)), *self.drop, *self.kinds)
        for name in named:
            if name not in columns:
                raise DataError(f"{what}: no column {name!r}{suggest(name, columns)}; it has: {listed(columns)}")
