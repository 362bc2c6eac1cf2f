"""The most rows that any client counts for: sizes are claims, and one alone must not be able to outweigh all others."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping


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
