"""How far local steps reach: FedNova's normalizer, which makes unequal local work comparable.

Wang et al. 2020, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization", arXiv
2007.07481, section 4: the updates of a client i are a weighted sum of its τ gradients, Δ_i = -η Σ_k a_k g_k, and
a_i = Σ_k a_k is what Δ_i has to be divided by to be a mean gradient. With a gradient g that stays the same,
Δ_i = -η a_i g; the recurrences below follow that displacement, in units of -η g.
"""

import numpy as np
from numpy.typing import NDArray


def fednova_normalizer(rule: str, steps: int, momentum: float, learning_rate: float, proximal: float) -> float | None:
    """Return FedNova's a_i: the sum of the weights that an update gives to the gradients of its steps.

    With τ steps, momentum ρ, learning rate η and proximal coefficient μ, where these have closed forms:

    ========  ==========================================
    sgd       τ;  with a proximal term (1 - (1-ημ)^τ) / (ημ)
    momentum  m = (τ - ρ (1-ρ^τ) / (1-ρ)) / (1-ρ)
    nesterov  τ + ρ m
    ========  ==========================================

    The learning rate matters with a proximal term only. The velocity is taken to be zero at the start: where it is
    carried from the previous round, the update also holds gradients of that round, and this is the weight of the new
    ones alone. None for Adam, whose update is not a sum of its gradients.
    """
    pull = learning_rate * proximal
    # One step on (velocity v, displacement s, 1), in units of -η g; with the proximal term a gradient is (1 - ημ s) g.
    match rule:
        case "sgd":
            step = [[0, 0, 0], [0, 1 - pull, 1], [0, 0, 1]]
        case "momentum":
            step = [[momentum, -pull, 1], [momentum, 1 - pull, 1], [0, 0, 1]]
        case "nesterov":
            step = [[momentum, -pull, 1], [momentum**2, 1 - (1 + momentum) * pull, 1 + momentum], [0, 0, 1]]
        case "adam":
            return None
        case _:
            raise ValueError(f"no normalizer is known for the update rule {rule!r}")
    with np.errstate(all="ignore"):  # ημ above 2 diverges, as the training then does
        return float(np.linalg.matrix_power(np.array(step, np.float64), steps)[1, 2])


def proximal_steps(rates: NDArray[np.float64], proximal: float) -> tuple[float, float]:
    """Return the effect on a displacement, under a constant gradient, of steps with these rates, proximal ones between.

    ``d <- (d - η_k g) / (1 + η_k μ)`` for every η_k in turn is ``d <- kept · d - reached · g``. The division is the
    proximal operator of μ/2 ||d||², an implicit step: unlike ``d - η μ d`` it is stable at any rate.

    Returns kept, ``Π_k 1 / (1 + η_k μ)``, and reached, ``Σ_k η_k Π_{l ≥ k} 1 / (1 + η_l μ)``: with μ = 0, 1 and the sum
    of the rates.
    """
    if not proximal or not len(rates):
        return 1.0, float(rates.sum())
    # tails[k]: how much is left, at the end, of what step k added
    tails = np.cumprod(1 / (1 + rates[::-1] * proximal))[::-1]
    return float(tails[0]), float(rates @ tails)
