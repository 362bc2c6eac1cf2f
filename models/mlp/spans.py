"""One epoch's rows in their order, so many at a time that a table which stays on disk never is in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ..data.prepared import Inputs, span_rows, take
from ..weights import Array


class Spans:
    """Buffers for so many rows of an epoch, and of the outputs that they get; mini-batches are views of these.

    Parameters
    ----------
    X : (n, n_features) array, or rows on disk
    y : (n,) or (n, 1) array
        Class indices where there are `classes`, else the targets themselves.
    classes : (classes, classes) array or None
        The one-hot row of each class.
    rows : int
        Of a mini-batch.
    """

    def __init__(self, X: Inputs, y: Array, classes: Array | None, rows: int) -> None:
        self._X, self._y, self._classes, self._rows = X, y, classes, rows
        self._size = min(len(X), span_rows(X, rows))
        width = 1 if classes is None else classes.shape[1]
        dtype = y.dtype if classes is None else classes.dtype
        self.X = np.empty((self._size, X.shape[1]), X.dtype)
        self.Y, self.outputs = np.empty((self._size, width), dtype), np.empty((self._size, width), dtype)
        self._views: dict[int, list[tuple[Array, Array, Array]]] = {}

    def of(self, order: Array, steps: int) -> Iterator[list[tuple[Array, Array, Array]]]:
        """Fill the buffers with one part of an epoch after another, as far as so many mini-batches go.

        Yields the inputs, targets and places for the outputs of each mini-batch.
        """
        order = order[: steps * self._rows]
        for start in range(0, len(order), self._size):
            some = order[start : start + self._size]
            take(self._X, some, self.X[: len(some)])
            if self._classes is None:
                np.take(self._y, some, axis=0, out=self.Y[: len(some)], mode="clip")
            else:
                np.take(self._classes, self._y[some], axis=0, out=self.Y[: len(some)], mode="clip")
            yield self._batches(len(some))

    def _batches(self, size: int) -> list[tuple[Array, Array, Array]]:
        if size not in self._views:
            if len(self._views) > 1:
                self._views.clear()
            edges = [*range(0, size, self._rows), size]
            self._views[size] = [(self.X[a:b], self.Y[a:b], self.outputs[a:b]) for a, b in pairwise(edges)]
        return self._views[size]
