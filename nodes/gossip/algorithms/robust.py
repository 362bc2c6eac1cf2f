"""Neighbors that are not trusted: what any of them can do to a model is limited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from nervenet.models.aggregate import combine
from nervenet.models.robust.coordinate_wise import trimmed_mean
from nervenet.models.robust.distances import distances_to
from nervenet.models.schedule import median_clock

from ...config.ranges import Count, Positive
from ...topology import Neighbors, Rows, incoming
from .base import Algorithm, AlgorithmError, Incoming, Needs, State, Stepped, Vector


class RobustAlgorithm(Algorithm):
    """An algorithm in which no minority of the neighbors sets the clock of the learning-rate schedule either."""

    def clock(self, clocks: Sequence[float], weights: Sequence[float]) -> float:
        return median_clock(clocks, weights)


@dataclass(frozen=True)
class ClippedGossip(RobustAlgorithm):
    """Move towards each neighbor, but no further than a radius that the nearer ones set (He et al. 2022).

    arXiv 2202.01545, Algorithm 1 and section 4: ``x_i <- sum_j W_ij (x_i + clip(x_j - x_i, τ_i))`` with
    ``τ_i² = (1/δ_i) sum_j W_ij ||x_j - x_i||²``, the sum over all but the `byzantine` farthest neighbors, whose weight
    is δ_i. Peers that are honest and unlike are clipped, too: on unlike data it costs accuracy.
    """

    byzantine: Count = 1  # neighbors, of each peer, that may be Byzantine

    def check(self, out: Neighbors, rows: Rows) -> None:  # noqa: ARG002
        _least_neighbors(out, self.byzantine + 1, f"gossip.byzantine = {self.byzantine}")

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        if not inbox:
            return Stepped(state, mine)
        distances = distances_to([message.vector for message in inbox.values()], mine)
        weights = np.array([row[peer] for peer in inbox])
        order = np.argsort(distances, kind="stable")
        near, far = order[: -self.byzantine], order[-self.byzantine :]
        radius = float(np.sqrt(np.dot(weights[near], distances[near] ** 2) / weights[far].sum()))
        return Stepped(state, _clipped(mine, inbox, weights, distances, radius), metrics={"radius": radius})


@dataclass(frozen=True)
class SelfCenteredClipping(RobustAlgorithm):
    """Move towards each neighbor, but no further than a given radius (He et al. 2022).

    arXiv 2202.01545, equation 5, with the same τ for all rounds: ``x_i <- sum_j W_ij (x_i + clip(x_j - x_i, τ))``. A
    radius that is too small stops consensus, one too large protects from nothing; ``clipped-gossip`` finds one.
    """

    radius: Positive = 1.0  # τ, in the unit of the weights: the norm of a usual disagreement

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        if not inbox:
            return Stepped(state, mine)
        distances = distances_to([message.vector for message in inbox.values()], mine)
        weights = np.array([row[peer] for peer in inbox])
        return Stepped(state, _clipped(mine, inbox, weights, distances, self.radius))


@dataclass(frozen=True)
class TrimmedMean(RobustAlgorithm):
    """Leave out, in each coordinate, the largest and smallest values of the neighbors (Fang et al. 2022).

    BRIDGE-T, arXiv 1908.08098, Algorithm 1: of d neighbors the b largest and b smallest values go, and the d - 2b that
    are left are averaged with one's own. Needs d >= 2b + 1. Rows sum to one and columns do not, so the mean over peers
    is not kept; on unlike data the values that are left out may be the ones that were needed.
    """

    needs: ClassVar[Needs] = Needs(directed=True, doubly=False)

    byzantine: Count = 1  # b: neighbors, of each peer, that may be Byzantine

    def check(self, out: Neighbors, rows: Rows) -> None:  # noqa: ARG002
        _least_neighbors(out, 2 * self.byzantine + 1, f"gossip.byzantine = {self.byzantine}")

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:  # noqa: ARG002
        kept = len(inbox) - 2 * self.byzantine
        if kept < 1:
            return Stepped(state, mine)
        middle = trimmed_mean([message.vector for message in inbox.values()], self.byzantine)
        return Stepped(state, combine([mine, middle], [1 / (kept + 1), kept / (kept + 1)]))


def _clipped(mine: Vector, inbox: Mapping[str, Incoming], weights: Vector, distances: Vector, radius: float) -> Vector:
    """``x + sum_j W_j f_j (x_j - x)``, f_j what shortens a difference to the radius."""
    factors = np.divide(radius, distances, out=np.ones_like(distances), where=distances > radius)
    pulls = weights * factors
    return combine([mine, *(message.vector for message in inbox.values())], [1.0 - float(pulls.sum()), *pulls.tolist()])


def _least_neighbors(out: Neighbors, least: int, what: str) -> None:
    for name, senders in incoming(out).items():
        if len(senders) < least:
            raise AlgorithmError(
                f"{what} needs at least {least} neighbors a peer, and {name} has {len(senders)}; "
                "expected fewer, or a denser gossip.topology"
            )
