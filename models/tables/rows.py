"""Rows of any form as a table of agreed columns: a site's own table, arrays of numbers, rows and objects of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..moments import IncompatibleSites
from ..plugins import listed, suggest
from .dates import parse_dates
from .schema import Schema
from .table import DATES, GAP, Kind, Table, gaps

WANTED = {"number": "a number or null", "category": "a text or null", "date": "a date such as 2026-01-31, or null"}


class BadCell(ValueError):
    """A row that does not fit the agreed columns; `row` counts from 0, `column` is None where all of the row is bad."""

    def __init__(self, row: int, column: str | None, found: str, expected: str) -> None:
        where = f"row {row}" if column is None else f"row {row}, column {column!r}"
        super().__init__(f"{where}: found {found}, expected {expected}")
        self.row, self.column, self.found, self.expected = row, column, found, expected


def conform(table: Table, schema: Schema) -> Table:
    """Return the agreed columns of a site's own table; one without any values takes the agreed kind.

    Raises IncompatibleSites where a column is missing or of another kind.
    """
    arrays = []
    for name, kind in zip(schema.columns, schema.kinds, strict=True):
        if name not in table.columns:
            raise IncompatibleSites(
                f"no column {name!r}{suggest(name, table.columns)}; agreed were {listed(schema.columns)}"
            )
        array, own = table[name], table.kind(name)
        if own != kind:
            if not gaps(array).all():
                raise IncompatibleSites(f"column {name!r} is a {own} here; agreed was a {kind}")
            array = _empty(kind, len(array))
        arrays.append(array)
    return Table(schema.columns, schema.kinds, tuple(arrays))


def table_of_numbers(X: NDArray[Any], columns: Sequence[str]) -> Table:
    """Return the table of an array of numbers, shape (rows, columns), NaN for a gap."""
    kinds: tuple[Kind, ...] = tuple("number" for _ in columns)
    return Table(tuple(columns), kinds, tuple(np.ascontiguousarray(column, np.float64) for column in X.T))


def table_of_rows(rows: Sequence[object], schema: Schema) -> Table:
    """Return the table of rows in the order of the columns, or of maps by their names; None, or what is left out of a
    map, is a gap. A map that has all columns may have others, too: they are ignored.

    A whole number where a category is agreed counts as its text. Raises BadCell for the first that cannot be used.
    """
    cells = [_cells(number, row, schema) for number, row in enumerate(rows)]
    arrays = [
        _column(name, kind, [row[place] for row in cells])
        for place, (name, kind) in enumerate(zip(schema.columns, schema.kinds, strict=True))
    ]
    return Table(schema.columns, schema.kinds, tuple(arrays))


def _cells(number: int, row: object, schema: Schema) -> Sequence[object]:
    width = len(schema.columns)
    if isinstance(row, Mapping):
        odd = [name for name in row if name not in schema.columns]
        if odd and len(row) - len(odd) < width:  # it may be a lacking one, misspelled
            hint = suggest(str(odd[0]), schema.columns)
            raise BadCell(number, str(odd[0]), f"a column that the model does not know{hint}", listed(schema.columns))
        return [row.get(name) for name in schema.columns]
    if not isinstance(row, list | tuple):
        raise BadCell(number, None, _shown(row), f"a list of {width} values ({listed(schema.columns)}) or an object")
    if len(row) != width:
        raise BadCell(number, None, f"{len(row)} values", f"{width} ({listed(schema.columns)})")
    return row


def _column(name: str, kind: Kind, cells: Sequence[object]) -> NDArray[Any]:
    array = _empty(kind, len(cells))
    for row, cell in enumerate(cells):
        if cell is None or cell != cell:
            continue
        if kind == "category" and isinstance(cell, str):  # as every reader of files takes it
            cell = cell.strip() or None
            if cell is None:
                continue
        value = _value(kind, cell)
        if value is None:
            raise BadCell(row, name, _shown(cell), WANTED[kind])
        array[row] = value
    return array


def _value(kind: Kind, cell: object) -> object:
    """Return a cell as an array of its kind has it; None where it is of another kind."""
    if kind == "category":
        whole = isinstance(cell, int | np.integer) and not isinstance(cell, bool)
        return str(cell) if whole or isinstance(cell, str) else None
    if kind == "number":
        if isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | np.number):
            return None
        return float(cell) if _finite(cell) else None
    if isinstance(cell, str):
        try:
            return parse_dates([cell])[0]
        except ValueError:  # day and month may be either way round
            return None
    return np.datetime64(cell, "s") if isinstance(cell, np.datetime64) else None  # type: ignore[call-overload]


def _finite(cell: Any) -> bool:
    try:
        return math.isfinite(cell)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _empty(kind: Kind, rows: int) -> NDArray[Any]:
    """Return a column of gaps."""
    if kind == "date":
        return np.full(rows, np.datetime64("NaT"), DATES)
    return np.full(rows, GAP, np.float64 if kind == "number" else object)


def _shown(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: str(value).lower()}
    return names.get(type(value)) or repr(value)[:60]
