"""MLPClassifier and MLPRegressor: the same layout, start and batches as the built-in MLP of float64."""

from collections.abc import Mapping
from inspect import signature
from math import sqrt
from typing import Any

import numpy as np

from ..model import Capability
from ..weights import Array
from .adapters import Adapter
from .mlp_memory import OptimizerMemory


class MLPAdapter(Adapter):
    """Dense networks; what they carry from round to round is in `mlp_memory`."""

    capabilities = frozenset[Capability]({"sample_weight"})
    condition = "scikit-learn 1.7 or later"

    def __init__(self, given: Any, path: str) -> None:
        super().__init__(given, path)
        if "sample_weight" not in signature(type(given).partial_fit).parameters:
            self.capabilities = frozenset()

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        working = self.working
        working.shuffle, working.batch_size = False, 1
        working.warm_start = False  # else partial_fit refuses rows that lack a class
        self.see_one_row()
        for W, b in zip(working.coefs_, working.intercepts_, strict=True):
            bound = sqrt((2 if working.activation == "logistic" else 6) / sum(W.shape))
            W[:] = rng.uniform(-bound, bound, W.shape)
            b[:] = rng.uniform(-bound, bound, b.shape)
        self._memory = OptimizerMemory(working)

    def read(self) -> dict[str, Array]:
        weights = {f"weight.{i}": W for i, W in enumerate(self.working.coefs_)}
        return weights | {f"bias.{i}": b for i, b in enumerate(self.working.intercepts_)}

    def write(self, arrays: dict[str, Array]) -> None:
        depth = len(self.working.coefs_)
        self.working.coefs_ = [arrays[f"weight.{i}"] for i in range(depth)]
        self.working.intercepts_ = [arrays[f"bias.{i}"] for i in range(depth)]

    def advance(self, X: Array, y: Array, batch: int, **weights: Array) -> bool:
        self.working.batch_size = min(batch, len(X))
        return super().advance(X, y, batch, **weights)

    def forget(self) -> None:
        self._memory.forget()

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:
        return self._memory.state(moments=moments)

    def set_state(self, state: Mapping[str, Array]) -> None:
        self._memory.restore(state)


class MLPRegressorAdapter(MLPAdapter):
    classifies = False
