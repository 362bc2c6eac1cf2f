"""Whether the files of a launch hold anything to learn: said before a process starts, and not in round 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.data.data import DataError, Dataset, is_whole
from nervenet.models.plugins import listed
from nervenet.models.tables.schema import agree_schema
from nervenet.models.tables.site_schema import MOST_CATEGORIES, SiteSchema
from nervenet.models.tables.table import Table, gaps

from ..config.schema import ModelConfig, TrainingConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config.schema import Experiment

SHOWN = 6
OF_A_DATE = 5  # elapsed time, sine and cosine of its place in year and week


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
    told = {site: SiteSchema.of(X.take(own), rows.y[own], rows.task) for site, own in parts.items()}
    schema, _ = agree_schema(told)
    if not schema.used.columns:
        raise _none_left(files, schema.left_out)


def features_of(rows: Dataset, parts: Sequence[NDArray[np.intp]], min_frequency: int | None) -> int:
    """Return how many numbers a model sees of a row at most, where round 0 makes its own pipeline.

    A column of categories becomes one for each, unless a site has more than are told by name.
    """
    X = rows.X
    if not isinstance(X, Table):
        return len(rows.columns)
    return sum(_features(kind, array, parts, min_frequency) for kind, array in zip(X.kinds, X.arrays, strict=True))


def _features(kind: str, array: NDArray[Any], parts: Sequence[NDArray[np.intp]], min_frequency: int | None) -> int:
    if kind != "category":
        return 1 if kind == "number" else OF_A_DATE
    missing = gaps(array)
    counts: Counter[str] = Counter()
    for own in parts:
        told = Counter(array[own][~missing[own]].tolist())
        if len(told) > MOST_CATEGORIES:
            return 0
        counts.update(told)
    rare = sum(count < (min_frequency or 0) for count in counts.values())
    return len(counts) - rare + bool(rare) + bool(missing.any())


def large_steps(task: str, X: object, experiment: Experiment) -> tuple[str, ...]:
    """Return what to say where nobody has chosen the steps of the built-in network, and smaller ones learn better.

    Measured: quantities over columns of categories, whose errors have no bound (docs/tables.md).
    """
    training, default = experiment.training, TrainingConfig.learning_rate
    mixed = isinstance(X, Table) and "category" in X.kinds
    chosen = training.optimizer != "sgd" or training.learning_rate != default
    if task != "regression" or not mixed or chosen or experiment.model.name != ModelConfig.name:
        return ()
    return (f"training.learning_rate = {default:g}: for a quantity and categories --learning-rate 0.005 learns better",)


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
