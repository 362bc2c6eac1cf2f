"""The inputs of a file to predict from: columns by name, of kinds that are agreed already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .frames import missing_column
from .kinds import recognized
from .options import ColumnOptions
from .raw import RawTable
from .read import read_raw
from .table import Kind, Table


class Inputs(NamedTuple):
    """The rows to predict, and which columns of the file were not asked for."""

    table: Table
    ignored: tuple[str, ...]


def read_inputs(
    path: str | Path, columns: Sequence[str], kinds: Sequence[Kind], said: Mapping[str, ColumnOptions] | None = None
) -> Inputs:
    """Return the named columns of a file, in this order and of these kinds; further ones are ignored.

    `said` has the formats and the gaps of single columns. Raises DataError: the file cannot be read, a column is
    missing, or a cell is not of its column's kind.
    """
    raw = read_raw(Path(path), least_columns=1)
    return Inputs(
        inputs_of(raw, columns, kinds, said or {}), tuple(name for name in raw.columns if name not in columns)
    )


def inputs_of(raw: RawTable, columns: Sequence[str], kinds: Sequence[Kind], said: Mapping[str, ColumnOptions]) -> Table:
    """Return the named columns of a raw table; see `read_inputs`."""
    arrays = []
    for name, kind in zip(columns, kinds, strict=True):
        if name not in raw.columns:
            raise missing_column(raw.name, name, raw.columns, columns)
        own = said.get(name, ColumnOptions())
        arrays.append(recognized(raw, name, ColumnOptions(kind, own.format, own.gaps)).array)
    return Table(tuple(columns), tuple(kinds), tuple(arrays))
