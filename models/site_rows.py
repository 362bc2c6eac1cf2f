"""The rows of one site as they were handed over, and which of them it keeps from training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.arrays import as_table, as_targets, column_names
from .data.data import DataError, Task, infer_task, is_whole
from .data.splits import hold_out
from .preprocessing import by_place, listed
from .rng import generator


@dataclass(frozen=True, eq=False)
class SiteRows:
    """Raw rows: X of shape (rows, columns), y of shape (rows,), and the names of the columns, None where unknown."""

    X: NDArray[Any]
    y: NDArray[Any]
    columns: tuple[str, ...] | None

    @classmethod
    def of(cls, what: str, X: Any, y: Any, columns: Sequence[str] | None = None, *, finite: bool = True) -> SiteRows:
        """Return rows that fit each other, from arrays or data frames. Raises DataError, which begins with `what`."""
        names = column_names(X) if columns is None else tuple(columns)
        table, targets = as_table(what, X, names, finite=finite), as_targets(f"the y of {what}", y)
        if len(table) != len(targets):
            raise DataError(f"{what} has {len(table)} rows, its y has {len(targets)}")
        if not len(table):
            raise DataError(f"{what} has no rows")
        if names is not None and len(names) != table.shape[1]:
            raise DataError(f"{what} has {table.shape[1]} columns, {len(names)} are named ({listed(names)})")
        if names is not None and len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{what} has two columns that are called {twice!r}")
        return cls(table, targets, names)

    def __len__(self) -> int:
        return len(self.y)

    def named(self, columns: tuple[str, ...] | None) -> SiteRows:
        """Return the same rows, whose columns have these names where they have none of their own."""
        fits = columns is not None and self.columns is None and len(columns) == self.X.shape[1]
        return replace(self, columns=columns) if fits else self

    def inputs(self, columns: tuple[str, ...]) -> NDArray[Any]:
        """Return X with its columns in the order of these names; as it is where they, or its own, are nobody's."""
        if self.columns is None or self.columns == columns or by_place(self.columns, columns):
            return self.X
        return self.X[:, [self.columns.index(name) for name in columns]]

    def split(self, share: float, seed: int, least: int, task: Task | None) -> tuple[SiteRows, SiteRows | None]:
        """Return the rows to train on, and those kept from it, if any; `least` are trained on in any case.

        They are stratified by class, unless the targets are quantities.
        """
        labels = (task or infer_task(self.y)) == "classification"
        out = hold_out(self.y, share, generator(seed, "holdout"), least=least, stratify=labels)
        if not len(out):
            return self, None
        rest = np.setdiff1d(np.arange(len(self)), out)
        return replace(self, X=self.X[rest], y=self.y[rest]), replace(self, X=self.X[out], y=self.y[out])


def check_targets(y: NDArray[Any], task: Task | None, model: str | None) -> None:
    """Raise DataError for targets that cannot be of this task, which `model` (None: the user) demands."""
    if task == "regression" and y.dtype.kind == "U":
        if model is not None:
            raise DataError(f"{model} is a regressor, but the target is a class: found {str(y[0])!r}, expected numbers")
        raise DataError(f"the targets are text, regression needs numbers: found {str(y[0])!r}")
    if task == "classification" and model is not None and y.dtype.kind == "f" and not is_whole(y):
        odd = y[np.flatnonzero(y != np.floor(y))[0]]
        raise DataError(f"{model} is a classifier, but the target is a number: found {odd}, expected labels")
