"""Preprocessing: the columns, classes and scales that all sites share, which turn raw rows into what a model sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .data.arrays import as_table, column_names, unmasked
from .data.written import MOST_AGREED, WrittenColumns, written_from_dict, written_to_dict
from .moments import BLOCK, Column, IncompatibleSites, described
from .plugins import listed, suggest
from .pooled import Pooled, of_pooled, pooled_in
from .targets import Label, Targets, checked_classes, shape_in, weights_in
from .weights import is_finite

CLIP = 5.0
"""Scaled inputs are cut at so many standard deviations, so that one outlier does not throw off a model."""


@dataclass(frozen=True, eq=False)
class Preprocessing(Targets):
    """How to turn raw inputs and targets into prepared ones, and predictions back."""

    columns: tuple[str, ...]  # names of the inputs, in their order
    classes: tuple[Label, ...] | None  # every label that any site has, sorted; None for regression
    center: Column  # (columns,), float64: subtracted from the inputs
    scale: Column  # (columns,), float64, all above 0: the inputs are then divided by it
    clip: float | None = CLIP  # scaled inputs are cut to [-clip, clip]; None: they are not
    target_center: float = 0.0  # the same for regression targets, which are not cut
    target_scale: float = 1.0
    written: WrittenColumns = field(default_factory=dict)  # how the sites' files write those columns that say it
    class_weights: tuple[float, ...] | None = None  # of a row of each class in training; None: 1
    model_shape: Mapping[str, int] | None = None  # of a model whose arrays depend on the rows
    pooled: Pooled | None = None  # what a summed model is told of all rows; None: no such model has asked

    def __post_init__(self) -> None:
        width = (len(self.columns),)
        if self.center.shape != width or self.scale.shape != width:
            raise IncompatibleSites(
                f"{len(self.columns)} columns, {self.center.size} centers, {self.scale.size} scales"
            )
        numbers = np.concatenate([self.center, self.scale, (self.clip or 1.0,)])
        if not np.isfinite(numbers).all():
            raise IncompatibleSites("preprocessing with a center or a scale that is not finite")
        if (self.scale <= 0).any() or (self.clip is not None and self.clip <= 0):
            raise IncompatibleSites("preprocessing with a scale or a clip that is not above 0")
        self.check_targets()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Preprocessing) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.columns, self.classes, self.center.tobytes(), self.scale.tobytes()))

    ignores_further: ClassVar[bool] = False  # columns that it does not know are refused

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Names of all columns that the sites have."""
        return self.columns

    @property
    def n_features(self) -> int:
        return len(self.columns)

    def transform(self, X: ArrayLike, dtype: str = "float32") -> NDArray[Any]:
        """Return scaled inputs.

        `X` has the shape (rows, columns) and may be read-only. The result is a new array of `dtype` in C order, or `X`
        itself where nothing is to be done to it. Raises ValueError when `X` is no table of finite numbers, or has not
        as many columns as were agreed.
        """
        table = self._table(X)
        untouched = self.clip is None and not self.center.any() and (self.scale == 1).all()
        if untouched and table.dtype == dtype and table.flags.c_contiguous:
            self._check_finite(table, 0)
            return table
        prepared = np.empty(table.shape, dtype)
        rows = max(1, BLOCK // self.n_features)
        for start in range(0, len(table), rows):
            block = table[start : start + rows].astype(np.float64)
            self._check_finite(block, start)
            with np.errstate(over="ignore"):  # what overflows is clipped, or refused below
                block -= self.center
                block /= self.scale
                if self.clip is not None:
                    np.clip(block, -self.clip, self.clip, out=block)
                prepared[start : start + rows] = block
            if self.clip is None and not is_finite(prepared[start : start + rows].ravel()):
                raise ValueError(f"X has values that are too large for {dtype}")
        return prepared

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that JSON and msgpack carry exactly."""
        return {
            "columns": list(self.columns),
            "classes": None if self.classes is None else list(self.classes),
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "clip": self.clip,
            "target_center": self.target_center,
            "target_scale": self.target_scale,
            **self.optional(),
            **written_to_dict(self.written),
            **of_pooled(self.pooled),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing that `to_dict` described. Raises IncompatibleSites for anything else."""
        with described("preprocessing"):
            classes, clip = fields["classes"], fields["clip"]
            columns = checked_columns(fields["columns"])
            return cls(
                columns=columns,
                classes=None if classes is None else checked_classes(classes),
                center=np.array(fields["center"], dtype=np.float64),
                scale=np.array(fields["scale"], dtype=np.float64),
                clip=None if clip is None else float(clip),
                target_center=float(fields["target_center"]),
                target_scale=float(fields["target_scale"]),
                class_weights=weights_in(fields),
                model_shape=shape_in(fields),
                written=written_from_dict(fields, columns, MOST_AGREED),
                pooled=pooled_in(fields, len(columns)),
            )

    def _table(self, X: ArrayLike) -> NDArray[Any]:
        """Return `X` as a table of numbers with the agreed columns, or raise ValueError."""
        names = column_names(X)
        if names is not None:
            return self._by_name(as_table("X", X, finite=False), names)
        if isinstance(X, Sequence) and X and all(isinstance(row, Mapping) for row in X):
            X = self._of_maps(X)
        try:
            table = np.asarray(unmasked(X))
        except ValueError as error:
            for number, row in enumerate(X if isinstance(X, Sequence) else ()):
                if not isinstance(row, Sequence) or len(row) != self.n_features:
                    width = f"{len(row)} columns" if isinstance(row, Sequence) else "no columns"
                    raise ValueError(f"row {number} of X has {width}, {self._expected}") from error
            raise ValueError("X is not a table of numbers") from error
        if table.ndim != 2:
            raise ValueError(f"X has {table.ndim} dimensions, expected 2: rows and columns; {self._expected}")
        if table.shape[1] != self.n_features:
            raise ValueError(f"X has {table.shape[1]} columns, {self._expected}")
        if table.dtype.kind not in "biuf":
            raise ValueError(f"X holds {table.dtype} values, expected numbers")
        return table

    @property
    def _expected(self) -> str:
        return f"the model expects {self.n_features} ({listed(self.columns)})"

    def _of_maps(self, rows: Sequence[Any]) -> list[list[Any]]:
        """Return rows that are maps by the names of columns in the order of those; further names are ignored."""
        for number, row in enumerate(rows):
            if lacking := [name for name in self.columns if name not in row]:
                hint = suggest(lacking[0], [str(name) for name in row])
                raise ValueError(
                    f"row {number} of X lacks {lacking[0]!r}{hint}; the model expects {listed(self.columns)}"
                )
        return [[row[name] for name in self.columns] for row in rows]

    def _by_name(self, table: NDArray[Any], names: tuple[str, ...]) -> NDArray[Any]:
        """Return a data frame's values with its columns in the agreed order."""
        if by_place(names, self.columns):
            return table
        for name in self.columns:
            if names.count(name) != 1:
                what = "has two columns called" if name in names else "has no column"
                raise ValueError(f"X {what} {name!r}{suggest(name, names)}; the model expects {listed(self.columns)}")
        if odd := [name for name in names if name not in self.columns]:
            raise ValueError(f"X has a column {odd[0]!r} that the model does not know; it has {listed(self.columns)}")
        return table[:, [names.index(name) for name in self.columns]]

    def _check_finite(self, block: NDArray[Any], first_row: int) -> None:
        if block.dtype.kind != "f" or is_finite(block.ravel("K")):
            return
        row, place = np.argwhere(~np.isfinite(block))[0]
        found = block[row, place]
        raise ValueError(f'X has {found} in row {first_row + row}, column "{self.columns[place]}"; expected a number')


def made_up(width: int) -> tuple[str, ...]:
    """Return the names of columns that have none: x1, x2, …"""
    return tuple(f"x{place}" for place in range(1, width + 1))


def by_place(names: Sequence[str], columns: tuple[str, ...]) -> bool:
    """Whether columns of these names are the agreed ones by their places: nobody had named those, and as many are."""
    return len(names) == len(columns) and columns == made_up(len(columns)) and set(names).isdisjoint(columns)


def checked_columns(names: object) -> tuple[str, ...]:
    """Return a list of one or more distinct texts as a tuple, or raise IncompatibleSites."""
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise IncompatibleSites("columns must be a list of one or more names")
    if len(set(names)) != len(names):
        raise IncompatibleSites("two columns have the same name")
    return tuple(names)
