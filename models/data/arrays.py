"""What users hand over as X and y - arrays, data frames, sparse matrices - as plain NumPy arrays of numbers and labels.

They are taken as scikit-learn's own validation takes them: a frame may mix truth values, nullable integers and floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import EXACT, DataError


def column_names(X: object) -> tuple[str, ...] | None:
    """Return the names of a data frame's columns as text; None where it has none, or only counts them from 0."""
    names = getattr(X, "columns", None)
    if names is None:
        return None
    listed = list(names)
    return None if listed == list(range(len(listed))) else tuple(map(str, listed))


def unmasked(values: Any) -> Any:
    """Return a masked array of NumPy's as a plain one, where what is masked is NaN or None; anything else as it is.

    NumPy itself lays bare what is beneath a mask, such as the fill value of a netCDF file.
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    masked = np.ma.getmaskarray(values)
    plain: NDArray[Any] = np.asarray(values)
    if masked.any():
        numbers = plain.dtype.kind in "biuf"
        plain = plain.astype(np.float64 if numbers else object)
        plain[masked] = np.nan if numbers else None
    return plain


def as_table(what: str, X: Any, names: Sequence[str] | None = None, *, finite: bool = True) -> NDArray[Any]:
    """Return inputs as a two-dimensional array of numbers, shape (rows, columns); `X` itself where it is one.

    `what` and `names` are for messages; `finite` False leaves values unread, as those of a memory map. Raises DataError
    for anything else, naming the first bad cell, and for whole numbers beyond 2**53, which float64 cannot all hold.
    """
    names = column_names(X) if names is None else names
    table = np.asarray(X.toarray() if hasattr(X, "toarray") else unmasked(X))
    if table.ndim != 2:
        raise DataError(f"{what} has {table.ndim} dimensions; expected 2: rows and columns")
    if table.dtype.kind == "O":
        table = _numbers(what, table, names)
    if table.dtype.kind not in "biuf":
        raise DataError(f"{what} holds {table.dtype} values, expected numbers")
    if not finite:
        return table
    if table.dtype.kind == "f" and not np.isfinite(table).all():
        raise _bad_cell(what, table, ~np.isfinite(table), names, "a finite number")
    if (bad := changed_by_float64(table)).any():
        raise _bad_cell(what, table, bad, names, "a whole number of at most 2**53, beyond which float64 confuses them")
    return table


def as_targets(what: str, y: Any) -> NDArray[Any]:
    """Return targets, shape (rows,), as integers, floats, truth values or text; a single column is taken for a row.

    Raises DataError for what is neither numbers nor text throughout, naming the first odd one.
    """
    targets = np.asarray(unmasked(y))
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1:
        raise DataError(f"{what} has {targets.ndim} dimensions; expected 1")
    if targets.dtype.kind == "O":
        targets = _of_objects(what, targets)
    if targets.dtype.kind not in "biufU":
        raise DataError(f"{what} holds {targets.dtype} values, expected numbers or text")
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        row = int(np.flatnonzero(~np.isfinite(targets))[0])
        raise DataError(f"{what}, row {row}: found {targets[row]}, expected a finite number or a text")
    return targets


def changed_by_float64(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values of an array are integers that float64 does not hold exactly."""
    if values.dtype.kind not in "iu" or not values.size or (values.max() <= EXACT and values.min() >= -EXACT):
        return np.zeros(values.shape, np.bool_)
    rounded = values.astype(np.float64)
    over = rounded >= 2.0 ** (63 if values.dtype.kind == "i" else 64)  # nothing of this type
    changed: NDArray[np.bool_] = over | (np.where(over, 0, rounded).astype(values.dtype) != values)
    return changed


def _is_changed(cell: object) -> bool:
    if not isinstance(cell, int | np.integer):
        return False
    return abs(int(cell)) > EXACT and (abs(int(cell)) >= 2**64 or int(float(cell)) != int(cell))


def _numbers(what: str, table: NDArray[Any], names: Sequence[str] | None) -> NDArray[Any]:
    """Return objects, as a frame of several types has them, as float64."""
    odd = np.array([[not _is_number(cell) for cell in row] for row in table]).reshape(table.shape)
    if odd.any():
        raise _bad_cell(what, table, odd, names, "a number")
    beyond = np.array([[_is_changed(cell) for cell in row] for row in table])
    if beyond.any():
        limit = "a whole number of at most 2**53, beyond which float64 confuses them"
        raise _bad_cell(what, table, beyond, names, limit)
    return table.astype(np.float64)


def _of_objects(what: str, targets: NDArray[Any]) -> NDArray[Any]:
    cells = targets.tolist()
    if all(isinstance(cell, str) for cell in cells):
        return targets.astype(np.str_)
    if all(_is_number(cell) for cell in cells):
        return targets.astype(np.int64 if all(isinstance(cell, int | np.integer) for cell in cells) else np.float64)
    known: type | tuple[type, ...] = str if isinstance(cells[0], str) else (int, float, np.number, np.bool_)
    row = next((row for row, cell in enumerate(cells) if not isinstance(cell, known)), 0)
    raise DataError(f"{what}, row {row}: found {cells[row]!r}; expected all numbers or all text")


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float | np.bool_ | np.integer | np.floating)


def _bad_cell(
    what: str, table: NDArray[Any], bad: NDArray[np.bool_], names: Sequence[str] | None, expected: str
) -> DataError:
    row, place = (int(index) for index in np.argwhere(bad)[0])
    name = f'"{names[place]}"' if names is not None else f"{place + 1}"
    cell = table[row, place]
    found = repr(cell) if isinstance(cell, str) else str(cell)
    return DataError(f"{what}, row {row}, column {name}: found {found}, expected {expected}")
