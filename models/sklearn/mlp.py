"""MLPClassifier and MLPRegressor: the same layout, start and batches as the built-in MLP of float64."""

from collections.abc import Mapping
from math import sqrt

import numpy as np

from ..weights import Array
from .adapters import Adapter


class MLPAdapter(Adapter):
    def prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        working = self.working
        working.shuffle, working.batch_size = False, 1
        self.see_one_row()
        for W, b in zip(working.coefs_, working.intercepts_, strict=True):
            bound = sqrt((2 if working.activation == "logistic" else 6) / sum(W.shape))
            W[:] = rng.uniform(-bound, bound, W.shape)
            b[:] = rng.uniform(-bound, bound, b.shape)
        working.t_ = 0
        self.forget()

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
        self._set_clock(self.working.t_, float(self.working.learning_rate_init), 0)

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:  # noqa: ARG002
        """Return moments, step count, rate and schedule's clock, whatever `moments`: none can be put back alone."""
        optimizer = self.working._optimizer  # noqa: SLF001 - there is no public way to its memory
        clock = [float(self.working.t_), float(optimizer.learning_rate), float(getattr(optimizer, "t", 0))]
        flat = {name: np.concatenate([a.ravel() for a in arrays]) for name, arrays in self._moments().items()}
        return flat | {"clock": np.array(clock)}

    def set_state(self, state: Mapping[str, Array]) -> None:
        for name, arrays in self._moments().items():
            if name not in state or state[name].shape != (self.layout.size,):
                raise ValueError(f"optimizer state {name!r} is missing, or not of shape ({self.layout.size},)")
            stops = np.cumsum([array.size for array in arrays])[:-1]
            for array, part in zip(arrays, np.split(state[name], stops), strict=True):
                array[:] = part.reshape(array.shape)
        steps, rate, adam_steps = state["clock"]
        self._set_clock(int(steps), float(rate), int(adam_steps))

    def _moments(self) -> dict[str, list[Array]]:
        optimizer = self.working._optimizer  # noqa: SLF001
        names = ("ms", "vs") if self.working.solver == "adam" else ("velocities",)
        return {name: getattr(optimizer, name) for name in names}

    def _set_clock(self, steps: int, rate: float, adam_steps: int) -> None:
        optimizer = self.working._optimizer  # noqa: SLF001
        self.working.t_, optimizer.learning_rate = steps, rate
        if self.working.solver == "adam":
            optimizer.t = adam_steps


class MLPRegressorAdapter(MLPAdapter):
    classifies = False
