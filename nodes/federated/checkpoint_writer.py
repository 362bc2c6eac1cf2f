"""Memory: the coordinator's checkpoints, from the machine's word for what it remembers to a file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint.store import Checkpoint, CheckpointError, CheckpointStore
from ..config.compatibility import check_fits
from ..config.keys import ExperimentError
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.node_stats import NodeStats

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

    from ..config.schema import Experiment
    from .aggregator import Aggregator

WEIGHTS = "weights"
BEST = "best"  # the weights of the best round, where they are others


@dataclass(frozen=True)
class CheckpointWriter:
    """Adds to a checkpoint what the machine does not know, and writes it.

    Parameters
    ----------
    checkpoints
        Where to.
    merger
        Holds the strategy's state of each round.
    record
        What the summary is made of.
    experiment, incarnation
        Of this life of the coordinator: the one says whose checkpoint it is, the next life counts on from the other.
    """

    checkpoints: CheckpointStore
    merger: Aggregator
    record: NodeStats
    experiment: Mapping[str, Any]
    incarnation: int

    def complete(self, job: e.Checkpoint) -> e.Checkpoint:
        """Give the checkpoint with everything in it that belongs to its round, now, before a later one changes it.

        Copies no vector: folds make new ones.
        """
        record = {
            "experiment": self.experiment,
            "incarnation": self.incarnation,
            "machine": job.record,
            "result": self.record.as_of(job.round),
        }
        arrays = {WEIGHTS: job.body, **self.merger.arrays(job.round)}
        if job.best is not None and job.best is not job.body:
            arrays[BEST] = job.best
        return replace(job, body=arrays, record=record)

    def write(self, job: e.Checkpoint) -> ev.Saved:
        """Write a checkpoint that is complete; for the worker, since it waits for the disk.

        Raises
        ------
        CheckpointError
            The disk refuses; the checkpoint before it is still there.
        """
        self.checkpoints.write(job.round, job.body, job.record)
        return ev.Saved(job.round)


@dataclass(frozen=True)
class Past:
    """What a former life of the coordinator has left; see `recall`."""

    checkpoint: Checkpoint
    warnings: tuple[str, ...] = ()

    @property
    def round(self) -> int:
        """The last one that counts."""
        return self.checkpoint.round

    @property
    def incarnation(self) -> int:
        """Of that life."""
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

    def bring_back(self, site_model: SiteModel, merger: Aggregator, record: NodeStats, seed: int) -> ev.ModelReady:
        """Make learner, merger and record what they were after the round; gives what was settled, with the weights of
        then. Builds the model and scales the test rows: not for the event loop.
        """
        from nervenet.broker.messages import Payload
        from nervenet.models.preprocessing import Preprocessing

        given = self.checkpoint.record
        arrays = dict(self.checkpoint.arrays)
        weights = arrays.pop(WEIGHTS)
        arrays.pop(BEST, None)
        agreement = Preprocessing.from_dict(given["machine"]["agreement"])
        layout = site_model.build(agreement, seed)
        site_model.set_weights(weights)
        record.restore(self.round, given["result"])
        payload = Payload(rule=site_model.rule, layout=layout.hash, dtype=layout.dtype, length=layout.size)
        return ev.ModelReady(agreement.to_dict(), payload, weights, merger.restore(self.round, weights, arrays))


def recall(folder: Path, experiment: Experiment) -> Past | None:
    """Read the newest whole checkpoint in a folder, None if there is none.

    Raises
    ------
    ExperimentError
        It is of a newer format, of another experiment, or of a later round than the experiment has.
    """
    told: list[str] = []
    try:
        found = CheckpointStore(folder, told.append).latest()
    except CheckpointError as error:
        raise ExperimentError(str(error)) from None
    if found is None:
        if told:
            raise ExperimentError(f"{folder}: holds no whole checkpoint: {told[0].partition(';')[0]}")
        return None
    check_fits(str(folder), found.round, found.record.get("experiment"), experiment)
    return Past(found, tuple(told))
