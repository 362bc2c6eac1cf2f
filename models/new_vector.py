"""Where a new vector is made: in memory of this process, unless whoever is going to send it lends some.

What a node makes round by round is large, and as large each time: it is made where one of an earlier round was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .recycled import MAPS, Recycled

Lend: TypeAlias = Callable[[int], NDArray[np.uint8] | None]
"""Returns memory of so many bytes, or None."""

_OF_THREAD = threading.local()

_LARGE = 1 << 25
"""Bytes of a vector from which on the C library asks the system for memory each time, which then has to be cleared."""


class made_in:  # noqa: N801  (used as a function, in a quarter of the time of one that is decorated)
    """Have the new vectors of this thread be made, meanwhile, in memory that is lent."""

    __slots__ = ("_before", "_lend")

    def __init__(self, lend: Lend) -> None:
        self._lend = lend

    def __enter__(self) -> None:
        self._before: Lend | None = getattr(_OF_THREAD, "lend", None)
        _OF_THREAD.lend = self._lend

    def __exit__(self, *_: object) -> None:
        _OF_THREAD.lend = self._before


def new_vector(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return a vector, shape (size,), of any values."""
    lend: Lend | None = getattr(_OF_THREAD, "lend", None)
    if lend is None:
        return np.empty(size, dtype)
    nbytes = size * np.dtype(dtype).itemsize
    room = lend(nbytes)
    if room is not None:
        return room.view(dtype)
    return np.empty(size, dtype) if nbytes < _LARGE or not MAPS else _recycled().vector(size, dtype)


def _recycled() -> Recycled:
    """Return the memory that waits for this thread, and that ends with it: with the node whose worker it is."""
    found: Recycled | None = getattr(_OF_THREAD, "recycled", None)
    if found is None:
        found = _OF_THREAD.recycled = Recycled()
    return found


def copied(vector: NDArray[Any]) -> NDArray[Any]:
    """Return a new vector that is equal to one."""
    copy = new_vector(vector.size, vector.dtype)
    copy[:] = vector
    return copy


def laid_out(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return a new vector of the elements of one or more arrays, one after another, each in C order."""
    dtype = reduce(np.promote_types, (array.dtype for array in arrays))  # result_type takes a few dozen at the most
    return np.concatenate([each.ravel() for each in arrays], out=new_vector(sum(each.size for each in arrays), dtype))
