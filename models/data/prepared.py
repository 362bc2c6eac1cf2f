"""PreparedRows: what a model sees of a site's rows, on disk, and how rows are fetched from there in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .scratch import Scratch

SPAN = 64 * 2**20
"""Bytes of rows that are fetched at once: each time the file is read from its beginning to its end."""

SEGMENT = 256 * 2**10
"""Bytes that are read together; of those, in which no wanted row lies, none."""


class PreparedRows:
    """Rows of numbers of one type in a scratch file; `append` puts them there, in their order.

    It has what is needed of an array in training: `shape`, `dtype`, ``len`` and ``rows[…]`` with a slice or an array of
    indices.
    """

    ndim = 2

    def __init__(self, width: int, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._width, self._rows = width, 0
        self._scratch = Scratch()

    @property
    def shape(self) -> tuple[int, int]:
        return self._rows, self._width

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows, shape (rows, columns)."""
        if rows.ndim != 2 or rows.shape[1] != self._width:
            raise ValueError(f"rows of shape {rows.shape}, expected (rows, {self._width})")
        self._scratch.append(rows.astype(self.dtype, copy=False))
        self._rows += len(rows)

    def __getitem__(self, rows: slice | NDArray[Any]) -> NDArray[Any]:
        if not isinstance(rows, slice):
            return self.take(rows)
        start, stop, step = rows.indices(self._rows)
        if step != 1:
            return self.take(np.arange(start, stop, step))
        return self._read(start, max(start, stop))

    def take(self, rows: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return some rows in this order, shape (rows, columns), written to `out` where that is given."""
        found = np.empty((len(rows), self._width), self.dtype) if out is None else out
        order = np.argsort(rows)
        ascending = rows[order]
        size = max(1, SEGMENT // max(1, self._width * self.dtype.itemsize))
        edges = np.searchsorted(ascending, np.arange(0, self._rows + size, size))
        for segment in np.flatnonzero(np.diff(edges)).tolist():
            some = slice(edges[segment], edges[segment + 1])
            first, last = int(ascending[some.start]), int(ascending[some.stop - 1])
            found[order[some]] = self._read(first, last + 1)[ascending[some] - first]
        return found

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        found = np.empty((stop - start, self._width), self.dtype)
        self._scratch.read(start * self._width * self.dtype.itemsize, found)
        return found


Inputs: TypeAlias = NDArray[Any] | PreparedRows
"""What a model trains on."""


def take(X: Inputs, rows: NDArray[Any], out: NDArray[Any]) -> None:
    """Write some rows to `out`, in this order."""
    if isinstance(X, PreparedRows):
        X.take(rows, out)
    else:
        np.take(X, rows, axis=0, out=out, mode="clip")


def fetched(X: Inputs, pieces: Iterable[NDArray[Any]]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield ``rows, X[rows]`` for one piece of row indices after another; from disk many pieces at once."""
    if not isinstance(X, PreparedRows):
        yield from ((rows, X.take(rows, axis=0)) for rows in pieces)
        return
    most = span_rows(X, 1)
    held: list[NDArray[Any]] = []
    count = 0
    for rows in pieces:
        held.append(rows)
        count += len(rows)
        if count >= most:
            yield from _together(X, held)
            held, count = [], 0
    yield from _together(X, held)


def _together(X: PreparedRows, pieces: list[NDArray[Any]]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    if not pieces:
        return
    found, start = X.take(np.concatenate(pieces)), 0
    for rows in pieces:
        yield rows, found[start : start + len(rows)]
        start += len(rows)


def span_rows(X: Inputs, batch: int) -> int:
    """Return how many rows are fetched at once, a multiple of `batch`."""
    rows = SPAN // max(1, int(X.shape[1]) * X.dtype.itemsize)
    return max(1, rows // batch) * batch
