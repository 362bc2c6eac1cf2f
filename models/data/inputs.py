"""The inputs of a table to predict from: its columns by name, in the model's order, whatever else the file holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..plugins import suggest
from .csv import read_csv
from .data import DataError
from .files import SUFFIXES, ParquetTable, read_npz


class Inputs(NamedTuple):
    """The rows to predict, and which columns of the file were not asked for."""

    X: NDArray[np.float64]  # (rows, columns), in the order that was asked for
    ignored: tuple[str, ...]


def read_inputs(path: str | Path, columns: Sequence[str]) -> Inputs:
    """Return the named columns of a .csv, .parquet or .npz file, in the order of `columns`.

    Further columns, such as an id or the target, are ignored. The array X of a .npz without names is taken as it
    stands.

    Raises
    ------
    DataError
        The file cannot be read, a column is missing, or a cell of those asked for is not a finite number.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    found, column_of = _columns_of(path, columns)
    for name in columns:
        if name not in found:
            raise DataError(f"{path}: no column {name!r}{suggest(name, found)}; the model expects {', '.join(columns)}")
    X = np.column_stack([column_of(name) for name in columns]).astype(np.float64)
    if not len(X):
        raise DataError(f"{path}: no rows")
    bad = np.argwhere(~np.isfinite(X))
    if len(bad):
        row, place = bad[0]
        raise DataError(f'{path}: row {row + 1}, column "{columns[place]}": found {X[row, place]}, expected a number')
    return Inputs(X, tuple(name for name in found if name not in columns))


def _columns_of(path: Path, columns: Sequence[str]) -> tuple[list[str], Callable[[str], NDArray[Any]]]:
    """Return the names of a file's columns, and what gives one of them."""
    match path.suffix.lower():
        case ".csv":
            table = read_csv(path, least_columns=1)
            return table.columns, table.numbers
        case ".parquet":
            parquet = ParquetTable(path, *columns)
            return parquet.columns, parquet.values
        case ".npz":
            arrays = read_npz(path, "X")
            X = arrays["X"]
            names = [str(name) for name in arrays["columns"].ravel().tolist()] if "columns" in arrays else [*columns]
            if len(names) != X.shape[1]:
                raise DataError(f"{path}: X has {X.shape[1]} columns; expected {len(names)} ({', '.join(names)})")
            return names, lambda name: X[:, names.index(name)]
        case suffix:
            kind = suffix or "a file without ending"
            raise DataError(f"{path}: cannot read {kind}; allowed: {', '.join(SUFFIXES)}")
