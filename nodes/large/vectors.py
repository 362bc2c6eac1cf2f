"""Room for large vectors: in memory, or in a file that is mapped into it and that the system may push out."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
from nervenet.broker.messages import Payload
from nervenet.models.recycled import MAPS, Recycled
from numpy.typing import NDArray

from ..config.schema import NetworkConfig
from ..runtime import effects as e
from ..runtime import events as ev

Vector = NDArray[Any]


class Room:
    """Makes vectors; those of more than `above` bytes in files of `folder`, if there is one.

    Nobody else sees these files, and they end with their vectors.
    """

    def __init__(self, folder: Path | None = None, above: int = 0) -> None:
        self.folder = folder
        self.above = above
        self._recycled = Recycled()

    @classmethod
    def of(cls, network: NetworkConfig, folder: Path | None) -> Self:
        """Return the room of a node, whose checkpoints are in `folder`."""
        return cls((folder or Path(tempfile.gettempdir())) if network.mapped else None, network.max_message_bytes)

    def new(self, size: int, dtype: Any) -> Vector:
        """Return a vector whose numbers are of any value.

        Raises
        ------
        OSError
            The disk is full, or the folder cannot be written.
        """
        nbytes = size * np.dtype(dtype).itemsize
        if self.folder is None or nbytes <= self.above:
            if nbytes < _LARGE or not MAPS:
                return np.empty(size, dtype)
            return self._recycled.vector(size, dtype)
        self.folder.mkdir(0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder, prefix=".vector-") as file:
            _reserve(file.fileno(), nbytes)
            mapped = _FileMap(file.fileno(), nbytes)
        return np.frombuffer(mapped, dtype)

    def moved(self, vector: Vector) -> Vector:
        """Return the same numbers in this room, read-only: a copy in a file, or the very vector in memory."""
        if self.folder is None or vector.nbytes <= self.above:
            return vector
        found = self.new(vector.size, vector.dtype)
        for start in range(0, vector.size, _BLOCK):
            found[start : start + _BLOCK] = vector[start : start + _BLOCK]
            written(found, start, start + _BLOCK)
        return sealed(found)


_BLOCK = 1 << 20  # numbers
_LARGE = 1 << 23  # bytes of a vector from which on large pages, and memory used again, pay


class _FileMap(mmap.mmap):
    """A file that is mapped, as opposed to memory that is of no file."""


def _reserve(descriptor: int, nbytes: int) -> None:
    """Give a file its size, on the disk too where the system can: a mapped file that finds no room ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, nbytes)
    else:
        os.ftruncate(descriptor, nbytes)


def sealed(vector: Vector) -> Vector:
    """Return a view that cannot be written."""
    view = vector.view()
    view.flags.writeable = False
    return view


def written(vector: Vector, start: int, stop: int) -> None:
    """Take a range of a mapped vector out of this process's memory, now that it is in the file's; of others nothing."""
    base = vector.base
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = base.obj if isinstance(base, memoryview) else base
    if not isinstance(mapped, _FileMap) or not hasattr(mapped, "madvise"):
        return  # of other memory that would be the end of what is in it
    page = mmap.PAGESIZE
    first = start * vector.itemsize // page * page
    last = min(stop * vector.itemsize, len(mapped)) // page * page
    if last > first:
        mapped.madvise(mmap.MADV_DONTNEED, first, last - first)


class Received:
    """The vectors that are being received; `keep` answers each range that has come.

    Without `several` there is one at a time: with the next one the one before is given up. Whoever has been given one
    that is whole goes on to hold it.
    """

    def __init__(self, room: Room, *, several: bool = False) -> None:
        self._room = room
        self._several = several
        self._vectors: dict[int, Vector] = {}
        self._missing: dict[int, int] = {}  # how many numbers

    def keep(self, effect: e.KeepRange) -> ev.RangeKept:
        payload: Payload = effect.payload
        number, stop = effect.number, effect.start + len(effect.body)
        if number not in self._vectors:
            if not self._several:  # before there is room for another one
                self._vectors.clear()
                self._missing.clear()
            self._vectors[number] = self._room.new(payload.length, payload.dtype)
            self._missing[number] = payload.length
        vector = self._vectors[number]
        vector[effect.start : stop] = effect.body
        written(vector, effect.start, stop)
        self._missing[number] -= len(effect.body)
        if self._missing[number] <= 0:
            self.drop(number)
        return ev.RangeKept(number, effect.start, sealed(vector))

    def drop(self, number: int) -> None:
        """Hold a vector no longer."""
        self._vectors.pop(number, None)
        self._missing.pop(number, None)
