"""Standard errors, z and p-values of a linear model's coefficients, from the summed information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..statistics import whole
from .linear_problem import LinearProblem, Pooled

Table = NDArray[np.float64]

OF_PENALIZED = (
    "the coefficients are shrunk by a penalty: the standard errors are those of the Laplace approximation, the inverse "
    "of the penalized information, and the p-values test no hypothesis about the model without the penalty"
)


@dataclass(frozen=True, eq=False)
class Inference:
    """What the rows of all sites say of how certain the coefficients are.

    Standard errors are the roots of the diagonal of φ (Σ w_i x_i x_iᵀ I_i)⁻¹, with the expected information I_i of each
    row (Wald); z is the coefficient over it, and p the probability that a standard normal is further from 0. Weights
    count as numbers of equal rows. Of three or more classes the coefficients are those relative to the mean of all
    classes, as scikit-learn has them; a difference of two of them has the variance that `covariance` says.

    Attributes
    ----------
    coefficients, standard_errors, z, p_values : (outputs, features + 1) arrays
        The intercept last; without one, no such column.
    covariance : (outputs x (features + 1), the same) array
        Of the coefficients in the order of `coefficients`, row after row.
    dispersion : float
        φ: Pearson's χ² over the rows beyond the number of coefficients; 1 of binomial, multinomial and Poisson models.
    rows : float
        How many there are at all sites; with weights, their sum.
    note : str
        What else is to be known; empty without a penalty.
    """

    coefficients: Table
    standard_errors: Table
    z: Table
    p_values: Table
    covariance: Table
    dispersion: float
    rows: float
    note: str = ""


def inference(problem: LinearProblem, theta: Table, anchor: Table, pooled: Pooled, pearson: float) -> Inference:
    """Return it for the weights `theta` of inputs less `anchor`, from sums at or next to them.

    `pearson` is Σ w (y - μ)² / V(μ) over the rows of all sites.
    """
    from scipy.special import ndtr

    rows = float(whole(np.array(pooled.weight)))
    spare = rows - problem.size
    has_dispersion = problem.likelihood is not None and problem.likelihood.has_dispersion
    dispersion = 1.0 if not has_dispersion else pearson / spare if spare > 0 else np.nan
    covariance = problem.covariance(pooled, dispersion)
    if problem.intercept:
        # The intercept of inputs as they are is that of the others less anchor · coef.
        one = np.eye(problem.width)
        one[-1, :-1] = -anchor
        back = np.kron(np.eye(problem.outputs), one)
        theta, covariance = back @ theta, back @ covariance @ back.T
    shape = (problem.outputs, problem.width)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0)).reshape(shape)
    coefficients = theta.reshape(shape)
    with np.errstate(all="ignore"):
        z = np.where(errors > 0, coefficients / errors, np.nan)
    p_values = np.where(np.isnan(z), np.nan, 2 * ndtr(-np.abs(z)))
    note = OF_PENALIZED if problem.penalized else ""
    return Inference(coefficients, errors, z, p_values, covariance, float(dispersion), rows, note)
