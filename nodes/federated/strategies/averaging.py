"""Averaging, with and without an optimizer at the server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ...config.ranges import Part, Positive
from .pipeline import Composed, Pipeline
from .server_optimizers import Adaptive, Momentum


@dataclass(frozen=True)
class FedAvg(Composed):
    """Federated averaging: each update counts by its examples (McMahan et al. 2017, arXiv 1602.05629, Algorithm 1)."""

    by_coordinate: ClassVar[bool] = True


@dataclass(frozen=True)
class FedAvgM(Composed):
    """Averaging with momentum at the server (Hsu et al. 2019, arXiv 1909.06335): steadier on skewed data."""

    by_coordinate: ClassVar[bool] = True
    server_rate: Positive = 1.0
    server_momentum: Part = 0.9

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(step=Momentum(self.server_rate, self.server_momentum))


@dataclass(frozen=True)
class FedAdagrad(Composed):
    """Adagrad at the server (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2)."""

    by_coordinate: ClassVar[bool] = True
    server_rate: Positive = 0.1
    beta_1: Part = 0.0
    tau: Positive = 1e-3

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(step=Adaptive("adagrad", self.server_rate, self.beta_1, 0.0, self.tau))


@dataclass(frozen=True)
class FedAdam(Composed):
    """Adam at the server (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2)."""

    by_coordinate: ClassVar[bool] = True
    server_rate: Positive = 0.01
    beta_1: Part = 0.9
    beta_2: Part = 0.99
    tau: Positive = 1e-3

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(step=Adaptive("adam", self.server_rate, self.beta_1, self.beta_2, self.tau))


@dataclass(frozen=True)
class FedYogi(Composed):
    """Yogi at the server (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2): Adam whose second moment grows slowly."""

    by_coordinate: ClassVar[bool] = True
    server_rate: Positive = 0.01
    beta_1: Part = 0.9
    beta_2: Part = 0.99
    tau: Positive = 1e-3

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(step=Adaptive("yogi", self.server_rate, self.beta_1, self.beta_2, self.tau))
