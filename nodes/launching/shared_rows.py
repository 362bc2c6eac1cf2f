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


def pack_rows(*sets: tuple[Any, ...], further: Sequence[NDArray[Any]] = ()) -> int:
    """Write sets of rows (X, y), X an array or a `Table`, all or none with weights behind them, and further arrays, to
    an anonymous file; see `pack`.
    """
    arrays: list[NDArray[Any]] = []
    for X, *of_rows in sets:
        arrays += [X, *of_rows] if isinstance(X, np.ndarray) else [*packed(X), *of_rows]
    return pack([*arrays, *further])


def unpack_rows(
    descriptor: int,
    columns: Sequence[str],
    kinds: Sequence[Kind] | None,
    *,
    weighted: bool = False,
    sets: int = 1,
) -> tuple[list[tuple[Any, ...]], list[NDArray[Any]]]:
    """Return so many sets of rows (X, y), or (X, y, weights) of `weighted` ones, and the further arrays; none of an
    empty file.

    `kinds` are those of the columns of tables; None: X is an array. Closes the descriptor.
    """
    arrays = unpack(descriptor)
    width = 1 if kinds is None else sum(ARRAYS[kind] for kind in kinds)
    end = width + 1 + weighted
    found: list[tuple[Any, ...]] = []
    for _ in range(sets if arrays else 0):
        X: NDArray[Any] | Table = arrays[0] if kinds is None else unpacked(columns, kinds, arrays[:width])
        found.append((X, *arrays[width:end]))
        arrays = arrays[end:]
    return found, arrays
