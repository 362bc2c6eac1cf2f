"""The rows of one site: an array of plain numbers, or a table, and which of them it keeps from training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.arrays import as_table, as_targets, column_names
from .data.data import DataError, Task, infer_task, is_whole
from .data.row_weights import as_weights, counting
from .data.splits import hold_out
from .data.written import WrittenColumns
from .moments import TooFewRows
from .plugins import listed
from .prepared_once import PreparedOnce
from .preprocessing import by_place, made_up
from .rng import generator
from .tables.rows import table_of_numbers
from .tables.stored_table import StoredTable
from .tables.table import Table
from .targets import Targets


@dataclass(frozen=True, eq=False)
class SiteRows:
    """Raw rows: X of shape (rows, columns), y of shape (rows,), and the names of the columns, None where unknown.

    X is a `Table` where it has categories, dates or gaps, and an array of numbers otherwise, however it came; or a
    `StoredTable` of either, whose rows stay on disk. `weight`, float64 above 0 of shape (rows,), is how much each row
    counts; None: all the same.
    """

    X: NDArray[Any] | Table | StoredTable
    y: NDArray[Any]
    columns: tuple[str, ...] | None
    written: WrittenColumns = field(default_factory=dict)  # how the file that they come from writes them
    weight: NDArray[np.float64] | None = None
    once: PreparedOnce | None = None  # by which they are prepared for others, too, that have the same rows

    @classmethod
    def of(
        cls,
        what: str,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        columns: Sequence[str] | None = None,
        finite: bool = True,
        written: WrittenColumns | None = None,
    ) -> SiteRows:
        """Return rows that fit each other, from arrays, tables or data frames, without those of weight 0.

        Raises DataError, which begins with `what`.
        """
        rows = replace(cls._of(what, X, y, columns, finite=finite), written=written or {})
        if sample_weight is None:
            return rows
        weighted = replace(rows, weight=as_weights(f"the sample_weight of {what}", sample_weight, len(rows)))
        counted = counting(weighted.weight)
        return weighted if counted is None else weighted.take(counted)

    @classmethod
    def _of(cls, what: str, X: Any, y: Any, columns: Sequence[str] | None, *, finite: bool) -> SiteRows:
        if isinstance(X, StoredTable):  # its cells were checked as they were read
            return cls(X, as_targets(f"the y of {what}", y), X.columns)
        known = _table(X)
        names = X.columns if isinstance(X, Table) else column_names(X)
        table: NDArray[Any] | Table
        if known is not None and not known.plain:
            names, table = known.columns, known
        else:
            names = names if columns is None else tuple(columns)
            table = as_table(what, X.block(X.columns) if isinstance(X, Table) else X, names, finite=finite)
        targets = as_targets(f"the y of {what}", y)
        if len(table) != len(targets):
            raise DataError(f"{what} has {len(table)} rows, its y has {len(targets)}")
        if not len(table):
            raise DataError(f"{what} has no rows")
        if names is not None and len(names) != (width := _width(table)):
            raise DataError(f"{what} has {width} columns, {len(names)} are named ({listed(names)})")
        if names is not None and len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{what} has two columns that are called {twice!r}")
        return cls(table, targets, names)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def width(self) -> int:
        return _width(self.X)

    def named(self, columns: tuple[str, ...] | None) -> SiteRows:
        """Return the same rows, whose columns have these names where they have none of their own."""
        fits = columns is not None and self.columns is None and len(columns) == self.width
        return replace(self, columns=columns) if fits else self

    def inputs(self, columns: tuple[str, ...]) -> NDArray[Any] | Table | StoredTable:
        """Return X with its columns in the order of these names; as it is where they, or its own, are nobody's."""
        if isinstance(self.X, Table | StoredTable):
            return self.X.select(columns)
        if self.columns is None or self.columns == columns or by_place(self.columns, columns):
            return self.X
        return self.X[:, [self.columns.index(name) for name in columns]]

    def table(self) -> Table | StoredTable:
        """Return X as a table, whatever it is."""
        if isinstance(self.X, Table | StoredTable):
            return self.X
        return table_of_numbers(self.X, self.columns or made_up(self.X.shape[1]))

    def take(self, rows: NDArray[np.intp]) -> SiteRows:
        X = self.X.take(rows) if isinstance(self.X, Table | StoredTable) else self.X[rows]
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, X=X, y=self.y[rows], weight=weight, once=None)

    def weights(self, agreed: Targets) -> NDArray[np.float64] | None:
        """Return how much each row counts in training, by itself and by its class; None where all count the same."""
        if agreed.class_weights is None:
            return self.weight
        of_class: NDArray[np.float64] = np.array(agreed.class_weights)[agreed.encode(self.y)]
        return of_class if self.weight is None else of_class * self.weight

    def counts(self, task: Task | None) -> dict[str, int]:
        """Return how many rows there are; of each class, where the targets look like labels."""
        if (task or infer_task(self.y)) == "regression":
            return {"rows": len(self)}
        labels, counts = np.unique(self.y, return_counts=True)
        return dict(zip(map(str, labels.tolist()), counts.tolist(), strict=True))

    def check_floor(self, least: int) -> None:
        """Raise TooFewRows for fewer rows than a site takes part with."""
        if len(self) < least:
            raise TooFewRows(
                f"X has {len(self)} rows, and a site takes part with at least {least} (data.min_rows): "
                "what it tells of fewer would give them away"
            )

    def split(self, share: float, seed: int, least: int, task: Task | None) -> tuple[SiteRows, SiteRows | None]:
        """Return the rows to train on, and those kept from it, if any; `least` are trained on in any case.

        They are stratified by class, unless the targets are quantities.
        """
        labels = (task or infer_task(self.y)) == "classification"
        out = hold_out(self.y, share, generator(seed, "holdout"), least=least, stratify=labels)
        if not len(out):
            return self, None
        kept = np.ones(len(self), np.bool_)
        kept[out] = False
        return self.take(np.flatnonzero(kept)), self.take(out)


