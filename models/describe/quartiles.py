"""Quartiles by their ranks: which values it takes, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

QUARTILES = {"q1": 0.25, "median": 0.5, "q3": 0.75}


def ranks_of(count: int) -> tuple[int, ...]:
    """Return the ranks, from 0, of the values that the three quartiles of so many values lie between: six of them."""
    places = [(count - 1) * share for share in QUARTILES.values()]
    return tuple(rank for place in places for rank in (int(place), min(int(place) + 1, count - 1)))


def between(values: Sequence[float], count: int) -> dict[str, float]:
    """Return the quartiles from the values at `ranks_of`: the same numbers as `numpy.quantile` and `numpy.median`."""
    found = {}
    for place, (name, share) in enumerate(QUARTILES.items()):
        low, high = values[2 * place], values[2 * place + 1]
        part = (count - 1) * share % 1
        if name == "median":
            found[name] = low if part == 0 else (low + high) / 2
        else:  # as NumPy interpolates: from the nearer end, so that the result is never beyond it
            found[name] = high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
    return found


def quartiles(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the quartiles of an array of at least one value, without gaps."""
    ranks = ranks_of(len(values))
    ordered = np.partition(values, sorted(set(ranks)))
    return between([float(ordered[rank]) for rank in ranks], len(values))
