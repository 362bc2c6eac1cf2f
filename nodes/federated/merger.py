"""Merger: the coordinator's half of the worker. Holds the strategy and what it remembers; makes the next model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from nervenet.models.aggregate import RULES

from .. import effects as e
from .strategies import Contribution, State, Strategy
from .strategies.guard import guarded


class Merger:
    """Performs folds, one after another, in the worker thread or where small ones are done at once.

    Parameters
    ----------
    strategy
    population
        Clients of the run: `Strategy.init` is told.
    report
        Whether a fold tells each update's ``norms`` and ``cosines``, and who is out of line, as ``outliers``: see
        `strategies.outliers`. It costs a few more passes over the updates.

    Attributes
    ----------
    state
        What the strategy remembers after the last round that was folded; goes into the checkpoint.
    """

    def __init__(self, strategy: Strategy, population: int = 0, *, report: bool = False) -> None:
        self.strategy = strategy
        self.population = population
        self.report = report
        self.state: State = {}

    def begin(self, weights: Any) -> Any:
        """Start from `weights`; gives what goes out to the clients first."""
        self.state = self.strategy.init(weights, self.population)
        extra = len(self.strategy.demands.parts) - 1
        return self.outgoing(weights, (np.zeros_like(weights),) * extra)

    def fold(self, job: e.Fold) -> e.Folded:
        """Make the next model.

        Raises
        ------
        StrategyError
            The strategy cannot combine these updates, or what it makes of them is no finite model.
        """
        if job.rule != "mean":
            merged = RULES[job.rule]([c.body for c in job.contributions], [c.examples for c in job.contributions], None)
            return e.Folded(job.round, job.attempt, merged, merged)
        outcome = guarded(self.strategy, self.state, job.body, job.contributions)
        self.state = dict(outcome.state)
        going_out = self.outgoing(outcome.weights, outcome.outgoing)
        metrics = {**outcome.metrics, **(reported(job.contributions) if self.report else {})}
        return e.Folded(job.round, job.attempt, outcome.weights, going_out, metrics, dict(outcome.rejected))

    @staticmethod
    def outgoing(weights: Any, parts: tuple[Any, ...]) -> Any:
        """Lay the further parts behind the weights: one vector for the wire."""
        return np.concatenate([weights, *parts]) if parts else weights


def reported(contributions: Sequence[Contribution]) -> dict[str, Any]:
    """Give the outlier report as fields of an event."""
    from .strategies.outliers import outliers

    found = outliers(contributions)
    fields = {"norms": dict(found.norms), "cosines": dict(found.cosines), "outliers": dict(found.flagged)}
    return {name: figures for name, figures in fields.items() if figures}