def _table(X: object) -> Table | None:
    """Return a table, or a data frame as one; None for whatever is neither."""
    if isinstance(X, Table):
        return X
    if not hasattr(X, "columns"):
        return None
    from .tables.frames import is_frame, table_of

    if not is_frame(X):
        return None
    try:
        return table_of(X)
    except DataError:
        return None  # what is wrong with it is said where it is taken for numbers


def _width(X: NDArray[Any] | Table | StoredTable) -> int:
    return len(X.columns) if isinstance(X, Table | StoredTable) else int(X.shape[1])


def check_own_targets(model: Any, y: NDArray[Any], task: Task | None, told: str | None) -> None:
    """Raise DataError for targets that cannot be of this task, which the user has told or else the model demands, or
    that the model has no use for.
    """
    check_targets(y, task, None if told else str(model.describe()["name"]).rpartition(".")[2])
    check_domain(model, y)


def check_domain(model: object, y: NDArray[Any]) -> None:
    """Raise DataError for targets outside the domain of a model that says which one it has, by `check_targets`."""
    check = getattr(model, "check_targets", None)
    if check is None or y.dtype.kind not in "biuf":
        return
    try:
        check(y)
    except ValueError as error:
        raise DataError(str(error)) from None


def check_targets(y: NDArray[Any], task: Task | None, model: str | None) -> None:
    """Raise DataError for targets that cannot be of this task, which `model` (None: the user) demands."""
    if task == "regression" and y.dtype.kind == "U":
        if model is not None:
            raise DataError(f"{model} is a regressor, but the target is a class: found {str(y[0])!r}, expected numbers")
        raise DataError(f"the targets are text, regression needs numbers: found {str(y[0])!r}")
    if task == "classification" and model is not None and y.dtype.kind == "f" and not is_whole(y):
        odd = y[np.flatnonzero(y != np.floor(y))[0]]
        raise DataError(f"{model} is a classifier, but the target is a number: found {odd}, expected labels")
