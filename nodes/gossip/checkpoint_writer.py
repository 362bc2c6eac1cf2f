"""A peer's checkpoints: what it would go on from after its own death, a file a round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from numpy.typing import NDArray

from ..checkpoint.store import CheckpointError, CheckpointStore, Damaged, State
from ..config.compatibility import check_fits
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..runtime import effects as e
from ..runtime.node_stats import NodeStats

ALIKE = "alike"  # in the record: names of arrays that are one and the same under another name


class CheckpointWriter:
    """Writes and reads the checkpoints of one peer.

    `stats`, `incarnation` and `on_restored` are set before it writes; `on_restored` is called in the worker's thread.
    Raises `ExperimentError` for checkpoints of another experiment, or of a newer format.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.store = CheckpointStore(folder, keep=None)
        self.warnings: list[str] = []  # what was wrong with those that are not held
        self.stats: NodeStats | None = None  # what the summary is made of
        self.incarnation = 0
        # Called with the round and the statistics of a checkpoint that is resumed from.
        self.on_restored: Callable[[int, Mapping[str, Any]], None] = lambda _number, _known: None
        self.previous_incarnation = 0  # that which wrote the newest one
        held: list[int] = []
        for number in self.store.rounds:
            try:
                state = self.store.read(number)
            except CheckpointError as error:
                raise ExperimentError(str(error)) from None
            except Damaged as error:
                self.warnings.append(f"{error}; the one before it is used, if there is one")
                continue
            if not held:
                check_fits(str(folder), number, state.record.get("experiment"), experiment)
                self.previous_incarnation = int(state.record.get("incarnation", 0))
            held.append(number)
        self.held = tuple(held)  # rounds of which there was a whole checkpoint, the newest first
        self._experiment = experiment.to_dict()

    def complete(self, effect: e.SaveState) -> e.SaveState:
        known: dict[str, Any] = {"experiment": self._experiment, "incarnation": self.incarnation}
        if self.stats is not None:
            known["result"] = self.stats.as_of(effect.round)
        return replace(effect, record={**effect.record, **known})

    def write(self, effect: e.SaveState, kept: Mapping[str, NDArray[Any]]) -> None:
        """Write a checkpoint, and remove those that are to be forgotten. For a thread that nobody waits for."""
        first: dict[int, str] = {}
        alike = {name: first[id(array)] for name, array in kept.items() if first.setdefault(id(array), name) != name}
        arrays = {name: array for name, array in kept.items() if name not in alike}
        self.store.write(effect.round, arrays, {**effect.record, ALIKE: alike})
        with suppress(OSError):  # what cannot be cleared away does no harm
            self.store.forget(*effect.forget)

    def read(self, number: int) -> State:
        """Read the checkpoint of a round, and remove those of later ones, which are run again."""
        state = self.store.read(number)
        arrays = dict(state.arrays)
        for name, other in state.record.get(ALIKE, {}).items():
            arrays[name] = arrays[other]
        self.store.rewind(number)
        self.on_restored(number, state.record.get("result", {}))
        return State(number, arrays, state.record)
