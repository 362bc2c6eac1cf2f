"""A table as plain arrays, without objects, and back: how it travels between processes of one machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import DATES, GAP, Kind, Table

ARRAYS = {"number": 1, "date": 1, "category": 3}
"""How many arrays a column of each kind takes."""


def packed(table: Table) -> list[NDArray[Any]]:
    """Return a table's columns as arrays of numbers, `ARRAYS` of them for each.

    A category is the places of its words (-1 for a gap), all words as UTF-8, and where each of them ends.
    """
    return [array for name in table.columns for array in _packed(table.kind(name), table[name])]


def unpacked(columns: Sequence[str], kinds: Sequence[Kind], arrays: Sequence[NDArray[Any]]) -> Table:
    """Return the table of what `packed` returned."""
    parts = iter(arrays)
    return Table(tuple(columns), tuple(kinds), tuple(_unpacked(kind, parts) for kind in kinds))


def _packed(kind: Kind, values: NDArray[Any]) -> list[NDArray[Any]]:
    if kind != "category":
        return [values.view(np.int64) if kind == "date" else values]
    known: dict[str, int] = {}
    places = [-1 if cell != cell else known.setdefault(cell, len(known)) for cell in values.tolist()]
    words = [word.encode() for word in known]
    text = np.frombuffer(b"".join(words), np.uint8)
    return [np.array(places, np.int64), text, np.cumsum([len(word) for word in words], dtype=np.int64)]


def _unpacked(kind: Kind, parts: Iterator[NDArray[Any]]) -> NDArray[Any]:
    first = next(parts)
    if kind != "category":
        return first.view(DATES) if kind == "date" else first
    text, ends = next(parts).tobytes(), next(parts).tolist()
    words = [text[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
    values: NDArray[Any] = np.array([*words, GAP], object)[first]
    return values
