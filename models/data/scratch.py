"""Scratch: rows on disk that only their owner can read, and that go with the process, however it ends."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import DataError

LASTING = Path("/var/tmp")  # noqa: S108 - files there have no name
"""Where rows go unless TMPDIR says otherwise: /tmp is memory on many systems."""


class Scratch:
    """A file without a name, readable by nobody else; the system takes its space back when the process ends.

    Blocks are read when they are asked for, and not mapped: pages of a map count as memory of the process for as long
    as nobody else needs them.
    """

    def __init__(self) -> None:
        self.size = 0
        self._folder = scratch_folder()
        try:
            # Unlinked from the beginning, so that not even a killed process leaves it.
            with tempfile.TemporaryFile(buffering=0, dir=self._folder) as file:
                self.descriptor = os.dup(file.fileno())
        except OSError as error:
            raise DataError(f"{self._folder}: no place for rows ({error.strerror}); TMPDIR names another") from error
        self._closing = weakref.finalize(self, os.close, self.descriptor)

    def append(self, values: NDArray[Any]) -> int:
        """Write an array behind what is there; return where it begins, in bytes."""
        start, content = self.size, memoryview(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
        try:
            while content:
                written = os.pwrite(self.descriptor, content, self.size)
                self.size += written
                content = content[written:]
        except OSError as error:
            raise DataError(
                f"{self._folder}: {error.strerror} after {self.size / 1e6:,.0f} MB of rows; TMPDIR names another folder"
            ) from error
        return start

    def read(self, start: int, out: NDArray[Any]) -> None:
        """Fill a contiguous array from the bytes at `start`. Raises DataError where they cannot be read."""
        content = memoryview(out.reshape(-1).view(np.uint8).data)
        while content:
            try:
                count = os.preadv(self.descriptor, [content], start)
            except OSError as error:
                raise DataError(f"{self._folder}: rows cannot be read back ({error.strerror})") from error
            if not count:
                raise DataError(f"{self._folder}: rows cannot be read back (they end at {start:,} bytes)")
            start, content = start + count, content[count:]

    def close(self) -> None:
        self._closing()


def scratch_folder() -> Path:
    """Return where rows are written: what TMPDIR names, else a folder that outlasts a restart, else any temporary."""
    if os.environ.get("TMPDIR") or not os.access(LASTING, os.W_OK | os.X_OK):
        return Path(tempfile.gettempdir())
    return LASTING
