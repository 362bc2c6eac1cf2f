"""Rows that come in pieces of any size, regrouped into blocks of one size: what is computed of them block by block does
not depend on the pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def regrouped(parts: Iterable[NDArray[Any]], rows: int) -> Iterator[NDArray[Any]]:
    """Yield blocks of so many rows, the last one maybe of fewer; at least one block if there is a part."""
    held: list[NDArray[Any]] = []
    size = 0
    for part in parts:
        if held and size + len(part) < rows:
            held.append(part)
            size += len(part)
            continue
        start = 0
        if held:
            start = rows - size
            yield np.concatenate([*held, part[:start]])
        whole = start + (len(part) - start) // rows * rows
        for begin in range(start, whole, rows):
            yield part[begin : begin + rows]
        held, size = [part[whole:]], len(part) - whole
    if size or held:
        rest = np.concatenate(held) if len(held) > 1 else held[0]
        if len(rest):
            yield rest
