"""A logistic regression fitted near the weights that it starts from, on rows that need not have every class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..weights import Array

Weights = NDArray[np.float64]


def proximal_step(
    start: Weights,
    X: Array,
    y: Array,
    *,
    pull: float,
    l2: float,
    intercept: bool,
    iterations: int,
    tol: float,
    weight: Array | None = None,
) -> tuple[Weights, int]:
    """Minimize ``mean log loss + l2/2 ||coef||² + pull/2 ||w - start||²`` by L-BFGS.

    This is the local objective of FedProx (Li et al. 2020, arXiv 1812.06127, equation 2), whose μ is `pull`, with
    scikit-learn's penalty. The last term holds the intercepts too. It makes the minimum one, no further from `start`
    than the gradient there divided by `pull`, whatever the rows and however many iterations are allowed: without it,
    rows of one class have no best intercept.

    Parameters
    ----------
    start : (classes, features + 1) array, or (1, features + 1) for two classes
        Coefficients, and the intercept last.
    X : (rows, features) array
    y : (rows,) array
        Class indices; a class that is missing is one that no row belongs to.
    pull : float
        Above 0.
    l2 : float
        The penalty of a mean loss: ``1 / (C · rows)`` of scikit-learn's C.
    intercept : bool
        Whether there are intercepts; else the last column stays as it is.
    iterations : int
        The most that are done, at least 1.
    tol : float
        They end earlier where no element of the gradient is larger.
    weight : (rows,) array, or None
        How much each row counts in the mean.

    Returns
    -------
    The weights, in the shape of `start`, and how many iterations were done.
    """
    from scipy.optimize import minimize

    inputs = np.column_stack([X, np.full(len(X), float(intercept))])
    penalty = np.full(start.shape, l2)
    penalty[:, -1] = 0

    def objective(w: NDArray[np.float64]) -> tuple[float, Any]:
        weights = w.reshape(start.shape)
        moved = weights - start
        loss, gradient = _log_loss(weights, inputs, y, weight)
        value = loss + float(np.sum(penalty * weights**2 + pull * moved**2)) / 2
        return value, (gradient + penalty * weights + pull * moved).ravel()

    found = minimize(
        objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": iterations, "gtol": tol}
    )
    return found.x.reshape(start.shape), int(found.nit)


def _log_loss(weights: Weights, inputs: Array, y: Array, of_rows: Array | None) -> tuple[float, Weights]:
    """Return the mean log loss and its gradient: of two classes by one row of weights, of more by one each."""
    from scipy.special import expit, log_softmax

    logits, rows = inputs @ weights.T, np.arange(len(y))
    if len(weights) == 1:
        margins = logits[:, 0]
        losses, residuals = np.logaddexp(0, margins) - margins * y, (expit(margins) - y)[:, None]
    else:
        logarithms = log_softmax(logits, axis=1)
        losses, residuals = -logarithms[rows, y], np.exp(logarithms)
        residuals[rows, y] -= 1
    if of_rows is None:
        return float(losses.mean()), residuals.T @ inputs / len(y)
    shares = of_rows / of_rows.sum()
    return float(shares @ losses), (residuals * shares[:, None]).T @ inputs
