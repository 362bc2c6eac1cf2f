"""Memory of large vectors that have ended, for the next ones."""

from __future__ import annotations

import mmap
import weakref
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MAPS = hasattr(mmap, "MAP_ANONYMOUS")
"""Whether the system gives memory in this way."""


class Recycled:
    """Makes vectors, in large pages, of memory that has held one before where there is some.

    The system clears memory that is new to a process, which can take longer than all that is done with it. What is in
    use and what waits here are together never more than what has been in use at once: where nothing that waits fits, it
    is given back before there is more.
    """

    def __init__(self) -> None:
        self._waiting: deque[mmap.mmap] = deque()
        self._lock = Lock()  # not for what ends: that may happen anywhere, within `_taken` too

    def vector(self, size: int, dtype: DTypeLike) -> NDArray[Any]:
        """Return a vector of any values, shape (size,), whose memory comes back when no view of it is left."""
        nbytes = size * np.dtype(dtype).itemsize
        memory = self._taken(nbytes)
        if memory is None:
            memory = _new(nbytes)
        found: NDArray[Any] = np.frombuffer(memory, dtype)
        weakref.finalize(found, self._waiting.append, memory).atexit = False
        return found

    def _taken(self, nbytes: int) -> mmap.mmap | None:
        with self._lock:
            others: list[mmap.mmap] = []
            with suppress(IndexError):
                while len(memory := self._waiting.popleft()) != nbytes:
                    others.append(memory)
                self._waiting.extend(others)
                return memory
        return None


def _new(nbytes: int) -> mmap.mmap:
    memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
