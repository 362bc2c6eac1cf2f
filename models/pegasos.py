"""The linear support vector machine, learned online by Pegasos, in NumPy alone."""

import math
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Literal

import numpy as np

from .checks import checked_inputs, checked_targets
from .model import Array, Capability, FitReport, LocalUnsupported, LocalWork
from .weights import Layout, Vector


def pegasos_step(w: Vector, X: Array, signs: Array, t: float, penalty: float) -> None:
    """Take the step of time t, in place (Shalev-Shwartz et al. 2011, Figures 1 and 2, without the projection).

    η = 1 / (λ t); w <- (1 - η λ) w + η/k Σ y x over the rows of the batch with y <w, x> < 1.

    Parameters
    ----------
    w : (d,) array
    X : (k, d) array
    signs : (k,) array
        -1 or 1 a row.
    t : float
        From 1; the first step forgets what w was.
    penalty : float
        λ.
    """
    # Judged by the weights before they shrink.
    wrong = signs * (X @ w) < 1
    w *= w.dtype.type(1 - 1 / t)
    if wrong.any():
        w += (signs[wrong] @ X[wrong]) * w.dtype.type(1 / (penalty * t * len(signs)))


class Pegasos:
    """Linear support vector machine for two classes: hinge loss, λ/2 ||w||², the step 1 / (λ t).

    Shalev-Shwartz, Singer, Srebro & Cotter 2011 ("Pegasos: primal estimated sub-gradient solver for SVM"). The time t
    is the number of steps in a model, counted from 1; it is carried, and models that walk bring it with them.

    Parameters
    ----------
    penalty : float
        λ, above 0. Small: a large margin on few rows, and large first steps.
    bias : bool
        Whether there is a constant input, whose weight is penalized like the others.
    dtype : {"float32", "float64"}

    Raises
    ------
    ValueError
        A parameter that is not allowed, naming it.
    """

    rule = "mean"
    classifies = True

    def __init__(
        self, penalty: float = 1e-4, *, bias: bool = False, dtype: Literal["float32", "float64"] = "float32"
    ) -> None:
        if isinstance(penalty, bool) or not isinstance(penalty, (int, float)) or not 0 < penalty < math.inf:
            raise ValueError(f"penalty must be a number above 0, found {penalty!r}")
        if not isinstance(bias, bool):
            raise ValueError(f"bias must be true or false, found {bias!r}")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, found {dtype!r}")
        self.penalty = float(penalty)
        self.bias = bias
        self._dtype: Literal["float32", "float64"] = dtype
        self._layout: Layout | None = None
        self._t = 0.0  # steps taken

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "Pegasos":
        """Make one from a configuration. Raises ValueError for an unknown or a wrong parameter, naming it."""
        allowed = list(signature(cls).parameters)
        for name in parameters:
            if name not in allowed:
                raise ValueError(f"pegasos has no parameter {name!r}; allowed are {', '.join(allowed)}")
        return cls(**parameters)

    def describe(self) -> dict[str, Any]:
        """Name and hyper-parameters, for `rebuild`."""
        return {"name": "pegasos", "parameters": {"penalty": self.penalty, "bias": self.bias, "dtype": self._dtype}}

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """Of the weights, and of the inputs that `fit` and `predict` want."""
        return self._dtype

    @property
    def layout(self) -> Layout:
        """One vector, the bias last."""
        if self._layout is None:
            raise RuntimeError("the model is not built yet: call build() first")
        return self._layout

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:  # noqa: ARG002
        """Start at zero, as the paper does. Raises ValueError unless there are two classes."""
        if n_features < 1:
            raise ValueError(f"n_features is {n_features}; at least 1 is needed")
        if n_classes != 2:
            found = "a regression" if n_classes is None else f"{n_classes} classes"
            raise ValueError(f"pegasos separates 2 classes, found {found}")
        self._layout = Layout(("weight",), ((n_features + self.bias,),), self._dtype)
        self._w = np.zeros(self._layout.size, self._dtype)
        self._t = 0.0
        return self._layout

    def snapshot(self) -> Vector:
        """Copy the weights into a new flat vector."""
        self.layout  # noqa: B018 - says that build() is missing
        return self._w.copy()

    def load(self, vector: Vector) -> None:
        """Copy a flat vector into the weights. Raises IncompatibleWeights."""
        self.layout.check(vector)
        self._w[:] = vector

    def carry(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        """The time: one more than the steps taken, as scikit-learn counts it."""
        return {"t": np.array([self._t + 1], np.float64)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `carry` gave."""
        self._t = float(state["t"][0]) - 1

    @property
    def allows(self) -> frozenset[Capability]:
        """Nothing beyond plain steps."""
        return frozenset()

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
    ) -> FitReport:
        """Train in place, batch after batch. See `Model.fit`."""
        if work.proximal or correction is not None:
            raise LocalUnsupported("pegasos", "its steps cannot be corrected")
        X, signs = self._inputs(X), self._signs(y, len(X))
        n, rows = len(X), min(work.batch_size, len(X))
        target = work.epochs * -(-n // rows) if work.local_steps is None else work.local_steps
        steps, losses, cancelled = 0, 0.0, False
        with np.errstate(all="ignore"):  # a diverging model shows in its weights, which every receiver checks
            while steps < target and not cancelled:
                order = rng.permutation(n)
                losses = 0.0
                for i in range(0, n, rows):
                    if steps == target or (cancelled := stop()):
                        break
                    batch = order[i : i + rows]
                    margins = signs[batch] * (X[batch] @ self._w)
                    losses += float(np.maximum(0, 1 - margins).sum()) / n
                    self._t += 1
                    pegasos_step(self._w, X[batch], signs[batch], self._t, self.penalty)
                    steps += 1
        return FitReport(losses if steps else math.nan, n, steps, cancelled)

    def predict(self, X: Array) -> Array:
        """Class indices (int64), one a row: the second class where the margin is above zero."""
        with np.errstate(all="ignore"):
            return (self._inputs(X) @ self._w > 0).astype(np.int64)

    def probabilities(self, X: Array) -> Array | None:  # noqa: ARG002
        """None: a margin is no probability."""
        return None

    def _inputs(self, X: Array) -> Array:
        X = checked_inputs(X, self.layout.size - self.bias, self._dtype)
        return np.hstack([X, np.ones((len(X), 1), self._dtype)]) if self.bias else X

    def _signs(self, y: Array, rows: int) -> Array:
        return (2 * checked_targets(y, rows, 2, self._dtype) - 1).astype(self._dtype)
