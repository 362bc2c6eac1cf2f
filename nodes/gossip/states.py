"""A peer's folder of states: what it would go on from after its own death, a file a round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint.state_file import CheckpointError, Damaged, State, forget, read_state, rounds_in, sweep, write_state
from ..config.compatibility import check_fits
from ..config.keys import ExperimentError
from ..runtime import effects as e

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config.schema import Experiment
    from ..runtime.node_stats import NodeStats

ALIKE = "alike"  # in the record: names of arrays that are one and the same under another name


class States:
    """Writes and reads the states of one peer.

    Parameters
    ----------
    folder
        Made at the first write.
    experiment
        Says whose states they are.

    Attributes
    ----------
    held
        Rounds of which there was a whole state when this was made, the newest first.
    told
        What was wrong with the others.
    former
        Incarnation of the life that wrote the newest one.

    Raises
    ------
    ExperimentError
        They are of another experiment, or of a newer format.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.record: NodeStats | None = None
        self.incarnation = 0
        self.on_restored: Callable[[int, Mapping[str, Any]], None] = _ignore
        self.former = 0
        held: list[int] = []
        for number in rounds_in(folder):
            try:
                state = read_state(folder, number)
            except CheckpointError as error:
                raise ExperimentError(str(error)) from None
            except Damaged as error:
                self.told.append(f"{error}; the one before it is used, if there is one")
                continue
            if not held:
                check_fits(str(folder), number, state.record.get("experiment"), experiment)
                self.former = int(state.record.get("incarnation", 0))
            held.append(number)
        self.held = tuple(held)
        self._experiment = experiment.to_dict()

    def complete(self, job: e.SaveState) -> e.SaveState:
        """Add what the machine does not know, now, before a later round changes it."""
        known: dict[str, Any] = {"experiment": self._experiment, "incarnation": self.incarnation}
        if self.record is not None:
            known["result"] = self.record.as_of(job.round)
        return replace(job, record={**job.record, **known})

    def write(self, job: e.SaveState, kept: Mapping[str, NDArray[Any]]) -> None:
        """Write a state: when this returns it outlives a power cut. For a thread that nobody waits for.

        Raises
        ------
        CheckpointError
            The disk refuses; what was there before still is.
        """
        first: dict[int, str] = {}
        alike = {name: first[id(array)] for name, array in kept.items() if first.setdefault(id(array), name) != name}
        arrays = {name: array for name, array in kept.items() if name not in alike}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{self.folder}: cannot be made: {error.strerror}") from error
        write_state(self.folder, job.round, arrays, {**job.record, ALIKE: alike}, durable=True)
        with suppress(OSError):  # what cannot be cleared away does no harm
            for number in job.forget:
                forget(self.folder, number)

    def read(self, number: int) -> State:
        """Read the state of a round, and remove those of later ones: they are of a future that is run anew.

        Raises
        ------
        Damaged, CheckpointError
        """
        state = read_state(self.folder, number)
        arrays = dict(state.arrays)
        for name, other in state.record.get(ALIKE, {}).items():
            arrays[name] = arrays[other]
        rewind(self.folder, number)
        self.on_restored(number, state.record.get("result", {}))
        return replace(state, arrays=arrays)


def rewind(folder: Path, number: int) -> None:
    """Remove the states of later rounds, and what a killed writer has left unfinished."""
    for later in rounds_in(folder):
        if later > number:
            forget(folder, later)
    sweep(folder)


def _ignore(_number: int, _known: Mapping[str, Any]) -> None:
    return None
