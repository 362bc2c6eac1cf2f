"""Rules that look at one coordinate at a time: median, trimmed mean, and the inner step of Bulyan."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..aggregate import check_alike
from ..parallel import over_blocks
from ..weights import Vector
from .breakdown import check

ROOM = 262_144
"""Values sorted at a time, over all vectors: 1 MB of float32, so that a block stays in the cache."""

Sorted = NDArray[np.floating[Any]]
"""(coordinates, n): the n values of each coordinate in ascending order, NaN last."""


def coordinate_median(vectors: Sequence[Vector], share: NDArray[np.float64] | None = None) -> Vector:
    """Return the median of each coordinate, the same bits for any order of the vectors.

    Yin et al. 2018 (arXiv 1803.01498), Definition 1. Half of the vectors and more have to be honest, n >= 2f + 1: then
    every coordinate lies in the range of the honest values. For an even n it is the mean of the two in the middle.

    With the `share` of the weight that each has, 1 together, it is the smallest value up to which half of the weight
    lies.
    """
    n = len(vectors)
    if share is not None:
        return _by_sorted_values(vectors, lambda values, out: _weighted_middle(values, share, out), ordered=False)
    return _middle(vectors, (n - 1) // 2, n // 2 + 1)


def trimmed_mean(vectors: Sequence[Vector], f: int) -> Vector:
    """Return the mean of each coordinate without its f smallest and f largest values, for any order the same bits.

    Yin et al. 2018 (arXiv 1803.01498), Definition 2, with β = f / n. Needs n >= 2f + 1; every coordinate lies in the
    range of the honest values. f = 0 is the plain mean.
    """
    check_alike(vectors)
    check("trimmed mean", len(vectors), f)
    return _middle(vectors, f, len(vectors) - f)


def mean_around_median(vectors: Sequence[Vector], kept: int) -> Vector:
    """Return the mean, in each coordinate, of the `kept` values that are nearest to its median.

    El Mhamdi et al. 2018 (arXiv 1802.07927), the second step of Bulyan. Of two equally near values the
    smaller one counts.
    """
    n = len(vectors)
    low, high = (n - 1) // 2, n // 2

    def average(values: Sorted, out: Vector) -> None:
        median = values[:, low] / 2 + values[:, high] / 2
        # In sorted values the nearest ones are neighbors: of all runs of that length, the one of the smallest radius.
        radii = np.maximum(median[:, None] - values[:, : n - kept + 1], values[:, kept - 1 :] - median[:, None])
        chosen = radii.argmin(axis=1)[:, None] + np.arange(kept)
        _mean(np.take_along_axis(values, chosen, axis=1), out)

    return _by_sorted_values(vectors, average)


def _middle(vectors: Sequence[Vector], start: int, stop: int) -> Vector:
    """Return the mean of the sorted values from the start-th to the one before the stop-th of each coordinate."""
    return _by_sorted_values(vectors, lambda values, out: _mean(values[:, start:stop], out))


def _weighted_middle(values: Sorted, share: NDArray[np.float64], out: Vector) -> None:
    """Write the smallest value up to which half of the weight lies, of values (coordinates, n) in any order."""
    order = np.argsort(values, axis=1)
    place = np.argmax(np.cumsum(share[order], axis=1) >= 0.5 - 1e-12, axis=1)
    rows = np.arange(len(values))
    out[:] = values[rows, order[rows, place]]


def _mean(values: Sorted, out: Vector) -> None:
    """Write the mean of sorted values (coordinates, k), within their range: of equal ones their very bits."""
    k = values.shape[1]
    if k == 1:
        out[:] = values[:, 0]
        return
    np.dot(values, np.full(k, 1 / k, values.dtype), out=out)
    np.clip(out, values[:, 0], values[:, -1], out=out)


def _by_sorted_values(
    vectors: Sequence[Vector], merge: Callable[[Sorted, Vector], None], *, ordered: bool = True
) -> Vector:
    """Return the sorted values of each coordinate merged, a block of coordinates at a time; not `ordered`: as they are.

    A block is turned so that the values of a coordinate lie side by side: NumPy then sorts each with vector
    instructions, which is several times faster than to select along the first axis of the stack.
    """
    model = check_alike(vectors)
    n, size = len(vectors), model.size
    block = min(max(ROOM // n, 64), max(size, 1))
    merged = np.empty(size, model.dtype)

    def work(blocks: Iterable[slice]) -> None:
        room = np.empty((block, n), model.dtype)
        for part in blocks:
            values = room[: part.stop - part.start]
            for i, vector in enumerate(vectors):
                values[:, i] = vector[part]
            if ordered:
                values.sort(axis=1)
            merge(values, merged[part])

    over_blocks(work, size, block, n * size)
    return merged
