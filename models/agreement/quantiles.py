"""Exact quantiles of all sites' values: those of the pooled column as NumPy computes them, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .order_statistics import BITS, Ordered, count, order_statistics
from .questions import Questions

__all__ = ["METHODS", "Quantiles", "count", "median", "middle", "quantile", "quantiles", "ranks"]


class _Method(NamedTuple):
    """Where a quantile lies among n sorted values, from 0, and how much the value above weighs; as numpy.quantile."""

    place: Callable[[int, float], float]
    weight: Callable[[float, float], float] = lambda gamma, _: gamma


def _hyndman_fan(alpha: float, beta: float) -> _Method:
    return _Method(lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1)


def _closest(n: int, q: float) -> float:
    index = n * q - 1 - 0.5
    low = float(np.floor(index))
    return max(low if index == low and low % 2 == 1 else low + 1, 0.0)


METHODS = {
    "linear": _Method(lambda n, q: (n - 1) * q),
    "lower": _Method(lambda n, q: float(np.floor((n - 1) * q))),
    "higher": _Method(lambda n, q: float(np.ceil((n - 1) * q))),
    "nearest": _Method(lambda n, q: float(np.around((n - 1) * q))),
    "midpoint": _Method(
        lambda n, q: 0.5 * float(np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
        lambda _, index: 0.5 if index % 1 else 0.0,
    ),
    "inverted_cdf": _Method(lambda n, q: max(float(np.ceil(n * q - 1)), 0.0)),
    "averaged_inverted_cdf": _Method(lambda n, q: n * q - 1, lambda gamma, _: 1.0 if gamma else 0.5),
    "closest_observation": _Method(_closest),
    "interpolated_inverted_cdf": _hyndman_fan(0, 1),
    "hazen": _hyndman_fan(0.5, 0.5),
    "weibull": _hyndman_fan(0, 0),
    "median_unbiased": _hyndman_fan(1 / 3.0, 1 / 3.0),
    "normal_unbiased": _hyndman_fan(3 / 8.0, 3 / 8.0),
}
"""The methods of numpy.quantile (Hyndman & Fan 1996, "Sample quantiles in statistical packages")."""


class Quantiles(NamedTuple):
    """How many values each column has, shape (columns,), and its quantiles, shape (columns, probabilities).

    The quantiles of a column without values are NaN.
    """

    n: NDArray[np.int64]
    values: NDArray[np.float64]


def quantiles(
    columns: Sequence[str | int], probabilities: Sequence[float], method: str = "linear", bits: int = BITS
) -> Questions[Quantiles]:
    """Ask for some quantiles of each column, all in the same exchanges; a site answers with `count`.

    Parameters
    ----------
    columns
        Names or places, by which each site finds its own values; NaN is a gap, which is left out.
    probabilities
        From 0 to 1.
    method
        One of `METHODS`. "linear" is what numpy.quantile does by default.
    bits
        How many bits are counted at a time, in 64 / bits exchanges; see `order_statistics`.
    """
    found = yield from order_statistics(columns, lambda n: ranks(n, probabilities, method), bits)
    values = np.array([[quantile(one, p, method) for p in probabilities] for one in found], np.float64)
    return Quantiles(np.array([one.n for one in found], np.int64), values.reshape(len(found), len(probabilities)))


def ranks(n: int, probabilities: Sequence[float], method: str = "linear") -> list[int]:
    """Return the ranks of the values from which the quantiles of n values are computed."""
    return [rank for p in probabilities for rank in _place(n, float(p), method)[:2]]


def quantile(column: Ordered, probability: float, method: str = "linear") -> float:
    """Return a quantile of a column whose values at `ranks` are known; NaN where it has none."""
    if not column.n:
        return float("nan")
    below, above, weight = _place(column.n, float(probability), method)
    low, high = column.at[below], column.at[above]
    difference = high - low
    return high - difference * (1 - weight) if weight >= 0.5 else low + difference * weight


def _place(n: int, probability: float, method: str) -> tuple[int, int, float]:
    """Return the ranks between which a quantile lies, and how much the second weighs."""
    rule = METHODS[method]
    index = rule.place(n, probability)
    if index >= n - 1:
        return n - 1, n - 1, 0.0
    if index < 0:
        return 0, 0, 0.0
    low = int(np.floor(index))
    weight = rule.weight(index - low, index)
    return low, low + 1 if weight else low, weight


def middle(n: int) -> list[int]:
    """Return the ranks of the values from which `median` is computed."""
    return [(n - 1) // 2, n // 2]


def median(column: Ordered) -> float:
    """Return the mean of the two middle values as numpy.median does, which may differ from the quantile by one bit."""
    if not column.n:
        return float("nan")
    low, high = (column.at[rank] for rank in middle(column.n))
    return low if column.n % 2 else (low + high) / 2
