"""Many equal networks, each trained on rows of its own, by one product of matrices after another.

Row k of every array belongs to network k. NumPy multiplies a stack of matrices slice by slice, by the very BLAS calls
that it makes for a single product, and all else is done element by element: so each network ends at the bits of
`MLP.run`. What is saved is the overhead of calls, which for a small network is most of its training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod

import numpy as np

from ..model import LocalWork
from ..moments import spread_of
from ..weights import Array
from .activations import ACTIVATIONS, identity, logistic
from .mlp import MLP
from .optimizers import OPTIMIZERS, Adam
from .product import MOST_PIECES, UNPACKED

STACK_BYTES = 600_000
"""Of the parameters that are trained at a time: with gradients and moments they are to stay in a core's cache."""


class StackedMLP:
    """Trains `count` networks at a time, each on as many rows.

    Parameters
    ----------
    model : MLP
        Built; its layout, activations, optimizer and settings are those of all.
    count : int
        Of networks.
    """

    def __init__(self, model: MLP, count: int) -> None:
        self.count = count
        self._model = model
        self._dtype = np.dtype(model.dtype)
        shapes = model.layout.shapes
        stops = [0, *accumulate(prod(shape) for shape in shapes)]
        spans = [slice(*ends) for ends in pairwise(stops)]
        depth = len(model.hidden) + 1  # all weights come first, then all biases
        self._weights = list(zip(spans[:depth], shapes[:depth], strict=True))
        self._biases = spans[depth:]
        self._outputs = shapes[-1][0]
        self._gradient = np.zeros((count, model.layout.size), self._dtype)
        self._optimizer = OPTIMIZERS[model.optimizer](
            np.empty_like(self._gradient), self._gradient, stops[depth], model.learning_rate, model.momentum
        )
        self._passes: dict[int, StackedPass] = {}

    def train(
        self,
        parameters: Array,
        moments: Mapping[str, Array],
        rows: tuple[Array, Array],
        orders: Sequence[Array],
        work: LocalWork,
        steps_before: int = 0,
    ) -> Array:
        """Train the networks in place, and return the mean loss of each in its last epoch, as `FitReport` has it.

        Parameters
        ----------
        parameters : (count, n) array
        moments : arrays of that shape by name
            Those of the optimizer, which go on from what they are.
        rows : (count, rows, features) array and (count, rows) array
            Inputs, and class indices or targets.
        orders : (count, rows) arrays of int
            The order of the rows in each epoch: as many as `work` needs.
        work : LocalWork
            Without a proximal term.
        steps_before : int
            That Adam has made before, if its moments are carried.
        """
        X, y = rows
        n, size = X.shape[1], min(work.batch_size, X.shape[1])
        rate = self._model.learning_rate if work.learning_rate is None else work.learning_rate
        optimizer = self._optimizer
        optimizer.rebind(parameters, moments)
        optimizer.set_rate(rate)
        if isinstance(optimizer, Adam):
            optimizer.t = steps_before
        layers = self._layers(parameters)
        base = np.arange(self.count)[:, None] * n
        inputs, targets = X.reshape(self.count * n, -1), self._targets(y)
        outputs = np.empty((self.count, n, self._outputs), self._dtype)
        steps, target, seen, taken = 0, work.steps(n), 0, targets
        with np.errstate(all="ignore"):  # a diverging model shows in its weights
            for order in orders:
                place = (base + order).ravel()
                epoch = np.take(inputs, place, axis=0, mode="clip").reshape(self.count, n, -1)
                taken = np.take(targets, place, axis=0, mode="clip").reshape(self.count, n, -1)
                seen = 0
                for start in range(0, n, size):
                    if steps >= target:
                        break
                    stop = min(start + size, n)
                    part, gain = self._pass(stop - start), optimizer.gain / (stop - start)
                    scale, decay = np.array(gain, self._dtype), np.array(gain * self._model.penalty, self._dtype)
                    part.run(layers, epoch[:, start:stop], taken[:, start:stop], outputs[:, start:stop], scale)
                    optimizer.step(decay)
                    steps, seen = steps + 1, stop
            return _losses(outputs[:, :seen], taken[:, :seen], self._model.output)

    def _layers(self, parameters: Array) -> list[tuple[Array, Array, Array, Array]]:
        """Return weights, biases and the gradients of both, layer by layer, as views."""
        count, gradient = self.count, self._gradient
        return [
            (
                parameters[:, of_W].reshape(count, *shape),
                parameters[:, None, of_b],
                gradient[:, of_W].reshape(count, *shape),
                gradient[:, of_b],
            )
            for (of_W, shape), of_b in zip(self._weights, self._biases, strict=True)
        ]

    def _pass(self, rows: int) -> StackedPass:
        if rows not in self._passes:
            widths = [shape[1] for _, shape in self._weights]
            model = self._model
            self._passes[rows] = StackedPass(self.count, rows, widths, self._dtype, model.activation, model.output)
        return self._passes[rows]

    def _targets(self, y: Array) -> Array:
        """Return what outputs are compared with, one row after another: one-hot rows for softmax."""
        if self._model.output == "softmax":
            return np.eye(self._outputs, dtype=self._dtype)[y.ravel()]
        return y.astype(self._dtype).reshape(-1, 1)


