"""Histograms on edges that all sites have in common, of bins wide enough that none holds a small count."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.float64]

TAILS = 3.0
"""In interquartile ranges: what lies farther beyond the quartiles is one bin on each side."""


def common_edges(known: Mapping[str, float], bins: int, *, whole: bool) -> Edges:
    """Return the edges of about `bins` equal bins, and of one for each long tail.

    Parameters
    ----------
    known
        ``min``, ``q1``, ``q3`` and ``max`` of all values.
    whole
        Whether they are whole numbers: then bins are wide by a whole number, and edges lie between two of them.
    """
    least, most = known["min"], known["max"]
    far = TAILS * (known["q3"] - known["q1"])
    low, high = (max(least, known["q1"] - far), min(most, known["q3"] + far)) if far > 0 else (least, most)
    if whole and most - least < 2**53:
        if most - least < bins:
            low, high = least, most
        low, high = math.floor(low) - 0.5, math.ceil(high) + 0.5
        width = math.ceil((high - low) / bins)
        inner = low + width * np.arange(math.ceil((high - low) / width) + 1, dtype=np.float64)
        return np.array([*([least - 0.5] if least < low else []), *inner, *([most + 0.5] if most > inner[-1] else [])])
    if least == most:
        return np.array([least - 0.5, least + 0.5])
    return np.unique([least, *np.linspace(low, high, bins + 1), most])


def count(values: NDArray[np.float64], edges: Edges) -> NDArray[np.int64]:
    """Return how many values lie in each bin, [edge, next edge), the last one closed on both sides."""
    places = np.searchsorted(edges, values, side="right") - 1
    places[values == edges[-1]] = len(edges) - 2
    return np.bincount(places, minlength=len(edges) - 1).astype(np.int64)


def cuts(counts: NDArray[np.int64], floor: int) -> list[int]:
    """Return at which edges to cut, so that no bin has 1 to `floor` - 1 values in any row; the first and last are kept.

    `counts` has shape (rows, bins). A bin with too few is joined with the next, the last with those before it; one
    without any is left alone.
    """
    kept = [0]
    filled = np.zeros(len(counts), dtype=np.int64)
    for place in range(counts.shape[1]):
        filled += counts[:, place]
        if ((filled == 0) | (filled >= floor)).all():
            kept.append(place + 1)
            filled[:] = 0
    while len(kept) > 1 and filled.any() and ((filled > 0) & (filled < floor)).any():
        filled += counts[:, kept[-2] : kept[-1]].sum(axis=1)
        kept.pop()
    return kept if kept[-1] == counts.shape[1] else [*kept, counts.shape[1]]


def join(counts: NDArray[np.int64], kept: list[int]) -> NDArray[np.int64]:
    """Return the counts of joined bins, along the last axis."""
    joined: NDArray[np.int64] = np.add.reduceat(counts, kept[:-1], axis=-1)
    return joined
