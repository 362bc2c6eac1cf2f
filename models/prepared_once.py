"""Rows that the site models of one process evaluate on, prepared once for all of them.

Of 64 peers that are measured on the same test set each would hold a copy of it: more than anything else that they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

Rows = tuple[Any, np.ndarray[Any, Any]]


class PreparedOnce:
    """Keeps the rows that were prepared last; nobody may change them.

    All who ask have the same raw rows. They may ask from several threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._how: tuple[Any, ...] | None = None
        self._rows: Rows | None = None

    def of(self, agreed: object, columns: tuple[str, ...] | None, dtype: str, make: Callable[[], Rows]) -> Rows:
        """Return what `make` makes: of the rows by these names, prepared as agreed, for a model of this dtype."""
        with self._lock:
            if self._rows is not None and self._how == (agreed, columns, dtype):
                return self._rows
            rows = make()
            if isinstance(rows[0], np.ndarray):  # what is read in batches has a place in its file
                self._how, self._rows = (agreed, columns, dtype), rows
            return rows