class StackedPass:
    """Forward and backward for batches of `rows` examples of each of `count` networks: `network.Pass` of a stack."""

    def __init__(
        self, count: int, rows: int, widths: Sequence[int], dtype: np.dtype[np.generic], activation: str, output: str
    ) -> None:
        self._f, self._f_derivative = ACTIVATIONS[activation]
        plain = {"logistic": logistic, "identity": identity}.get(output)
        self._g = plain or StackedSoftmax(count, rows, widths[-1], dtype)
        self._ones = np.ones(rows, dtype)
        self._A = [np.empty((count, rows, width), dtype) for width in widths[:-1]]
        self._D = [np.empty((count, rows, width), dtype) for width in widths]
        self._scratch = [np.empty((count, rows, width), dtype) for width in widths[:-1]]
        self._zeros = [np.zeros((count, rows, width), dtype) for width in widths]

    def run(
        self, layers: Sequence[tuple[Array, Array, Array, Array]], X: Array, Y: Array, out: Array, scale: Array
    ) -> None:
        """Write the outputs, and the gradients of the loss times `scale`."""
        A = X
        for (W, b, _, _), Z, zeros in zip(layers[:-1], self._A, self._zeros[:-1], strict=True):
            product(A, W, Z)
            np.add(Z, b, out=Z)
            self._f(Z, zeros)
            A = Z
        W, b, _, _ = layers[-1]
        product(A, W, out)
        np.add(out, b, out=out)
        self._g(out, self._zeros[-1])

        D = self._D[-1]
        np.subtract(out, Y, out=D)
        np.multiply(D, scale, out=D)
        for i in range(len(layers) - 1, 0, -1):
            W, _, dW, db = layers[i]
            D, below = self._D[i], self._D[i - 1]
            np.matmul(self._A[i - 1].transpose(0, 2, 1), D, out=dW)
            np.matmul(self._ones, D, out=db)
            np.matmul(D, W.transpose(0, 2, 1), out=below)
            self._f_derivative(below, self._A[i - 1], self._scratch[i - 1])
        np.matmul(X.transpose(0, 2, 1), self._D[0], out=layers[0][2])
        np.matmul(self._ones, self._D[0], out=layers[0][3])


class StackedSoftmax:
    """`activations.Softmax`, which shifts a network's values or does not, for each network by itself."""

    def __init__(self, count: int, rows: int, width: int, dtype: np.dtype[np.generic]) -> None:
        self._row = np.empty((count, rows, 1), dtype)
        self._ones = np.ones((width, 1), dtype)

    def __call__(self, z: Array, _zeros: Array) -> None:
        flat = z.reshape(len(z), -1)
        squares = np.matmul(flat[:, None, :], flat[:, :, None])[:, 0, 0]
        large = ~(squares < 6400)
        if large.any():
            z[large] -= np.maximum.reduce(z[large], axis=2, keepdims=True)
        np.exp(z, out=z)
        np.matmul(z, self._ones, out=self._row)
        np.divide(z, self._row, out=z)


