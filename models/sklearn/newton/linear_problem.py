"""What a linear model minimizes over all sites, and the sums over a site's rows that one Newton step takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..sums import symmetric, triangle, upper
from .derivatives import derivatives_of, multinomial_derivatives
from .likelihoods import Likelihood, Vector
from .solve import Matrix, positive_solution, solution

Arrays = dict[str, NDArray[np.float64]]

MOST_PARAMETERS = 1000
"""More have a Hessian that is not worth sending: 1,000 have 500,500 numbers, 4 MB a round."""

TRUSTED = 0.3
"""A curvature of less than this share of its expectation says little of the loss further on."""


class Pooled(NamedTuple):
    """The objective of all sites at one point: the mean loss of all rows with the penalty, and its derivatives."""

    value: float
    gradient: Vector
    curvature: Matrix
    information: Matrix
    weight: float  # of the rows of all sites
    possible: bool  # whether all rows have a loss there


@dataclass(frozen=True)
class LinearProblem:
    """Minimize Σ w_i loss_i / Σ w_i + l2/2 ||coef||²; the intercept has no penalty.

    Where there is an intercept the inputs are taken from about the mean of all rows, so that offsets far larger than
    the spread cost no digits.

    Parameters
    ----------
    likelihood
        The loss of a row; None: the log loss of `outputs` classes, which are three or more.
    n_features, outputs
        Columns, and linear predictors a row.
    intercept
        Whether there is one.
    alpha
        l2, or 0.
    inverse_c
        1 / C of scikit-learn's LogisticRegression, whose l2 is ``1 / (C Σ w_i)``, or 0.
    """

    likelihood: Likelihood | None
    n_features: int
    outputs: int = 1
    intercept: bool = True
    alpha: float = 0.0
    inverse_c: float = 0.0

    @property
    def width(self) -> int:
        return self.n_features + self.intercept

    @property
    def size(self) -> int:
        """How many weights there are."""
        return self.outputs * self.width

    @property
    def canonical(self) -> bool:
        return self.likelihood is None or self.likelihood.canonical

    @property
    def convex(self) -> bool:
        return self.likelihood is None or self.likelihood.convex

    @property
    def penalized(self) -> bool:
        return self.alpha > 0 or self.inverse_c > 0

    def check_size(self, name: str) -> None:
        """Raise ValueError where the Hessian would be too large to be sent in every round."""
        if self.size > MOST_PARAMETERS:
            classes = f" x {self.outputs} classes" if self.outputs > 1 else ""
            raise ValueError(
                f"{name} by Newton steps has a Hessian of all pairs of weights: {self.width} inputs{classes} are "
                f"{self.size} weights, at most {MOST_PARAMETERS} are allowed; use fewer columns, or a model whose "
                "weights are averaged: LogisticRegression(solver='lbfgs'), SGDClassifier or SGDRegressor"
            )

    def sum_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of what a site sums, by name, in the order in which it is sent."""
        half = (triangle(self.size),)
        shapes: dict[str, tuple[int, ...]] = {
            "impossible": (1,), "loss": (1,), "pearson": (1,), "gradient": (self.size,), "curvature": half,
        }  # fmt: skip
        return shapes if self.canonical else shapes | {"information": half}

    def statistics(self, X: NDArray[Any], y: NDArray[Any], weight: Vector, theta: Vector) -> Arrays:
        """Return the sums over some rows at the weights `theta`, shape (size,)."""
        inputs = np.column_stack([X, np.ones(len(y))]) if self.intercept else X
        square = theta.reshape(self.outputs, self.width)
        if self.likelihood is None:
            found = multinomial_derivatives(inputs, y, weight, square)
        else:
            self.likelihood.check_targets(y)
            found = derivatives_of(self.likelihood, inputs, y, weight, square)
        sums = {
            "impossible": np.array([found.impossible]),
            "loss": np.array([found.loss]),
            "pearson": np.array([found.pearson]),
            "gradient": found.gradient,
            "curvature": upper(found.curvature),
        }
        return sums if self.canonical else sums | {"information": upper(found.information)}

    def pooled(self, sums: Mapping[str, Any], theta: Vector) -> Pooled:
        """Return the objective at `theta`, from the sums of all rows there and their ``weight``."""
        weight = float(sums["weight"][0])
        penalty = self.penalty(weight)
        curvature = symmetric(sums["curvature"], self.size) / weight
        information = curvature if self.canonical else symmetric(sums["information"], self.size) / weight
        return Pooled(
            float(sums["loss"][0]) / weight + float(penalty @ theta**2) / 2,
            sums["gradient"] / weight + penalty * theta,
            curvature + np.diag(penalty),
            information + np.diag(penalty),
            weight,
            not sums["impossible"][0] > 0,
        )

    def penalty(self, weight: float) -> Vector:
        """Return the l2 of each weight, where the rows of all sites weigh so much."""
        l2 = self.alpha + self.inverse_c / weight
        penalties = np.full((self.outputs, self.width), l2)
        if self.intercept:
            penalties[:, -1] = 0
        return penalties.ravel()

    def direction(self, pooled: Pooled) -> Vector:
        """Return the Newton step; that of Fisher scoring where the loss is not convex and its curvature is far below
        what is expected of it.
        """
        curvature, information = pooled.curvature, pooled.information
        enough = self.convex or positive_solution(curvature - TRUSTED * information, pooled.gradient) is not None
        return solution(self.fixed(curvature if enough else information), -pooled.gradient)

    def covariance(self, pooled: Pooled, dispersion: float) -> Matrix:
        """Return the inverse of the information of all rows: the covariance of the weights."""
        square = self.fixed(pooled.information) * (pooled.weight / dispersion)
        return self.without_shift(solution(square, np.eye(self.size)))

    def fixed(self, square: Matrix) -> Matrix:
        """Return a Hessian with what it lacks of three or more classes: the same shift of a weight without a penalty in
        all classes changes no probability. The gradient has no part there, and so a step has none.
        """
        shift = self._shift()
        return square if shift is None else square + float(np.diag(square).mean() or 1.0) * shift

    def without_shift(self, covariance: Matrix) -> Matrix:
        """Return a covariance of weights that sum to 0 over the classes where `fixed` has them do so."""
        shift = self._shift()
        if shift is None:
            return covariance
        kept = np.eye(self.size) - shift
        found: Matrix = kept @ covariance @ kept
        return found

    def _shift(self) -> Matrix | None:
        """Return the projection on the shifts that the loss and the penalty do not see; None where there are none."""
        free = self.penalty(1.0)[: self.width] == 0
        if self.likelihood is not None or not free.any():
            return None
        found: Matrix = np.kron(np.full((self.outputs, self.outputs), 1 / self.outputs), np.diag(free.astype(float)))
        return found
