"""The most rows that any client counts for: sizes are claims, and one alone must not be able to outweigh all others."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from .strategies import Contribution


def median_of(sizes: Iterable[int]) -> int:
    """Return the rows of the median client, the lower one of two: half of all would have to lie to move it up."""
    claims = [rows for rows in sizes if rows > 0]
    return statistics.median_low(claims) if claims else 0


def cap_of(median: int, ratio: float) -> int:
    """Return the most rows that a client counts for, `ratio` times those of the median client."""
    return max(1, int(ratio * median))


def capped(name: str, rows: int, median: int, ratio: float) -> str:
    """Return what the cap does to a client that has more rows."""
    return (
        f"{name} has {rows} rows, more than {ratio:g} times the median client's ({median}): it counts as "
        f"{cap_of(median, ratio)}; federated.max_examples_ratio is the limit"
    )


def capped_of(sizes: Mapping[str, int], ratio: float) -> list[str]:
    """Return a line for each client, whose rows are known by name, that will count for fewer than it has."""
    median = median_of(sizes.values())
    cap = cap_of(median, ratio)
    all_, counted = sum(sizes.values()), sum(min(rows, cap) for rows in sizes.values())
    return [
        f"{capped(name, rows, median, ratio)}; its weight in an average by rows is {cap / counted:.3f} instead of "
        f"{rows / all_:.3f}"
        for name, rows in sizes.items()
        if rows > cap
    ]


def without_majority(
    updates: Sequence[Contribution], told: Mapping[str, int], *, weighted: bool = False
) -> tuple[list[Contribution], dict[str, str]]:
    """Return updates of which none counts for more than all others, and a line on one that is cut to that.

    Unless it had as much in round 0, before any of the others had sent anything: `told` are the rows that each site had
    then. Nothing is cut where all have trained on those rows. Where rows have weights (`weighted`), which round 0 does
    not ask for, a site is cut that had less than half of the others' rows.
    """
    largest = max(updates, key=lambda update: update.examples, default=None)
    if largest is None or len(updates) == 1:
        return list(updates), {}
    others = [update for update in updates if update is not largest]
    rest = sum(update.examples for update in others)
    before, rest_before = told.get(largest.client, 0), sum(told.get(update.client, 0) for update in others)
    backed = 2 * before >= rest_before if weighted else before > rest_before
    if largest.examples <= rest or (before and backed):
        return list(updates), {}
    what = "sums of weights" if weighted else "rows"
    had = f"{before} of {before + rest_before} rows" if before else "no rows"
    line = (
        f"{largest.client} counts for {largest.examples:g} {what}, more than all others together ({rest:g}), and had "
        f"{had} in round 0: it counts for half; a site that holds so much takes part from round 0 on"
    )
    cut = [replace(update, examples=rest) if update is largest else update for update in updates]
    return cut, {largest.client: line}
