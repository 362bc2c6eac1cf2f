"""Table: named columns of numbers, categories and dates, each of which may have gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from ..plugins import suggest

Kind = Literal["number", "category", "date"]

GAP = math.nan
"""An empty cell among categories, as in a pandas column of objects."""

DATES = np.dtype("datetime64[s]")
"""Dates and times are kept to the second, without a zone."""

_DTYPES = {"number": np.dtype(np.float64), "category": np.dtype(object), "date": DATES}


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of one site, column by column.

    Parameters
    ----------
    columns
        Names, each once.
    kinds
        What each column holds.
    arrays
        One array a column, shape (rows,): "number" is float64, a gap is NaN; "category" is an object array of `str`, a
        gap is `GAP`; "date" is datetime64[s], a gap is NaT.

    Raises DataError: the parts do not fit each other.
    """

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    arrays: tuple[NDArray[Any], ...]

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.kinds) == len(self.arrays):
            raise DataError(f"{len(self.columns)} columns, {len(self.kinds)} kinds, {len(self.arrays)} arrays")
        for name, kind, array in zip(self.columns, self.kinds, self.arrays, strict=True):
            if self.columns.count(name) > 1:
                raise DataError(f"two columns are called {name!r}")
            if array.ndim != 1 or len(array) != len(self):
                raise DataError(f"column {name!r} has shape {array.shape}, others have {len(self)} rows")
            if array.dtype != _DTYPES[kind]:
                raise DataError(f"column {name!r} is a {kind}; expected {_DTYPES[kind]}, found {array.dtype}")

    def __len__(self) -> int:
        return len(self.arrays[0]) if self.arrays else 0

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.arrays[self.place(column)]

    @property
    def plain(self) -> bool:
        """Whether it holds numbers alone, without a gap."""
        return all(kind == "number" for kind in self.kinds) and not any(gaps(array).any() for array in self.arrays)

    def place(self, column: str) -> int:
        """Return the place of a column. Raises DataError if there is none of this name."""
        if column not in self.columns:
            hint = suggest(column, self.columns)
            raise DataError(f"no column {column!r}{hint}; the table has: {', '.join(self.columns)}")
        return self.columns.index(column)

    def kind(self, column: str) -> Kind:
        return self.kinds[self.place(column)]

    def select(self, columns: Sequence[str]) -> Table:
        """Return a table of these columns, in this order. Raises DataError if one is missing."""
        places = [self.place(name) for name in columns]
        kinds, arrays = (tuple(part[place] for place in places) for part in (self.kinds, self.arrays))
        return Table(tuple(columns), kinds, arrays)  # type: ignore[arg-type]

    def take(self, rows: NDArray[Any]) -> Table:
        """Return a table of these rows only: indices, or a mask."""
        return Table(self.columns, self.kinds, tuple(array[rows] for array in self.arrays))

    def gaps(self, column: str) -> NDArray[np.bool_]:
        """Return which cells of a column are empty, shape (rows,)."""
        return gaps(self[column])

    def block(self, columns: Sequence[str]) -> NDArray[Any]:
        """Return some columns side by side, shape (rows, columns).

        float64 where all are numbers, datetime64[s] where all are dates, else objects.
        """
        kinds = {self.kind(name) for name in columns}
        dtype = _DTYPES[kinds.pop()] if len(kinds) == 1 else np.dtype(object)
        found = np.empty((len(self), len(columns)), dtype)
        for place, name in enumerate(columns):
            found[:, place] = self[name]
        return found


def gaps(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which cells of a column's array are empty."""
    if values.dtype.kind == "M":
        missing: NDArray[np.bool_] = np.isnat(values)
        return missing
    return np.asarray(values != values, dtype=np.bool_)  # a gap differs from itself


def empty(kind: Kind, rows: int) -> NDArray[Any]:
    """Return a column of gaps."""
    return np.full(rows, "NaT" if kind == "date" else GAP, _DTYPES[kind])
