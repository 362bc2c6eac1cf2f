"""Server optimizers: the combined updates as a gradient (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2).

With Δ = merged - x, the pseudo-gradient of the round:

    momentum    m <- β m + Δ                    x <- x + η m            (FedAvgM: Hsu et al. 2019, arXiv 1909.06335)
    adagrad     v <- v + Δ²                     x <- x + η m / (√v + τ)
    adam        v <- β2 v + (1 - β2) Δ²         the same
    yogi        v <- v - (1 - β2) Δ² sign(v - Δ²)     the same, each with m <- β1 m + (1 - β1) Δ

v starts at τ², as Algorithm 2 permits (any v >= τ²), and there is no bias correction, as there. Moments are kept in the
dtype of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .base import State, Vector


@dataclass(frozen=True)
class Momentum:
    """Heavy ball on the server."""

    rate: float
    beta: float

    def init(self, weights: Vector) -> State:
        return {"momentum": np.zeros_like(weights)}

    def apply(self, state: State, weights: Vector, merged: Vector, *, relative: bool) -> tuple[Vector, State]:
        momentum = state["momentum"] * _like(self.beta, weights)
        momentum += _delta(weights, merged, relative=relative)
        after = momentum * _like(self.rate, weights)
        after += weights
        return after, {"momentum": momentum}


@dataclass(frozen=True)
class Adaptive:
    """Adagrad, Adam or Yogi on the server: they differ in how the second moment grows."""

    rule: Literal["adagrad", "adam", "yogi"]
    rate: float
    beta_1: float
    beta_2: float
    tau: float

    def init(self, weights: Vector) -> State:
        return {"first": np.zeros_like(weights), "second": np.full_like(weights, self.tau**2)}

    def apply(self, state: State, weights: Vector, merged: Vector, *, relative: bool) -> tuple[Vector, State]:
        delta = _delta(weights, merged, relative=relative)
        beta_1, beta_2, tau, rate = (_like(x, weights) for x in (self.beta_1, self.beta_2, self.tau, self.rate))
        first = beta_1 * state["first"]
        first += (1 - beta_1) * delta
        square = np.multiply(delta, delta, out=delta)
        match self.rule:
            case "adagrad":
                second = state["second"] + square
            case "adam":
                second = beta_2 * state["second"]
                second += np.multiply(square, 1 - beta_2, out=square)
            case "yogi":
                sign = np.sign(state["second"] - square)
                square *= 1 - beta_2
                second = state["second"] - np.multiply(square, sign, out=square)
        root = np.sqrt(second, out=square)  # in the room of what is no longer needed: models are large
        root += tau
        after = rate * first
        after /= root
        after += weights
        return after, {"first": first, "second": second}


def _delta(weights: Vector, merged: Vector, *, relative: bool) -> Vector:
    return merged if relative else np.subtract(merged, weights, out=merged)


def _like(value: float, weights: Vector) -> Any:
    """The number in the dtype of the weights, so that float32 stays float32."""
    return weights.dtype.type(value)
