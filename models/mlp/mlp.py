"""The multi-layer perceptron of this house, in NumPy alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from ..checks import checked_inputs, checked_targets
from ..local.drift_correction import corrected
from ..local.fednova import normalizer
from ..model import Array, Capability, FitReport, LocalWork
from ..weights import Layout, Vector
from .activations import ACTIVATIONS
from .network import Layer, Pass, mean_loss
from .optimizers import NAMES, Optimizer, make_optimizer

PREDICT_ROWS = 1024
"""Rows predicted at a time, which bounds the memory of a prediction."""


class MLP:
    """Multi-layer perceptron for classification and regression.

    Given the same initial weights, batches and settings it ends at the weights of scikit-learn's MLPClassifier and
    MLPRegressor, to rounding. The mathematics is in `network`, the update rules in `optimizers`.

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer; empty for a linear model.
    activation : {"relu", "tanh", "logistic", "identity"}
        Of the hidden layers. The output is softmax, one logistic unit for two classes, or the identity for regression.
    optimizer : {"nesterov", "momentum", "sgd", "adam"}
    learning_rate : float
    momentum : float
        For momentum and nesterov.
    l2 : float or None
        Coefficient λ of the penalty λ/2n Σ W² on weights (not biases), n the rows of the batch. None: 1e-4 for
        classification, 1.0 for regression.
    dtype : {"float32", "float64"}

    Raises
    ------
    ValueError, TypeError
        A parameter that is not allowed, naming it.

    Examples
    --------
    >>> from nervenet.models import MLP, Work, generator
    >>> model = MLP(hidden=(8,))
    >>> model.build(n_features=4, n_classes=3, rng=generator(0, "init")).size
    67
    """

    rule = "mean"

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        activation: str = "relu",
        *,
        optimizer: str = "nesterov",
        learning_rate: float = 0.05,
        momentum: float = 0.9,
        l2: float | None = None,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.hidden = _hidden_sizes(hidden)
        self.activation = _choice("activation", activation, tuple(ACTIVATIONS))
        self.optimizer = _choice("optimizer", optimizer, NAMES)
        self.learning_rate = _number("learning_rate", learning_rate, lambda v: v > 0, "above 0")
        self.momentum = _number("momentum", momentum, lambda v: 0 <= v <= 1, "from 0 to 1")
        self.l2 = None if l2 is None else _number("l2", l2, lambda v: v >= 0, "0 or more")
        self._dtype: Literal["float32", "float64"] = "float32" if dtype == "float32" else "float64"
        _choice("dtype", dtype, ("float32", "float64"))
        self._layout: Layout | None = None
        self._n_classes: int | None = None
        self._output = "identity"

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "MLP":
        """Make one from a configuration. Raises ValueError for an unknown or a wrong parameter, naming it."""
        allowed = list(signature(cls).parameters)
        for name in parameters:
            if name not in allowed:
                raise ValueError(f"mlp has no parameter {name!r}; allowed are {', '.join(allowed)}")
        try:
            return cls(**parameters)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def describe(self) -> dict[str, Any]:
        """Name and hyper-parameters, for `rebuild`."""
        parameters = {name: getattr(self, name) for name in signature(type(self)).parameters}
        return {"name": "mlp", "parameters": {**parameters, "hidden": list(self.hidden)}}

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """Of the weights, and of the inputs that `fit` and `predict` want."""
        return self._dtype

    @property
    def layout(self) -> Layout:
        """All weights, then all biases, first layer first."""
        if self._layout is None:
            raise RuntimeError("the model is not built yet: call build() first")
        return self._layout

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        """Make the layers and draw their initial weights.

        Glorot's uniform bound ``√(6 / (fan-in + fan-out))``, with 2 for 6 where the activation is logistic, for weights
        and biases, as scikit-learn draws them (Glorot & Bengio 2010, equation 16).
        """
        if n_features < 1:
            raise ValueError(f"n_features is {n_features}; at least 1 is needed")
        if n_classes is not None and n_classes < 2:
            raise ValueError(f"n_classes is {n_classes}; a classifier needs at least 2")
        self._n_classes = n_classes
        self._output = "identity" if n_classes is None else "logistic" if n_classes == 2 else "softmax"
        sizes = [n_features, *self.hidden, n_classes if n_classes and n_classes > 2 else 1]
        depth = len(sizes) - 1
        # Weights first, so that the L2 term is one operation on the front of the vector.
        names = [f"weight.{i}" for i in range(depth)] + [f"bias.{i}" for i in range(depth)]
        self._layout = Layout(tuple(names), (*pairwise(sizes), *((size,) for size in sizes[1:])), self._dtype)
        self._n_weights = sum(a * b for a, b in pairwise(sizes))
        self._parameters = np.empty(self._layout.size, self._dtype)
        self._gradient = np.zeros(self._layout.size, self._dtype)
        p, g = self._layout.views(self._parameters), self._layout.views(self._gradient)
        self._layers = [Layer(p[f"weight.{i}"], p[f"bias.{i}"], g[f"weight.{i}"], g[f"bias.{i}"]) for i in range(depth)]
        for layer in self._layers:
            bound = math.sqrt((2 if self.activation == "logistic" else 6) / sum(layer.W.shape))
            layer.W[:] = rng.uniform(-bound, bound, layer.W.shape)
            layer.b[:] = rng.uniform(-bound, bound, layer.b.shape)
        self._update: Optimizer = make_optimizer(
            self.optimizer, self._parameters, self._gradient, self._n_weights, self.learning_rate, self.momentum
        )
        self._passes: dict[int, Pass] = {}
        return self._layout

    def snapshot(self) -> Vector:
        """Copy the weights into a new flat vector."""
        self.layout  # noqa: B018 - says that build() is missing
        return self._parameters.copy()

    def load(self, vector: Vector) -> None:
        """Copy a flat vector into the weights. Raises IncompatibleWeights."""
        self.layout.check(vector)
        self._parameters[:] = vector

    def carry(self, *, moments: bool = True) -> dict[str, Array]:
        """Copy the optimizer's moments; there is nothing else."""
        self.layout  # noqa: B018 - says that build() is missing
        return self._update.carry() if moments else {}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `carry` gave. Raises ValueError if it does not fit."""
        self.layout  # noqa: B018 - says that build() is missing
        self._update.restore(state)

    @property
    def allows(self) -> frozenset[Capability]:
        """All, but that Adam's steps have no normalizer."""
        return frozenset({"proximal", "correction"} if self.optimizer == "adam" else get_args(Capability))

    def fit(
        self,
        X: Array,
        y: Array,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None = None,
    ) -> FitReport:
        """Train in place: forward, backward, update, batch after batch. See `Model.fit`."""
        X = self._checked_inputs(X)
        Y = self._targets(y, len(X))
        if correction is not None:
            self.layout.check(correction)
        if not work.carry_optimizer:
            self._update.reset()
        n, rows = len(X), min(work.batch_size, len(X))
        target = work.epochs * -(-n // rows) if work.local_steps is None else work.local_steps

        # One epoch's rows in their order, and the outputs they got: batches are views of these, made once.
        shuffled_X, shuffled_Y, outputs = np.empty_like(X), np.empty_like(Y), np.empty_like(Y)
        tools = {size: self._tools(size) for size in {rows, n % rows or rows}}
        batches = [
            (shuffled_X[i : i + rows], shuffled_Y[i : i + rows], outputs[i : i + rows], *tools[min(rows, n - i)])
            for i in range(0, n, rows)
        ]
        update = corrected(self._update, self._parameters, self._gradient, work.proximal, correction)
        steps, seen, cancelled = 0, 0, False
        with np.errstate(all="ignore"):  # a diverging model shows in its weights, which every receiver checks
            while steps < target and not (cancelled := cancelled or stop()):
                order, seen = rng.permutation(n), 0
                np.take(X, order, axis=0, out=shuffled_X, mode="clip")
                np.take(Y, order, axis=0, out=shuffled_Y, mode="clip")
                for x, t, out, batch, scale, decay in batches[: target - steps]:
                    if seen and stop():
                        cancelled = True
                        break
                    batch.forward(x, out)
                    batch.backward(x, t, out, scale)
                    update(decay)
                    steps += 1
                    seen += len(x)
            loss = mean_loss(outputs[:seen], shuffled_Y[:seen], self._output) if seen else math.nan
        reach = normalizer(self.optimizer, steps, self.momentum, self.learning_rate, work.proximal)
        return FitReport(loss, n, steps, cancelled, reach, self.learning_rate)

    def predict(self, X: Array) -> Array:
        """Class indices (int64), or targets for regression, one a row."""
        outputs = self._outputs(X)
        match self._output:
            case "softmax":
                return np.asarray(outputs.argmax(axis=1), dtype=np.int64)
            case "logistic":
                return (outputs[:, 0] > 0.5).astype(np.int64)
        return outputs[:, 0]

    def probabilities(self, X: Array) -> Array | None:
        """(n, C) class probabilities; None for regression."""
        if self._n_classes is None:
            return None
        outputs = self._outputs(X)
        return outputs if self._output == "softmax" else np.concatenate([1 - outputs, outputs], axis=1)

    def _outputs(self, X: Array) -> Array:
        X = self._checked_inputs(X)
        outputs = np.empty((len(X), self._layers[-1].b.size), self._dtype)
        with np.errstate(all="ignore"):
            for i in range(0, len(X), PREDICT_ROWS):
                part = X[i : i + PREDICT_ROWS]
                Pass(self._layers, len(part), self.activation, self._output).forward(part, outputs[i : i + len(part)])
        return outputs

    def _tools(self, rows: int) -> tuple[Pass, Array, Array]:
        """The buffers for a batch size, with the factors of its gradient and of its L2 term."""
        if rows not in self._passes:
            if len(self._passes) > 8:
                self._passes.clear()
            self._passes[rows] = Pass(self._layers, rows, self.activation, self._output)
        l2 = (1.0 if self._n_classes is None else 1e-4) if self.l2 is None else self.l2
        scale = self._update.gain / rows
        return self._passes[rows], np.array(scale, self._dtype), np.array(scale * l2, self._dtype)

    def _checked_inputs(self, X: Array) -> Array:
        return checked_inputs(X, self.layout.shapes[0][0], self._dtype)

    def _targets(self, y: Array, rows: int) -> Array:
        """(rows, outputs) targets: one-hot for more than two classes."""
        y = checked_targets(y, rows, self._n_classes, self._dtype)
        if self._output == "softmax":
            return np.eye(self._layers[-1].b.size, dtype=self._dtype)[y]
        return y.astype(self._dtype).reshape(-1, 1)


def _hidden_sizes(hidden: Sequence[int]) -> tuple[int, ...]:
    sizes = (hidden,) if isinstance(hidden, int) else tuple(hidden)
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise ValueError(f"hidden is {hidden!r}; whole numbers above 0 are allowed, one a layer")
    return sizes


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(allowed)}")
    return value


def _number(name: str, value: float, allowed: Callable[[float], bool], words: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not allowed(value):
        raise ValueError(f"{name} is {value!r}; a number {words} is allowed")
    return float(value)
