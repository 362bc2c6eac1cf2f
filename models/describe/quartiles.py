"""Quartiles, as NumPy computes them: those of one site from its values, those of all sites from exact ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..agreement.order_statistics import Ordered
from ..agreement.quantiles import median, middle, quantile, ranks

QUARTERS = (0.25, 0.75)


def ranks_of(count: int) -> list[int]:
    """Return the ranks, from 0, of the values from which the quartiles of so many values are computed."""
    return [*ranks(count, QUARTERS), *middle(count)]


def of_ranks(column: Ordered) -> dict[str, float]:
    """Return the quartiles of a column whose values at `ranks_of` are known."""
    q1, q3 = (quantile(column, share) for share in QUARTERS)
    return {"q1": q1, "median": median(column), "q3": q3}


def of_values(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the quartiles of at least one value, without gaps."""
    q1, q3 = np.quantile(values, QUARTERS).tolist()
    return {"q1": q1, "median": float(np.median(values)), "q3": q3}
