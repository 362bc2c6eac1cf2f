"""Sums over a site's rows of the loss of a linear model and its first two derivatives by the weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .likelihoods import Likelihood, Vector

Matrix = NDArray[np.float64]

LARGEST = 1e100
"""A row whose loss or derivatives are beyond this counts as one without a likelihood: sums have to stay finite."""


class Derivatives(NamedTuple):
    """Sums over rows, each times its weight; `theta` below has the shape (outputs, inputs)."""

    impossible: float  # how many rows have no finite loss; they are in no other sum
    loss: float
    pearson: float
    gradient: Vector  # (outputs x inputs,)
    curvature: Matrix  # (outputs x inputs, outputs x inputs)
    information: Matrix  # the same, and the same array where the two do not differ


def derivatives_of(likelihood: Likelihood, inputs: Matrix, y: Vector, weight: Vector, theta: Matrix) -> Derivatives:
    """Return the sums for one linear predictor a row, ``inputs @ theta[0]``."""
    found = likelihood.at(inputs @ theta[0], y)
    possible = np.max(np.abs(np.array(found)), axis=0) <= LARGEST  # False for NaN, too
    if not possible.all():
        found = type(found)(*(np.where(possible, each, 0.0) for each in found))
    curvature = _squares(inputs, weight * found.curvature)
    return Derivatives(
        float(np.count_nonzero(~possible)),
        float(weight @ found.loss),
        float(weight @ found.pearson),
        inputs.T @ (weight * found.gradient),
        curvature,
        curvature if likelihood.canonical else _squares(inputs, weight * found.information),
    )


def multinomial_derivatives(inputs: Matrix, y: NDArray[np.int64], weight: Vector, theta: Matrix) -> Derivatives:
    """Return the sums of the log loss of three or more classes, ``softmax(inputs @ theta.T)``, of class indices `y`."""
    from scipy.special import log_softmax

    classes, width = theta.shape
    rows = np.arange(len(y))
    logarithms = log_softmax(inputs @ theta.T, axis=1)
    shares = np.exp(logarithms)
    residuals = shares * weight[:, None]
    residuals[rows, y] -= weight
    hessian = np.zeros((classes, width, classes, width))
    for k in range(classes):
        others = shares.copy()
        others[:, k] = 0.0
        # p (1 - p) by the sum of the others, which has digits where p is near 1.
        hessian[k, :, k, :] = _squares(inputs, weight * shares[:, k] * others.sum(axis=1))
        for other in range(k):
            hessian[k, :, other, :] = _squares(inputs, -weight * shares[:, k] * shares[:, other])
            hessian[other, :, k, :] = hessian[k, :, other, :]
    square = hessian.reshape(classes * width, classes * width)
    loss = -float(weight @ logarithms[rows, y])
    return Derivatives(0.0, loss, 0.0, (residuals.T @ inputs).ravel(), square, square)


def _squares(inputs: Matrix, weight: Vector) -> Matrix:
    """Return Σ w x xᵀ."""
    found: Matrix = inputs.T @ (inputs * weight[:, None])
    return (found + found.T) / 2
