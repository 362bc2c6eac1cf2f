"""Rows of any form as a table of agreed columns: a site's own table, arrays of numbers, rows and objects of JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.written import Written
from ..moments import IncompatibleSites
from ..plugins import listed, suggest
from .dates import parse_dates
from .kinds import category_name
from .options import ColumnOptions
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

    Texts are read as the cells of the sites' files: what is a gap there is one here, and dates may have their formats.
    True and False are numbers, 1 and 0, and a number where a category is agreed counts as its text. Raises BadCell for
    the first that cannot be used.
    """
    cells = [_cells(number, row, schema) for number, row in enumerate(rows)]
    arrays = [
        _column(name, kind, schema.written.get(name, Written()), [row[place] for row in cells])
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


def _column(name: str, kind: Kind, written: Written, cells: Sequence[object]) -> NDArray[Any]:
    array, gap_words = _empty(kind, len(cells)), ColumnOptions(gaps=written.gaps).gap_words
    for row, cell in enumerate(cells):
        if _is_gap(cell):
            continue
        text = cell.strip() if isinstance(cell, str) else _number_said(cell) if written.gaps else None
        if text in gap_words:
            continue
        value = _value(kind, text if isinstance(cell, str) else cell, written.formats)
        if value is None:
            raise BadCell(row, name, _shown(cell), WANTED[kind])
        array[row] = value
    return array


def _is_gap(cell: Any) -> bool:
    """Whether a cell is None, NaN, NaT or pandas' NA."""
    if cell is None:
        return True
    try:
        return bool(cell != cell)
    except (TypeError, ValueError):  # NA does not say whether it is itself; nor does an array
        return type(cell).__name__ == "NAType"


def _number_said(cell: object) -> str | None:
    """Return a number as a file may have it, which may be a gap there: -999."""
    return category_name(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else None


def _value(kind: Kind, cell: object, formats: Sequence[str]) -> object:
    """Return a cell as an array of its kind has it; None where it is of another kind."""
    plain = cell.item() if isinstance(cell, np.bool_ | np.number) else cell
    if kind == "category":
        return category_name(plain) if isinstance(plain, str | int | float) else None
    if kind == "number":
        return float(plain) if isinstance(plain, int | float) and _finite(plain) else None
    return _date(cell, formats)


def _date(cell: object, formats: Sequence[str]) -> object:
    """Return a time to the second, in UTC where it has a zone; None for what is none, or can be several."""
    if isinstance(cell, str):
        try:
            found = {parse_dates([cell], form)[0] for form in formats or (None,)} - {None}
        except ValueError:  # day and month may be either way round
            return None
        return found.pop() if len(found) == 1 else None
    if isinstance(cell, datetime):
        try:
            return np.datetime64((cell.astimezone(UTC) if cell.tzinfo else cell).replace(tzinfo=None), "s")
        except OverflowError:
            return None
    if isinstance(cell, date):
        return np.datetime64(cell, "s")
    if isinstance(cell, np.datetime64):
        return cell.astype(DATES)
    return None


def _finite(cell: Any) -> bool:
    try:
        return math.isfinite(cell)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _empty(kind: Kind, rows: int) -> NDArray[Any]:
    """Return a column of gaps."""
    if kind == "date":
        return np.full(rows, "NaT", DATES)
    return np.full(rows, GAP, np.float64 if kind == "number" else object)


def _shown(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: str(value).lower()}
    return names.get(type(value)) or repr(value)[:60]
