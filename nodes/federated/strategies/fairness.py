"""Fairness: clients that the model serves badly count for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...config.ranges import NotNegative, Positive
from .base import Contribution, Demands, Outcome, State, Stateless, Vector
from .deltas import lengths, shifted
from .pipeline import misreported, without

SMALLEST = 1e-10
"""A loss counts as no smaller than this: F^(q-1) would be infinite at 0 for q < 1."""


@dataclass(frozen=True)
class QFedAvg(Stateless):
    """Averaging for an even performance over clients: weights by loss (Li et al. 2020, arXiv 1905.10497, Algorithm 2).

    With F_k the loss of the present model on a client's own rows and L = 1 / `step`:

        Δ_k = L (x - y_k)    h_k = q F_k^(q-1) ||Δ_k||² + L F_k^q    x <- x - sum F_k^q Δ_k / sum h_k

    As there, examples do not count, and q = 0 is the plain mean; the larger q, the more the worst client decides, and
    the smaller the steps. It believes the losses that clients report: whoever exaggerates gains by it.

    The paper estimates 1 / L by the clients' learning rate, which holds for one step of plain SGD. Several epochs, or
    momentum, go many times as far, and such an L would all but stop the model. Where `step` is left open, 1 / L is
    ``sum ||x - y_k||² / sum F_k``, anew in each round: for clients that are alike the step is then 1 / (1 + q) of
    federated averaging's, in whatever units losses and weights are.
    """

    q: NotNegative = 1.0
    step: Positive | None = None

    @property
    def demands(self) -> Demands:
        return Demands(settings={"probe": True})

    def apply(self, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
        rejected = misreported("probe_loss", contributions, lambda value: value >= 0, "a number of at least 0")
        counted = without(contributions, rejected)
        losses = [max(c.metrics["probe_loss"], SMALLEST) for c in counted]
        # Divided by L and by the largest loss to the power q, which change nothing: no power can then overflow.
        worst = max(losses)
        powers = [(loss / worst) ** self.q for loss in losses]
        squares = [length * length for length in lengths(counted)]
        step = self.step or sum(squares) / sum(losses) or 1.0  # where nothing has moved, any will do
        damping = sum(
            power + self.q * power / loss * square / step
            for power, loss, square in zip(powers, losses, squares, strict=True)
        )
        after = shifted(weights, counted, [power / damping for power in powers])
        metrics = {"probe_loss_mean": sum(losses) / len(losses), "probe_loss_worst": worst}
        return Outcome(after, state, metrics, rejected)
