"""The solution of ``H x = b`` for the Hessian of a loss, which may be singular."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

EPSILON = float(np.finfo(np.float64).eps)


def positive_solution(square: Matrix, right: Matrix) -> Matrix | None:
    """Return x of ``square @ x = right`` by a Cholesky factorization; None unless `square` is positive definite.

    The diagonal is scaled to 1 before, so that the units of the inputs do not matter.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    scale = np.diag(square)
    if not (scale > 0).all() or not np.isfinite(square).all():
        return None
    root = np.sqrt(scale)
    try:
        factor = cho_factor(square / np.outer(root, root), lower=True)
    except LinAlgError:
        return None
    if np.min(np.diag(factor[0])) ** 2 <= len(square) * EPSILON:  # singular but for rounding
        return None
    by_row = root if right.ndim == 1 else root[:, None]
    found: Matrix = cho_solve(factor, right / by_row) / by_row
    return found


def shortest_solution(square: Matrix, right: Matrix) -> Matrix:
    """Return the least x, in units of the scaled diagonal, for which ``square @ x - right`` is least.

    Directions in which a positive semidefinite `square` is zero but for rounding, such as that of two equal columns,
    have no part in it.
    """
    root = np.sqrt(np.where(np.diag(square) > 0, np.diag(square), 1.0))
    values, vectors = np.linalg.eigh(square / np.outer(root, root))
    kept = values > len(square) * EPSILON * max(float(values[-1]), 0.0)
    by_row = root if right.ndim == 1 else root[:, None]
    along = vectors[:, kept].T @ (right / by_row)
    found: Matrix = vectors[:, kept] @ (along / (values[kept] if right.ndim == 1 else values[kept][:, None])) / by_row
    return found


def solution(square: Matrix, right: Matrix) -> Matrix:
    """Return x of ``square @ x = right``, the shortest where there are many."""
    found = positive_solution(square, right)
    return shortest_solution(square, right) if found is None else found
