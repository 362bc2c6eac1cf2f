"""Merger: the coordinator's half of the worker. Holds the strategy and what it remembers; makes the next model."""

from __future__ import annotations

from typing import Any

import numpy as np
from nervenet.models.aggregate import RULES
from nervenet.models.weights import is_finite

from .. import effects as e
from .strategies import State, Strategy


class Merger:
    """Performs folds, one after another, in the worker thread or where small ones are done at once.

    Attributes
    ----------
    state
        What the strategy remembers after the last round that was folded; goes into the checkpoint.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.state: State = {}

    def begin(self, weights: Any) -> Any:
        """Start from `weights`; gives what goes out to the clients first."""
        self.state = self.strategy.init(weights)
        extra = len(self.strategy.demands.parts) - 1
        return self.outgoing(weights, (np.zeros_like(weights),) * extra)

    def fold(self, job: e.Fold) -> e.Folded:
        """Make the next model.

        Raises
        ------
        StrategyError
            The strategy cannot combine these updates.
        ArithmeticError
            The result is not finite.
        """
        if job.rule != "mean":
            merged = RULES[job.rule]([c.body for c in job.contributions], [c.examples for c in job.contributions], None)
            return e.Folded(job.round, job.attempt, merged, merged)
        outcome = self.strategy.apply(self.state, job.body, job.contributions)
        if not is_finite(outcome.weights):
            raise ArithmeticError("the next global model must be finite, found NaN or infinity")
        self.state = dict(outcome.state)
        going_out = self.outgoing(outcome.weights, outcome.outgoing)
        return e.Folded(
            job.round, job.attempt, outcome.weights, going_out, dict(outcome.metrics), dict(outcome.rejected)
        )

    @staticmethod
    def outgoing(weights: Any, parts: tuple[Any, ...]) -> Any:
        """Lay the further parts behind the weights: one vector for the wire."""
        return np.concatenate([weights, *parts]) if parts else weights
