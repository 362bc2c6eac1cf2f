"""Moments: how many, their mean and their sum of squared deviations, which sites merge exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.blocks import regrouped

Column = NDArray[np.float64]

BLOCK = 1 << 16
"""Elements looked at together, so that the float64 copies of a large float32 table stay small."""

ROUNDING = 16 * np.finfo(np.float64).eps
"""A deviation of no more than this share of the mean is what rounding leaves of a constant."""

LARGEST = 1e140
"""No count, mean or sum of squares may be beyond this: a merge multiplies two of them and must stay finite."""


class IncompatibleSites(ValueError):
    """Sites that cannot learn together, or malformed statistics; `site` is the one at fault, None if none is."""

    def __init__(self, message: str, site: str | None = None) -> None:
        super().__init__(message)
        self.site = site


@contextmanager
def described(what: str) -> Iterator[None]:
    """Raise IncompatibleSites for what a description of `what` lacks, or has in a form that nothing is made of."""
    try:
        yield
    except IncompatibleSites:
        raise
    except KeyError as error:
        raise IncompatibleSites(f"{what} without {error}") from error
    except (TypeError, ValueError) as error:
        raise IncompatibleSites(f"not a {what}: {error}") from error


class TooFewRows(ValueError):
    """A site below the floor of rows: its data are in order, and what it would tell of them gives them away."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, means and sums of squared deviations from the mean, of a table's columns."""

    n: float  # rows, at least 1
    mean: Column  # (columns,)
    m2: Column  # (columns,): Σ (x - mean)², which divided by `n` is the variance

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.m2.shape:
            raise IncompatibleSites(f"means of shape {self.mean.shape} and sums of squares of shape {self.m2.shape}")
        if not 1 <= self.n <= 2**53:
            raise IncompatibleSites(f"the number of rows is {self.n}; it must be at least 1")
        # Written so that NaN fails, too.
        if not (np.abs(self.mean) <= LARGEST).all():
            raise IncompatibleSites(f"a mean is not a number of at most {LARGEST:g}")
        if not ((self.m2 >= 0) & (self.m2 <= LARGEST)).all():
            raise IncompatibleSites(f"a sum of squares is not a number from 0 to {LARGEST:g}")

    @classmethod
    def of(cls, X: NDArray[Any]) -> Moments:
        """Return the moments of a table, shape (rows, columns) with at least one row, in float64."""
        return cls.of_parts([X], X.shape[1])

    @classmethod
    def of_parts(cls, parts: Iterable[NDArray[Any]], width: int) -> Moments:
        """Return those of a table of so many columns that comes in parts, the same to the bit however it is cut."""
        blocks = map(_of_block, regrouped(parts, max(1, BLOCK // max(1, width))))
        first = next(blocks, None)
        if first is None:
            raise IncompatibleSites("there are no rows")
        return reduce(Moments.merge, blocks, first)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both tables together (Chan, Golub & LeVeque 1979, equation 2.1).

        Unlike E[x²] - E[x]², it subtracts means only, and so keeps its digits where the mean is far larger than the
        spread.
        """
        n = self.n + other.n
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        return Moments(n, mean, self.m2 + other.m2 + delta * delta * (self.n * (other.n / n)))

    def limited(self, rows: int) -> Moments:
        """Return the moments of so many rows, at least 1, with the same means and deviations."""
        return Moments(float(rows), self.mean, self.m2 * (rows / self.n))

    @property
    def deviation(self) -> Column:
        """Standard deviation of each column; 0 where all that is left is rounding."""
        deviation = np.sqrt(self.m2 / self.n)
        return np.where(deviation <= ROUNDING * np.abs(self.mean), 0.0, deviation)


def spread_of(values: NDArray[Any], weight: Column | None = None) -> float:
    """Return the sum of squared distances from the mean, shape (rows,), by weight if there are such; 0 of no rows, and
    where all that is left is rounding, as of one value that float64 has not exactly.
    """
    if not len(values):
        return 0.0
    mean = float(np.average(values, weights=weight))
    squares = np.square(values - mean)
    total = float(len(values)) if weight is None else float(weight.sum())
    return beyond_rounding(float(squares.sum() if weight is None else weight @ squares), total, mean)


def beyond_rounding(squares: float, n: float, mean: float) -> float:
    """Return a sum of squared distances from a mean of `n` values, or 0 where it is no more than rounding leaves."""
    return squares if squares > n * (ROUNDING * mean) ** 2 else 0.0


def _of_block(X: NDArray[Any]) -> Moments:
    n = len(X)
    values = X.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        first = values.mean(axis=0)
        values -= first
        rest = values.mean(axis=0)
        # The second pass sees how far the first mean was off by rounding, and takes that out of the squares too.
        m2 = np.einsum("ij,ij->j", values, values) - n * rest * rest
        return Moments(float(n), first + rest, np.maximum(m2, 0.0))
