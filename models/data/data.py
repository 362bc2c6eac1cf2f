"""Dataset: a table of numbers with a target, and DataError for whatever is wrong with a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..plugins import listed, suggest
from .written import WrittenColumns

Task = Literal["classification", "regression"]

TASKS: tuple[Task, ...] = ("classification", "regression")

FEW_CLASSES = 10
"""Whole numbers with at most this many distinct values are always taken for classes."""

MANY_CLASSES = 50
"""Whole numbers with more distinct values than this are never taken for classes."""

EXACT = 2**53
"""Whole numbers beyond this are not all told apart as float64, the type that inputs are scaled in."""


@runtime_checkable
class Columns(Protocol):
    """Named columns, of which each may be of a kind of its own: a `nervenet.models.tables.table.Table`."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, column: str, /) -> NDArray[Any]: ...

    def take(self, rows: NDArray[Any], /) -> Self: ...

    def select(self, columns: Sequence[str], /) -> Self: ...


class DataError(ValueError):
    """Data, or a partition of it, that cannot be used; the message names what was found and what is allowed."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table, one target a row, and where each row was collected if that is known.

    Parameters
    ----------
    name
        For messages and summaries.
    X
        Inputs, shape (rows, columns), float32 or float64, finite; or a `Table`, where they are more than plain numbers.
    y
        Targets, shape (rows,): integers or text for classification, float64 for regression.
    columns
        One name for each column of `X`.
    sites
        Where each row was collected, shape (rows,), or None. ``partition(..., "column")`` follows it.
    weight
        How much each row counts, float64 above 0 of shape (rows,); None: all the same.
    test
        The test set that was published with the data, or None. `splits.split` respects it.
    target
        The column of a file that is `y`; empty where it was none.
    notes
        What its owner should know of how it was read, a line each.
    written
        Which columns need a format or gap words to be read as here.

    Raises DataError: the shapes do not fit each other.
    """

    name: str
    X: NDArray[Any] | Columns
    y: NDArray[Any]
    columns: tuple[str, ...]
    task: Task
    sites: NDArray[Any] | None = None
    test: Dataset | None = None
    target: str = ""
    notes: tuple[str, ...] = ()
    written: WrittenColumns = field(default_factory=dict)
    weight: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.X, np.ndarray) and self.X.ndim != 2:
            raise DataError(f"{self.name}: X must have two dimensions (rows, columns), found {self.X.ndim}")
        if self.y.ndim != 1:
            raise DataError(f"{self.name}: y must have one dimension, found {self.y.ndim}")
        width = self.X.shape[1] if isinstance(self.X, np.ndarray) else len(self.X.columns)
        if len(self.columns) != width:
            raise DataError(f"{self.name}: {len(self.columns)} column names for {width} columns")
        for what, values in (("y", self.y), ("sites", self.sites), ("weight", self.weight)):
            if values is not None and len(values) != len(self.X):
                raise DataError(f"{self.name}: X has {len(self.X)} rows, {what} has {len(values)}")

    def __len__(self) -> int:
        return len(self.X)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """X and y, and the weights where there are some: what a model learns from."""
        return (self.X, self.y) if self.weight is None else (self.X, self.y, self.weight)

    def take(self, rows: NDArray[np.intp]) -> Dataset:
        """Return a data set of these rows only, in this order, without the published test set."""
        sites, weight = (None if each is None else each[rows] for each in (self.sites, self.weight))
        return replace(self, X=rows_of(self.X, rows), y=self.y[rows], sites=sites, weight=weight, test=None)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of the inputs, shape (rows,). Raises DataError if there is none of this name."""
        if name not in self.columns:
            raise DataError(
                f"no column {name!r} in {self.name}{suggest(name, self.columns)}; it has: {listed(self.columns)}"
            )
        return self.X[:, self.columns.index(name)] if isinstance(self.X, np.ndarray) else self.X[name]

    def with_sites(self, column: str) -> Dataset:
        """Return the data set with a column of the inputs as `sites`. Raises DataError if there is no such column."""
        values = self.column(column)
        columns = tuple(name for name in self.columns if name != column)
        if isinstance(self.X, np.ndarray):
            X: NDArray[Any] | Columns = np.delete(self.X, self.columns.index(column), axis=1)
        else:
            X = self.X.select(columns)
        test = None if self.test is None else self.test.with_sites(column)
        written = {name: said for name, said in self.written.items() if name != column}
        return replace(self, X=X, columns=columns, sites=values, test=test, written=written)


def rows_of(X: NDArray[Any] | Columns, rows: NDArray[Any]) -> NDArray[Any] | Columns:
    """Return some rows of inputs, whatever those are."""
    return X[rows] if isinstance(X, np.ndarray) else X.take(rows)


def infer_task(y: NDArray[Any]) -> Task:
    """Return the task that the targets look like, whatever type they are stored as: 1 and 1.0 are the same target.

    Text and truth values are classes, and so are whole numbers with few distinct values (`few_enough`). Fractions, and
    all other whole numbers, are quantities.
    """
    if y.dtype.kind not in "iuf":
        return "classification"
    return "classification" if is_whole(y) and few_enough(len(np.unique(y)), len(y)) else "regression"


def few_enough(distinct: int, rows: float) -> bool:
    """Whether whole numbers are classes: at most 10 distinct ones; or at most 50, with four rows of each on average."""
    return distinct <= FEW_CLASSES or (distinct <= MANY_CLASSES and distinct * 4 <= rows)


def is_whole(values: NDArray[Any]) -> bool:
    """Whether all numbers are whole ones, though they may be stored as floats."""
    return values.dtype.kind != "f" or bool((values == np.floor(values)).all())


def checked_task(task: str) -> Task:
    """Return `task`; DataError if there is no such task."""
    for known in TASKS:
        if task == known:
            return known
    raise DataError(f"task {task!r} is unknown{suggest(task, TASKS)}; allowed: {', '.join(TASKS)}")
