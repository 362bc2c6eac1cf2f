"""ColumnStore: the columns of a file on disk, written block after block, read a whole column or a block at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data import EXACT, DataError
from ..data.scratch import Scratch
from .kinds import CONFUSED
from .raw import Cells, Places, Words

MOST_WORDS = 200_000
"""Different texts of one column that are kept in memory."""


class TooManyWords(ValueError):
    """A column of text that differs in more rows than can be kept; `words` are those found so far."""

    def __init__(self, column: str, words: tuple[str, ...], counts: NDArray[np.int64]) -> None:
        super().__init__(column)
        self.column, self.words, self.counts = column, words, counts
        self.most = MOST_WORDS


class _Column:
    """What is known of a column besides its blocks."""

    def __init__(self) -> None:
        self.dtype: np.dtype[Any] | None = None
        self.starts: list[int] = []
        self.gaps: list[NDArray[np.uint8] | None] = []  # of whole numbers and truth values, bit by bit
        self.words = Places()
        self.counts = np.zeros(0, np.int64)
        self.text = self.category = False


class ColumnStore:
    """Columns of numbers, dates and text. Text is kept as the place of each cell's word among all different ones."""

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self._name = name
        self._scratch = Scratch()
        self._columns = {column: _Column() for column in columns}
        self.sizes: list[int] = []  # rows of each block

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    def add(self, block: Mapping[str, Cells], gaps: Mapping[str, NDArray[np.bool_]] | None = None) -> None:
        """Add some rows; `gaps` are the empty cells of columns of whole numbers or truth values.

        Raises TooManyWords, DataError for a column whose blocks are of different types.
        """
        self.sizes.append(len(next(iter(block.values()))))
        for name, column in self._columns.items():
            values = self._stored(name, column, block[name])
            if column.dtype is None:
                column.dtype = values.dtype
            elif column.dtype != values.dtype:
                raise DataError(f'{self._name}: column "{name}": found {values.dtype} after {column.dtype}')
            empty = None if gaps is None else gaps.get(name)
            column.gaps.append(None if empty is None or not empty.any() else np.packbits(empty))
            column.starts.append(self._scratch.append(values))

    def _stored(self, name: str, column: _Column, cells: Cells) -> NDArray[Any]:
        if not isinstance(cells, Words):
            return cells
        column.text, column.category = True, cells.category
        codes = column.words.codes(cells.words)[cells.codes].astype(np.int32)
        counts = np.bincount(codes, minlength=len(column.words))
        counts[: len(column.counts)] += column.counts
        column.counts = counts
        if len(column.words) > MOST_WORDS:
            raise TooManyWords(name, tuple(column.words), counts)
        return codes

    def block(self, name: str, place: int) -> NDArray[Any]:
        """Return some rows of a column as they are stored: of text the places of its words, shape (rows,)."""
        column = self._columns[name]
        values = np.empty(self.sizes[place], column.dtype)
        self._scratch.read(column.starts[place], values)
        return values

    def numbers(self, name: str, place: int) -> NDArray[Any]:
        """Return some rows of a column as float64, NaN for a gap, or of dates as they are."""
        values, packed = self.block(name, place), self._columns[name].gaps[place]
        if values.dtype.kind == "M":
            return values
        found = values.astype(np.float64, copy=False)
        if packed is not None:
            found[np.unpackbits(packed, count=len(found)).view(np.bool_)] = np.nan
        return found

    def cells(self, name: str) -> Cells:
        """Return a whole column, as the reader of the whole file would."""
        column = self._columns[name]
        empty = any(packed is not None for packed in column.gaps)
        whole = np.empty(self.rows, np.float64 if empty else column.dtype)
        start = 0
        for place, size in enumerate(self.sizes):
            part = whole[start : start + size]
            part[:] = self.numbers(name, place) if empty else self.block(name, place)
            start += size
        if column.text:
            return Words(tuple(column.words), whole, column.category)
        if empty and (beyond := np.abs(whole) > EXACT).any():
            found = whole[beyond][0]
            raise DataError(f'{self._name}: column "{name}": found {found:.0f} among empty cells, expected {CONFUSED}')
        return whole

    def replace(self, name: str, words: Sequence[str], codes: NDArray[np.intp]) -> None:
        """Make a column one of text: all words, and which of them each row has, shape (rows,)."""
        column = _Column()
        column.text, column.dtype = True, np.dtype(np.int32)
        column.words.codes(words)
        start = 0
        for size in self.sizes:
            column.starts.append(self._scratch.append(codes[start : start + size].astype(np.int32)))
            column.gaps.append(None)
            start += size
        self._columns[name] = column

    def close(self) -> None:
        self._scratch.close()
