"""The inputs of a file to predict from: columns by name, of kinds that are agreed already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from ..data.written import WrittenColumns
from ..plugins import listed
from ..preprocessing import by_place, made_up
from .agreed import agreed_column
from .array_files import of_arrays, read_arrays
from .frames import missing_column
from .raw import RawTable, Words
from .read import read_raw
from .suffixes import kind_of
from .table import Kind, Table


class Inputs(NamedTuple):
    """The rows to predict, and which columns of the file were not asked for."""

    table: Table
    ignored: tuple[str, ...]

    @property
    def X(self) -> NDArray[Any]:  # noqa: N802 - the field's own name
        """The rows side by side, shape (rows, columns)."""
        return self.table.block(self.table.columns)


def read_inputs(
    path: str | Path, columns: Sequence[str], kinds: Sequence[Kind], written: WrittenColumns | None = None
) -> Inputs:
    """Return the named columns of a file, in this order and of these kinds; further ones are ignored.

    The array X of a .npz without names is taken as it stands. `written` is how the sites' files write columns.
    Raises DataError: the file cannot be read, a column is missing, or a cell is not of its column's kind.
    """
    raw = _raw(Path(path), columns)
    ignored = tuple(name for name in raw.columns if name not in columns)
    return Inputs(inputs_of(raw, columns, kinds, written or {}), ignored)


def read_numbers(path: str | Path, columns: Sequence[str], written: WrittenColumns | None = None) -> Inputs:
    """Return the named columns of a file as numbers, as `read_inputs` does. Raises DataError for a gap, too.

    Where nobody had named the columns that a model has learned from, those of the file are taken by their places, and
    the table has the file's names.
    """
    raw = _raw(Path(path), columns)
    columns = _by_place(raw, columns)
    table = inputs_of(raw, columns, ["number"] * len(columns), written or {})
    missing = np.column_stack([table.gaps(name) for name in columns])
    for row, place in np.argwhere(missing)[:1].tolist():
        cells = raw.cells(columns[place])
        found = (cells.cell(row) or "an empty cell") if isinstance(cells, Words) else f"{cells[row]}"
        raise raw.refusal(row, columns[place], f"found {found}, expected a number")
    return Inputs(table, tuple(name for name in raw.columns if name not in columns))


def _by_place(raw: RawTable, columns: Sequence[str]) -> Sequence[str]:
    """Return the names, in a file, of the columns that a model wants. Raises DataError for more or fewer than it knows
    by place alone.
    """
    if by_place(raw.columns, tuple(columns)):
        return raw.columns
    if tuple(columns) == made_up(len(columns)) and set(raw.columns).isdisjoint(columns):
        raise DataError(
            f"{raw.name}: has {len(raw.columns)} columns ({listed(raw.columns)}); the model has learned from "
            f"{len(columns)} without names: give as many, in their order, or name them {listed(columns)}"
        )
    return columns


def inputs_of(raw: RawTable, columns: Sequence[str], kinds: Sequence[Kind], written: WrittenColumns) -> Table:
    """Return the named columns of a raw table; see `read_inputs`."""
    arrays = []
    for name, kind in zip(columns, kinds, strict=True):
        if name not in raw.columns:
            raise missing_column(raw.name, name, raw.columns, columns)
        arrays.append(agreed_column(raw, name, kind, written.get(name)).array)
    return Table(tuple(columns), tuple(kinds), tuple(arrays))


def _raw(path: Path, columns: Sequence[str]) -> RawTable:
    """Return a file, of which a .npz needs no target; nobody can say by options what it holds."""
    if kind_of(path) != ".npz" or not path.is_file():
        return replace(read_raw(path, least_columns=1), options=False)
    arrays = read_arrays(path, "X")
    X = arrays["X"]
    names = [str(name) for name in arrays["columns"].ravel().tolist()] if "columns" in arrays else [*columns]
    if len(names) != X.shape[1]:
        raise DataError(f"{path}: X has {X.shape[1]} columns; expected {len(names)} ({', '.join(names)})")
    return replace(of_arrays(str(path), X, tuple(names), {}), options=False)
