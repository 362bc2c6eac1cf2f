"""Partitions of a data set's rows, one part a node: alike, skewed by label, skewed by size, or as they were collected.

Every scheme assigns each row to exactly one node, takes every draw from ``generator(seed, "partition")``, and returns
the rows of a part in ascending order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..plugins import suggest
from ..rng import generator
from .data import DataError, Dataset

Rows = NDArray[np.intp]

MAX_DRAWS = 1000
"""So many Dirichlet draws may leave some node short of `min_rows` before the attempt is given up by name."""

QUANTITY_BINS = 10
"""Regression targets have no labels: the schemes that need some use this many quantile bins of the target."""


@dataclass(frozen=True)
class _Cut:
    dataset: Dataset
    nodes: int
    alpha: float
    shards_per_node: int
    min_rows: int
    column: str | None
    rng: np.random.Generator


def partition(
    dataset: Dataset,
    nodes: int,
    scheme: str = "iid",
    *,
    alpha: float = 0.5,
    shards_per_node: int = 2,
    min_rows: int = 2,
    column: str | None = None,
    seed: int = 0,
) -> list[Rows]:
    """Return the rows of each node, as indices in ascending order.

    Parameters
    ----------
    dataset, nodes
        What to cut, and into how many parts.
    scheme
        "iid": shuffled, sizes differ by one at most.
        "dirichlet": for each class, its shares over the nodes are drawn from Dirichlet(alpha); redrawn as a whole until
        every node has `min_rows` (Hsu et al. 2019, arXiv 1909.06335, turned as in Li et al. 2022, arXiv 2102.02079).
        "shards": rows sorted by label, cut into ``nodes * shards_per_node`` shards, dealt at random (McMahan et al.
        2017, section 3).
        "quantity": shuffled, sizes drawn from Dirichlet(alpha), no node under `min_rows`.
        "column": rows with the same value in `column` stay together; the largest groups are dealt first, each to the
        node with the fewest rows. The column stays among the inputs. Without `column`, the data set's own `sites`.
    alpha
        Concentration for "dirichlet" and "quantity": small is skewed, large is even. Above 0.
    shards_per_node
        For "shards".
    min_rows
        Each node has at least so many rows.
    column
        For "column": a name out of ``dataset.columns``.
    seed
        Of the draws.

    Raises DataError: there are too few rows, groups or shards for the nodes, or an argument is impossible.
    """
    rows = len(dataset)
    if nodes < 1:
        raise DataError(f"nodes must be at least 1, found {nodes}")
    if min_rows < 1:
        raise DataError(f"min_rows must be at least 1, found {min_rows}")
    if nodes > rows:
        raise DataError(f"{nodes} nodes are more than the {rows} rows of {dataset.name}")
    if nodes * min_rows > rows:
        raise DataError(
            f"{nodes} nodes with at least {min_rows} rows each need {nodes * min_rows} rows; {dataset.name} has {rows}"
        )
    if not (isinstance(alpha, int | float | np.number) and math.isfinite(alpha) and alpha > 0):
        raise DataError(f"alpha must be a number above 0, found {alpha!r}")
    if scheme not in SCHEMES:
        raise DataError(f"partition {scheme!r} is unknown{suggest(scheme, SCHEMES)}; allowed: {', '.join(SCHEMES)}")
    cut = _Cut(dataset, nodes, alpha, shards_per_node, min_rows, column, generator(seed, "partition"))
    parts = [np.sort(part).astype(np.intp, copy=False) for part in SCHEMES[scheme](cut)]
    fewest = min(len(part) for part in parts)
    if fewest < min_rows:
        raise DataError(
            f"partition {scheme!r} of {dataset.name} leaves a node with {fewest} rows; min_rows is {min_rows}"
        )
    return parts


def _iid(cut: _Cut) -> list[Rows]:
    return np.array_split(cut.rng.permutation(len(cut.dataset)), cut.nodes)


def _dirichlet(cut: _Cut) -> list[Rows]:
    labels = _labels(cut.dataset)
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    concentration = np.full(cut.nodes, cut.alpha)
    best = 0
    for _ in range(MAX_DRAWS):
        pieces: list[list[Rows]] = [[] for _ in range(cut.nodes)]
        for members in by_class:
            shuffled = cut.rng.permutation(members)
            edges = np.cumsum(cut.rng.dirichlet(concentration))[:-1]
            for node, piece in enumerate(np.split(shuffled, np.rint(edges * len(shuffled)).astype(np.intp))):
                pieces[node].append(piece)
        parts = [np.concatenate(piece) for piece in pieces]
        best = max(best, fewest := min(len(part) for part in parts))
        if fewest >= cut.min_rows:
            return parts
    raise DataError(
        f"Dirichlet with alpha {cut.alpha:g} left a node of {cut.nodes} short of {cut.min_rows} rows in each of "
        f"{MAX_DRAWS} draws (the best gave every node {best}); use a larger alpha, fewer nodes or a smaller min_rows"
    )


def _shards(cut: _Cut) -> list[Rows]:
    if cut.shards_per_node < 1:
        raise DataError(f"shards_per_node must be at least 1, found {cut.shards_per_node}")
    count = cut.nodes * cut.shards_per_node
    if count > len(cut.dataset):
        raise DataError(
            f"{cut.nodes} nodes with {cut.shards_per_node} shards each need {count} rows; "
            f"{cut.dataset.name} has {len(cut.dataset)}"
        )
    shards = np.array_split(np.argsort(cut.dataset.y, kind="stable"), count)
    dealt = cut.rng.permutation(count).reshape(cut.nodes, cut.shards_per_node)
    return [np.concatenate([shards[shard] for shard in own]) for own in dealt]


def _quantity(cut: _Cut) -> list[Rows]:
    rows = len(cut.dataset)
    spare = rows - cut.nodes * cut.min_rows
    share = cut.rng.dirichlet(np.full(cut.nodes, cut.alpha)) * spare
    sizes = np.floor(share).astype(np.intp)
    # What rounding down left over goes to the nodes that lost most by it, so that the sizes add up exactly.
    sizes[np.argsort(sizes - share, kind="stable")[: spare - int(sizes.sum())]] += 1
    return np.split(cut.rng.permutation(rows), np.cumsum(sizes + cut.min_rows)[:-1])


def _column(cut: _Cut) -> list[Rows]:
    dataset = cut.dataset
    if cut.column is None:
        if dataset.sites is None:
            raise DataError(f"partition 'column' needs the name of a column; {dataset.name} does not say its sites")
        values, name = dataset.sites, "the sites"
    else:
        values, name = dataset.column(cut.column), f"column {cut.column!r}"
        if values.dtype.kind == "O":  # categories, of which those without one are a group of their own
            values = np.array(["" if value != value else value for value in values.tolist()])
    distinct, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) < cut.nodes:
        raise DataError(f"{name} of {dataset.name}: {len(distinct)} distinct values are fewer than {cut.nodes} nodes")
    held = np.zeros(cut.nodes, dtype=np.intp)
    node_of = np.empty(len(distinct), dtype=np.intp)
    for candidate in np.argsort(-sizes, kind="stable"):
        node_of[candidate] = node = int(np.argmin(held))
        held[node] += sizes[candidate]
    return [np.flatnonzero(node_of[group] == node) for node in range(cut.nodes)]


SCHEMES: dict[str, Callable[[_Cut], list[Rows]]] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "shards": _shards,
    "quantity": _quantity,
    "column": _column,
}
"""The schemes by the names that experiment files use."""


def _labels(dataset: Dataset) -> NDArray[np.intp]:
    """Return a label a row: the class, or the quantile bin of a regression target."""
    if dataset.task == "classification":
        return np.unique(dataset.y, return_inverse=True)[1]
    inner = np.linspace(0, 1, QUANTITY_BINS + 1)[1:-1]
    return np.searchsorted(np.quantile(dataset.y, inner), dataset.y, side="right")
