"""What a previous incarnation of the coordinator has left, from the newest whole checkpoint back to a running node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nervenet.models.table_preprocessing import preprocessing_of

from ..checkpoint.store import CheckpointError, CheckpointStore, State
from ..config.compatibility import check_fits
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..runtime import events as ev
from ..runtime.model_worker import payload_of
from ..runtime.node_stats import NodeStats
from .checkpoint_writer import BEST, WEIGHTS
from .coordinator_worker import CoordinatorWorker


@dataclass(frozen=True)
class Past:
    """What a previous incarnation of the coordinator has left; see `recall`."""

    checkpoint: State
    warnings: tuple[str, ...] = ()

    @property
    def round(self) -> int:
        return self.checkpoint.round

    @property
    def incarnation(self) -> int:
        return int(self.checkpoint.record["incarnation"])

    @property
    def machine(self) -> Mapping[str, Any]:
        return dict(self.checkpoint.record["machine"])

    @property
    def clients(self) -> frozenset[str]:
        return frozenset(name for name, known in self.machine["clients"].items() if known["here"])

    @property
    def best(self) -> Any:
        return self.checkpoint.arrays.get(BEST)

    def restore(self, worker: CoordinatorWorker, stats: NodeStats) -> ev.ModelReady:
        """Make worker and statistics what they were after the round; return the model with the weights of then.

        Builds the model and scales the test rows: not for the event loop.
        """
        record, site_model = self.checkpoint.record, worker.site_model
        arrays = dict(self.checkpoint.arrays)
        weights = arrays.pop(WEIGHTS)
        arrays.pop(BEST, None)
        agreement = preprocessing_of(record["machine"]["agreement"])
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
