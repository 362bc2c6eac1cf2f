"""Columns of rows to predict: of agreed kinds, read as the sites' own were."""

from __future__ import annotations

import numpy as np

from ..data.data import DataError
from ..data.written import Written
from .kinds import Column, recognized
from .options import ColumnOptions
from .raw import RawTable
from .table import Kind


def agreed_column(raw: RawTable, name: str, kind: Kind, written: Written | None) -> Column:
    """Return a column, read in whichever of the agreed formats all its cells have, numbers also with a decimal point.

    Raises DataError: none of them reads it, or several do, and not alike.
    """
    written = written or Written()
    forms: list[str | None] = [*written.formats]
    if kind != "date" or not forms:
        forms.insert(0, None)
    found: list[tuple[str | None, Column]] = []
    refused: DataError | None = None
    for form in forms if kind != "category" else forms[:1]:
        try:
            found.append((form, recognized(raw, name, ColumnOptions(kind, form, written.gaps))))
        except DataError as error:
            refused = refused or error
    if not found and refused is not None:
        raise refused
    first = found[0][1].array
    for _, column in found[1:]:
        differs = ~((column.array == first) | ((column.array != column.array) & (first != first)))
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            ways = " and ".join(str(one) for one, _ in found if one is not None)
            can_be = f"found a cell that can be either of what the sites write, {ways}"
            raise raw.refusal(row, name, f"{can_be}; expected {_PLAIN[kind]}")
    return found[0][1]


_PLAIN = {"date": "a date as in 2026-01-31", "number": "a number with a decimal point", "category": "a text"}
