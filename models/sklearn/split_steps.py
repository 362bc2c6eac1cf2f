"""A proximal term and a correction as steps of their own, for an estimator that takes neither into its gradient."""

import numpy as np
from numpy.typing import NDArray

from ..fednova import proximal_steps
from ..weights import Array, Vector


class SplitSteps:
    """The steps ``w <- w_start + (w - η c - w_start) / (1 + η μ)``, many at once: forward-backward splitting.

    After the rows of a mini-batch follow, at once, the steps that the two terms alone would have taken concurrently,
    with the same rates η. That of the proximal term is implicit (see `fednova.proximal_steps`), as the rate of a
    schedule may begin far above 1. It differs from steps of the corrected gradient, row by row, by O(η²) a mini-batch.

    Parameters
    ----------
    arrays
        The weights by name, where they start.
    corrections
        c, by the same names, or None.
    proximal
        μ.

    Attributes
    ----------
    reached
        How far a constant gradient would have moved the weights so far, per unit.
    """

    def __init__(self, arrays: dict[str, Array], corrections: dict[str, Vector] | None, proximal: float) -> None:
        self.start = {name: array.copy() for name, array in arrays.items()}
        self.corrections = corrections
        self.proximal = proximal
        self.reached = 0.0

    def follow(self, arrays: dict[str, Array], rates: NDArray[np.float64]) -> None:
        """Move the arrays, in place, by as many steps as there are rates."""
        kept, reached = proximal_steps(rates, self.proximal)
        self.reached = kept * self.reached + reached
        for name, array in arrays.items():
            if self.proximal:
                array[...] = self.start[name] + kept * (array - self.start[name])
            if self.corrections is not None:
                array -= reached * self.corrections[name]
