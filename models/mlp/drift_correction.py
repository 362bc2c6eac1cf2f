"""Corrections of local training against client drift, the way to the optimum of a client's own rows.

FedProx adds μ (w - w_start) to every gradient, the derivative of its proximal term μ/2 ||w - w_start||² (Li et al.
2020, arXiv 1812.06127, equation 2); SCAFFOLD adds c - c_i, its estimate of the mean gradient of all clients less that
of this one (Karimireddy et al. 2020, arXiv 1910.06378, algorithm 1, line 10).
"""

from collections.abc import Callable

import numpy as np

from ..weights import Vector
from .optimizers import Optimizer, Scalar

Step = Callable[[Scalar], None]


def corrected(
    optimizer: Optimizer, parameters: Vector, gradient: Vector, proximal: float, correction: Vector | None
) -> Step:
    """Return the optimizer's step, with the corrections that are asked for added to the gradient before it.

    Momentum and moments are therefore of the corrected gradient. The optimizer is bound to `parameters`, whose present
    values are w_start, and to `gradient`, which has its gain already; so do the corrections here. `proximal` is μ, at
    least 0; `correction` is added at every step.
    """
    step: Step = optimizer.step
    if correction is not None:
        step = _shifted(step, gradient, correction * gradient.dtype.type(optimizer.gain))
    if proximal > 0:
        step = _pulled(step, parameters, gradient, np.array(optimizer.gain * proximal, gradient.dtype))
    return step


def _shifted(step: Step, gradient: Vector, shift: Vector) -> Step:
    def shifted(decay: Scalar) -> None:
        np.add(gradient, shift, out=gradient)
        step(decay)

    return shifted


def _pulled(step: Step, parameters: Vector, gradient: Vector, strength: Scalar) -> Step:
    start, pull = parameters.copy(), np.empty_like(parameters)

    def pulled(decay: Scalar) -> None:
        np.subtract(parameters, start, out=pull)
        np.multiply(pull, strength, out=pull)
        np.add(gradient, pull, out=gradient)
        step(decay)

    return pulled
