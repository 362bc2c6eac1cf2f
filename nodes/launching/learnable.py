"""Whether the files of a launch hold anything to learn: said before a process starts, and not in round 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.data.data import DataError, Dataset, is_whole
from nervenet.models.plugins import listed
from nervenet.models.tables.table import Table, gaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = 6


def check_classes(files: Sequence[object], target: str, y: NDArray[Any]) -> None:
    """Raise DataError for a single class in the target's column of all files together."""
    labels = np.unique(y)
    if len(labels) > 1:
        return
    what = f'column "{target}", the target, has' if target else "the targets have"
    raise DataError(
        f"{listed(list(map(str, files)), SHOWN)}: {what} {labels[0]!s} in all {len(y)} rows; expected two classes or "
        "more: --target NAME names another column"
    )


def check_columns(files: Sequence[object], rows: Dataset, parts: Mapping[str, NDArray[np.intp]]) -> None:
    """Raise DataError where no column of the files is of use to a model, as round 0 finds ids, constants and texts.

    `parts` are the rows of each site by its name.
    """
    X = rows.X
    if not isinstance(X, Table):
        if all((rows.column(name) == rows.column(name)[0]).all() for name in rows.columns):
            raise _none_left(files, dict.fromkeys(rows.columns, "all rows have the same value"))
        return
    if any(_varies(kind, array) for kind, array in zip(X.kinds, X.arrays, strict=True)):
        return
    from nervenet.models.tables.schema import agree_schema
    from nervenet.models.tables.site_schema import SiteSchema

    told = {site: SiteSchema.of(X.take(own), rows.y[own], rows.task) for site, own in parts.items()}
    schema, _ = agree_schema(told)
    if not schema.used.columns:
        raise _none_left(files, schema.left_out)


def _varies(kind: str, array: NDArray[Any]) -> bool:
    """Whether a column is certainly of use, which spares a look at all others: fractions or dates that differ."""
    if kind == "category":
        return False
    cells = array[~gaps(array)]
    return len(cells) > 1 and bool((cells != cells[0]).any()) and (kind == "date" or not is_whole(cells))


def _none_left(files: Sequence[object], why: Any) -> DataError:
    reasons = [f"{name} ({reason})" for name, reason in why.items()]
    return DataError(
        f"{listed(list(map(str, files)), SHOWN)}: no column is left for the model: {listed(reasons, SHOWN)}; expected "
        "one with several values, each in several rows, or data.preprocess with a pipeline that takes these"
    )
