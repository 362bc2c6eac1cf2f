"""Checks of what every model is given: arrays before it trains on them, and parameters."""

import math
from collections.abc import Callable

import numpy as np

from .weights import Array, is_finite


def checked_inputs(X: Array, width: int, dtype: str) -> Array:
    """Return inputs as a C-ordered array of `dtype`; the same array if it is one already.

    Raises ValueError if they are not two-dimensional, of another width, or have a value that is not finite.
    """
    X = np.ascontiguousarray(X, dtype=dtype)
    if X.ndim != 2 or X.shape[1] != width:
        raise ValueError(f"X has shape {X.shape}, the model expects (rows, {width})")
    if len(X) and not is_finite(X.ravel()):
        raise ValueError("X holds values that are NaN or infinite")
    return X


def checked_targets(y: Array, rows: int, n_classes: int | None, dtype: str) -> Array:
    """Return class indices as int64, or targets (`n_classes` None) as `dtype`: one a row, at least one row.

    Raises ValueError for no rows, a wrong number, a class outside ``[0, n_classes)``, or a target that is not finite.
    """
    y = np.asarray(y)
    if rows == 0:
        raise ValueError("there are no rows to train on")
    if y.shape != (rows,):
        raise ValueError(f"y has shape {y.shape}, X has {rows} rows")
    if n_classes is None:
        if y.dtype.kind not in "fiu" or not np.isfinite(y).all():
            raise ValueError("y must hold finite numbers")
        return y.astype(dtype)
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"y must hold class indices from 0 to {n_classes - 1}")
    return y.astype(np.int64, copy=False)


def checked_weights(weight: Array, rows: int) -> Array:
    """Return row weights as float64, one a row; ValueError unless they are finite and above 0."""
    weight = np.asarray(weight, np.float64)
    if weight.shape != (rows,):
        raise ValueError(f"sample_weight has shape {weight.shape}, X has {rows} rows")
    if not (np.isfinite(weight) & (weight > 0)).all():
        raise ValueError("sample_weight must hold finite numbers above 0")
    return weight


def checked_choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return `value`; ValueError if it is not among the allowed ones."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(allowed)}")
    return value


def checked_number(name: str, value: float, allowed: Callable[[float], bool], words: str) -> float:
    """Return `value` as a float; ValueError if it is no finite number, or not `allowed`, which `words` describe."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not allowed(value):
        raise ValueError(f"{name} is {value!r}; a number {words} is allowed")
    return float(value)
