"""The linear support vector machine, learned online by Pegasos, in NumPy alone."""

from collections.abc import Mapping

import numpy as np

from .base import FlatModel
from .checks import checked_choice, checked_number
from .model import Dtype
from .weights import Array, Vector


def pegasos_step(w: Vector, X: Array, signs: Array, t: float, penalty: float) -> None:
    """Take the step of time t, in place (Shalev-Shwartz et al. 2011, Figures 1 and 2, without the projection).

    η = 1 / (λ t); w <- (1 - η λ) w + η/k Σ y x over the rows of the batch with y <w, x> < 1.
    The shapes: w (d,), X (k, d), y = `signs`, -1 or 1, (k,); λ is the penalty. t counts from 1: the first step forgets
    what w was.
    """
    # Judged by the weights before they shrink.
    wrong = signs * (X @ w) < 1
    w *= w.dtype.type(1 - 1 / t)
    if wrong.any():
        w += (signs[wrong] @ X[wrong]) * w.dtype.type(1 / (penalty * t * len(signs)))


class Pegasos(FlatModel):
    """Linear support vector machine for two classes: hinge loss, λ/2 ||w||², the step 1 / (λ t).

    Shalev-Shwartz, Singer, Srebro & Cotter 2011 ("Pegasos: primal estimated sub-gradient solver for SVM"). The time t
    counts the steps of a model from 1; it is carried, and models that walk bring it with them.

    Parameters
    ----------
    penalty : float
        λ, above 0. Small: a large margin on few rows, and large first steps.
    bias : bool
        Whether there is a constant input, whose weight is penalized like the others.
    dtype : {"float32", "float64"}

    Raises ValueError: a parameter that is not allowed, naming it.
    """

    name = "pegasos"
    classifies = True

    def __init__(self, penalty: float = 1e-4, *, bias: bool = False, dtype: Dtype = "float32") -> None:
        if not isinstance(bias, bool):
            raise ValueError(f"bias is {bias!r}; true and false are allowed")
        self.penalty = checked_number("penalty", penalty, lambda v: v > 0, "above 0")
        self.bias = bias
        checked_choice("dtype", dtype, ("float32", "float64"))
        self.dtype = dtype

    def shapes(self, n_features: int, n_classes: int | None) -> dict[str, tuple[int, ...]]:
        """Return the shape of one vector, the bias last. Raises ValueError unless there are two classes."""
        if n_classes != 2:
            raise ValueError(f"pegasos separates 2 classes, found {n_classes} classes")
        return {"weight": (n_features + self.bias,)}

    def initialize(self, rng: np.random.Generator) -> None:  # noqa: ARG002
        """Leave the weights at zero, as the paper does, and set the time to that of the first step."""
        self._t = 1.0

    def step(self, X: Array, y: Array) -> float:
        """Take one step of Pegasos; return the summed hinge loss before it."""
        X, signs = self._with_bias(X), (2 * y - 1).astype(self.dtype)
        loss = float(np.maximum(0, 1 - signs * (X @ self.weights)).sum())
        pegasos_step(self.weights, X, signs, self._t, self.penalty)
        self._t += 1
        return loss

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        """Return the time."""
        return {"t": np.array([self._t], np.float64)}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `get_state` returned."""
        if "t" in state:
            self._t = float(state["t"][0])

    def predict(self, X: Array) -> Array:
        """Return class indices (int64), one a row: the second class where the margin is above zero."""
        with np.errstate(all="ignore"):
            return (self._with_bias(self.checked(X)) @ self.weights > 0).astype(np.int64)

    def _with_bias(self, X: Array) -> Array:
        return np.hstack([X, np.ones((len(X), 1), self.dtype)]) if self.bias else X
