"""The coordinator's checkpoints, from what its machine remembers to a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from ..checkpoint.store import CheckpointStore
from ..runtime import effects as e
from ..runtime.node_stats import NodeStats

WEIGHTS = "weights"
BEST = "best"  # the weights of the best round, where they are others


@dataclass(frozen=True)
class CheckpointWriter:
    store: CheckpointStore
    stats: NodeStats  # what the summary is made of
    experiment: Mapping[str, Any]  # whose checkpoint it is
    incarnation: int  # of this coordinator; the next one is larger

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
        """Write a checkpoint that is complete; for the worker, since it waits for the disk."""
        self.store.write(effect.round, effect.body, effect.record)
