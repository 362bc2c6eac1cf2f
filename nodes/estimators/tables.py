"""Raw rows of any form as a table: frames, arrays of numbers, and arrays of texts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nervenet.models.preprocessing import made_up
from nervenet.models.tables.frames import is_frame, table_of
from nervenet.models.tables.kinds import category_name
from nervenet.models.tables.rows import table_of_numbers
from nervenet.models.tables.table import GAP, Kind, Table
from numpy.typing import NDArray


def as_table(X: Any) -> Table:
    """Return a data frame, or an array of numbers or of objects, as a table; columns without names are x1, x2, …"""
    if is_frame(X):
        return table_of(X)
    names = made_up(X.shape[1])
    if X.dtype.kind in "biuf":
        return table_of_numbers(X, names)
    columns = [_column(cells) for cells in X.T]
    return Table(names, tuple(kind for kind, _ in columns), tuple(array for _, array in columns))


def _column(cells: NDArray[Any]) -> tuple[Kind, NDArray[Any]]:
    """Return a column of an array of objects: numbers where all are, else categories."""
    missing = np.array([cell is None or cell != cell for cell in cells.tolist()], np.bool_)
    present = [cell for cell, gap in zip(cells.tolist(), missing.tolist(), strict=True) if not gap]
    if all(isinstance(cell, int | float) for cell in present):
        found = np.full(len(cells), math.nan)
        found[~missing] = present
        return "number", found
    odd = next((cell for cell in present if not isinstance(cell, str | int | float)), None)
    if odd is not None:
        raise TypeError(f"a cell of X must be a string or a number, found {type(odd).__name__}")
    texts = np.full(len(cells), GAP, object)
    texts[~missing] = [category_name(cell) for cell in present]
    return "category", texts
