"""First and second moments as sums over rows, and the means, variances and covariances that follow from them."""

from __future__ import annotations

import numpy as np

from ..weights import Array

ROUNDING = 64 * np.finfo(np.float64).eps
"""A variance below this share of the mean square is what rounding leaves of a constant column."""


def triangle(width: int) -> int:
    """Return how many elements the upper triangle of a square matrix has."""
    return width * (width + 1) // 2


def upper(matrix: Array) -> Array:
    """Return the upper triangle of a symmetric matrix (width, width), row by row."""
    return matrix[np.triu_indices(len(matrix))]


def symmetric(triangle_: Array, width: int) -> Array:
    """Return the symmetric matrix whose upper triangle this is."""
    matrix = np.zeros((width, width))
    matrix[np.triu_indices(width)] = triangle_
    matrix += np.triu(matrix, 1).T
    return matrix


def second_moments(X: Array, weight: Array) -> tuple[Array, Array]:
    """Return Σ w x, shape (columns,), and Σ w x xᵀ, shape (columns, columns), for rows (rows, columns).

    The squares are of deviations from these rows' own mean, whose square is added: a constant column stays one.
    """
    n = weight.sum()
    mean = weight @ X / n
    rest = X - mean
    return n * mean, (rest * weight[:, None]).T @ rest + n * np.outer(mean, mean)


def class_moments(X: Array, y: Array, weight: Array, classes: int) -> tuple[Array, Array, Array]:
    """Return, for each class, Σ w, shape (classes,), and Σ w x and Σ w x², shape (classes, columns)."""
    counts, firsts, squares = np.zeros(classes), np.zeros((classes, X.shape[1])), np.zeros((classes, X.shape[1]))
    for label in np.unique(y):
        rows = y == label
        own, w = X[rows], weight[rows]
        n = w.sum()
        mean = w @ own / n
        counts[label], firsts[label] = n, n * mean
        squares[label] = w @ (own - mean) ** 2 + n * mean**2
    return counts, firsts, squares


def variance(n: Array | float, firsts: Array, squares: Array) -> Array:
    """Return variances, shape (…, columns), for counts (…, 1), Σ w x and Σ w x²; 0 where only rounding is left."""
    mean_square = squares / n
    found: Array = mean_square - (firsts / n) ** 2
    return np.where(found > ROUNDING * mean_square, found, 0.0)


def covariance(n: float, firsts: Array, seconds: Array) -> Array:
    """Return the covariance of all columns for Σ w, Σ w x and Σ w x xᵀ; constant columns have none, to the bit."""
    mean = firsts / n
    found: Array = seconds / n - np.outer(mean, mean)
    constant = np.diag(found) <= ROUNDING * np.diag(seconds) / n
    found[constant] = 0.0
    found[:, constant] = 0.0
    return found
