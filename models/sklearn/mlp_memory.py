"""What the optimizer of scikit-learn's networks carries from one `partial_fit` to the next."""

from collections.abc import Mapping
from math import inf, log
from typing import Any

import numpy as np

from ..weights import Array

CUT = 5.0
"""What scikit-learn divides an adaptive learning rate by."""


class OptimizerMemory:
    """Moments, the schedule's clock ``t``, and how long the loss has not improved here, of a network that is fitted.

    The clock of an adaptive rate counts how often it was cut; what decides on the next cut is this site's own.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.optimizer = network._optimizer  # noqa: SLF001 - there is no public way to its memory
        self.forget()
        network.t_, network.best_loss_, network._no_improvement_count = 0, inf, 0  # noqa: SLF001
        self._set_clock(0.0)

    def forget(self) -> None:
        """Reset the moments."""
        for arrays in self._moments().values():
            for array in arrays:
                array.fill(0)
        if self.network.solver == "adam":
            self.optimizer.t = 0

    def state(self, *, moments: bool) -> dict[str, Array]:
        """Return copies of it by name, as `Model.get_state` does."""
        state: dict[str, Array] = {}
        if self._schedule != "constant":
            state["t"] = np.array([self._clock + 1])
        if self._schedule == "adaptive":
            state["best_loss"] = np.array([self.network.best_loss_])
            state["no_improvement"] = np.array([float(self.network._no_improvement_count)])  # noqa: SLF001
        if not moments:
            return state
        if self.network.solver == "adam":
            state["adam_steps"] = np.array([float(self.optimizer.t)])
        return state | {name: np.concatenate([a.ravel() for a in arrays]) for name, arrays in self._moments().items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Put back what `state` returned, or some of it. Raises ValueError for moments of another size."""
        for name, arrays in self._moments().items():
            if name not in state:
                continue
            size = sum(array.size for array in arrays)
            if state[name].shape != (size,):
                raise ValueError(f"optimizer state {name!r} is not of shape ({size},)")
            stops = np.cumsum([array.size for array in arrays])[:-1]
            for array, part in zip(arrays, np.split(state[name], stops), strict=True):
                array[:] = part.reshape(array.shape)
        if "adam_steps" in state:
            self.optimizer.t = int(state["adam_steps"][0])
        if "t" in state:
            self._set_clock(float(state["t"][0]) - 1)
        if "best_loss" in state:
            self.network.best_loss_ = float(state["best_loss"][0])
            self.network._no_improvement_count = int(state["no_improvement"][0])  # noqa: SLF001

    def _moments(self) -> dict[str, list[Array]]:
        names = ("ms", "vs") if self.network.solver == "adam" else ("velocities",)
        return {name: getattr(self.optimizer, name) for name in names}

    @property
    def _schedule(self) -> str:
        return str(self.network.learning_rate) if self.network.solver == "sgd" else "constant"

    @property
    def _clock(self) -> float:
        """How far the schedule has come: in rows for invscaling, in cuts for an adaptive rate."""
        if self._schedule == "adaptive":
            cuts = log(self.network.learning_rate_init / self.optimizer.learning_rate, CUT)
            return round(cuts, 9)
        return float(self.network.t_)

    def _set_clock(self, clock: float) -> None:
        self.optimizer.learning_rate = float(self.network.learning_rate_init)
        if self._schedule == "adaptive":
            self.optimizer.learning_rate /= CUT ** min(clock, 64.0)  # far below where scikit-learn stops cutting
        elif self._schedule == "invscaling":
            self.network.t_ = clock
            self.optimizer.iteration_ends(clock)
