"""MLPClassifier and MLPRegressor: the same layout, start and batches as the built-in MLP of float64."""

from collections.abc import Mapping
from math import inf, log, sqrt
from typing import Any

import numpy as np

from ..weights import Array
from .adapters import Adapter

CUT = 5.0
"""What scikit-learn divides an adaptive learning rate by."""


class MLPAdapter(Adapter):
    """The state beside the moments: ``t``, the schedule's clock, and how long the loss has not improved here.

    The clock of an adaptive rate counts how often it was cut; what decides on the next cut is this site's own.
    """

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        working = self.working
        working.shuffle, working.batch_size = False, 1
        working.warm_start = False  # else partial_fit refuses rows that lack a class
        self.see_one_row()
        for W, b in zip(working.coefs_, working.intercepts_, strict=True):
            bound = sqrt((2 if working.activation == "logistic" else 6) / sum(W.shape))
            W[:] = rng.uniform(-bound, bound, W.shape)
            b[:] = rng.uniform(-bound, bound, b.shape)
        self.forget()
        working.t_, working.best_loss_, working._no_improvement_count = 0, inf, 0  # noqa: SLF001
        self._set_clock(0.0)

    def read(self) -> dict[str, Array]:
        weights = {f"weight.{i}": W for i, W in enumerate(self.working.coefs_)}
        return weights | {f"bias.{i}": b for i, b in enumerate(self.working.intercepts_)}

    def write(self, arrays: dict[str, Array]) -> None:
        depth = len(self.working.coefs_)
        self.working.coefs_ = [arrays[f"weight.{i}"] for i in range(depth)]
        self.working.intercepts_ = [arrays[f"bias.{i}"] for i in range(depth)]

    def advance(self, X: Array, y: Array, batch: int) -> bool:
        self.working.batch_size = min(batch, len(X))
        return super().advance(X, y, batch)

    def forget(self) -> None:
        for arrays in self._moments().values():
            for array in arrays:
                array.fill(0)
        if self.working.solver == "adam":
            self._optimizer.t = 0

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:
        state: dict[str, Array] = {}
        if self._schedule != "constant":
            state["t"] = np.array([self._clock + 1])
        if self._schedule == "adaptive":
            state["best_loss"] = np.array([self.working.best_loss_])
            state["no_improvement"] = np.array([float(self.working._no_improvement_count)])  # noqa: SLF001
        if not moments:
            return state
        if self.working.solver == "adam":
            state["adam_steps"] = np.array([float(self._optimizer.t)])
        return state | {name: np.concatenate([a.ravel() for a in arrays]) for name, arrays in self._moments().items()}

    def set_state(self, state: Mapping[str, Array]) -> None:
        for name, arrays in self._moments().items():
            if name not in state:
                continue
            if state[name].shape != (self.layout.size,):
                raise ValueError(f"optimizer state {name!r} is not of shape ({self.layout.size},)")
            stops = np.cumsum([array.size for array in arrays])[:-1]
            for array, part in zip(arrays, np.split(state[name], stops), strict=True):
                array[:] = part.reshape(array.shape)
        if "adam_steps" in state:
            self._optimizer.t = int(state["adam_steps"][0])
        if "t" in state:
            self._set_clock(float(state["t"][0]) - 1)
        if "best_loss" in state:
            self.working.best_loss_ = float(state["best_loss"][0])
            self.working._no_improvement_count = int(state["no_improvement"][0])  # noqa: SLF001

    @property
    def _optimizer(self) -> Any:
        return self.working._optimizer  # noqa: SLF001 - there is no public way to its memory

    def _moments(self) -> dict[str, list[Array]]:
        names = ("ms", "vs") if self.working.solver == "adam" else ("velocities",)
        return {name: getattr(self._optimizer, name) for name in names}

    @property
    def _schedule(self) -> str:
        return str(self.working.learning_rate) if self.working.solver == "sgd" else "constant"

    @property
    def _clock(self) -> float:
        """How far the schedule has come: in rows for invscaling, in cuts for an adaptive rate."""
        if self._schedule == "adaptive":
            cuts = log(self.working.learning_rate_init / self._optimizer.learning_rate, CUT)
            return round(cuts, 9)
        return float(self.working.t_)

    def _set_clock(self, clock: float) -> None:
        self._optimizer.learning_rate = float(self.working.learning_rate_init)
        if self._schedule == "adaptive":
            self._optimizer.learning_rate /= CUT ** min(clock, 64.0)  # far below where scikit-learn stops cutting
        elif self._schedule == "invscaling":
            self.working.t_ = clock
            self._optimizer.iteration_ends(clock)


class MLPRegressorAdapter(MLPAdapter):
    classifies = False
