"""Rows in an open file without a name: inputs of either form, targets, and what else belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.tables.packed import ARRAYS, packed, unpacked

from .shared_arrays import pack, unpack

if TYPE_CHECKING:
    from nervenet.models.tables.table import Kind, Table
    from numpy.typing import NDArray


def pack_rows(*sets: tuple[Any, NDArray[Any]], further: Sequence[NDArray[Any]] = ()) -> int:
    """Write sets of rows (X, y), X an array or a `Table`, and further arrays, to an anonymous file; see `pack`."""
    arrays: list[NDArray[Any]] = []
    for X, y in sets:
        arrays += [X, y] if isinstance(X, np.ndarray) else [*packed(X), y]
    return pack([*arrays, *further])


def unpack_rows(
    descriptor: int, columns: Sequence[str], kinds: Sequence[Kind] | None, sets: int = 1
) -> tuple[list[tuple[NDArray[Any] | Table, NDArray[Any]]], list[NDArray[Any]]]:
    """Return so many sets of rows, and the further arrays; none of an empty file.

    `kinds` are those of the columns of tables; None: X is an array. Closes the descriptor.
    """
    arrays = unpack(descriptor)
    width = 1 if kinds is None else sum(ARRAYS[kind] for kind in kinds)
    found: list[tuple[NDArray[Any] | Table, NDArray[Any]]] = []
    for _ in range(sets if arrays else 0):
        X = arrays[0] if kinds is None else unpacked(columns, kinds, arrays[:width])
        found.append((X, arrays[width]))
        arrays = arrays[width + 1 :]
    return found, arrays
