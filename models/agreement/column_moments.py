"""Moments of columns with gaps: each column has a count of its own, and its mean has twice the digits of a float64.

A difference of two sites' means is squared in a merge. At means of 1e6 and spreads of 1 their rounding alone would cost
four digits of the variance, so a mean travels as the sum of two numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ..data.blocks import regrouped
from ..moments import BLOCK, LARGEST, Column, IncompatibleSites

NUMBERS = 4
"""A column's moments are so many numbers in a vector."""


@dataclass(frozen=True, eq=False)
class ColumnMoments:
    """How many values each column has, their means and sums of squared deviations; 0 where it has none."""

    n: Column  # (columns,), whole numbers
    mean: Column  # (columns,)
    m2: Column  # (columns,)
    rest: Column  # (columns,): what the exact mean has above `mean`

    @classmethod
    def of(cls, X: NDArray[np.float64]) -> ColumnMoments:
        """Return the moments of a table, shape (rows, columns); NaN is a gap, which is left out."""
        return cls.of_parts([X], X.shape[1])

    @classmethod
    def of_parts(cls, parts: Iterable[NDArray[np.float64]], width: int) -> ColumnMoments:
        """Return those of a table of so many columns that comes in parts, the same to the bit however it is cut."""
        blocks = map(_of_block, regrouped(parts, max(1, BLOCK // max(1, width))))
        return reduce(cls.merge, blocks, next(blocks, None) or _of_block(np.empty((0, width))))

    def merge(self, other: ColumnMoments) -> ColumnMoments:
        """Return the moments of both tables together (Chan, Golub & LeVeque 1979, equation 2.1)."""
        n = self.n + other.n
        share = other.n / np.maximum(n, 1.0)
        delta = np.where((self.n > 0) & (other.n > 0), other.above(self), 0.0)
        mean = np.where(self.n > 0, self.mean, other.mean)
        more = np.where(self.n > 0, self.rest, other.rest) + delta * share
        return ColumnMoments(n, mean + more, self.m2 + other.m2 + delta * delta * (self.n * share), _lost(mean, more))

    def above(self, other: ColumnMoments) -> Column:
        """Return how far these means are above others, shape (columns,)."""
        return (self.mean - other.mean) + (self.rest - other.rest)

    @property
    def variance(self) -> Column:
        """Mean squared deviation, shape (columns,); NaN where a column has no values."""
        return np.where(self.n > 0, self.m2 / np.maximum(self.n, 1.0), np.nan)

    def vector(self) -> Column:
        """Return all as one vector of NUMBERS * columns numbers."""
        return np.concatenate([self.n, self.mean, self.m2, self.rest])

    @classmethod
    def from_vector(cls, site: str, vector: Column) -> ColumnMoments:
        """Return what a site sent by `vector`. Raises IncompatibleSites naming it: no such moments exist."""
        n, mean, m2, rest = np.split(vector, NUMBERS)
        if not ((n >= 0) & (n <= 2**53) & (n == np.floor(n))).all():
            raise IncompatibleSites(f"site {site} has sent a count that is no whole number", site)
        if not ((np.abs(mean) <= LARGEST) & (m2 >= 0) & (m2 <= LARGEST)).all():
            raise IncompatibleSites(f"site {site} has sent a mean beyond {LARGEST:g}, or no sum of squares", site)
        if not (np.abs(rest) <= np.spacing(np.abs(mean))).all():
            raise IncompatibleSites(f"site {site} has sent a mean that is no sum of two numbers", site)
        if mean[n == 0].any() or m2[n == 0].any() or rest[n == 0].any():
            raise IncompatibleSites(f"site {site} has sent the mean of no values", site)
        return cls(n, mean, m2, rest)

    @classmethod
    def merged(cls, sites: Iterable[ColumnMoments]) -> ColumnMoments:
        """Return the moments of all, merged in the order in which they are given."""
        return reduce(ColumnMoments.merge, sites)


def _of_block(X: NDArray[np.float64]) -> ColumnMoments:
    gaps = np.isnan(X)
    n = len(X) - np.count_nonzero(gaps, axis=0).astype(np.float64)
    most = np.maximum(n, 1.0)
    some = bool(gaps.any())
    with np.errstate(over="ignore", invalid="ignore"):
        first = (np.where(gaps, 0.0, X) if some else X).sum(axis=0) / most
        values = np.where(gaps, 0.0, X - first) if some else X - first
        # The second pass sees how far the first mean was off by rounding, and takes that out of the squares too.
        rest = values.sum(axis=0) / most
        m2 = np.einsum("ij,ij->j", values, values) - n * rest * rest
    return ColumnMoments(n, first + rest, np.maximum(m2, 0.0), _lost(first, rest))


def _lost(a: Column, b: Column) -> Column:
    """Return what a + b loses to rounding (Knuth's two-sum)."""
    total = a + b
    part = total - a
    return (a - (total - part)) + (b - part)
