"""LinearRegression from the sums of the normal equations."""

from __future__ import annotations

import numpy as np

from ...weights import Array
from ..statistics import Arrays, Block, Shapes, StatisticsAdapter
from ..sums import covariance, second_moments, symmetric, triangle, upper

SINGULAR = 1e-13
"""An eigenvalue below this share of the largest, of columns of unit variance, is of a direction that has no rows."""


class LeastSquaresAdapter(StatisticsAdapter):
    """What least squares need: Σ w z and Σ w z zᵀ for z, the columns and behind them the target."""

    classifies = False

    def __init__(self, given: object, path: str) -> None:
        super().__init__(given, path)
        self.centered = bool(self.given.fit_intercept)  # else the sums are about zero

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        return {"sum": (n_features + 1,), "product": (triangle(n_features + 1),)}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        first, second = second_moments(np.column_stack([block.X, block.y]), block.weight)
        return {"sum": first, "product": upper(second)}

    def set_line(self, coef: Array, sums: Arrays) -> None:
        """Set coefficients, and the intercept that belongs to them."""
        mean = sums["sum"] / sums["weight"]
        self.working.coef_ = coef
        self.working.intercept_ = 0.0
        if self.given.fit_intercept:
            self.working.intercept_ = float(self.target_center + mean[-1] - (self.center + mean[:-1]) @ coef)


class LinearRegressionAdapter(LeastSquaresAdapter):
    """Of more columns than rows, or collinear ones, the shortest coefficients, as scikit-learn has them."""

    idle = dict.fromkeys(("copy_X", "n_jobs", "tol"), "the sums are solved directly")

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        given, working = self.given, self.working
        A, c = normal_equations(sums, self.n_features, intercept=given.fit_intercept)
        if given.positive:
            self.set_line(nonnegative(A, c), sums)
            return
        coef, rank = shortest(A, c)
        self.set_line(coef, sums)
        values = np.linalg.eigvalsh(A * sums["weight"])[::-1]
        working.rank_ = rank
        working.singular_ = np.sqrt(np.maximum(values, 0.0))[: min(self.n_features, round(float(sums["rows"][0])))]


def normal_equations(sums: Arrays, width: int, *, intercept: bool) -> tuple[Array, Array]:
    """Return A (columns, columns) and c (columns,) of A w = c, both as means over rows; centered for an intercept."""
    n, second = float(sums["weight"][0]), symmetric(sums["product"], width + 1)
    moments = covariance(n, sums["sum"], second) if intercept else second / n
    return moments[:-1, :-1], moments[:-1, -1]


def shortest(A: Array, c: Array) -> tuple[Array, int]:
    """Return the shortest w with A w = c, A symmetric and never negative, and the rank of A.

    The rank is that of columns of one scale; what is found there is then rid of the part that A does not see.
    """
    scale = np.sqrt(np.diag(A))
    scale = np.where(scale > 0, scale, 1.0)
    values, axes = np.linalg.eigh(A / np.outer(scale, scale))
    seen = values > SINGULAR * max(1, len(values)) * values[-1]
    found: Array = axes[:, seen] @ ((axes[:, seen].T @ (c / scale)) / values[seen]) / scale
    unseen = axes[:, ~seen] / scale[:, None]
    if unseen.size:
        basis, _ = np.linalg.qr(unseen)
        found = found - basis @ (basis.T @ found)
    return found, int(seen.sum())


def nonnegative(A: Array, c: Array) -> Array:
    """Return the w of at least 0 with the least wᵀA w - 2 cᵀw."""
    from scipy.optimize import nnls

    values, axes = np.linalg.eigh(A)
    seen = values > SINGULAR * max(1, len(values)) * values[-1]
    root = np.sqrt(values[seen])
    found: Array = nnls((axes[:, seen] * root).T, axes[:, seen].T @ c / root)[0]
    return found
