"""Row weights: how much each row counts, in the loss, in scores, and in how much its site counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import unmasked
from .data import DataError

Weights = NDArray[np.float64]

LARGEST = 1e80
"""Of one weight: sums over any number of rows and sites stay finite."""


def as_weights(what: str, weight: Any, rows: int) -> Weights:
    """Return weights as float64, shape (rows,).

    Raises DataError, which begins with `what`: another shape, no numbers, or what `check_weights` refuses.
    """
    values = np.asarray(unmasked(weight))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        raise DataError(f"{what} has shape {values.shape}, expected ({rows},): a weight for each row")
    if values.dtype.kind not in "biufO":
        raise DataError(f"{what} holds {values.dtype} values, expected numbers")
    try:
        found = values.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} holds something that is no number") from None
    check_weights(found, lambda row, finding: DataError(f"{what}, row {row}: {finding}"), what)
    return found


def check_weights(weight: Weights, refusal: Callable[[int, str], DataError], what: str) -> None:
    """Raise DataError unless all weights are finite numbers of at least 0, and one of them is above 0.

    `refusal` makes the error of a row, `what` begins that of all.
    """
    bad = np.flatnonzero(~((weight >= 0) & (weight <= LARGEST)))  # NaN, too
    if len(bad):
        value = weight[bad[0]]
        found = "an empty cell" if np.isnan(value) else f"{value:g}"
        limit = f", and of at most {LARGEST:g}" if value > LARGEST else ""
        raise refusal(int(bad[0]), f"found {found}, expected a weight of at least 0{limit}")
    if not weight.any():
        raise DataError(f"{what}: all {len(weight)} weights are 0, expected one above 0")


def counting(weight: Weights | None) -> NDArray[np.intp] | None:
    """Return the rows whose weight is above 0, None where that is all: others are as if they were not there."""
    if weight is None or weight.all():
        return None
    return np.flatnonzero(weight)


def relative(weight: Weights) -> Weights:
    """Return weights in units of their mean; the largest goes first, so that no sum overflows."""
    scaled = weight / np.max(weight)
    found: Weights = scaled / scaled.mean()
    return found
