"""How far peers are apart, as anybody can tell from the projections of their weights, without ever seeing a model.

A projection (`nervenet.models.weights.sketch`) keeps distances in expectation, so that all here are estimates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Projection = Sequence[float]

GAP = 4.0
"""How many times farther two groups must be apart than neighbors within them are."""


MOST = 64
"""Peers among whom groups are looked for: a live view does it again and again, in the square of their number."""


@dataclass(frozen=True, slots=True)
class PeerClusters:
    """How peers stand to one another.

    Attributes
    ----------
    distance : float
        ``sqrt(mean_i ||x_i - mean||²)``, in the unit of the weights.
    clusters : tuple of tuple of str
        Groups of at least two, far from one another; a single one where no gap parts them. In name order.
    outliers : tuple of str
        Peers that are far from everybody.
    """

    distance: float
    clusters: tuple[tuple[str, ...], ...]
    outliers: tuple[str, ...]


def spread(vectors: Sequence[Projection]) -> float:
    """``sqrt(mean_i ||v_i - mean||²)`` of equally long vectors."""
    mean = [math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True)]
    return math.sqrt(math.fsum(math.dist(vector, mean) ** 2 for vector in vectors) / len(vectors))


def find_clusters(projections: Mapping[str, Projection], gap: float = GAP) -> PeerClusters | None:
    """See distance, groups and outliers among peers; None for fewer than two. Of more than `MOST` only the distance.

    Single linkage: the edges of the shortest tree through all peers that are more than `gap` times the median edge are
    cut. A ring that is still far from consensus has long edges everywhere, and none is cut.

    Parameters
    ----------
    projections
        By peer, all equally long and made with one seed.
    gap
        See `GAP`.
    """
    if len(projections) < 2:
        return None
    names = sorted(projections)
    if len(names) > MOST:
        return PeerClusters(spread([projections[name] for name in names]), (tuple(names),), ())
    edges = _shortest_tree(names, projections)
    lengths = sorted(length for length, _, _ in edges)
    limit = gap * lengths[(len(lengths) - 1) // 2]
    groups = _joined(names, [(a, b) for length, a, b in edges if length <= limit])
    clusters = tuple(group for group in groups if len(group) > 1)
    outliers = tuple(group[0] for group in groups if len(group) == 1)
    return PeerClusters(spread([projections[name] for name in names]), clusters, outliers)


def _shortest_tree(names: Sequence[str], at: Mapping[str, Projection]) -> list[tuple[float, str, str]]:
    """Prim's algorithm: every peer with the one through which it is reached, and how far that is."""
    start, *rest = names
    reached = {name: (math.dist(at[start], at[name]), start) for name in rest}
    edges = []
    while reached:
        name = min(reached, key=lambda one: (reached[one][0], one))
        length, through = reached.pop(name)
        edges.append((length, through, name))
        for other, (so_far, _) in reached.items():
            length = math.dist(at[name], at[other])
            if length < so_far:
                reached[other] = (length, name)
    return edges


def _joined(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    group = {name: {name} for name in names}
    for a, b in edges:
        merged = group[a] | group[b]
        group.update(dict.fromkeys(merged, merged))
    return sorted({tuple(sorted(members)) for members in group.values()})
