"""The built-in multi-layer perceptron, in NumPy alone."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import get_args

import numpy as np

from ..base import FitJob, FlatModel
from ..checks import checked_choice, checked_number
from ..fednova import fednova_normalizer
from ..model import Capability, Dtype, FitReport
from ..weights import Array
from .activations import ACTIVATIONS
from .batch_weights import BatchWeights
from .drift_correction import corrected
from .network import Layer, Pass, mean_loss
from .optimizers import OPTIMIZERS
from .spans import Spans

PREDICT_ROWS = 1024
"""Rows predicted at a time, which bounds the memory of a prediction."""


class MLP(FlatModel):
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
        Coefficient λ of the penalty λ/2n Σ W² on weights (not biases), n the rows of the batch, or the sum of their
        weights. None: 1e-4 for classification, 1.0 for regression.
    dtype : {"float32", "float64"}

    Raises
    ------
    ValueError, TypeError
        A parameter that is not allowed, naming it.

    Examples
    --------
    >>> from nervenet.models import MLP, generator
    >>> model = MLP(hidden=(8,))
    >>> model.build(n_features=4, n_classes=3, rng=generator(0, "init")).size
    67
    """

    name = "mlp"
    in_batches = True
    capabilities = frozenset(get_args(Capability))

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        activation: str = "relu",
        *,
        optimizer: str = "nesterov",
        learning_rate: float = 0.05,
        momentum: float = 0.9,
        l2: float | None = None,
        dtype: Dtype = "float32",
    ) -> None:
        self.hidden = _hidden_sizes(hidden)
        self.activation = checked_choice("activation", activation, tuple(ACTIVATIONS))
        self.optimizer = checked_choice("optimizer", optimizer, tuple(OPTIMIZERS))
        self.learning_rate = checked_number("learning_rate", learning_rate, lambda v: v > 0, "above 0")
        self.momentum = checked_number("momentum", momentum, lambda v: 0 <= v <= 1, "from 0 to 1")
        self.l2 = None if l2 is None else checked_number("l2", l2, lambda v: v >= 0, "0 or more")
        checked_choice("dtype", dtype, ("float32", "float64"))
        self.dtype = dtype
        if optimizer == "adam":  # whose steps are not sums of gradients
            self.capabilities = self.capabilities - {"fednova_normalizer"}

    def shapes(self, n_features: int, n_classes: int | None) -> dict[str, tuple[int, ...]]:
        """Return all weights, then all biases, first layer first."""
        sizes = [n_features, *self.hidden, n_classes if n_classes and n_classes > 2 else 1]
        # Weights first, so that the L2 term is one operation on the front of the vector.
        weights: dict[str, tuple[int, ...]] = {f"weight.{i}": shape for i, shape in enumerate(pairwise(sizes))}
        return weights | {f"bias.{i}": (size,) for i, size in enumerate(sizes[1:])}

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw the initial weights and biases, as scikit-learn draws them.

        Glorot's uniform bound ``√(6 / (fan-in + fan-out))``, with 2 for 6 where the activation is logistic (Glorot &
        Bengio 2010, equation 16).
        """
        self.output = "identity" if self.n_classes is None else "logistic" if self.n_classes == 2 else "softmax"
        self._gradient = np.zeros_like(self.weights)
        p, g = self.arrays, self.layout.views(self._gradient)
        depth = len(self.hidden) + 1
        self._layers = [Layer(p[f"weight.{i}"], p[f"bias.{i}"], g[f"weight.{i}"], g[f"bias.{i}"]) for i in range(depth)]
        for layer in self._layers:
            bound = math.sqrt((2 if self.activation == "logistic" else 6) / sum(layer.W.shape))
            layer.W[:] = rng.uniform(-bound, bound, layer.W.shape)
            layer.b[:] = rng.uniform(-bound, bound, layer.b.shape)
        n_weights = sum(layer.W.size for layer in self._layers)
        self._update = OPTIMIZERS[self.optimizer](
            self.weights, self._gradient, n_weights, self.learning_rate, self.momentum
        )
        self._passes: dict[int, Pass] = {}

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:
        """Return copies of the optimizer's moments; there is nothing else."""
        self.layout  # noqa: B018 - raises before build()
        return self._update.get_state() if moments else {}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `get_state` returned. Raises ValueError if it does not fit."""
        self.layout  # noqa: B018 - raises before build()
        self._update.set_state(state)

    def run(self, job: FitJob) -> FitReport:
        """Train forward, backward and by updates, batch after batch."""
        X, y, work, rng, stop, correction, weight = job
        rate = self.learning_rate if work.learning_rate is None else work.learning_rate
        self._update.set_rate(rate)
        if not work.carry_optimizer:
            self._update.reset()
        n, rows, target = len(X), min(work.batch_size, len(X)), work.steps(len(X))
        spans = Spans(X, *self._targets(y), rows)
        tools = {size: self._tools(size) for size in {rows, n % rows or rows}}
        weights = None if weight is None else BatchWeights(weight, rows, self._update.gain, self.penalty, self.dtype)
        update = corrected(self._update, self.weights, self._gradient, work.proximal, correction)
        steps, seen, losses, cancelled = 0, 0, list[tuple[float, float]](), False
        with np.errstate(all="ignore"):  # a diverging model shows in its weights, which every receiver checks
            while steps < target and not (cancelled := cancelled or stop()):
                order, seen, losses = rng.permutation(n), 0, []
                if weights is not None:
                    weights.shuffle(order)
                for batches in spans.of(order, target - steps):
                    begun = seen
                    for x, t, out in batches:
                        if seen and stop():
                            cancelled = True
                            break
                        batch, scale, decay = tools[len(x)]
                        if weights is not None:
                            scale, decay = weights.batches[seen // rows]
                        batch.forward(x, out)
                        batch.backward(x, t, out, scale)
                        update(decay)
                        steps += 1
                        seen += len(x)
                    if seen > begun:
                        of = None if weights is None else weights.shuffled[begun:seen]
                        losses.append(self._loss(spans, seen - begun, of))
                    if cancelled:
                        break
        loss = _mean(losses) if seen else math.nan
        reach = fednova_normalizer(self.optimizer, steps, self.momentum, rate, work.proximal)
        return FitReport(loss, n, steps, cancelled, reach, rate)

    def predict(self, X: Array) -> Array:
        """Return class indices (int64), or targets for regression, one a row."""
        outputs = self._outputs(X)
        match self.output:
            case "softmax":
                return np.asarray(outputs.argmax(axis=1), dtype=np.int64)
            case "logistic":
                return (outputs[:, 0] > 0.5).astype(np.int64)
        return outputs[:, 0]

    def probabilities(self, X: Array) -> Array | None:
        """Return class probabilities, shape (n, n_classes); None for regression."""
        if self.n_classes is None:
            return None
        outputs = self._outputs(X)
        return outputs if self.output == "softmax" else np.concatenate([1 - outputs, outputs], axis=1)

    def _outputs(self, X: Array) -> Array:
        X = self.checked(X)
        outputs = np.empty((len(X), self._layers[-1].b.size), self.dtype)
        with np.errstate(all="ignore"):
            for i in range(0, len(X), PREDICT_ROWS):
                part = X[i : i + PREDICT_ROWS]
                Pass(self._layers, len(part), self.activation, self.output).forward(part, outputs[i : i + len(part)])
        return outputs

    def _tools(self, rows: int) -> tuple[Pass, Array, Array]:
        """Return the buffers for a batch size, with the factors of its gradient and of its L2 term."""
        if rows not in self._passes:
            if len(self._passes) > 8:
                self._passes.clear()
            self._passes[rows] = Pass(self._layers, rows, self.activation, self.output)
        scale = self._update.gain / rows
        return self._passes[rows], np.array(scale, self.dtype), np.array(scale * self.penalty, self.dtype)

    @property
    def penalty(self) -> float:
        """λ: `l2`, or what suits the task where that was left open."""
        return (1.0 if self.n_classes is None else 1e-4) if self.l2 is None else self.l2

    def _targets(self, y: Array) -> tuple[Array, Array | None]:
        """Return class indices and the one-hot row of each class; or targets, shape (rows, 1), and None."""
        if self.output == "softmax":
            return y, np.eye(self._layers[-1].b.size, dtype=self.dtype)
        return y.astype(self.dtype).reshape(-1, 1), None

    def _loss(self, spans: Spans, rows: int, weight: Array | None) -> tuple[float, float]:
        """Return the mean loss of the first rows of a span, and how much they count."""
        found = mean_loss(spans.outputs[:rows], spans.Y[:rows], self.output, weight)
        return found, float(rows if weight is None else weight.sum())


def _mean(losses: list[tuple[float, float]]) -> float:
    """Return the mean of losses that count as much as they say; of a single one that itself."""
    if len(losses) == 1:
        return losses[0][0]
    return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)


def _hidden_sizes(hidden: Sequence[int]) -> tuple[int, ...]:
    sizes = (hidden,) if isinstance(hidden, int) else tuple(hidden)
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise ValueError(f"hidden is {hidden!r}; whole numbers above 0 are allowed, one a layer")
    return sizes
