"""How far the learning-rate schedule of a model has come that is made of several.

A schedule's clock belongs to the model and travels with it: kept where a model was trained, one site's rate would be
that of the first step while the others' have long decayed.
"""

from collections.abc import Sequence


def mean_clock(clocks: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted mean: neighbors that mix so agree on one clock, as they do on one model."""
    return sum(clock * weight for clock, weight in zip(clocks, weights, strict=True)) / sum(weights)


def median_clock(clocks: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted median, which no minority of the weight can set.

    Half of the weight is at or below it; where the halves are even, it is the mean of the two in the middle.
    """
    left = sum(weights) / 2
    pairs = sorted(zip(clocks, weights, strict=True))
    for place, (clock, weight) in enumerate(pairs):
        left -= weight
        if left < 0 or place == len(pairs) - 1:
            return clock
        if left == 0:
            return (clock + pairs[place + 1][0]) / 2
    raise ValueError("no clocks are given")
