"""The coordinator's checkpoints, from what its machine remembers to a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint.store import CheckpointError, CheckpointStore, State
from ..config.compatibility import check_fits
from ..config.keys import ExperimentError
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.model_worker import payload_of
from ..runtime.node_stats import NodeStats

if TYPE_CHECKING:
    from ..config.schema import Experiment
    from .aggregator import CoordinatorWorker

WEIGHTS = "weights"
BEST = "best"  # the weights of the best round, where they are others


@dataclass(frozen=True)
class CheckpointWriter:
    """Adds to a checkpoint what the machine does not know, and writes it.

    Parameters
    ----------
    store
        Where to.
    stats
        What the summary is made of.
    experiment, incarnation
        Of this coordinator: the one says whose checkpoint it is, the next incarnation is larger than the other.
    """

    store: CheckpointStore
    stats: NodeStats
    experiment: Mapping[str, Any]
    incarnation: int

    def complete(self, effect: e.Checkpoint, arrays: Mapping[str, Any]) -> e.Checkpoint:
        """Return the checkpoint with everything in it, now, before a later round changes it.

        `arrays` are those of the strategy after that round.
        """
        record = {
            "experiment": self.experiment,
            "incarnation": self.incarnation,
            "machine": effect.record,
            "result": self.stats.as_of(effect.round),
        }
        vectors = {WEIGHTS: effect.body, **arrays}
        if effect.best is not None and effect.best is not effect.body:
            vectors[BEST] = effect.best
        return replace(effect, body=vectors, record=record)

    def write(self, effect: e.Checkpoint) -> None:
        """Write a checkpoint that is complete; for the worker, since it waits for the disk.

        Raises
        ------
        CheckpointError
            The disk refuses; the checkpoint before it is still there.
        """
        self.store.write(effect.round, effect.body, effect.record)


@dataclass(frozen=True)
class Past:
    """What a previous incarnation of the coordinator has left; see `recall`."""

    checkpoint: State
    warnings: tuple[str, ...] = ()

    @property
    def round(self) -> int:
        """The last one that counts."""
        return self.checkpoint.round

    @property
    def incarnation(self) -> int:
        """The number of that incarnation."""
        return int(self.checkpoint.record["incarnation"])

    @property
    def machine(self) -> Mapping[str, Any]:
        """What the machine remembers."""
        return dict(self.checkpoint.record["machine"])

    @property
    def clients(self) -> frozenset[str]:
        """Who took part."""
        return frozenset(name for name, known in self.machine["clients"].items() if known["here"])

    @property
    def best(self) -> Any:
        """The best weights so far, None where they are those of the last round, or there are none."""
        return self.checkpoint.arrays.get(BEST)

    def restore(self, worker: CoordinatorWorker, stats: NodeStats) -> ev.ModelReady:
        """Make worker and statistics what they were after the round; return the model with the weights of then.

        Builds the model and scales the test rows: not for the event loop.
        """
        from nervenet.models.preprocessing import Preprocessing

        record, site_model = self.checkpoint.record, worker.site_model
        arrays = dict(self.checkpoint.arrays)
        weights = arrays.pop(WEIGHTS)
        arrays.pop(BEST, None)
        agreement = Preprocessing.from_dict(record["machine"]["agreement"])
        site_model.build(agreement, worker.seed)
        site_model.set_weights(weights)
        stats.restore(self.round, record["result"])
        outgoing = worker.aggregator.restore(self.round, weights, arrays)
        return ev.ModelReady(agreement.to_dict(), payload_of(site_model), weights, outgoing)


def recall(folder: Path, experiment: Experiment) -> Past | None:
    """Read the newest whole checkpoint in a folder, None if there is none.

    Raises
    ------
    ExperimentError
        It is of a newer format, of another experiment, or of a later round than the experiment has.
    """
    warnings: list[str] = []
    try:
        found = CheckpointStore(folder, warnings.append).latest()
    except CheckpointError as error:
        raise ExperimentError(str(error)) from None
    if found is None:
        if warnings:
            raise ExperimentError(f"{folder}: holds no whole checkpoint: {warnings[0].partition(';')[0]}")
        return None
    check_fits(str(folder), found.round, found.record.get("experiment"), experiment)
    return Past(found, tuple(warnings))
