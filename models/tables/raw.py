"""Raw tables: the columns of a file or a data frame before anybody knows what they mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..data.data import DataError


class Places(dict[str, int]):
    """Words by the order in which they were first met."""

    def __missing__(self, word: str) -> int:
        self[word] = place = len(self)
        return place

    def codes(self, cells: Sequence[str]) -> NDArray[np.intp]:
        """Return the place of each cell's word; words that are new get the next ones."""
        return np.fromiter(map(self.__getitem__, cells), np.intp, len(cells))


@dataclass(frozen=True, eq=False)
class Words:
    """A column of text: every different text once, without blanks around it, and which of them each row has.

    Parameters
    ----------
    words
        The texts.
    codes
        Their places, shape (rows,).
    category
        Whether the file itself says that these are categories, though they may look like numbers.
    """

    words: tuple[str, ...]
    codes: NDArray[np.intp]
    category: bool = False

    @classmethod
    def of(cls, cells: Iterable[str | None], *, category: bool = False) -> Words:
        """Return a column of these cells; None is an empty one."""
        known = Places()
        codes = known.codes([cell or "" for cell in cells])
        return cls.merged(known, codes, category=category)

    @classmethod
    def merged(cls, words: Collection[str], codes: NDArray[np.intp], *, category: bool = False) -> Words:
        """Return a column of words that are there twice, or have blanks around them."""
        given = list(words)
        stripped = [word.strip() for word in given]
        if stripped == given and (isinstance(words, dict) or len(set(given)) == len(given)):
            return cls(tuple(given), codes, category)
        known = {word: place for place, word in enumerate(dict.fromkeys(stripped))}
        if len(known) < len(stripped):
            codes = np.array([known[word] for word in stripped], np.intp)[codes]
        return cls(tuple(known), codes, category)

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[Any]) -> Words:
        return Words(self.words, self.codes[rows], self.category)

    def cell(self, row: int) -> str:
        return self.words[int(self.codes[row])]

    def rows_of(self, bad: Callable[[str], bool]) -> NDArray[np.intp]:
        """Return the rows whose word is a bad one."""
        return np.flatnonzero(np.array([bad(word) for word in self.words], np.bool_)[self.codes])


Cells: TypeAlias = Words | NDArray[Any]
"""A column: of text, or an array of truth values, whole numbers, floats (a gap is NaN) or datetime64 (a gap is NaT)."""


@dataclass(frozen=True, eq=False)
class RawTable:
    """The columns of a file, read one by one when they are asked for.

    Parameters
    ----------
    name
        The file, or what else messages call it.
    columns
        Names, each once.
    cells
        Returns one of the columns. Raises DataError for what no table can hold.
    place
        Returns where a row stands: "line 12".
    written
        What is unusual of how the file is written, in words: "cells separated by tabs".
    matrix, side_by_side
        Columns side by side, where the file has them so, and their names in that order.
    target, sites, weight
        Which columns are the target, where rows were collected, and how much they count, if the file itself says it.
    aside
        Columns that are no inputs unless somebody asks for them by name, each with the note that says so.
    options
        Whether who reads it can say of its columns what they hold: messages advise it only then.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    cells: Callable[[str], Cells]
    place: Callable[[int], str]
    written: str = ""
    matrix: NDArray[Any] | None = None
    side_by_side: tuple[str, ...] = ()
    target: str | None = None
    sites: str | None = None
    aside: Mapping[str, str] = field(default_factory=dict)
    options: bool = True
    weight: str | None = None

    def __post_init__(self) -> None:
        check_columns(self.name, self.columns)
        if not self.rows:
            raise DataError(f"{self.name}: no rows")

    def refusal(self, row: int, column: str, finding: str) -> DataError:
        """Return an error that names file, place and column."""
        return DataError(f'{self.name}: {self.place(row)}, column "{column}": {finding}')


def check_columns(name: str, columns: Sequence[str], line: str = "", first: int = 1) -> None:
    """Raise DataError where a name is missing or there twice; `first` is the place of the first of them."""
    where = f"{name}: {line}: " if line else f"{name}: "
    known: set[str] = set()
    for place, column in enumerate(columns, start=first):
        if not column:
            raise DataError(f"{where}column {place} has no name")
        if column in known:
            raise DataError(f"{where}two columns are called {column!r}")
        known.add(column)


def in_rows(row: int) -> str:
    """The place of a row where a file has no lines."""
    return f"row {row + 1}"
