"""What a step gets at one site: a Table, or what an earlier step made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from ..tables.table import Table


@dataclass(frozen=True, eq=False)
class Inputs:
    """The rows of one site as they arrive at a step."""

    X: Any  # Table, array of shape (rows, columns) or (rows,), or SciPy sparse matrix
    names: tuple[str, ...]  # of its columns
    title: str  # of the step, for errors
    target: NDArray[Any] | None = None  # (rows,)
    first: int = 0  # the number of the first row, of a site's rows that come in blocks

    @property
    def rows(self) -> int:
        return len(self.X) if isinstance(self.X, Table) else int(self.X.shape[0])

    def column(self, place: int) -> NDArray[np.float64]:
        """Return one column as numbers, shape (rows,). Raises DataError naming step and column, as `numbers` does."""
        X = self.X
        one = X.arrays[place] if isinstance(X, Table) else X if X.ndim == 1 else X[:, [place]]
        if isinstance(one, np.ndarray) and one.dtype == np.float64 and not np.isinf(one).any():
            return one.ravel()
        return Inputs(one, (self.names[place],), self.title, first=self.first).numbers()[:, 0]

    def numbers(self, gaps: bool = True) -> NDArray[np.float64]:
        """Return all columns as numbers, shape (rows, columns).

        Raises DataError naming step and column: text, an infinity, or, unless `gaps`, a NaN.
        """
        X = matrix(self.X)
        X = X.toarray() if is_sparse(X) else X
        X = X[:, None] if X.ndim == 1 else X
        if X.dtype.kind in "biuf":
            numbers: NDArray[np.float64] = X.astype(np.float64, copy=False)
        else:
            numbers = np.empty(X.shape, np.float64)
            for place, name in enumerate(self.names):
                try:
                    numbers[:, place] = X[:, place]
                except (TypeError, ValueError):
                    raise DataError(f"{self.title} takes numbers, column {name!r} holds others") from None
        self._refuse(np.isinf(numbers), "an infinity", "finite numbers")
        if not gaps:
            self._refuse(np.isnan(numbers), "a gap", "none; put a SimpleImputer before it")
        return numbers

    def cells(self) -> list[NDArray[Any]]:
        """Return each column in its own type, shape (rows,)."""
        if isinstance(self.X, Table):
            return list(self.X.arrays)
        X = self.X.toarray() if is_sparse(self.X) else self.X
        return [X] if X.ndim == 1 else list(X.T)

    def labels(self) -> NDArray[Any]:
        """Return the target, shape (rows,). Raises DataError if this site has none."""
        if self.target is None:
            raise DataError(f"{self.title} needs a target, and there is none")
        return self.target

    def _refuse(self, bad: NDArray[np.bool_], found: str, allowed: str) -> None:
        if bad.any():
            row, place = np.argwhere(bad)[0]
            raise DataError(
                f"{self.title}: row {self.first + row}, column {self.names[place]!r}: {found}; expected {allowed}"
            )


def matrix(X: Any) -> Any:
    """Return what scikit-learn takes: a table as one array."""
    return X.block(X.columns) if isinstance(X, Table) else X


def is_sparse(X: Any) -> bool:
    """Whether this is a SciPy sparse matrix or array."""
    return hasattr(X, "toarray")


def missing_cells(values: NDArray[Any], missing: Any) -> NDArray[np.bool_]:
    """Return which cells count as missing, shape (rows,): gaps where `missing` is None, else those that equal it."""
    found = values != values if missing is None else values == missing
    return np.broadcast_to(np.asarray(found, np.bool_), values.shape)
