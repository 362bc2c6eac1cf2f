"""Optimizers: from a gradient to new parameters, in place on whole flat vectors.

Back-propagation hands over the gradient g already multiplied by the optimizer's `gain` (-η for the descents, 1 for
Adam), a factor that costs nothing on the last layer's few deltas and saves a pass over the parameters. The same factor
is in `decay`, the coefficient of the L2 term, which touches the weights (the front of the vector), never the biases.

The rules are those of scikit-learn, so that the same start and the same batches end in the same weights.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np

from ..weights import Vector

Scalar = Any  # a 0-d array of the vectors' dtype: NumPy multiplies by one faster than by a Python float


class Optimizer:
    """One update rule, bound to the vectors it works on, of which the first `n_weights` elements are penalized.

    Or to a stack of vectors, (count, n), each of which gets the bits that it would get by itself. `gain` is the factor
    that the gradient already has; `moments` are vectors by name, in the shape of the parameters.
    """

    names: tuple[str, ...] = ()

    def __init__(
        self, parameters: Vector, gradient: Vector, n_weights: int, learning_rate: float, momentum: float = 0.0
    ) -> None:
        self.parameters, self.gradient = parameters, gradient
        self.weights, self.weight_gradient = parameters[..., :n_weights], gradient[..., :n_weights]
        self.gain, self.learning_rate = -learning_rate, learning_rate
        self.momentum = np.array(momentum, parameters.dtype)
        self.scratch = np.empty_like(parameters)
        self.weight_scratch = self.scratch[..., :n_weights]
        self.moments = {name: np.zeros_like(parameters) for name in self.names}

    def rebind(self, parameters: Vector, moments: Mapping[str, Vector]) -> None:
        """Work on other parameters of the same shape from now on, with moments of theirs."""
        self.parameters, self.weights = parameters, parameters[..., : self.weights.shape[-1]]
        self.moments = dict(moments)

    def set_rate(self, learning_rate: float) -> None:
        """Take steps of this size from now on; moments stay what they are."""
        self.gain, self.learning_rate = -learning_rate, learning_rate

    def step(self, decay: Scalar) -> None:
        """Move the parameters by the gradient in the gradient vector, which is used up."""
        raise NotImplementedError

    def add_decay(self, decay: Scalar) -> None:
        """``g <- g + λ p`` for the weights."""
        if decay:
            np.multiply(self.weights, decay, out=self.weight_scratch)
            np.add(self.weight_gradient, self.weight_scratch, out=self.weight_gradient)

    def reset(self) -> None:
        """Set all moments to zero."""
        for moment in self.moments.values():
            moment.fill(0)

    def get_state(self) -> dict[str, Vector]:
        """Return copies of the moments."""
        return {name: moment.copy() for name, moment in self.moments.items()}

    def set_state(self, state: Mapping[str, Vector]) -> None:
        """Put back what `get_state` returned. Raises ValueError if it does not fit."""
        for name, moment in self.moments.items():
            if name not in state or state[name].shape != moment.shape:
                raise ValueError(f"optimizer state {name!r} is missing, or not of shape {moment.shape}")
            moment[:] = state[name]


class SGD(Optimizer):
    """Plain stochastic gradient descent: ``p <- p - η g``."""

    def step(self, decay: Scalar) -> None:
        self.add_decay(decay)
        np.add(self.parameters, self.gradient, out=self.parameters)


class Momentum(Optimizer):
    """Heavy ball: ``v <- μ v - η g``, ``p <- p + v`` (Polyak 1964)."""

    names = ("velocity",)

    def step(self, decay: Scalar) -> None:
        v, g, p = self.moments["velocity"], self.gradient, self.parameters
        self.add_decay(decay)
        np.multiply(v, self.momentum, out=v)
        np.add(v, g, out=v)
        np.add(p, v, out=p)


class Nesterov(Momentum):
    """Momentum that looks ahead: ``v <- μ v - η g``, ``p <- p + μ v - η g`` (Sutskever et al. 2013).

    What is kept is ``μ v``, the only form in which v is used: the step is then four passes and needs no temporary.
    """

    def step(self, decay: Scalar) -> None:
        v, g, p = self.moments["velocity"], self.gradient, self.parameters
        self.add_decay(decay)
        np.add(v, g, out=v)
        np.multiply(v, self.momentum, out=v)
        np.add(p, g, out=p)
        np.add(p, v, out=p)


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2014, arXiv 1412.6980, section 2, the efficient form).

    ``m <- β1 m + (1-β1) g``, ``v <- β2 v + (1-β2) g²``, ``p <- p - η √(1-β2^t) / (1-β1^t) · m / (√v + ε)``.

    What is kept is m / (1-β1) and v / (1-β2), which saves two passes; the factors move into the scalars of the step.
    """

    names = ("first", "second")
    beta_1, beta_2 = 0.9, 0.999

    def __init__(
        self, parameters: Vector, gradient: Vector, n_weights: int, learning_rate: float, momentum: float = 0.0
    ) -> None:
        super().__init__(parameters, gradient, n_weights, learning_rate, momentum)
        self.gain, self.t = 1.0, 0
        self.factor_1 = np.array(self.beta_1, parameters.dtype)
        self.factor_2 = np.array(self.beta_2, parameters.dtype)
        self.epsilon = np.array(1e-8 / sqrt(1 - self.beta_2), parameters.dtype)

    def set_rate(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    def step(self, decay: Scalar) -> None:
        m, v = self.moments["first"], self.moments["second"]
        g, p, scratch = self.gradient, self.parameters, self.scratch
        self.add_decay(decay)
        np.multiply(m, self.factor_1, out=m)
        np.add(m, g, out=m)
        np.multiply(g, g, out=g)
        np.multiply(v, self.factor_2, out=v)
        np.add(v, g, out=v)

        self.t += 1
        rate = self.learning_rate * sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        rate *= (1 - self.beta_1) / sqrt(1 - self.beta_2)
        np.sqrt(v, out=scratch)
        np.add(scratch, self.epsilon, out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, -rate, out=scratch)
        np.add(p, scratch, out=p)

    def reset(self) -> None:
        super().reset()
        self.t = 0

    def get_state(self) -> dict[str, Vector]:
        return {**super().get_state(), "t": np.array([self.t], np.float64)}

    def set_state(self, state: Mapping[str, Vector]) -> None:
        super().set_state(state)
        self.t = int(state["t"][0])


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "adam": Adam}
"""The update rules by the names that experiment files use."""
