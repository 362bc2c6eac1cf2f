"""What a client carries from round to round (moments, residuals, control variates, personal weights), by round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .store import CheckpointError, CheckpointStore, Damaged

__all__ = ["ClientStateStore"]

BACK = 3  # checkpoints that a coordinator keeps, and may have to go back to where newer ones are damaged

Arrays = Mapping[str, NDArray[Any]]


class ClientStateStore:
    """The states that a client's training ended with, as far back as its coordinator may have to go.

    A coordinator that comes back repeats the rounds since its last checkpoint, and a repeated task r must start from
    what the first one started from: the newest state of a round before r. Used by one thread.

    In `folder`, if there is one, they are kept as well, for a client that is killed; files are read on demand.
    `on_warning` is called when one is damaged, or cannot be written: what is in memory counts all the same.
    """

    def __init__(self, folder: Path | None = None, on_warning: Callable[[str], None] = lambda _: None) -> None:
        # Not forced to the disk: a killed process does not lose what the system has in memory, and a fall of the whole
        # machine costs, at worst, exactness. Waiting for the disk would cost every round.
        self._store = None if folder is None else CheckpointStore(folder, on_warning, keep=None, durable=False)
        self._warn = on_warning
        # None: in the store, and not read yet.
        self._states: dict[int, Arrays | None] = {} if self._store is None else dict.fromkeys(self._store.rounds)
        self._coordinators: dict[int, int] = {}  # the incarnation that asked, by round, as far as it is known
        self._needed: list[int] = []  # the states that its last checkpoints start from, the oldest first
        self._refused = False

    @property
    def rounds(self) -> list[int]:
        return sorted(self._states) if self._states else []

    def newest_before(self, round: int) -> int:  # noqa: A002
        """Return the last round before `round` of which there is a state, 0 where there is none."""
        return max((known for known in self._states if known < round), default=0) if self._states else 0

    def put(self, round: int, state: Arrays, coordinator: int = 0) -> None:  # noqa: A002
        """Keep a copy of the state that training for a round ended with; call it before the update is sent.

        Whatever is kept of later rounds is forgotten: they are about to be repeated. A client that carries nothing
        keeps nothing. `coordinator` is the incarnation of the one that asked, see `rewind`.
        """
        self.rewind(round)
        if not state and not self._states:
            return
        kept = {name: np.array(array, order="C") for name, array in state.items()}
        self._states[round], self._coordinators[round] = _read_only(kept), coordinator
        if self._store is None:
            return
        try:
            self._store.write(round, kept, {"coordinator": coordinator})
            self._refused = False
        except CheckpointError as error:
            self._forget_file(round)  # an older file of that round is of another past
            if not self._refused:
                self._warn(f"{error}; if this client is killed, it will not go on exactly where it was")
            self._refused = True

    def before(self, round: int) -> Arrays | None:  # noqa: A002
        """Return the state of the newest round before `round`, read-only; None where training starts fresh.

        Raises
        ------
        CheckpointError
            The file is of a newer format.
        """
        for number in sorted((n for n in self._states if n < round), reverse=True):
            state = self._read(number)
            if state is not None:
                return state
        return None

    def prune(self, durable: int) -> None:
        """Forget what no resumed coordinator can ask for: `durable` is the last round that it has on its disk.

        Should that turn out to be damaged, it goes on from one of the checkpoints before: the state that each of these
        starts from stays as well.
        """
        known = sorted(n for n in self._states if n <= durable) if self._states else []
        if not known:
            return
        # A client that was itself killed does not know what was durable before: the newest are the likeliest.
        before = [n for n in (self._needed or known) if n < known[-1]]
        self._needed = [*before[1 - BACK :], known[-1]]
        for number in [n for n in known if n not in self._needed]:
            self._forget(number)

    def rewind(self, round: int, coordinator: int | None = None) -> None:  # noqa: A002
        """Forget every state later than `round`: of a future that a coordinator which came back does not know.

        With `coordinator`, those that were put for that incarnation of it stay: it is the client that came back.
        """
        for number in [n for n in self._states if n > round] if self._states else ():
            same = coordinator is not None and self._read(number) is not None
            if not same or self._coordinators.get(number) != coordinator:
                self._forget(number)

    def _read(self, number: int) -> Arrays | None:
        """Return one state, from its file where it has not been read yet; None, and forgotten, if that is damaged."""
        state = self._states[number]
        if state is not None or self._store is None:
            return state
        try:
            whole = self._store.read(number)
        except Damaged as error:
            self._warn(f"{error}; the one before it is used, if there is one")
            self._forget(number)
            return None
        coordinator = whole.record.get("coordinator")
        self._coordinators[number] = coordinator if isinstance(coordinator, int) else 0
        arrays = self._states[number] = _read_only(whole.arrays)
        return arrays

    def _forget(self, number: int) -> None:
        self._states.pop(number, None)
        self._coordinators.pop(number, None)
        self._needed = [n for n in self._needed if n != number]
        self._forget_file(number)

    def _forget_file(self, number: int) -> None:
        if self._store is None:
            return
        try:
            self._store.forget(number)
        except OSError as error:
            self._warn(f"{self._store.folder}: round {number} cannot be removed: {error.strerror}")


def _read_only(arrays: dict[str, NDArray[Any]]) -> Arrays:
    """Return the arrays sealed: they are handed out more than once, and whoever trains on must do so in a copy."""
    for array in arrays.values():
        array.setflags(write=False)
    return arrays
