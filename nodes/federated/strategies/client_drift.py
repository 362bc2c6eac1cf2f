"""Strategies whose better half is done by the clients: FedProx, SCAFFOLD, FedNova."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from nervenet.models.aggregate import combine

from ...config.ranges import NotNegative, Positive
from .base import Contribution, Demands, Outcome, State, Stateless, StrategyError, Vector
from .deltas import shifted
from .pipeline import Composed, by_examples, misreported, without

UNEQUAL = 1000.0
"""FedNova believes no client that it has done more, or less, than the median client by a larger factor: a normalizer
near zero would make a step of any length of its difference, and a huge one of everybody's."""


@dataclass(frozen=True)
class FedProx(Composed):
    """Averaging with a pull towards the global model while clients train (Li et al. 2020, arXiv 1812.06127).

    Every gradient of a client gets ``mu (w - w_t)``: steadier with skewed data and much local work. The server does
    what federated averaging does. The model must be able to add the term: the built-in network, scikit-learn's SGD
    models.
    """

    by_coordinate: ClassVar[bool] = True
    mu: NotNegative = 0.1

    @property
    def demands(self) -> Demands:
        return Demands(settings={"proximal": self.mu})


@dataclass(frozen=True)
class Scaffold(Stateless):
    """Control variates that correct each client's drift (Karimireddy et al. 2020, arXiv 1910.06378, Algorithm 1).

    Of N clients S report ``y_k - x`` and the change of their control variate, and all count alike:

        x <- x + η_g / |S| sum (y_k - x)        c <- c + 1 / N sum Δc_k

    c travels with the weights, so each message is twice as long. N is the population that the run started with: the
    control variates of a client that comes later, 0 until then, are counted as if it took a place in it.
    """

    server_rate: Positive = 1.0

    @property
    def demands(self) -> Demands:
        return Demands(settings={"control": True}, parts=("weights", "control"))

    def init(self, weights: Vector, population: int) -> State:
        if population < 1:
            raise StrategyError(f"scaffold must know how many clients the run has, found {population}")
        return {"control": np.zeros_like(weights), "population": np.array([population])}

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        n, population = len(contributions), int(state["population"][0])
        after = shifted(weights, contributions, [self.server_rate / n] * n)
        changes = [c.part(1) for c in contributions]
        control = combine([state["control"], *changes], [1.0, *[1 / population] * n])
        return Outcome(after, {**state, "control": control}, outgoing=(control,))


@dataclass(frozen=True)
class FedNova(Stateless):
    """Averaging that is fair to clients with unequal local work (Wang et al. 2020, arXiv 2007.07481, section 4).

    Each client's difference is divided by its own normalizer a_k, the number of its steps for plain SGD, before they
    are averaged by examples, p_k; the mean goes as far as an average client went:

        d_k = (x - y_k) / a_k        τ_eff = sum p_k a_k        x <- x - τ_eff sum p_k d_k

    It believes what clients say of their work, within a thousandfold of the median client's. One that says nothing,
    such as a model whose optimizer has no normalizer (Adam), is rejected by name.
    """

    by_coordinate: ClassVar[bool] = True

    @property
    def demands(self) -> Demands:
        return Demands(fednova_normalizer=True)

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        rejected = misreported("fednova_normalizer", contributions, lambda value: value > 0, "a number above 0")
        middle = statistics.median_low([c.metrics["fednova_normalizer"] for c in without(contributions, rejected)])
        what = f"within a factor of {UNEQUAL:g} of the median client's, {middle:.3g},"
        rejected = (
            misreported("fednova_normalizer", contributions, lambda v: 0 < v / UNEQUAL <= middle <= v * UNEQUAL, what)
            | rejected
        )
        counted = without(contributions, rejected)
        shares, reaches = by_examples(counted), [c.metrics["fednova_normalizer"] for c in counted]
        effective = sum(share * reach for share, reach in zip(shares, reaches, strict=True))
        coefficients = [effective * share / reach for share, reach in zip(shares, reaches, strict=True)]
        after = shifted(weights, counted, coefficients)
        return Outcome(after, state, {"effective_steps": effective}, rejected)
