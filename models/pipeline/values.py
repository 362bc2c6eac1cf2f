"""Arrays as plain values that JSON carries exactly, and back; NaN is None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUMBER_TYPES = {f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)} | {"bool"}
"""Types of a column of numbers, as a site tells them."""


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the type of a column by its name. Raises ValueError: it is neither one of numbers nor "object"."""
    if name != "object" and name not in NUMBER_TYPES:
        raise ValueError(f"{name!r:.60} is no type of a column; allowed: object, {', '.join(sorted(NUMBER_TYPES))}")
    return np.dtype(name)


def plain(values: ArrayLike) -> list[Any]:
    """Return numbers as a list, nested as they are."""

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(some) for some in value]
        return None if value != value else value

    found: list[Any] = one(np.asarray(values).tolist())
    return found


def numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return an array of numbers for what `plain` made."""
    return np.array(values, np.float64)  # None becomes NaN


def categories(values: Sequence[Any], dtype: str) -> NDArray[Any]:
    """Return a column's categories in its own type; None becomes NaN."""
    if dtype != "object":
        return np.array([np.nan if value is None else value for value in values], dtype_of(dtype))
    found = np.empty(len(values), object)
    found[:] = [np.nan if value is None else value for value in values]
    return found
