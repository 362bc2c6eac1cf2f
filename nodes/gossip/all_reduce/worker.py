"""The worker of a peer that all-reduces: cuts its model into parts, takes the mean of its own, puts all together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from nervenet.models.aggregate import weighted_mean
from nervenet.models.new_vector import laid_out
from nervenet.models.weights import checked_finite

from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.worker import Cancellation, Deferred
from ..algorithms import Algorithm
from ..worker import GossipWorker


class AllReduceWorker(GossipWorker):
    """Does a peer's trainings, and its share of the arithmetic of each all-reduce."""

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        match effect:
            case e.Split(number, body, ends):
                return ev.Parts(number, tuple(body[start:end] for start, end in pairwise((0, *ends))))
            case e.Reduce(number, bodies, examples):
                return ev.Reduced(number, reduced(bodies, examples))
            case e.Gather():
                return self.gather(effect)
            case _:
                return super().perform(effect, cancellation)

    def gather(self, effect: e.Gather) -> ev.Mixed:
        """Go on from the parts, one behind the other.

        Raises
        ------
        ArithmeticError
            They are not finite.
        """
        bodies = effect.bodies
        vector = bodies[0] if len(bodies) == 1 else laid_out(bodies)
        self._weights = checked_finite(vector, "the mean")
        self.site_model.set_weights(self._weights)
        self.site_model.clock = effect.clock
        return ev.Mixed(effect.round, self._weights, clock=effect.clock)


def worker_of(algorithm: Algorithm) -> type[GossipWorker]:
    """Return the worker that a peer of an algorithm has."""
    return AllReduceWorker if algorithm.needs.reduces else GossipWorker


def reduced(bodies: Sequence[Any], examples: Sequence[int]) -> Any:
    """Return the mean of a part, to the bit that which federated averaging would have there of whole updates.

    Where nobody has any examples, all count alike.
    """
    total = sum(examples)
    weights = [each / total for each in examples] if total else [1 / len(bodies)] * len(bodies)
    return checked_finite(weighted_mean(bodies, weights), "the mean of a part")
