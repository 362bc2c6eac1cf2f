"""How much updates count whose rows have weights."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from .strategies import Contribution

WEIGHT = "weight"  # an update's metric: the sum of the weights of the rows behind it, where these have some


def by_weight(updates: Sequence[Contribution], ratio: float) -> tuple[list[Contribution], dict[str, str]]:
    """Return updates that count by the weights which they report, and a line on each that is cut or has none.

    The objective over the rows of all sites, Σ w_i l_i / Σ w_i, is the mean of the sites' own objectives, each with its
    share of Σ w_i (McMahan et al. 2017, equation 1, where every w_i is 1). An update that reports no weight counts by
    its rows. None counts for more than `ratio` times the median one: a weight is a claim, as a number of rows is.
    """
    if not any(WEIGHT in update.metrics for update in updates):
        return list(updates), {}
    sizes = [float(update.metrics.get(WEIGHT, update.examples)) for update in updates]
    median = statistics.median_low(sizes)
    counted = [replace(update, examples=min(size, ratio * median)) for update, size in zip(updates, sizes, strict=True)]
    lines = {
        update.client: f"the rows of {update.client} have no weights, those of other sites have: it counts by its "
        f"{update.examples:g} rows, beside sums of weights of {median:g} in the median (--weight, data.weight)"
        for update in updates
        if WEIGHT not in update.metrics
    }
    lines |= {
        update.client: f"the weights of {update.client} sum to {size:g}, more than {ratio:g} times the median client's "
        f"({median:g}): it counts as {ratio * median:g}; federated.max_examples_ratio is the limit"
        for update, size in zip(updates, sizes, strict=True)
        if size > ratio * median
    }
    return counted, lines
