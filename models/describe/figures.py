"""The figures of one column, from what sites have told of it: of all sites together, and of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..moments import Moments
from .description import Figures
from .histogram import cuts, join
from .suppression import Counts, hidden_counts
from .told import Told

ORDERED = ("min", "q1", "median", "q3", "max")


def pooled_moments(sites: Sequence[Told], column: str) -> Moments:
    """Return the moments of a column of all sites that describe it, merged in their order."""
    return reduce(Moments.merge, (told.moments(column) for told in sites))


def of_numbers(
    sites: Sequence[Told],
    column: str,
    quartiles: Mapping[str, float],
    edges: NDArray[np.float64],
    counts: Counts,
    floor: int,
    *,
    dates: bool,
) -> tuple[Figures, dict[str, Figures]]:
    """Return the figures of a column of numbers or dates.

    `counts` has a row a site, in the order of `sites`, and a column a bin of `edges`. The bins of a site's histogram
    are some of all sites' joined, the same at each of them, so that none holds a small count: neither at a site, nor
    as a difference.
    """
    together = counts.sum(axis=0, keepdims=True)
    fine = cuts(together, floor)
    bins = join(counts, fine)
    coarse = cuts(bins, floor)
    merged = pooled_moments(sites, column)
    least, most = (pick(told.figures[column][end] for told in sites) for pick, end in ((min, "min"), (max, "max")))
    known = {"count": merged.n, "mean": float(merged.mean[0]), "m2": float(merged.m2[0])}
    known |= {"min": least, "max": most, **quartiles}
    write = _iso if dates else float
    edges = edges[fine]
    pooled = _figures(known, sum(told.gaps(column) for told in sites), dates=dates)
    pooled["histogram"] = {"edges": list(map(write, edges.tolist())), "counts": bins.sum(axis=0).tolist()}
    found = {}
    for told, own in zip(sites, join(bins, coarse), strict=True):
        found[told.site] = _figures(told.figures[column], told.gaps(column), dates=dates)
        found[told.site]["histogram"] = {"edges": list(map(write, edges[coarse].tolist())), "counts": own.tolist()}
    return pooled, found


def of_categories(
    sites: Sequence[Told], column: str, names: Sequence[str], counts: Counts, floor: int
) -> tuple[Figures, dict[str, Figures]]:
    """Return the figures of a column of categories; the last column of `counts` is of all that have no name here."""
    hidden = hidden_counts(counts, floor)
    order = np.argsort(-counts[:, :-1].sum(axis=0), kind="stable")

    def figures(gaps: int, own: NDArray[np.int64], mask: NDArray[np.bool_]) -> Figures:
        shown = _shown(own, mask)
        by_name = {names[place]: shown[place] for place in order}
        return {"count": int(own.sum()), "gaps": gaps, "categories": by_name, "other": shown[-1]}

    pooled = figures(sum(told.gaps(column) for told in sites), counts.sum(axis=0), hidden.pooled)
    each = zip(sites, counts, hidden.sites, strict=True)
    return pooled, {told.site: figures(told.gaps(column), own, mask) for told, own, mask in each}


def _figures(known: Mapping[str, float], gaps: int, *, dates: bool) -> Figures:
    count, mean = int(known["count"]), known["mean"]
    found: dict[str, Any] = {"count": count, "gaps": gaps, "mean": _iso(mean) if dates else mean}
    if not dates:
        found["std"] = _deviation(known["m2"], count, mean)
    return found | {name: _iso(known[name]) if dates else known[name] for name in ORDERED}


def _deviation(m2: float, count: int, mean: float) -> float | None:
    """Return the standard deviation with count - 1 in the denominator; 0 where all that is left is rounding."""
    if count < 2:
        return None
    deviation = float(np.sqrt(m2 / (count - 1)))
    return 0.0 if deviation <= 16 * np.finfo(np.float64).eps * abs(mean) else deviation


def _shown(counts: NDArray[np.int64], mask: NDArray[np.bool_]) -> list[int | None]:
    return [None if hidden else count for count, hidden in zip(counts.tolist(), mask.tolist(), strict=True)]


def _iso(seconds: float) -> str:
    """Return a date of so many seconds since 1970, without the time where that is midnight."""
    return str(np.datetime64(int(np.floor(seconds)), "s")).removesuffix("T00:00:00")
