"""Activation functions, each in place, with derivatives written in terms of the activation's value.

Nothing is allocated: an activation is also given an array of zeros, a derivative a scratch array, of the same shape.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..weights import Array

InPlace = Callable[[Array, Array], None]
Derivative = Callable[[Array, Array, Array], None]


def identity(z: Array, zeros: Array) -> None:
    """``f(z) = z``."""


def identity_derivative(delta: Array, a: Array, scratch: Array) -> None:
    """``f' = 1``."""


def relu(z: Array, zeros: Array) -> None:
    """``f(z) = max(z, 0)``."""
    # Two arrays of one shape take NumPy's vectorized loop; array against scalar takes one three times slower.
    np.maximum(z, zeros, out=z)


def relu_derivative(delta: Array, a: Array, scratch: Array) -> None:
    """``f' = 1 where a > 0, else 0``: the sign of a, as a is never negative."""
    np.sign(a, out=scratch)
    np.multiply(delta, scratch, out=delta)


def tanh(z: Array, zeros: Array) -> None:  # noqa: ARG001
    """``f(z) = tanh z``."""
    np.tanh(z, out=z)


def tanh_derivative(delta: Array, a: Array, scratch: Array) -> None:
    """``f' = 1 - a²``."""
    np.multiply(a, a, out=scratch)
    np.subtract(1, scratch, out=scratch)
    np.multiply(delta, scratch, out=delta)


def logistic(z: Array, zeros: Array) -> None:  # noqa: ARG001
    """``f(z) = 1 / (1 + exp(-z)) = (1 + tanh(z/2)) / 2``: the second form cannot overflow."""
    np.multiply(z, 0.5, out=z)
    np.tanh(z, out=z)
    np.add(z, 1, out=z)
    np.multiply(z, 0.5, out=z)


def logistic_derivative(delta: Array, a: Array, scratch: Array) -> None:
    """``f' = a (1 - a)``."""
    np.subtract(1, a, out=scratch)
    np.multiply(delta, scratch, out=delta)
    np.multiply(delta, a, out=delta)


class Softmax:
    """``exp(z_k) / Σ_j exp(z_j)`` in each row, for arrays of one shape."""

    def __init__(self, rows: int, width: int, dtype: Any) -> None:
        self.row = np.empty((rows, 1), dtype)
        self.ones = np.ones((width, 1), dtype)

    def __call__(self, z: Array, zeros: Array) -> None:  # noqa: ARG002
        # The shift by the row's maximum cancels; it is there against overflow. If the squares sum to less than 80² then
        # no |z| exceeds 80, neither exp(z) nor its inverse can overflow, and two of the slower passes are saved.
        if not np.vdot(z, z) < 6400:
            np.maximum.reduce(z, axis=1, out=self.row, keepdims=True)
            np.subtract(z, self.row, out=z)
        np.exp(z, out=z)
        np.dot(z, self.ones, out=self.row)
        np.divide(z, self.row, out=z)


ACTIVATIONS: dict[str, tuple[InPlace, Derivative]] = {
    "relu": (relu, relu_derivative),
    "tanh": (tanh, tanh_derivative),
    "logistic": (logistic, logistic_derivative),
    "identity": (identity, identity_derivative),
}
