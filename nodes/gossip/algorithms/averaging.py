"""Averaging with neighbors: after local training, the model is the mean of what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nervenet.models.aggregate import combine

from .base import Algorithm, Incoming, Needs, State, Stepped, Vector, in_order


@dataclass(frozen=True)
class DPSGD(Algorithm):
    """Train, send, and mix by the mixing weights (Lian et al. 2017).

    arXiv 1705.09056, Algorithm 1, in the order adapt, then combine: ``x_i <- sum_j W_ij (x_j - γ ∇F_j(x_j))``. W may
    change from round to round, and where it is doubly stochastic edges may go one way (Ying et al. 2021, arXiv
    2110.13363, on exponential graphs). Of momentum and the number of local steps nothing is asked. The mean over peers
    is kept exactly in a round in which nothing is lost; the weight of a missing neighbor goes to oneself. On unlike
    data peers drift apart between exchanges: then ``gradient-tracking`` or ``d2`` does better.
    """

    needs: ClassVar[Needs] = Needs(directed=True)

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        return Stepped(state, combine(*in_order(mine, inbox, row)))


@dataclass(frozen=True)
class Epidemic(Algorithm):
    """Average, all alike, over whoever has sent this round, and oneself (De Vos et al. 2023).

    arXiv 2310.01972, Algorithm 1. With the topologies ``epidemic-oracle`` and ``epidemic-local`` it is EL-Oracle and
    EL-Local: a fresh random graph each round mixes as well as a much denser one that stays. Rows sum to one, columns
    only in expectation: the mean over peers wanders a little with ``epidemic-local``. It works on any graph.
    """

    needs: ClassVar[Needs] = Needs(directed=True, doubly=False)

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        """Take the mean: a message that is missing makes it one over fewer."""
        vectors, weights = in_order(mine, inbox, row)
        return Stepped(state, combine(vectors, [1.0 / len(weights)] * len(weights)))
