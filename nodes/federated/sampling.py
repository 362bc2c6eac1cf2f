"""Who is asked in a round: pure functions of the seed, the round and the names, never of what happened before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from nervenet.models.rng import generator

Sampling: TypeAlias = Literal["uniform", "weighted", "round-robin"]


def sample(
    how: Sampling,
    pool: Mapping[str, int],
    count: int,
    *,
    seed: int,
    round: int,  # noqa: A002
    attempt: int,
) -> tuple[str, ...]:
    """Draw `count` of the clients in `pool`, which has their examples; all if there are no more. In name order.

    ``uniform``: each as likely as any other; ``weighted``: by examples, without replacement; ``round-robin``: by turns.
    `seed`, `round` and `attempt` are the address of the draw: the same address and pool give the same answer.
    """
    if count >= len(pool):
        return tuple(sorted(pool))
    match how:
        case "uniform":
            return uniform(list(pool), count, seed=seed, round=round, attempt=attempt)
        case "weighted":
            return weighted(pool, count, seed=seed, round=round, attempt=attempt)
        case "round-robin":
            return by_turns(list(pool), count, round=round, attempt=attempt)


def uniform(names: Sequence[str], count: int, *, seed: int, round: int, attempt: int) -> tuple[str, ...]:  # noqa: A002
    """Draw without replacement, each name as likely as any other (McMahan et al. 2017, Algorithm 1)."""
    pool = sorted(names)
    if count >= len(pool):
        return tuple(pool)
    chosen = generator(seed, "participation", round, attempt).choice(len(pool), size=count, replace=False)
    return tuple(pool[i] for i in sorted(chosen.tolist()))


def weighted(pool: Mapping[str, int], count: int, *, seed: int, round: int, attempt: int) -> tuple[str, ...]:  # noqa: A002
    """Draw without replacement, each next one with a chance in proportion to its examples.

    By exponential keys E / examples, E standard exponential, of which the smallest win (Efraimidis and Spirakis 2006,
    in logarithms): one number a client, so that who else could be asked changes nobody's key but by its place.
    """
    names = sorted(pool)
    draws = generator(seed, "participation", round, attempt).exponential(size=len(names))
    keys = [draw / pool[name] if pool[name] > 0 else math.inf for name, draw in zip(names, draws.tolist(), strict=True)]
    order = sorted(range(len(names)), key=lambda i: (keys[i], i))
    return tuple(names[i] for i in sorted(order[:count]))


def by_turns(names: Sequence[str], count: int, *, round: int, attempt: int) -> tuple[str, ...]:  # noqa: A002
    """Take the next `count` in name order, round after round, so that everybody has the same number of turns.

    A failed attempt passes its turn on: whoever did not answer would not answer now.
    """
    pool = sorted(names)
    first = (round - 1 + attempt) * count
    return tuple(sorted(pool[(first + i) % len(pool)] for i in range(min(count, len(pool)))))


def share_of(n: int, share: float) -> int:
    """Return max(1, ceil(share n)), never more than n: how many a share C in (0, 1] of n clients is."""
    # The rounding guards against 0.1 * 30 = 3.0000000000000004, which must ask 3 and not 4.
    return min(n, max(1, math.ceil(round_off(share * n))))


def surplus(n: int, wanted: int, over_selection: float) -> int:
    """Return how many of n to ask so that `wanted` answer soon: ceil(over_selection wanted) (Bonawitz et al. 2019)."""
    return min(n, math.ceil(round_off(over_selection * wanted)))


def round_off(x: float) -> float:
    """Strip the last few bits, so that products of decimal fractions land where people expect."""
    return round(x, 9)
