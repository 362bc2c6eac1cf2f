"""StoredTable: a table whose rows are on disk, read block by block or column by column."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError
from ..plugins import suggest
from .column_store import ColumnStore
from .table import DATES, GAP, Kind, Table

EMPTY: Mapping[Kind, Any] = {
    "number": np.array(np.nan),
    "category": np.array(GAP, object),
    "date": np.array("NaT", DATES),
}


@dataclass(frozen=True, eq=False)
class StoredTable:
    """The rows of one site, of which a `Table` in memory would be too large.

    Parameters
    ----------
    columns, kinds
        As a `Table` has them.
    store
        The columns of the file.
    values
        Of a column of text: the value of each of its words, as an array of the column's kind. Others are stored as
        they are.
    plain
        Whether all are numbers, and none is a gap.
    rows
        Which rows of the file are the table's, a mask of shape (rows of the file,); None: all.
    """

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    store: ColumnStore
    values: Mapping[str, NDArray[Any]]
    plain: bool
    rows: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return self.store.rows if self.rows is None else int(np.count_nonzero(self.rows))

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a whole column, as a `Table` has it."""
        return np.concatenate([block[column] for block in self.select((column,)).blocks()])

    def place(self, column: str) -> int:
        """Return the place of a column. Raises DataError if there is none of this name."""
        if column not in self.columns:
            hint = suggest(column, self.columns)
            raise DataError(f"no column {column!r}{hint}; the table has: {', '.join(self.columns)}")
        return self.columns.index(column)

    def select(self, columns: Sequence[str]) -> StoredTable:
        """Return a table of these columns, in this order. Raises DataError if one is missing."""
        kinds = tuple(self.kinds[self.place(name)] for name in columns)
        return replace(self, columns=tuple(columns), kinds=kinds)

    def take(self, rows: NDArray[Any]) -> StoredTable:
        """Return a table of these rows only: ascending indices, or a mask."""
        known = np.arange(self.store.rows) if self.rows is None else np.flatnonzero(self.rows)
        mask = np.zeros(self.store.rows, np.bool_)
        mask[known[rows]] = True
        return replace(self, rows=mask)

    def marked(self) -> StoredTable:
        """Return the same table, with `plain` as it is."""
        numbers = all(kind == "number" for kind in self.kinds)
        return replace(self, plain=numbers and all(block.plain for block in self.blocks()))

    def blocks(self, wanted: Collection[str] | None = None) -> Iterator[Table]:
        """Yield the rows, some thousand at a time; of columns that are not `wanted` all cells are gaps."""
        for place, start in enumerate(accumulate(self.store.sizes[:-1], initial=0)):
            mask = None if self.rows is None else self.rows[start : start + self.store.sizes[place]]
            if mask is not None and not mask.any():
                continue
            size = self.store.sizes[place] if mask is None else int(np.count_nonzero(mask))
            arrays = (
                np.broadcast_to(EMPTY[kind], size)
                if wanted is not None and name not in wanted
                else self._read(name, place, mask)
                for name, kind in zip(self.columns, self.kinds, strict=True)
            )
            yield Table(self.columns, self.kinds, tuple(arrays))

    def _read(self, name: str, place: int, mask: NDArray[np.bool_] | None) -> NDArray[Any]:
        known = self.values.get(name)
        stored = self.store.numbers(name, place) if known is None else self.store.block(name, place)
        chosen = stored if mask is None else stored[mask]
        return chosen if known is None else known[chosen]
