"""HeldModel: the weights and the state of the model that somebody holds, and the clock of its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .model import Model
from .weights import Vector, checked_finite


class HeldModel:
    """What a `SiteModel` passes on to its `model`."""

    model: Model

    def get_weights(self) -> Vector:
        return self.model.get_weights()

    def trained_weights(self) -> Vector:
        """Return a copy of the weights; ArithmeticError if training has diverged."""
        return checked_finite(
            self.model.get_weights(), "the weights after training (a smaller training.learning_rate may help)"
        )

    def set_weights(self, vector: Vector) -> None:
        self.model.set_weights(vector)

    def get_state(self, *, moments: bool = True) -> dict[str, NDArray[Any]]:
        return self.model.get_state(moments=moments)

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.model.set_state(state)

    @property
    def scheduled(self) -> bool:
        """Whether the model has a learning-rate schedule with a clock, the ``t`` of its state."""
        return "t" in self.model.get_state(moments=False)

    @property
    def clock(self) -> float:
        """How far the model's learning-rate schedule has come, usually in steps; 0 where there is none.

        It belongs to the model: wherever weights travel, so does it. Setting it where there is no schedule does
        nothing.
        """
        state = self.model.get_state(moments=False)
        return float(state["t"][0]) - 1 if "t" in state else 0.0

    @clock.setter
    def clock(self, steps: float) -> None:
        if self.scheduled:
            self.model.set_state({"t": np.array([steps + 1], np.float64)})
