"""The coordinator's worker: holds the strategy and what it remembers, makes the next model, writes checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace
from nervenet.models.site_model import SiteModel

from ..large.vectors import Room
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.model_worker import ModelWorker, Scale
from ..runtime.worker import Cancellation, Deferred
from .checkpoint_writer import CheckpointWriter
from .large.range_fold import RangeFold
from .sampling import share_of
from .strategies import Contribution, State, Strategy
from .strategies.safeguards import begun, guarded

if TYPE_CHECKING:
    from nervenet.models.artifact import SavedModel

# A checkpoint is asked for when its round is the last that the machine knows of; the next one may be folded by then.
KEPT = 2
STATE, PART = "strategy.", "part."  # before the names of arrays in a checkpoint


def population_of(strategy: Strategy, nodes: int, participation: float) -> int:
    """Return what `Strategy.init` is told: the clients of the run; without rounds, as many as are at work at a time."""
    return share_of(nodes, participation) if strategy.demands.asynchronous else nodes


class Aggregator:
    """Folds updates into the next model, one round after another.

    With `report` each fold also measures every update and names who is out of line, as `strategies.outliers` does: a
    few more passes over them. `population` is what `population_of` returns, `room` where large vectors are kept.
    """

    def __init__(
        self, strategy: Strategy, population: int = 0, *, report: bool = False, room: Room | None = None
    ) -> None:
        self.strategy = strategy
        self.population = population
        self.room = room or Room()
        self.state: State = {}  # what the strategy remembers after the last round that was folded
        self._report = report
        self._kept: dict[int, dict[str, Any]] = {}
        self._ranges: RangeFold | None = None

    def begin(self, weights: Any) -> Any:
        self.state = begun(self.strategy, weights, self.population)
        extra = len(self.strategy.demands.parts) - 1
        parts = (np.zeros_like(weights),) * extra
        # A region that is resumed hears of the agreement again, and may be asked for no further round.
        restored = dict(self._kept)
        self._keep(0, parts)
        self._kept |= restored
        return self.outgoing(weights, parts)

    def arrays(self, number: int) -> dict[str, Any]:
        """Return all that the next round depends on, without the weights, by name, as it was after a round."""
        if number not in self._kept:
            raise RuntimeError(f"round {number} is not remembered; rounds {sorted(self._kept)} are")
        return dict(self._kept[number])

    def restore(self, number: int, weights: Any, arrays: Mapping[str, Any]) -> Any:
        """Take up what `arrays` returned after a round; return what goes out to the clients in the next one."""
        self.state = _state_in(arrays)
        parts = tuple(arrays[f"{PART}{k}"] for k in range(1, sum(name.startswith(PART) for name in arrays) + 1))
        self._keep(number, parts)
        return self.outgoing(weights, parts)

    def fold(self, effect: e.Fold) -> ev.Folded:
        """Make the next model.

        Raises
        ------
        StrategyError
            The strategy cannot combine these updates, or what it makes of them is no finite model.
        """
        self._rewind(effect.round)
        outcome = guarded(self.strategy, self.state, effect.body, effect.contributions)
        self.state = dict(outcome.state)
        self._keep(effect.round, tuple(outcome.outgoing))
        outgoing = self.outgoing(outcome.weights, outcome.outgoing)
        metrics = {**outcome.metrics, **(_outlier_report(effect.contributions) if self._report else {})}
        return ev.Folded(effect.round, effect.attempt, outcome.weights, outgoing, metrics, dict(outcome.rejected))

    def fold_range(self, effect: e.FoldRange) -> ev.RangeFolded:
        """Make one range of the next model; raises what `fold` raises."""
        if self._ranges is None or self._ranges.number != effect.number:
            self._ranges = None  # before there is room for another
            self._rewind(effect.round)
            self._ranges = RangeFold(effect.number, self.strategy, self.state, self.room)
        return self._ranges.fold(effect)

    def close_fold(self, effect: e.CloseFold) -> ev.Folded:
        """Take over the next model, of which all ranges have been made."""
        ranges, self._ranges = self._ranges, None
        if ranges is None or ranges.number != effect.number:
            raise RuntimeError(f"fold {effect.number} was not begun")
        weights, self.state = ranges.result()
        self._keep(effect.round, ())
        return ev.Folded(effect.round, effect.attempt, weights, metrics=ranges.metrics)

    def _keep(self, number: int, parts: tuple[Any, ...]) -> None:
        arrays = {f"{STATE}{name}": array for name, array in self.state.items()}
        arrays |= {f"{PART}{k}": part for k, part in enumerate(parts, 1)}
        kept = [n for n in sorted(self._kept) if n < number][1 - KEPT :]
        self._kept = {n: self._kept[n] for n in kept} | {number: arrays}

    def _rewind(self, number: int) -> None:
        """Forget a fold of this very round: too few of its updates were left, and it is tried again."""
        before = [n for n in self._kept if n < number]
        if number in self._kept and before:
            self.state = _state_in(self._kept[max(before)])

    @staticmethod
    def outgoing(weights: Any, parts: tuple[Any, ...]) -> Any:
        """Lay the further parts behind the weights: one vector for the wire."""
        return np.concatenate([weights, *parts]) if parts else weights


class CoordinatorWorker(ModelWorker):
    """Folds, evaluates the global model, and writes checkpoints if it has a `writer`.

    `personal` names arrays that stay with the clients, which must be arrays of the model.
    """

    def __init__(
        self,
        site_model: SiteModel,
        aggregator: Aggregator,
        *,
        node: str,
        seed: int,
        scale: Scale = "standard",
        initial: SavedModel | None = None,
        personal: Sequence[str] = (),
        writer: CheckpointWriter | None = None,
    ) -> None:
        super().__init__(site_model, node=node, seed=seed, scale=scale, initial=initial)
        self.aggregator = aggregator
        self._personal = tuple(personal)
        self._writer = writer

    def snapshot(self, effect: e.Effect) -> e.Effect:
        """Return a checkpoint with all that belongs to its round. Copies no vector: folds make new ones."""
        if isinstance(effect, e.Checkpoint) and self._writer is not None:
            return self._writer.complete(effect, self.aggregator.arrays(effect.round))
        return effect

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        match effect:
            case e.Fold():
                return self.aggregator.fold(effect)
            case e.FoldRange():
                return self.aggregator.fold_range(effect)
            case e.CloseFold():
                return self.aggregator.close_fold(effect)
            case e.Checkpoint():
                if self._writer is not None:
                    self._writer.write(effect)
                return ev.Saved(effect.round)
            case _:
                return super().perform(effect, cancellation)

    def apply_agreement(self, effect: e.ApplyAgreement) -> ev.ModelReady | ev.NextQuestion:
        ready = super().apply_agreement(effect)
        if isinstance(ready, ev.NextQuestion):
            return ready
        if self._personal:
            from nervenet.models.local.personal import personal_names

            personal_names(self.site_model.layout, self._personal)
        body = self.aggregator.room.moved(ready.body)
        return replace(ready, body=body, outgoing=self.aggregator.begin(body))


def _state_in(arrays: Mapping[str, Any]) -> State:
    return {name.removeprefix(STATE): array for name, array in arrays.items() if name.startswith(STATE)}


def _outlier_report(contributions: Sequence[Contribution]) -> dict[str, Any]:
    from .strategies.outliers import outliers

    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is out of line, and reported as that
        found = outliers(contributions)
    fields = {"norms": dict(found.norms), "cosines": dict(found.cosines), "outliers": dict(found.flagged)}
    return {name: figures for name, figures in fields.items() if figures}
