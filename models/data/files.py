"""Tables from files: .npz, .csv and .parquet, every refusal naming the file, the place and what was found there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..extras import how_to_install
from ..plugins import suggest
from .arrays import changed_by_float64
from .csv import read_csv
from .data import DataError, Dataset, Task, checked_task, infer_task, is_whole

TARGET_NAMES = ("target", "y", "label", "class")
"""A column with one of these names is the target, the first in this order, unless another is named."""

SEVERAL = 20
"""In fewer rows than this, that all values of a column differ says nothing about it."""

_CONFUSED = ", expected a whole number of at most 2**53, beyond which float64 confuses them"


def load_file(path: Path, *, target: str | None = None, task: str | None = None, sites: str | None = None) -> Dataset:
    """Return a table of numbers, with its target, and where its rows were collected, from a file.

    .npz: arrays X (rows, columns) and y (rows,); columns (names) and sites (rows,) if they are there. Nothing pickled.
    .csv: a header, commas, UTF-8. .parquet: numeric columns, through pyarrow. Every cell is a finite number, only those
    of the target and of the sites may be text; truth values and integers of a .npz or .parquet are numbers too.

    `target`, `task` and `sites` are those of `datasets.load`; a .npz has no target column. Numbers of a .csv that are
    all whole, such as 1.0, are integers. Raises DataError: anything is wrong with the file or with the arguments.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{path}: cannot read {suffix or 'a file without ending'}; allowed: {', '.join(SUFFIXES)}")
    if task is not None:
        checked_task(task)
    return READERS[suffix](path, target, task, sites)


def _load_csv(path: Path, target: str | None, task: str | None, sites: str | None) -> Dataset:
    table = read_csv(path)
    features, target, sites = _roles(path, table.columns, target, sites)
    X = np.empty((len(table), len(features)))
    for place, column in enumerate(features):
        X[:, place] = table.numbers(column)
    y = table.labels(target, mixed=task == "classification", text=task != "regression")
    where = None if sites is None else table.labels(sites, mixed=True)
    return replace(_dataset(path, X, y, features, task, where), target=target)


def _load_npz(path: Path, target: str | None, task: str | None, sites: str | None) -> Dataset:
    if target is not None:
        raise DataError(f"{path}: target {target!r} is for tables with named columns; in a .npz file it is the array y")
    arrays = read_npz(path, "X", "y")
    X, y = arrays["X"], arrays["y"]
    if y.ndim != 1 or y.dtype.kind not in "biufU":
        raise DataError(f"{path}: y must be one row of numbers or text, found {y.ndim} dimensions of {y.dtype}")
    if "columns" in arrays:
        columns = tuple(str(name) for name in arrays["columns"].ravel().tolist())
    else:
        columns = tuple(f"x{place}" for place in range(1, X.shape[1] + 1))
    if X.dtype != np.float32:
        X = X.astype(np.float64)
    found = _dataset(path, X, y, columns, task, arrays.get("sites"))
    return found if sites is None else found.with_sites(sites)


def _load_parquet(path: Path, target: str | None, task: str | None, sites: str | None) -> Dataset:
    table = ParquetTable(path, target, sites)
    features, target, sites = _roles(path, table.columns, target, sites)
    X = np.empty((len(table), len(features)))
    for place, column in enumerate(features):
        X[:, place] = table.values(column)
    where = None if sites is None else table.values(sites, text=True)
    found = _dataset(path, X, table.values(target, text=task != "regression"), features, task, where)
    dropped = [f"{path.name}: column {name!r} is left out: pandas wrote it as the index" for name in table.index]
    return replace(found, target=target, notes=(*found.notes, *dropped))


