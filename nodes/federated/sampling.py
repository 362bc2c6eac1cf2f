"""Who is asked in a round: a pure function of the seed, the round and the names, never of what happened before."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nervenet.models.randomness import generator


def uniform(names: Sequence[str], share: float, *, seed: int, round: int, attempt: int) -> tuple[str, ...]:  # noqa: A002
    """Draw ``max(1, ceil(share * n))`` of the names without replacement, in name order (McMahan et al. 2017, Algorithm
    1).

    Parameters
    ----------
    names
        The clients that could be asked.
    share
        The fraction C in (0, 1].
    seed, round, attempt
        Address of the draw: the same address and names give the same answer.
    """
    pool = sorted(names)
    # The rounding guards against 0.1 * 30 = 3.0000000000000004, which must ask 3 and not 4.
    count = min(len(pool), max(1, math.ceil(round_off(share * len(pool)))))
    if count == len(pool):
        return tuple(pool)
    chosen = generator(seed, "participation", round, attempt).choice(len(pool), size=count, replace=False)
    return tuple(pool[i] for i in sorted(chosen.tolist()))


def round_off(x: float) -> float:
    """Strip the last few bits, so that products of decimal fractions land where people expect."""
    return round(x, 9)
