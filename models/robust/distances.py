"""Distances between long vectors: all pairs by one matrix product a block, or each to one point."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..aggregate import check_alike
from ..parallel import over_blocks
from ..weights import Vector

Matrix = NDArray[np.float64]

COLUMNS, ROOM = 16_384, 2_097_152
"""Coordinates, and values over all vectors, that are multiplied at a time at most."""

SHARES = 8
"""Into so many parts the coordinates are cut, each with a matrix of its own, so that several cores can share them."""

BLOCK = 32_768
"""Coordinates of one vector that are measured at a time."""

CLOSE = 1e-3
"""Squared distances below this share of the squared norms are measured again from a nearer reference: what float32
leaves of them is then still good to about three digits."""

PASSES = 4
"""How often to measure at most. Each finds a reference about a thousand times nearer."""


def squared_distances(vectors: Sequence[Vector]) -> Matrix:
    """Return the squared distances of all pairs, ``||x_i - x_j||²``.

    ``||a||² + ||b||² - 2 a.b`` of the differences to a reference that is one of the vectors, so that an offset which
    all share costs no digits. If the reference proves to be far from where most vectors lie, as a Byzantine one would
    be, the vector with the nearest neighbors takes its place and all is measured again.

    The result, (n, n) of float64, is symmetric, zero on the diagonal, never negative, and infinite where a distance is
    beyond the dtype's range.
    """
    dtype = check_alike(vectors).dtype
    reference, widened = 0, False
    for _ in range(PASSES):
        squared, norms = _from_reference(vectors, vectors[reference], dtype)
        if not (widened or np.isfinite(squared).all()):
            # Squares overflow: those of a Byzantine vector at least. One of the middle norm is not beyond the honest.
            reference, dtype, widened = int(distances_to(vectors).argsort()[len(vectors) // 2]), np.dtype("f8"), True
            continue
        typical = np.median(squared, axis=1)
        central = int(np.argmin(typical))
        if central == reference or typical[central] >= CLOSE * norms[central]:
            break
        reference = central
    return squared


def _from_reference(
    vectors: Sequence[Vector], reference: Vector, dtype: np.dtype[np.floating]
) -> tuple[Matrix, Matrix]:
    """Return squared distances, and squared norms, of the differences to a reference, computed in a dtype."""
    n, size = len(vectors), reference.size
    width = min(COLUMNS, max(ROOM // n, 256))
    share = width * max(-(-size // (SHARES * width)), 1)
    # One matrix a share, added in order at the end: the bits do not depend on which thread took which.
    grams = np.zeros((max(-(-size // share), 1), n, n))

    def work(shares: Iterable[slice]) -> None:
        room = np.empty(n * min(width, size), dtype)
        for part in shares:
            gram = grams[part.start // share]
            for start in range(part.start, part.stop, width):
                columns = slice(start, min(start + width, part.stop))
                base = reference[columns].astype(dtype, copy=False)
                rows = room[: n * base.size].reshape(n, base.size)  # whole, or BLAS is given a copy
                for vector, row in zip(vectors, rows, strict=True):
                    np.subtract(vector[columns], base, out=row)
                gram += np.dot(rows, rows.T)

    with np.errstate(over="ignore", invalid="ignore"):
        over_blocks(work, size, share, n * size)
        gram = grams.sum(axis=0)
        norms = gram.diagonal().copy()
        squared: Matrix = norms[:, None] + norms - 2 * gram
    squared[np.isnan(squared)] = np.inf
    np.maximum(squared, 0, out=squared)
    np.fill_diagonal(squared, 0)
    return squared, norms


def distances_to(vectors: Sequence[Vector], point: Vector | None = None) -> Matrix:
    """Return each vector's distance to one point, ``||x_i - p||``, or its norm if there is no point.

    The result is (n,) of float64. Sums of squares may be beyond the dtype's range; only values that are not finite lead
    to NaN or infinity.
    """
    model = check_alike(vectors if point is None else (*vectors, point))
    n, size = len(vectors), model.size
    # One sum a block, added in order at the end: the bits do not depend on which thread took which block.
    sums = np.zeros((max(-(-size // BLOCK), 1), n))

    def work(blocks: Iterable[slice]) -> None:
        room = np.empty(min(BLOCK, size), model.dtype)
        for part in blocks:
            difference = room[: part.stop - part.start]
            row = sums[part.start // BLOCK]
            for i, vector in enumerate(vectors):
                values = vector[part]
                if point is not None:
                    values = np.subtract(values, point[part], out=difference)
                row[i] = np.dot(values, values)

    with np.errstate(over="ignore", invalid="ignore"):
        over_blocks(work, size, BLOCK, n * size)
    distances: Matrix = np.sqrt(sums.sum(axis=0))
    for i in np.flatnonzero(~np.isfinite(distances)).tolist():
        distances[i] = _scaled_distance(vectors[i], point)
    return distances


def _scaled_distance(vector: Vector, point: Vector | None) -> float:
    """Return one distance in float64 and in units of the largest difference, so that no square overflows."""
    difference = vector.astype(np.float64)
    if point is not None:
        difference -= point
    largest = float(np.abs(difference).max())
    if not 0 < largest < np.inf:
        return largest
    difference /= largest
    return largest * float(np.sqrt(np.dot(difference, difference)))