def read_npz(path: Path, *needed: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, of which X is a table of numbers; DataError where one that is needed is missing."""
    try:
        # Opened here, because numpy leaves its own handle open when the archive is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a .npz file of plain arrays ({error})") from error
    for name in needed:
        if name not in arrays:
            raise DataError(f"{path}: no array {name}; it has: {', '.join(sorted(arrays)) or 'none'}")
    X = arrays["X"]
    if X.ndim != 2 or X.dtype.kind not in "biuf":
        raise DataError(f"{path}: X must be a table of numbers, found {X.ndim} dimensions of {X.dtype}")
    if (changed := changed_by_float64(X)).any():
        raise DataError(f"{path}: X: found {X[changed][0]}{_CONFUSED}")
    return arrays


def pandas_index(metadata: Mapping[bytes, bytes]) -> list[str]:
    """Return the columns that a file's pandas metadata name as the index of the frame that was written."""
    try:
        named = json.loads(metadata[b"pandas"])["index_columns"]
    except (KeyError, ValueError, TypeError):
        return []
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


class ParquetTable:
    """The columns of a .parquet file."""

    def __init__(self, path: Path, *wanted: str | None) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            raise DataError(f"{path}: reading .parquet needs pyarrow; {how_to_install('pyarrow')}") from error
        try:
            self._table = parquet.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: not a readable .parquet file ({error})") from error
        self.path = path
        names: list[str] = self._table.column_names
        index = pandas_index(self._table.schema.metadata or {})
        self.index = [name for name in index if name in names and name not in wanted]
        """Columns that pandas wrote for the index of a frame, and nobody asked for: they are none of `columns`."""
        self.columns = [name for name in names if name not in self.index]
        _unique(path, self.columns)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def values(self, column: str, *, text: bool = False) -> NDArray[Any]:
        """Return a column of numbers or truth values, or, if that is allowed, of text."""
        cells = self._table.column(column)
        if cells.null_count:
            row = cells.is_null().to_pylist().index(True)
            raise DataError(f'{self.path}: row {row + 1}, column "{column}": found an empty cell, expected a number')
        found: NDArray[Any] = cells.to_numpy()
        if found.dtype.kind in "biuf":
            if not text and (changed := changed_by_float64(found)).any():
                raise DataError(f'{self.path}: column "{column}": found {found[changed][0]}{_CONFUSED}')
            return found
        if text and all(isinstance(cell, str) for cell in found):
            return np.array(found, dtype=np.str_)
        raise DataError(f'{self.path}: column "{column}": found {cells.type}, expected numbers')


READERS: dict[str, Callable[[Path, str | None, str | None, str | None], Dataset]] = {
    ".npz": _load_npz,
    ".csv": _load_csv,
    ".parquet": _load_parquet,
}

SUFFIXES = tuple(READERS)
"""The kinds of file that can be read."""


def _roles(
    path: Path, columns: list[str], target: str | None, sites: str | None
) -> tuple[tuple[str, ...], str, str | None]:
    for name in (target, sites):
        if name is not None and name not in columns:
            raise DataError(f"{path}: no column {name!r}{suggest(name, columns)}; it has: {', '.join(columns)}")
    if target is None:
        eligible = [name for name in columns if name != sites]
        usual = [name for wanted in TARGET_NAMES for name in eligible if name.lower() == wanted]
        target = next(iter([*usual, *reversed(eligible)]), sites)
    if target is None or target == sites:
        raise DataError(f"{path}: column {target!r} cannot be both the target and the sites")
    features = tuple(name for name in columns if name not in (target, sites))
    if not features:
        raise DataError(f"{path}: no columns are left for the inputs; it has: {', '.join(columns)}")
    return features, target, sites


def _unique(path: Path, columns: list[str]) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns are called {twice[0]!r}")


def _dataset(
    path: Path,
    X: NDArray[Any],
    y: NDArray[Any],
    columns: tuple[str, ...],
    task: str | None,
    sites: NDArray[Any] | None,
) -> Dataset:
    """Return the data set, after the checks that all kinds of file share, with the task and the type of its targets."""
    if not len(X) or not len(y):
        raise DataError(f"{path}: no rows")
    bad = np.argwhere(~np.isfinite(X))
    if len(bad):
        row, place = bad[0]
        raise DataError(f'{path}: row {row + 1}, column "{columns[place]}": found {X[row, place]}, expected a number')
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise DataError(f"{path}: row {row + 1}, target: found {y[row]}, expected a number")
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    found: Task = infer_task(y) if task is None else checked_task(task)
    if found == "regression":
        if y.dtype.kind not in "iuf":
            raise DataError(f"{path}: the targets are text, regression needs numbers")
        if (changed := changed_by_float64(y)).any():
            raise DataError(f"{path}: target: found {y[changed][0]}{_CONFUSED}")
        y = y.astype(np.float64)
    elif y.dtype.kind in "iu" or (y.dtype.kind == "f" and (y == np.floor(y)).all()):
        y = y.astype(np.int64)
    return Dataset(path.name, X, y, columns, found, sites, notes=tuple(_ids(path, X, columns)))


def _ids(path: Path, X: NDArray[Any], columns: Sequence[str]) -> Iterator[str]:
    """Find columns of whole numbers, another one in every row."""
    for name, values in zip(columns, X.T, strict=True):
        if len(values) >= SEVERAL and is_whole(values) and len(np.unique(values)) == len(values):
            yield f"{path.name}: column {name!r} has another whole number in every row: if it is an id, leave it out"
