"""The preprocessing of tables with categories, dates and gaps: a schema, and a pipeline fitted on all sites."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .moments import described
from .plugins import listed
from .pooled import Pooled, of_pooled, pooled_in
from .preprocessing import Preprocessing
from .tables.rows import conform, table_of_numbers, table_of_rows
from .tables.schema import Schema
from .tables.table import Table
from .targets import Label, Targets, checked_classes, shape_in, weights_in
from .weights import is_finite

if TYPE_CHECKING:
    from .pipeline.fit import Fitted

KIND = "table"
"""Under the key "kind" of what `to_dict` returns; that of numbers has no such key."""


@dataclass(frozen=True, eq=False)
class TablePreprocessing(Targets):
    """How to turn the rows of a table into what a model sees, and predictions back."""

    schema: Schema  # of the columns that the pipeline takes
    left_out: tuple[str, ...]  # columns that the sites have besides
    classes: tuple[Label, ...] | None  # every label that any site has, sorted; None for regression
    pipeline: Mapping[str, Any]  # unfitted, as `describe_transformer` describes it
    fitted: Fitted = field(repr=False)
    target_center: float = 0.0  # of regression targets
    target_scale: float = 1.0
    class_weights: tuple[float, ...] | None = None  # of a row of each class in training; None: 1
    model_shape: Mapping[str, int] | None = None  # of a model whose arrays depend on the rows
    pooled: Pooled | None = None  # what a summed model is told of all rows; None: no such model has asked

    ignores_further: ClassVar[bool] = True  # columns that it does not know do no harm

    def __post_init__(self) -> None:
        self.check_targets()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TablePreprocessing) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @cached_property
    def _text(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the inputs, in their order."""
        return self.schema.columns

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Names of all columns that the sites have."""
        return (*self.columns, *self.left_out)

    @property
    def n_features(self) -> int:
        """How many numbers a model sees of each row."""
        return len(self.fitted.names)

    def transform(self, X: Any, dtype: str = "float32") -> NDArray[Any]:
        """Return what a model sees of raw inputs, shape (rows, n_features), of `dtype` in C order.

        `X` is a `Table` or a data frame, whose columns are matched by name and may be more; a list of rows in the order
        of `columns`, or of maps by name; or an array of such rows. Raises ValueError when it does not fit, or the
        pipeline makes no finite numbers of it.
        """
        from .pipeline.fit import transform

        prepared = transform(self._unfitted, self.fitted, self.table_of(X))
        with np.errstate(over="ignore"):
            found = np.ascontiguousarray(prepared, dtype)
        if not is_finite(found.ravel()):
            row, place = (int(index) for index in np.argwhere(~np.isfinite(found))[0])
            raise ValueError(
                f"row {row} of X: the pipeline makes {prepared[row, place]} of it in {self.fitted.names[place]!r}, and "
                "a model needs numbers"
            )
        return found

    def table_of(self, X: Any) -> Table:
        """Return raw inputs as a table of the agreed columns. Raises ValueError when they do not fit."""
        if isinstance(X, Table):
            return conform(X, self.schema)
        if hasattr(X, "columns"):
            from .tables.frames import table_of

            kinds = dict(zip(self.columns, self.schema.kinds, strict=True))
            return conform(table_of(X, kinds, written=self.schema.written), self.schema)
        if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "biuf" and self._all_numbers(X.shape[1]):
            return table_of_numbers(X, self.columns)
        rows = X.tolist() if hasattr(X, "tolist") else X
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            raise ValueError(f"X is {type(X).__name__}, expected a table with the columns {listed(self.columns)}")
        return table_of_rows(rows, self.schema)

    def _all_numbers(self, width: int) -> bool:
        return set(self.schema.kinds) == {"number"} and width == len(self.columns)

    @cached_property
    def _unfitted(self) -> Any:
        from .pipeline.description import rebuild_transformer

        return rebuild_transformer(self.pipeline)

    def estimator(self) -> Any:
        """Return the fitted scikit-learn transformer, which takes a pandas frame and needs nothing of this package."""
        from .pipeline.restore import fitted_estimator

        return fitted_estimator(self._unfitted, self.fitted, self.columns, self.schema.kinds)

    @property
    def may_be_sparse(self) -> bool:
        """Whether what `estimator` returns may make sparse matrices."""
        from .pipeline.fit import maybe_sparse

        return maybe_sparse(self._unfitted)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that JSON and msgpack carry exactly."""
        return {
            "kind": KIND,
            "schema": self.schema.to_dict(),
            "left_out": list(self.left_out),
            "classes": None if self.classes is None else list(self.classes),
            "pipeline": dict(self.pipeline),
            "fitted": self.fitted.to_dict(),
            "target_center": self.target_center,
            "target_scale": self.target_scale,
            **self.optional(),
            **of_pooled(self.pooled),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TablePreprocessing:
        """Return the preprocessing that `to_dict` described. Raises IncompatibleSites for anything else."""
        from .pipeline.fit import Fitted

        with described("preprocessing"):
            classes, schema = fields["classes"], Schema.from_dict(fields["schema"])
            return cls(
                schema=schema,
                left_out=tuple(str(name) for name in fields["left_out"]),
                classes=None if classes is None else checked_classes(classes),
                pipeline=dict(fields["pipeline"]),
                fitted=Fitted.from_dict(fields["fitted"]),
                target_center=float(fields["target_center"]),
                target_scale=float(fields["target_scale"]),
                class_weights=weights_in(fields),
                model_shape=shape_in(fields),
                pooled=pooled_in(fields, len(schema.columns)),
            )


AnyPreprocessing: TypeAlias = Preprocessing | TablePreprocessing


def preprocessing_of(fields: Mapping[str, Any]) -> AnyPreprocessing:
    """Return the preprocessing that either kind's `to_dict` described. Raises IncompatibleSites for anything else."""
    known = TablePreprocessing if fields.get("kind") == KIND else Preprocessing
    return known.from_dict(fields)
