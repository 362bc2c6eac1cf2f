"""Trees that are grown on counts of all sites' rows: which node a row has come to, and what is counted of it there.

A column's values are known by bins alone, between edges that all have agreed on. Of each node that is to be split, a
site counts its rows by bin, in the columns that were drawn for the node: by class, or with the sums of the target and
of its square. The sums of what all sites have counted say what a split of all rows there would be worth, exactly.

A tree's nodes are in the order in which they were made: the right child of a node comes after its left one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...rng import generator

NODE = np.dtype([("left", "<i4"), ("feature", "<u2"), ("bin", "u1")])
OPEN, LEAF = 0xFFFE, 0xFFFF
"""In place of the column that a node is split by: it is still to be looked at; it is a leaf."""

BINS = 256
MOMENTS = 3
"""Of a target: how many, their sum, and the sum of their squares."""

BLOCK = 1 << 20

Codes = NDArray[np.uint8]
Nodes = NDArray[Any]


class Counted(NamedTuple):
    """Sparse counts: ((open node * columns + column) * BINS + bin) * channels + channel, rising, and a sum for each."""

    cells: NDArray[np.int64]
    sums: NDArray[np.float64]


def coded(X: NDArray[Any], edges: Sequence[NDArray[np.float32]]) -> Codes:
    """Return the bin of each value, shape (rows, columns): how many edges of its column it is above."""
    found = np.empty(X.shape, np.uint8)
    for place, own in enumerate(edges):
        found[:, place] = np.searchsorted(own, X[:, place].astype(np.float32))
    return found


def reached(nodes: Nodes, trees: int, codes: Codes) -> NDArray[np.int64]:
    """Return the node at which each row ends in each tree, shape (trees, rows); the first nodes are the roots."""
    at = np.repeat(np.arange(trees)[:, None], len(codes), axis=1)
    while True:
        tree, row = np.nonzero(nodes["feature"][at] < OPEN)
        if not len(tree):
            return at
        node = nodes[at[tree, row]]
        at[tree, row] = node["left"] + (codes[row, node["feature"]] > node["bin"])


def drawn_columns(address: Sequence[Any], count: int, n_features: int, wanted: int) -> NDArray[np.int64]:
    """Return the columns of each of so many nodes, shape (count, wanted), rising; the same at every site."""
    if wanted >= n_features:
        return np.tile(np.arange(n_features), (count, 1))
    rng, step = generator(*address), max(1, BLOCK // n_features)
    parts = [
        rng.random((min(step, count - start), n_features)).argpartition(wanted - 1, axis=1)[:, :wanted]
        for start in range(0, count, step)
    ]
    return np.sort(np.concatenate(parts), axis=1)


def drawn_rows(address: Sequence[Any], rows: int, count: int) -> NDArray[np.float64]:
    """Return how often each row is in a tree's sample of `count` rows, with replacement."""
    return np.bincount(generator(*address).integers(rows, size=count), minlength=rows).astype(np.float64)


def counted(
    at: NDArray[np.int64],
    often: NDArray[np.float64],
    codes: Codes,
    y: NDArray[Any],
    places: NDArray[np.int64],
    columns: NDArray[np.int64],
    n_classes: int | None,
) -> Counted:
    """Return what a site counts.

    Parameters
    ----------
    at, often
        Where each row is in each tree, and how often it is there, shape (trees, rows).
    codes, y
        Bins, (rows, columns), and class indices or targets, (rows,).
    places
        The place of each node among the open ones, -1 of others, (nodes,).
    columns
        Those of each open node, (open nodes, wanted).
    """
    tree, row = np.nonzero((places[at] >= 0) & (often > 0))
    wanted, parts = columns.shape[1], []
    for start in range(0, len(row), max(1, BLOCK // wanted)):
        some = slice(start, start + max(1, BLOCK // wanted))
        own, place, weight = row[some], places[at[tree[some], row[some]]], often[tree[some], row[some]]
        cells = (place[:, None] * wanted + np.arange(wanted)) * BINS + codes[own[:, None], columns[place]]
        if n_classes is not None:
            parts.append((cells * n_classes + y[own][:, None], np.broadcast_to(weight[:, None], cells.shape)))
            continue
        target = np.asarray(y[own], np.float64)
        sums = np.stack([weight, weight * target, weight * target**2], axis=1)[:, None, :]
        spread = cells[..., None] * MOMENTS + np.arange(MOMENTS)
        parts.append((spread, np.broadcast_to(sums, spread.shape)))
    return summed(Counted(keys.ravel(), sums.ravel()) for keys, sums in parts)


def summed(parts: Any) -> Counted:
    """Return the sums of several counts."""
    found = list(parts)
    if not found:
        return Counted(np.empty(0, np.int64), np.empty(0))
    cells, sums = (np.concatenate([part[k] for part in found]) for k in (0, 1))
    order = np.argsort(cells, kind="stable")
    cells = cells[order]
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    return Counted(cells[first], np.add.reduceat(sums[order], first) if len(first) else np.empty(0))
