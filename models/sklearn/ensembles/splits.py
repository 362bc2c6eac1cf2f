"""Which split of a node is best, from what all sites have counted there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .histograms import BINS, Counted

Sums = NDArray[np.float64]

AT_ONCE = 1 << 18  # counts whose splits are looked at together
EQUAL = 1e-12  # two splits whose worth differs by less, relatively, are equally good


class Splits(NamedTuple):
    """The best split of each open node that has rows; its column is -1 where no split parts them."""

    node: NDArray[np.int64]  # places among the open nodes
    slot: NDArray[np.int64]  # the column's place among those drawn for the node
    bin: NDArray[np.int64]  # values up to this bin's upper edge go left
    left: Sums  # (nodes, channels)
    total: Sums


def best_splits(
    counted: Counted,
    channels: int,
    wanted: int,
    criterion: str,
    least: float,
    rng: np.random.Generator,
    *,
    random: bool,
) -> Splits:
    """Return the best split of each node.

    Parameters
    ----------
    channels, wanted
        Of a cell; and columns of a node.
    criterion
        "gini", "entropy" or "log_loss"; "squared_error" of channels that are moments.
    least
        Rows that either side has at least.
    rng
        Decides between splits that are equally good, and where a `random` one is.
    random
        One threshold of each column is drawn (extremely randomized trees, Geurts et al. 2006), instead of the best.
    """
    parts = [
        _of(some, channels, wanted, criterion, least, rng, random=random)
        for some in _pieces(counted, channels * wanted * BINS)
    ]
    if not parts:
        none = np.empty(0, np.int64)
        return Splits(none, none, none, np.empty((0, channels)), np.empty((0, channels)))
    return Splits(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _pieces(counted: Counted, size: int) -> Iterator[Counted]:
    """Yield counts of whole nodes, some at a time."""
    nodes = counted.cells // size
    start = 0
    while start < len(nodes):
        stop = len(nodes)
        if start + AT_ONCE < stop:
            stop = int(np.searchsorted(nodes, nodes[start + AT_ONCE]))
            stop = stop if stop > start else int(np.searchsorted(nodes, nodes[start], "right"))
        yield Counted(counted.cells[start:stop], counted.sums[start:stop])
        start = stop


def _of(
    counted: Counted,
    channels: int,
    wanted: int,
    criterion: str,
    least: float,
    rng: np.random.Generator,
    *,
    random: bool,
) -> Splits:
    cells, where = np.unique(counted.cells // channels, return_inverse=True)
    sums = np.zeros((len(cells), channels))
    sums[where, counted.cells % channels] = counted.sums
    column, bins = cells // BINS, cells % BINS
    first = np.flatnonzero(np.diff(column, prepend=-1))  # of each column of each node
    sizes = np.diff(first, append=len(cells))
    upto = np.cumsum(sums, axis=0)
    left = upto - np.repeat(upto[first] - sums[first], sizes, axis=0)
    last = first + sizes - 1
    total = np.repeat(left[last], sizes, axis=0)
    right = total - left
    possible = (_rows(left, criterion) >= least) & (_rows(right, criterion) >= least)
    possible[last] = False
    cut = np.where(possible, (bins + np.append(bins[1:], 0) - 1) // 2, 0)
    if random:
        possible, cut = _drawn(possible, bins, first, sizes, rng)
    worth = np.full(len(cells), -np.inf)
    worth[possible] = _worth(left[possible], criterion) + _worth(right[possible], criterion)
    node = column // wanted
    begin = np.flatnonzero(np.diff(node, prepend=-1))
    counts = np.diff(begin, append=len(cells))
    best = np.repeat(np.maximum.reduceat(worth, begin), counts)
    with np.errstate(invalid="ignore"):  # -inf where there is none
        near = possible & (worth >= best - EQUAL * np.abs(best))
    lots = np.where(near, rng.random(len(cells)), -1.0)
    chosen = np.flatnonzero((lots == np.repeat(np.maximum.reduceat(lots, begin), counts)) & near)
    found = np.full(len(begin), -1)
    found[np.searchsorted(begin, chosen, "right") - 1] = chosen
    slot = np.where(found >= 0, column[found] % wanted, -1)
    return Splits(node[begin], slot, np.where(found >= 0, cut[found], 0), left[found], total[begin])


def _drawn(
    possible: NDArray[np.bool_],
    bins: NDArray[np.int64],
    first: NDArray[np.int64],
    sizes: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return one threshold of each column, drawn between its least and its greatest bin, as cells and bins."""
    low, high = bins[first], bins[first + sizes - 1]
    cut = low + np.floor(rng.random(len(first)) * (high - low)).astype(np.int64)  # low … high - 1
    group = np.repeat(np.arange(len(first)), sizes)
    below = np.bincount(group, bins <= cut[group], minlength=len(first)).astype(np.int64)
    cell = first + below - 1
    one = np.zeros(len(bins), np.bool_)
    one[cell] = possible[cell]
    return one, cut[group]


def _rows(sums: Sums, criterion: str) -> Sums:
    return sums[:, 0] if criterion == "squared_error" else sums.sum(axis=1)


def _worth(sums: Sums, criterion: str) -> Sums:
    """Return rows times (a constant of the node minus the impurity)."""
    rows = _rows(sums, criterion)
    if criterion == "squared_error":
        return np.asarray(sums[:, 1] ** 2 / rows)
    if criterion == "gini":
        return np.asarray((sums**2).sum(axis=1) / rows)
    return np.asarray(_logs(sums).sum(axis=1) - _logs(rows))


def _logs(sums: Sums) -> Sums:
    return np.asarray(sums * np.log2(np.where(sums > 0, sums, 1.0)))


def impurity(sums: Sums, criterion: str) -> Sums:
    """Return the impurity of nodes, shape (nodes,)."""
    rows = _rows(sums, criterion)
    if criterion == "squared_error":
        return np.maximum(sums[:, 2] / rows - (sums[:, 1] / rows) ** 2, 0.0)
    shares = sums / rows[:, None]
    if criterion == "gini":
        return np.asarray(1 - (shares**2).sum(axis=1))
    return np.asarray(-_logs(shares).sum(axis=1))
