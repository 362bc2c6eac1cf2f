"""A folder of checkpoints, one file a round: written whole or not at all, read from the newest that is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .state_file import CheckpointError, Damaged, State, path_of, read_state, rounds_in, sweep, write_state

__all__ = ["CheckpointError", "CheckpointStore", "Damaged", "State"]

KEPT = 3  # the newest may turn out to be damaged, and the one before it; a third costs only its bytes


class CheckpointStore:
    """The checkpoints of one coordinator, client or peer. It has one writer, which may be a worker thread.

    A write makes the folder, if it is missing, and removes all but the newest `keep` up to its own round (None: whoever
    writes removes them). What is `durable` outlives a power cut, and not only this process. `on_warning` is called with
    each checkpoint that is passed over, and why.
    """

    def __init__(
        self,
        folder: Path,
        on_warning: Callable[[str], None] = lambda _: None,
        *,
        keep: int | None = KEPT,
        durable: bool = True,
    ) -> None:
        self.folder = folder
        self._warn = on_warning
        self._keep = keep
        self._durable = durable
        self._swept = False

    @property
    def rounds(self) -> list[int]:
        return rounds_in(self.folder)

    def write(self, round: int, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> None:  # noqa: A002
        """Keep the arrays, which must not change meanwhile, and a record for JSON, as they are after a round.

        Until this returns the checkpoint before it counts. Arrays come back with the same dtype, shape and bits.

        Raises
        ------
        CheckpointError
            The disk is full, or refuses otherwise; the older checkpoints are still there, and the run can go on.
        TypeError
            An array or a value is of a kind that is not kept.
        """
        try:
            self.folder.mkdir(0o700, parents=True, exist_ok=True)  # what a site has learned is its owner's alone
        except OSError as error:
            raise CheckpointError(f"{self.folder}: cannot be made: {error.strerror}") from error
        write_state(self.folder, round, arrays, record, durable=self._durable)
        with suppress(OSError):  # what cannot be cleared away does no harm
            if self._keep is not None:
                past = [number for number in self.rounds if number <= round][: self._keep]
                self.forget(*(number for number in self.rounds if number not in past))
            if not self._swept:
                sweep(self.folder)
                self._swept = True

    def read(self, number: int) -> State:
        """Read the checkpoint of a round; raises what `read_state` raises."""
        return read_state(self.folder, number)

    def latest(self, before: int | None = None) -> State | None:
        """Read the newest whole checkpoint, of a round earlier than `before` if that is given; None if there is none.

        Raises
        ------
        CheckpointError
            One is of a newer format: to go on from an older one would undo what a newer program has done.
        """
        for number in self.rounds:
            if before is not None and number >= before:
                continue
            try:
                return self.read(number)
            except Damaged as error:
                self._warn(f"{error}; the one before it is used, if there is one")
        return None

    def forget(self, *numbers: int) -> None:
        for number in numbers:
            path_of(self.folder, number).unlink(missing_ok=True)

    def rewind(self, number: int) -> None:
        """Remove the checkpoints of later rounds, which are run anew, and what a killed writer has left unfinished."""
        self.forget(*(later for later in self.rounds if later > number))
        sweep(self.folder)
