"""Strategies without a barrier: the model moves whenever enough updates are in, however old what they started from is.

The staleness s of an update is how many steps the model has made since the client was given it: 0 for one that started
from the present model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from nervenet.models.aggregate import combine

from ...config.ranges import Count, Natural, NotNegative, Positive, Share
from .base import Contribution, Demands, Outcome, State, Stateless, StrategyError, Vector
from .deltas import shifted

Discount: TypeAlias = Literal["constant", "polynomial", "hinge"]


def discount(kind: Discount, staleness: int, a: float | None, b: int) -> float:
    """Return a weight by staleness s, 0 to 1 (Xie et al. 2019): where `a` is left open it is the paper's.

    ``polynomial``: (s + 1)^-a, of 0.5; ``hinge``: 1 up to s = b, then 1 / (a (s - b) + 1), of 10.
    """
    match kind:
        case "constant":
            return 1.0
        case "polynomial":
            return float((staleness + 1) ** -(0.5 if a is None else a))
        case "hinge":
            return 1.0 if staleness <= b else 1 / ((10.0 if a is None else a) * (staleness - b) + 1)


@dataclass(frozen=True)
class FedAsync(Stateless):
    """Each update moves the model as it comes, the staler the less (Xie et al. 2019, arXiv 1903.03934, Algorithm 1).

    ``x <- (1 - α_s) x + α_s y`` with ``α_s = alpha s(staleness)``; `a` and `b` are parameters of the weighting by
    staleness, `rho` is the pull to the received model while clients train. Examples do not count. Every update is a
    step of its own, so one Byzantine client moves the model as far as it likes.
    """

    alpha: Share = 0.6
    staleness: Discount = "polynomial"
    a: Positive | None = None
    b: Natural = 4
    rho: NotNegative = 0.0
    max_staleness: Natural | None = None

    @property
    def demands(self) -> Demands:
        settings = {"proximal": self.rho} if self.rho else {}
        return Demands(settings=settings, asynchronous=True, max_staleness=self.max_staleness)

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        after = weights
        for c in contributions:
            alpha = self.alpha * discount(self.staleness, c.staleness, self.a, self.b)
            bases = [c.base] if c.relative else []
            after = combine([after, c.first, *bases], [1 - alpha, alpha, *[alpha] * len(bases)])
        return Outcome(after, state)


@dataclass(frozen=True)
class FedBuff(Stateless):
    """The model moves by the mean of every K differences as they come (Nguyen et al. 2022, arXiv 2106.06639).

    ``x <- x + η_g / K sum_k s_k (y_k - b_k)``, each against the model b_k that its client started from; s_k is
    ``1 / sqrt(1 + staleness)``, the paper's, or what `staleness`, `a` and `b` say. K is `buffer`: the paper takes 10
    with a hundred clients and more. A fast client may be in it twice; of more than there are clients somebody always
    is, which is refused. Examples do not count.

    While n clients are at work, of all or by `participation`, about n / K steps are made of what started from one
    model, each as long as one of federated averaging. The paper tunes η_g; where `server_rate` is left open it is
    K / n, so that they are as long together. At 1 they overshoot, the more the longer clients train.
    """

    buffer: Count = 4
    server_rate: Positive | None = None
    staleness: Discount = "polynomial"
    a: Positive | None = None
    b: Natural = 4
    max_staleness: Natural | None = None

    @property
    def demands(self) -> Demands:
        return Demands(asynchronous=True, buffer=self.buffer, max_staleness=self.max_staleness)

    def check(self, clients: int) -> None:
        if clients < self.buffer:
            raise StrategyError(f"a buffer of {self.buffer} updates needs as many clients at least, found {clients}")

    def init(self, weights: Vector, population: int) -> State:  # noqa: ARG002
        return {"population": np.array(population)}

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        share = (self.server_rate or self.buffer / max(self.buffer, int(state.get("population", 0)))) / len(
            contributions
        )
        coefficients = [share * discount(self.staleness, c.staleness, self.a, self.b) for c in contributions]
        return Outcome(shifted(weights, contributions, coefficients), state)
