"""load_file: a file as a data set, of plain numbers where it holds nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import changed_by_float64
from ..data.data import DataError, Dataset, Task, infer_task, is_whole
from ..data.row_weights import counting
from ..data.written import Written
from ..weights import is_finite
from .kinds import CONFUSED
from .options import ReadOptions
from .raw import RawTable
from .read import decimal_commas, notes_of, read_raw, site_table
from .roles import Roles, sites_of, targets_of, weights_of
from .stored_table import StoredTable
from .table import Table

SEVERAL = 20
"""In fewer rows than this, that all values of a column differ says nothing about it."""


def load_file(path: Path, options: ReadOptions | None = None) -> Dataset:
    """Return a file as a data set: X is an array where every column is one of numbers without gaps, else a `Table`.

    Raises DataError: anything is wrong with the file, or with what is said of it.
    """
    options = options or ReadOptions()
    return as_dataset(read_raw(path, options=options), options)


def as_dataset(raw: RawTable, options: ReadOptions) -> Dataset:
    """Return a raw table as a data set; see `load_file`."""
    name = Path(raw.name).name
    X: NDArray[Any] | Table
    roles = None if options.kinds else Roles.of(raw, options)
    matrix = None if roles is None else side_by_side(raw, roles)
    if roles is not None and matrix is not None:
        y, kept = targets_of(raw, roles.target, options)
        columns, X = roles.inputs, matrix
        sites = None if roles.sites is None else sites_of(raw, roles.sites)
        weight = None if roles.weight is None else weights_of(raw, roles.weight, options)
        if len(kept) < raw.rows:
            X = X[kept]
            sites, weight = (None if each is None else each[kept] for each in (sites, weight))
        commas = decimal_commas(raw, {}, {roles.target: y, roles.weight: weight}, options)
        target, notes, written = roles.target, notes_of(raw, roles, len(kept), tuple(commas)), dict[str, Written]()
    else:
        site = site_table(raw, options)
        columns, y, sites, notes = site.table.columns, site.target, site.sites, site.notes
        X, target, written = plain_numbers(site.table), site.target_name, dict(site.written)
        weight = site.weight
    found = Dataset(name, X, y, columns, "regression", sites, None, target, notes, written, weight)
    return finished(raw, found, options)


def finished(raw: RawTable, read: Dataset, options: ReadOptions) -> Dataset:
    """Return the data set without the rows of weight 0, its targets as their task has them, with what is to be said."""
    weight, name, notes = read.weight, read.name, read.notes
    if weight is not None and (rows := counting(weight)) is not None:
        # Nothing is known of the others, not even what their targets look like.
        notes += (_left_out(raw, name, len(weight) - len(rows), len(weight)),)
        read = read.take(rows)
    y, task = _targets(raw.name, read.y, options.task)
    X: Any = read.X
    if isinstance(X, np.ndarray):
        notes += tuple(_ids(name, zip(read.columns, X.T, strict=True)))
    elif isinstance(X, StoredTable) and X.plain:
        notes += tuple(_ids(name, ((column, X[column]) for column in X.columns)))
    target = read.target if raw.target is None else ""  # a .npz file says itself which it is
    return replace(read, y=y, task=task, target=target, notes=notes)


def plain_numbers(table: Table) -> NDArray[Any] | Table:
    """Return a table as an array, shape (rows, columns), where it holds numbers without gaps and nothing else."""
    plain = all(kind == "number" for kind in table.kinds) and not any(table.gaps(name).any() for name in table.columns)
    return table.block(table.columns) if plain else table


def side_by_side(raw: RawTable, roles: Roles) -> NDArray[Any] | None:
    """Return the inputs as an array, float32 where the file has that, if all are in `raw.matrix`, without gaps.

    Raises DataError: float64 does not hold one of them.
    """
    matrix, names = raw.matrix, raw.side_by_side
    if matrix is None or not set(roles.inputs) <= set(names) or not is_finite(matrix.ravel(order="K")):
        return None
    if (changed := changed_by_float64(matrix)).any():
        raise DataError(f"{raw.name}: X: found {matrix[changed][0]}, expected {CONFUSED}")
    places = [names.index(name) for name in roles.inputs]
    X = matrix if len(places) == matrix.shape[1] else matrix[:, places]
    return X if X.dtype == np.float32 else X.astype(np.float64, copy=False)


def _targets(name: str, y: NDArray[Any], task: Task | None) -> tuple[NDArray[Any], Task]:
    """Return the targets as their task has them."""
    found: Task = task or infer_task(y)
    if found == "regression":
        if y.dtype.kind not in "iuf":
            raise DataError(f"{name}: the targets are text, regression needs numbers")
        if (changed := changed_by_float64(y)).any():
            raise DataError(f"{name}: target: found {y[changed][0]}, expected {CONFUSED}")
        return y.astype(np.float64), found
    return (y.astype(np.int64) if y.dtype.kind in "iuf" and is_whole(y) else y), found


def _left_out(raw: RawTable, name: str, count: int, of: int) -> str:
    """Return what is said of rows of weight 0."""
    if count == of:
        raise DataError(f"{raw.name}: all {of} rows with a target have weight 0, expected one above 0")
    return f"{name}: {count} {'row' if count == 1 else 'rows'} of weight 0 left out"


def _ids(name: str, columns: Iterable[tuple[str, NDArray[Any]]]) -> Iterator[str]:
    """Find columns of whole numbers, another one in every row."""
    for column, values in columns:
        if len(values) >= SEVERAL and is_whole(values) and len(np.unique(values)) == len(values):
            yield f"{name}: column {column!r} has another whole number in every row: if it is an id, say --id {column}"
