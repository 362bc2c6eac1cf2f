"""The mathematics of a multi-layer perceptron, for mini-batches of one size.

Rows are examples. With A_0 = X the batch, W_l (fan-in x fan-out) and b_l (fan-out) the parameters of layer l = 1 … L:

    forward     Z_l = A_{l-1} W_l + b_l        A_l = f(Z_l)        A_L = g(Z_L)
    loss        softmax, classes       -1/n Σ_i log A_L[i, y_i]
                logistic, two classes  -1/n Σ_i y_i log A_L[i] + (1 - y_i) log(1 - A_L[i])
                identity, regression   1/2n Σ_i (A_L[i] - y_i)²
                each plus λ/2n Σ_l ||W_l||²
    backward    D_L = (A_L - Y) / n            the derivative by Z_L, the same for all three pairs of g and loss
                ∂W_l = A_{l-1}ᵀ D_l            ∂b_l = Σ_i D_l[i]        D_{l-1} = D_l W_lᵀ ⊙ f'(Z_{l-1})
    weights     with w_i of a row, w_i / Σ w for 1/n in the loss and in D_L, and λ/2Σw for λ/2n, as in scikit-learn from
                1.7 on: a batch's gradient is the weighted mean, whatever its weights sum to (`batch_weights`)
    update      an `optimizers.Optimizer` on the flat parameter vector, which adds the derivative λ/n W_l of the penalty

Every product writes into a buffer made once for the batch size, and the gradients into views of one flat vector.
"""

from typing import NamedTuple

import numpy as np

from ..weights import Array
from .activations import ACTIVATIONS, Softmax, identity, logistic
from .product import Product


class Layer(NamedTuple):
    """Views of one layer's parameters and of their gradients."""

    W: Array
    b: Array
    dW: Array  # noqa: N815
    db: Array


class Pass:
    """Forward and backward through the layers for batches of `rows` examples.

    The layers are views of the flat vectors. `activation`, a key of `ACTIVATIONS`, is that of the hidden layers,
    `output`, softmax, logistic or identity, that of the last.
    """

    def __init__(self, layers: list[Layer], rows: int, activation: str, output: str) -> None:
        dtype = layers[0].W.dtype
        self.f, self.f_derivative = ACTIVATIONS[activation]
        widths = [layer.W.shape[1] for layer in layers]
        self.g = {"logistic": logistic, "identity": identity}.get(output) or Softmax(rows, widths[-1], dtype)
        self.ones = np.ones(rows, dtype)
        # One buffer a layer: activations A_l (the last go where the caller wants), deltas D_l, temporaries.
        self.A = [np.empty((rows, width), dtype) for width in widths[:-1]]
        self.D = [np.empty((rows, width), dtype) for width in widths]
        self.scratch = [np.empty((rows, width), dtype) for width in widths[:-1]]
        self.zeros = [np.zeros((rows, width), dtype) for width in widths]
        # Forwards: layer l's product and biases, and its activation. Biases broadcast over the rows.
        self.products = [Product(rows, layer.W) for layer in layers]
        self.hidden = [(self.products[i], layers[i].b, self.A[i], self.zeros[i]) for i in range(len(layers) - 1)]
        self.last, self.last_b = self.products[-1], layers[-1].b
        # Backwards: layer l, the delta that enters it, and the activation and delta below it.
        self.below = [
            (layers[i], self.D[i], self.A[i - 1], self.A[i - 1].T, layers[i].W.T, self.D[i - 1], self.scratch[i - 1])
            for i in range(len(layers) - 1, 0, -1)
        ]
        self.first = layers[0]

    def forward(self, X: Array, out: Array) -> None:
        """Write the network's outputs for a batch into `out`, keeping the activations for `backward`."""
        A = X
        for product, b, Z, zeros in self.hidden:
            product(A, Z)
            np.add(Z, b, out=Z)
            self.f(Z, zeros)
            A = Z
        self.last(A, out)
        np.add(out, self.last_b, out=out)
        self.g(out, self.zeros[-1])

    def backward(self, X: Array, Y: Array, outputs: Array, scale: Array) -> None:
        """Write the gradient of the data's loss into the layers' gradient views.

        `X` is the batch, (rows, features), `Y` its targets, (rows, outputs), one-hot for softmax, `outputs` what
        `forward` wrote for it. `scale`, a 0-d array, is a factor on the gradient: 1 / rows times the optimizer's gain;
        of rows with weights, (rows, 1), each row's share of their sum times that gain.
        """
        D = self.D[-1]
        np.subtract(outputs, Y, out=D)
        np.multiply(D, scale, out=D)
        for layer, D, A, A_T, W_T, D_below, scratch in self.below:
            np.dot(A_T, D, out=layer.dW)
            np.dot(self.ones, D, out=layer.db)
            np.dot(D, W_T, out=D_below)
            self.f_derivative(D_below, A, scratch)
        np.dot(X.T, self.D[0], out=self.first.dW)
        np.dot(self.ones, self.D[0], out=self.first.db)


def mean_loss(outputs: Array, Y: Array, output: str, weight: Array | None = None) -> float:
    """Return the loss over examples for metrics: without penalty, and the squared error whole where training halves it.

    With a `weight`, (rows,), it is the weighted mean. Probabilities are clipped to [eps, 1 - eps] of their dtype, as in
    scikit-learn, so that one sure mistake is finite.
    """
    if output == "identity":
        squares = np.square(outputs - Y)
        return float(np.mean(squares, dtype=np.float64)) if weight is None else _average(squares[:, 0], weight)
    eps = np.finfo(outputs.dtype).eps
    # The probability given to the true class: of the one column, or picked out of each row by the one-hot target.
    chosen = (
        np.where(Y > 0, outputs, 1 - outputs) if output == "logistic" else (outputs * Y) @ np.ones(Y.shape[1], Y.dtype)
    )
    logarithms = np.log(np.clip(chosen, eps, 1 - eps))
    return -(float(np.mean(logarithms, dtype=np.float64)) if weight is None else _average(logarithms.ravel(), weight))


def _average(values: Array, weight: Array) -> float:
    return float(np.average(values.astype(np.float64), weights=weight))
