"""Gradient tracking: each peer corrects its gradients by how they differ from those of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from nervenet.models.aggregate import combine

from ...config.ranges import Positive
from .base import Algorithm, Incoming, Needs, Outgoing, OutgoingVector, Progress, State, Stepped, Vector, in_order


@dataclass(frozen=True)
class GradientTracking(Algorithm):
    """Track the mean gradient through local steps, so that unlike data do not pull peers apart (Liu et al. 2023).

    K-GT, arXiv 2301.01313, Algorithm 1. With K local steps of rate η_c along ``∇F_i + c_i``, z_i the mean of those
    corrected gradients, and η_s the step of the exchange::

        z_i = (x_i - x_i^K) / (K η_c)
        c_i <- c_i - z_i + sum_j W_ij z_j          the sum over peers stays zero
        x_i <- sum_j W_ij (x_j - η_s K η_c z_j)

    With one local step it is gradient tracking as of GNSD (Lu et al. 2019) and DGT (Qu & Li 2018): then z_i is the
    tracker y_i, and the second line ``y_i <- sum_j W_ij y_j + g_i - g_i'``. It sends two vectors, and its steps must be
    plain ones, from which a mean gradient can be computed. In a round in which a message is lost on one way only, the
    corrections no longer sum to zero, which nothing repairs: where messages are often lost, take ``dpsgd``.
    """

    needs: ClassVar[Needs] = Needs(parts=("weights", "gradients"), plain=True, correction=True)

    exchange_step: Positive = 1.0  # η_s; less than 1 damps

    def init(self, weights: Vector, common: Vector) -> State:  # noqa: ARG002
        return {"correction": np.zeros_like(weights)}  # over all peers it sums to zero

    def correction(self, state: State) -> Vector | None:
        return state["correction"]

    def outgoing(self, state: State, progress: Progress) -> tuple[State, Outgoing]:
        """Send the model and the mean gradient, one behind the other."""
        moved = progress.before - progress.after
        gradient = moved / moved.dtype.type(progress.reach) if progress.reach else moved
        x = progress.after
        if self.exchange_step != 1:
            x = progress.before - moved.dtype.type(self.exchange_step) * moved
        return state, Outgoing(OutgoingVector(np.concatenate([x, gradient])))

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        size = mine.size // 2
        mixed = combine(*in_order(mine, inbox, row))
        correction = state["correction"] - mine[size:] + mixed[size:]
        return Stepped({"correction": correction}, mixed[:size])
