"""Lloyd's k-means from sums over rows: pure functions of parameters and sums.

Centers are seeded by splitting: all rows are one cluster at first; in each round the centers move to the means of their
clusters, and the cluster with the largest sum of squares becomes two, to both sides of its mean along the column in
which it is widest (Linde, Buzo & Gray 1980, An algorithm for vector quantizer design, section III; Su & Dy 2007, In
search of deterministic methods for initializing k-means, section 3, their Var-Part). k-means++ would take rows for
centers, which no site shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]
Shapes = dict[str, tuple[int, ...]]

SEED, MOVE, DONE = 0.0, 1.0, 2.0
"""What happens next: a cluster is split; centers move; nothing."""

ROUNDING = 1e-24
"""Centers that move by no more, squared and in units of the mean variance, have the same rows as before."""

SIDE = float(np.sqrt(2 / np.pi))
"""How far the mean of one half of a normal distribution is from its middle, in standard deviations."""


def parameter_shapes(clusters: int, width: int) -> Shapes:
    """Return the shapes of what goes from round to round; all is zero at first, which means one cluster at zero."""
    return {"state": (1,), "steps": (1,), "splits": (1,), "centers": (clusters, width)}


def sum_shapes(clusters: int, width: int) -> Shapes:
    """Return the shapes of a site's sums."""
    of_columns = (clusters, width)
    return {"count": (clusters,), "moved": of_columns, "square": of_columns, "spread": (2, width)}


def state_of(parameters: Mapping[str, Array]) -> float:
    return float(np.rint(parameters["state"][0]))


def active(parameters: Mapping[str, Array]) -> int:
    """Return how many clusters there are yet."""
    if state_of(parameters) != SEED:
        return len(parameters["centers"])
    return 1 + int(np.rint(parameters["splits"][0]))


def nearest(X: Array, centers: Array) -> NDArray[np.intp]:
    """Return the place of the center that is nearest to each row, the first of those that are equally near."""
    # ||x||² is the same for all centers. An offset common to rows and centers would cost digits.
    middle = centers.mean(axis=0)
    centered = centers - middle
    distances = np.einsum("ij,ij->i", centered, centered) - 2 * ((X - middle) @ centered.T)
    found: NDArray[np.intp] = np.argmin(distances, axis=1)
    return found


def sums(X: Array, weight: Array, parameters: Mapping[str, Array]) -> Arrays:
    """Return, for each cluster, Σ w, Σ w (x - center) and Σ w (x - center)² by column, and Σ x and Σ x² of all rows."""
    centers = np.asarray(parameters["centers"])
    labels = nearest(X, centers[: active(parameters)])
    found = {name: np.zeros(shape) for name, shape in sum_shapes(*centers.shape).items()}
    for label in np.unique(labels):
        rows = labels == label
        rest, of_rows = X[rows] - centers[label], weight[rows]
        found["count"][label] = of_rows.sum()
        found["moved"][label] = of_rows @ rest
        found["square"][label] = of_rows @ rest**2
    found["spread"][:] = X.sum(axis=0), np.einsum("ij,ij->j", X, X)
    return found


def moved(parameters: Mapping[str, Array], sums: Mapping[str, Array]) -> Array:
    """Return the means of the clusters; an empty one has its center still."""
    centers: Array = np.array(parameters["centers"], np.float64)
    there = np.asarray(sums["count"]) > 0
    centers[there] += sums["moved"][there] / sums["count"][there, None]
    return centers


def squares(sums: Mapping[str, Array]) -> Array:
    """Return Σ w (x - mean)² by cluster and column."""
    there = np.where(sums["count"] > 0, sums["count"], 1.0)[:, None]
    found: Array = np.maximum(sums["square"] - sums["moved"] ** 2 / there, 0.0)
    return found


def inertia(sums: Mapping[str, Array]) -> float:
    """Return Σ w (x - center)², which rows have from the nearest centers."""
    return float(sums["square"].sum())


def step(parameters: Mapping[str, Array], sums: Mapping[str, Array], tol: float, max_iter: int) -> Arrays:
    """Return the next parameters from the sums of all rows, with their number ``rows``.

    Centers stop as scikit-learn's do: where they have moved, squared and added up, by no more than `tol` times the mean
    variance of the columns, or after `max_iter` moves. An empty cluster keeps its center, while scikit-learn gives it
    the row that is furthest from its own, which no site shows.
    """
    now = {name: np.array(value, np.float64) for name, value in parameters.items()}
    state = state_of(now)
    if state == DONE:
        return now
    centers = moved(now, sums)
    if state == SEED:
        return _split(now, centers, sums)
    shift = float(((centers - now["centers"]) ** 2).sum())
    now["steps"] += 1
    if shift <= tolerance(sums, tol) or now["steps"][0] > max_iter - 0.5:
        now["state"][:] = DONE
    now["centers"] = centers
    return now


def tolerance(sums: Mapping[str, Array], tol: float) -> float:
    """Return `tol` times the mean variance of the columns; or what rounding moves, where it is less."""
    first, second = np.asarray(sums["spread"]) / float(sums["rows"][0])
    return max(tol, ROUNDING) * float(np.maximum(second - first**2, 0.0).mean())


def _split(now: Arrays, centers: Array, sums: Mapping[str, Array]) -> Arrays:
    clusters, known = len(centers), active(now)
    if known < clusters:
        spread = squares(sums)[:known]
        widest = int(np.argmax(spread.sum(axis=1)))
        column = int(np.argmax(spread[widest]))
        deviation = np.sqrt(spread[widest, column] / max(float(sums["count"][widest]), np.finfo(float).tiny))
        side = np.zeros(centers.shape[1])
        side[column] = SIDE * deviation
        centers[known] = centers[widest] + side
        centers[widest] -= side
        now["splits"] += 1
        known += 1
    if known == clusters:
        now["state"][:] = MOVE
    now["centers"] = centers
    return now