def product(A: Array, W: Array, out: Array) -> None:
    """Write ``A W`` for a stack, cut as `Product` cuts it: the cut is in the bits."""
    _, rows, inner = A.shape
    pieces = -(-rows * inner * W.shape[2] // UNPACKED)
    if pieces <= 1 or pieces > MOST_PIECES or pieces > inner:
        np.matmul(A, W, out=out)
        return
    width = -(-inner // pieces)
    np.matmul(A[:, :, :width], W[:, :width], out=out)
    for i in range(width, inner, width):
        np.add(out, np.matmul(A[:, :, i : i + width], W[:, i : i + width]), out=out)


def _losses(outputs: Array, Y: Array, output: str) -> Array:
    """Return the mean loss of each network over its rows, as `network.mean_loss` has it for one."""
    if output == "identity":
        return np.asarray(np.mean(np.square(outputs - Y), axis=(1, 2), dtype=np.float64))
    eps = np.finfo(outputs.dtype).eps
    if output == "logistic":
        chosen = np.where(Y > 0, outputs, 1 - outputs)[:, :, 0]
    else:
        chosen = (outputs * Y) @ np.ones(Y.shape[2], Y.dtype)
    return np.asarray(-np.mean(np.log(np.clip(chosen, eps, 1 - eps)), axis=1, dtype=np.float64))


def scores(model: MLP, parameters: Array, X: Array, y: Array) -> dict[str, Array]:
    """Return what `evaluate` finds of each of the networks on the same rows, to rounding.

    Parameters
    ----------
    model : MLP
        Built like all of them.
    parameters : (count, n) array
    X, y : (rows, features) and (rows,) arrays
        As for `evaluate.evaluate`.
    """
    widest = max(
        shape[0] for name, shape in zip(model.layout.names, model.layout.shapes, strict=True) if "bias" in name
    )
    step = max(1, STACK_BYTES // (len(X) * widest * parameters.itemsize))
    with np.errstate(all="ignore"):
        parts = [_scores(model, parameters[i : i + step], X, y) for i in range(0, len(parameters), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _scores(model: MLP, parameters: Array, X: Array, y: Array) -> dict[str, Array]:
    count, depth = len(parameters), len(model.hidden) + 1
    views = dict(zip(model.layout.names, _views(model, parameters), strict=True))
    activate, _ = ACTIVATIONS[model.activation]
    A = X[None]
    for i in range(depth):
        A = np.matmul(A, views[f"weight.{i}"])
        np.add(A, views[f"bias.{i}"][:, None], out=A)
        if i + 1 < depth:
            activate(A, np.zeros_like(A))
    if model.output == "identity":
        errors = np.square(A[:, :, 0].astype(np.float64) - y)
        spread = spread_of(y.astype(np.float64))
        r2 = 1 - errors.sum(axis=1) / spread if spread > 0 else np.full(count, np.nan)
        return {"r2": r2, "loss": errors.mean(axis=1)}
    if model.output == "logistic":
        logistic(A, A)
        chosen, right = np.where(y == 1, A[:, :, 0], 1 - A[:, :, 0]), (A[:, :, 0] > 0.5) == y
    else:
        np.subtract(A, A.max(axis=2, keepdims=True), out=A)
        right = A.argmax(axis=2) == y
        np.exp(A, out=A)
        chosen = A[:, np.arange(len(y)), y] / A.sum(axis=2)
    eps = np.finfo(A.dtype).eps
    loss = -np.log(np.clip(chosen.astype(np.float64), eps, 1 - eps)).mean(axis=1)
    return {"accuracy": np.where(np.isfinite(loss), right.mean(axis=1), np.nan), "loss": loss}


def _views(model: MLP, parameters: Array) -> list[Array]:
    shapes = model.layout.shapes
    stops = [0, *accumulate(prod(shape) for shape in shapes)]
    return [parameters[:, a:b].reshape(-1, *shape) for shape, (a, b) in zip(shapes, pairwise(stops), strict=True)]
