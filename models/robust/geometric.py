"""Rules that look for a center of whole vectors: geometric median, centered clipping, and the bound on a norm."""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from ..aggregate import check_alike, combine, shares_of, weighted_mean
from ..weights import Vector
from .coordinate_wise import coordinate_median
from .distances import Matrix, distances_to


def geometric_median(
    vectors: Sequence[Vector],
    weights: Sequence[float] | None = None,
    *,
    iterations: int = 50,
    tolerance: float = 1e-6,
    smoothing: float = 1e-6,
) -> Vector:
    """Return the point whose weighted sum of distances to the vectors is smallest.

    The smoothed Weiszfeld algorithm: Pillutla et al. 2022 (arXiv 1912.13445), Algorithm 2:
    ``z <- sum_i β_i x_i / sum_i β_i`` with ``β_i = α_i / max(ν, ||z - x_i||)``. Byzantine vectors have to hold less
    than half of the weight: n >= 2f + 1 with equal weights.

    It starts near the coordinate-wise median, where the paper starts from the mean: who is far enough away would move
    that by more than any number of iterations takes back, each of which shortens the way by no more than f / (n - f).
    For the same reason the unit of `tolerance` is a distance that the Byzantine do not choose.

    Parameters
    ----------
    weights : sequence of float, optional
        α, one a vector, none negative, not all zero; equal if left out. What a client claims of itself, such as a
        number of examples, must not decide here.
    iterations : int
        At most so many; the paper communicates 3.
    tolerance : float
        Stop when the smoothed objective falls by less than this share of what it would be if all vectors were as near
        as the nearer half of them is.
    smoothing : float
        ν, the distance below which a vector pulls no harder, in the unit of the vectors.
    """
    check_alike(vectors)
    if iterations < 1 or not tolerance >= 0 or not smoothing > 0:
        raise ValueError(
            f"iterations must be at least 1, tolerance not negative and smoothing positive, not {iterations},"
            f" {tolerance} and {smoothing}"
        )
    alpha = [1.0] * len(vectors) if weights is None else [float(weight) for weight in weights]
    share = np.array(shares_of(alpha))
    median = _among_most(vectors, None if weights is None else share)
    before = np.inf
    for _ in range(iterations):
        distances = distances_to(vectors, median)
        smoothed = _smoothed(distances, smoothing)
        objective = float(np.dot(share, smoothed))
        if not before - objective > tolerance * _of_nearer_half(smoothed, share):
            break
        before = objective
        weighted_mean(vectors, (share / np.maximum(distances, smoothing)).tolist(), out=median)
    return median


def _among_most(vectors: Sequence[Vector], share: Matrix | None) -> Vector:
    """Return a point that no minority by weight moves far: the median of each coordinate, and from there the mean of
    the differences to it, of which none counts for more than how far the nearer half of the vectors is.
    """
    center = coordinate_median(vectors, share)
    equal = np.full(len(vectors), 1 / len(vectors)) if share is None else share
    distances = distances_to(vectors, center)
    reach = _of_nearer_half(distances, equal)
    if not reach > 0:
        return center
    factors = equal * (reach / np.maximum(distances, reach))
    return combine([center, *vectors], [1 - float(factors.sum()), *factors.tolist()])


def _of_nearer_half(values: Matrix, share: Matrix) -> float:
    """Return the smallest of some values up to which more than half of the weight lies."""
    order = np.argsort(values)
    place = int(np.searchsorted(np.cumsum(share[order]), 0.5, side="right"))
    return float(values[order[min(place, len(order) - 1)]])


def centered_clipping(vectors: Sequence[Vector], start: Vector, tau: float, iterations: int = 1) -> Vector:
    """Return a start moved by the mean of the differences to it, each no longer than tau.

    ``v <- v + mean_i (x_i - v) min(1, τ / ||x_i - v||)``: Karimireddy et al. 2021 (arXiv 2012.10333).
    The start should be near the honest vectors: the paper takes the last round's result. Less than half may be
    Byzantine, n >= 2f + 1, and each moves the result by at most τ / n an iteration; the paper's bounds are for small
    shares.

    Parameters
    ----------
    start : (d,) array
        Of their dtype.
    tau : float
        The longest difference that counts in full, in the unit of the vectors.
    iterations : int
        One is enough for a start nearby.
    """
    check_alike((*vectors, start) if vectors else vectors)
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    n, center = len(vectors), start
    for _ in range(iterations):
        factors = clip_factors(vectors, tau, center)
        center = combine([center, *vectors], [1 - float(factors.sum()) / n, *(factors / n).tolist()])
    return center


def clip_by_norm(vectors: Sequence[Vector], bound: float, start: Vector | None = None) -> list[Vector]:
    """Return vectors whose differences to a start are shortened to a bound: ``s + (x - s) min(1, bound / ||x - s||)``.

    Sun et al. 2019 (arXiv 1911.07963), norm thresholding. It limits what one vector can do, whatever n and
    f: it does not refuse any, and by itself it stops no attack.

    Parameters
    ----------
    bound : float
        The largest norm of a difference that is left alone, in the unit of the vectors.
    start : (d,) array, optional
        Where the differences begin; the origin if left out.

    Returns one array a vector. Those within the bound are the very arrays that were given.
    """
    factors = clip_factors(vectors, bound, start).tolist()
    return [_shortened(vector, factor, start) for vector, factor in zip(vectors, factors, strict=True)]


def clip_factors(vectors: Sequence[Vector], bound: float, start: Vector | None = None) -> Matrix:
    """Return what `clip_by_norm` multiplies each difference by, 0 to 1, shape (n,), for use in coefficients."""
    if not (isfinite(bound) and bound > 0):
        raise ValueError(f"a bound on the norm must be positive and finite, not {bound}")
    distances = distances_to(vectors, start)
    factors: Matrix = bound / np.maximum(distances, bound)
    return factors


def _shortened(vector: Vector, factor: float, start: Vector | None) -> Vector:
    if factor == 1:
        return vector
    return combine([vector], [factor]) if start is None else combine([start, vector], [1 - factor, factor])


def _smoothed(distances: Matrix, smoothing: float) -> Matrix:
    """Return the distance, and near zero the parabola that joins it: Pillutla et al. 2022, the smoothed norm."""
    smoothed: Matrix = np.where(distances > smoothing, distances, distances**2 / (2 * smoothing) + smoothing / 2)
    return smoothed
