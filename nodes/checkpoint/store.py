"""What a run can be taken up from after its coordinator has died: one file a checkpoint, the last few of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .state_file import CheckpointError, State, forget, newest_whole, rounds_in, sweep, write_state

__all__ = ["Checkpoint", "CheckpointError", "CheckpointStore"]

KEPT = 3  # the newest may turn out to be damaged, and the one before it; a third costs only its bytes

Checkpoint = State
"""One checkpoint: ``round``, ``arrays`` by name, and ``record``, all that is no array."""


class CheckpointStore:
    """A folder of checkpoints with one writer, which may be a worker thread.

    Parameters
    ----------
    folder
        Made, with its parents, at the first write.
    on_warning
        Told of each checkpoint that is passed over, and why.
    """

    def __init__(self, folder: Path, on_warning: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self._warn = on_warning
        self._swept = False

    def write(self, round: int, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> None:  # noqa: A002
        """Keep a checkpoint; when this returns it outlives a power cut, and until then the one before it counts.

        A checkpoint of a later round belongs to a future that is being run anew, and goes.

        Parameters
        ----------
        round
            The last one that is complete.
        arrays
            Must not change meanwhile; they come back with the same dtype, shape and bits.
        record
            What JSON can say.

        Raises
        ------
        CheckpointError
            The disk is full, or refuses otherwise; the older checkpoints are still there, and the run can go on.
        TypeError
            An array or a value is of a kind that is not kept.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{self.folder}: cannot be made: {error.strerror}") from error
        write_state(self.folder, round, arrays, record, durable=True)
        with suppress(OSError):  # what cannot be cleared away does no harm
            past = [number for number in self.rounds if number <= round]
            for number in self.rounds:
                if number not in past[:KEPT]:
                    forget(self.folder, number)
            if not self._swept:
                sweep(self.folder)
                self._swept = True

    def latest(self, before: int | None = None) -> Checkpoint | None:
        """Read the newest whole checkpoint, of a round earlier than `before` if that is given; None if there is none.

        Raises
        ------
        CheckpointError
            It is of a newer format.
        """
        rounds = [number for number in self.rounds if before is None or number < before]
        return newest_whole(self.folder, rounds, self._warn)

    @property
    def rounds(self) -> list[int]:
        """Rounds of which there is a checkpoint, whole or not, the newest first."""
        return rounds_in(self.folder)
