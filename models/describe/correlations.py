"""Pearson's correlation of every two columns, by sums that sites add up.

Each pair takes the rows in which both columns have a value, as `pandas.DataFrame.corr` does. The sums are of deviations
from a center that all sites share, so that no digits are lost where means are far larger than spreads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..tables.table import Table

CORRELATED = 1000
"""Of so many columns at most correlations are asked for: a site tells six numbers of every two."""

SUMS = 6
"""Of each pair: its rows, two sums, two sums of squares, the sum of products."""

BLOCK = 1 << 14
"""Rows looked at together."""


def co_moments(table: Table, columns: Sequence[str | None], center: Sequence[float], floor: int) -> NDArray[np.float64]:
    """Return the sums of every two columns, one after the other: shape (`SUMS` * pairs,).

    A pair with fewer rows than `floor` has zeros, and so has one with a column None.
    """
    width = len(columns)
    sums = np.zeros((4, width, width))
    for start in range(0, len(table), BLOCK):
        part = slice(start, start + BLOCK)
        rows = min(BLOCK, len(table) - start)
        found = [np.full(rows, np.nan) if name is None else table[name][part] for name in columns]
        values = np.column_stack([np.empty((rows, 0)), *found]) - np.asarray(center, dtype=np.float64)
        there = (~np.isnan(values)).astype(np.float64)
        values = np.nan_to_num(values, nan=0.0)
        sums += (there.T @ there, values.T @ there, (values * values).T @ there, values.T @ values)
    first, second = np.triu_indices(width, 1)
    n, s, q, c = sums  # s[i, j] is the sum of column i over the rows in which column j has a value, too
    upper, lower = (first, second), (second, first)
    of_pairs = np.array([n[upper], s[upper], s[lower], q[upper], q[lower], c[upper]])
    of_pairs[:, of_pairs[0] < floor] = 0.0
    return of_pairs.ravel()


def correlations(sums: NDArray[np.float64], center: Sequence[float], floor: int) -> NDArray[np.float64]:
    """Return the matrix of correlations, shape (columns, columns), from the sums of `co_moments`.

    NaN where a pair has fewer rows than `floor`, or one of its columns does not vary.
    """
    width, middle = len(center), np.asarray(center, dtype=np.float64)
    n, s, t, ss, tt, st = sums.reshape(SUMS, -1)
    first, second = np.triu_indices(width, 1)
    found = np.full((width, width), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right, both = ss - s * s / n, tt - t * t / n, st - s * t / n
        # What rounding leaves of a column that does not vary, as in Moments.deviation.
        least = 16 * np.finfo(np.float64).eps * np.abs(middle)
        varies = (np.sqrt(left / n) > least[first]) & (np.sqrt(right / n) > least[second]) & (n >= max(2, floor))
        found[first, second] = np.where(varies, np.clip(both / np.sqrt(left * right), -1, 1), np.nan)
    found[second, first] = found[first, second]
    np.fill_diagonal(found, 1.0)
    return found
