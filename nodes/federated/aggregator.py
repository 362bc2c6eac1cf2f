"""Aggregator: the coordinator's half of the worker. Holds the strategy and what it remembers; makes the next model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..runtime import effects as e
from ..runtime import events as ev
from .strategies import Contribution, State, Strategy
from .strategies.safeguards import begun, guarded

# A checkpoint is asked for when its round is the last that the machine knows of; the next one may be folded by then.
KEPT = 2
STATE, PART = "strategy.", "part."  # before the names of arrays in a checkpoint


class Aggregator:
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
        self._kept: dict[int, dict[str, Any]] = {}

    def begin(self, weights: Any) -> Any:
        """Start from `weights`; gives what goes out to the clients first."""
        self.state = begun(self.strategy, weights, self.population)
        extra = len(self.strategy.demands.parts) - 1
        parts = (np.zeros_like(weights),) * extra
        self._keep(0, parts)
        return self.outgoing(weights, parts)

    def arrays(self, number: int) -> dict[str, Any]:
        """Give all that the next round depends on beside the weights, by name, as it was after a round."""
        if number not in self._kept:
            raise RuntimeError(f"round {number} is not remembered; rounds {sorted(self._kept)} are")
        return dict(self._kept[number])

    def restore(self, number: int, weights: Any, arrays: Mapping[str, Any]) -> Any:
        """Take up what `arrays` gave after a round; gives what goes out to the clients in the next one."""
        self.state = {name.removeprefix(STATE): array for name, array in arrays.items() if name.startswith(STATE)}
        parts = tuple(arrays[f"{PART}{k}"] for k in range(1, sum(name.startswith(PART) for name in arrays) + 1))
        self._keep(number, parts)
        return self.outgoing(weights, parts)

    def _keep(self, number: int, parts: tuple[Any, ...]) -> None:
        """States and parts are never changed, so that keeping them copies nothing."""
        arrays = {f"{STATE}{name}": array for name, array in self.state.items()}
        arrays |= {f"{PART}{k}": part for k, part in enumerate(parts, 1)}
        kept = [n for n in sorted(self._kept) if n < number][1 - KEPT :]
        self._kept = {n: self._kept[n] for n in kept} | {number: arrays}

    def _rewind(self, number: int) -> None:
        """Forget a fold of this very round: too few of its updates were left, and it is tried again."""
        before = [n for n in self._kept if n < number]
        if number in self._kept and before:
            arrays = self._kept[max(before)]
            self.state = {name.removeprefix(STATE): a for name, a in arrays.items() if name.startswith(STATE)}

    def fold(self, job: e.Fold) -> ev.Folded:
        """Make the next model.

        Raises
        ------
        StrategyError
            The strategy cannot combine these updates, or what it makes of them is no finite model.
        """
        self._rewind(job.round)
        outcome = guarded(self.strategy, self.state, job.body, job.contributions)
        self.state = dict(outcome.state)
        self._keep(job.round, tuple(outcome.outgoing))
        going_out = self.outgoing(outcome.weights, outcome.outgoing)
        metrics = {**outcome.metrics, **(reported(job.contributions) if self.report else {})}
        return ev.Folded(job.round, job.attempt, outcome.weights, going_out, metrics, dict(outcome.rejected))

    @staticmethod
    def outgoing(weights: Any, parts: tuple[Any, ...]) -> Any:
        """Lay the further parts behind the weights: one vector for the wire."""
        return np.concatenate([weights, *parts]) if parts else weights


def reported(contributions: Sequence[Contribution]) -> dict[str, Any]:
    """Give the outlier report as fields of an event."""
    from .strategies.outliers import outliers

    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is out of line, and told as that
        found = outliers(contributions)
    fields = {"norms": dict(found.norms), "cosines": dict(found.cosines), "outliers": dict(found.flagged)}
    return {name: figures for name, figures in fields.items() if figures}
