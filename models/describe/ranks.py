"""The exact values at given ranks among those of all sites, from counts alone.

Values are ordered as their 64-bit keys are. The key at a rank is found from its highest bits down, `BITS` at a time:
each site counts how many of its keys lie below each continuation of the bits that are known. Few bits at a time take
more questions, and say less of values that are nowhere near the rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.questions import Questions
from ..moments import IncompatibleSites

BITS = 4
_SIGN = np.uint64(1 << 63)


def order_statistics(ranks: Mapping[str, Sequence[int]]) -> Questions[dict[str, list[float]]]:
    """Return, for each column, the values at these ranks, from 0 for the smallest."""
    asked = {name: sorted(set(wanted)) for name, wanted in ranks.items()}
    known = {name: [0] * len(wanted) for name, wanted in asked.items()}
    size = sum(map(len, asked.values())) * (2**BITS - 1)
    for shift in range(64 - BITS, -1, -BITS):
        answers = yield {"shift": shift, "known": {name: [str(key) for key in keys] for name, keys in known.items()}}
        for site, answer in answers.items():
            if answer.vector.shape != (size,):
                raise IncompatibleSites(f"site {site}: {len(answer.vector)} counts of ranges, expected {size}", site)
        below = np.sum([answer.vector for answer in answers.values()], axis=0).reshape(-1, 2**BITS - 1)
        rows = iter(below)
        for name, wanted in asked.items():
            for place, rank in enumerate(wanted):
                known[name][place] |= int((next(rows) <= rank).sum()) << shift
    found = {}
    for name, wanted in asked.items():
        values = dict(zip(wanted, _values(np.array(known[name], dtype=np.uint64)).tolist(), strict=True))
        found[name] = [values[rank] for rank in ranks[name]]
    return found


def counts_below(question: Mapping[str, Any], columns: Mapping[str, NDArray[np.uint64]]) -> NDArray[np.float64]:
    """Return a site's answer: of each range that is asked for, how many of its keys lie below it.

    `columns` has the sorted keys of each column, as `keys_of` returns them.
    """
    told = [np.empty(0)]
    for name, known in question["known"].items():
        for key in known:
            steps = [int(key) + (step << int(question["shift"])) for step in range(1, 2**BITS)]
            places = np.searchsorted(columns[name], np.array(steps, dtype=np.uint64)) if name in columns else steps
            told.append(np.asarray(places, dtype=np.float64) if name in columns else np.zeros(len(steps)))
    return np.concatenate(told)


def keys_of(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return the keys of values, sorted: whole numbers in the same order; both zeros have one key."""
    bits = np.sort(values + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _values(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    return np.where(keys & _SIGN, keys & ~_SIGN, ~keys).view(np.float64)
