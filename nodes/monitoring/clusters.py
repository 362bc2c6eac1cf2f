"""How far peers are apart, estimated from sketches of their weights, without their models.

A sketch (`nervenet.models.weights.sketch`) keeps distances in expectation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..results.round_metrics import Sketch, consensus_distance

GAP = 4.0
"""How many times farther two groups must be apart than neighbors within them are."""

MOST = 256
"""Peers among which clusters are searched for: a live view does it repeatedly, in quadratic time."""


@dataclass(frozen=True, slots=True)
class PeerClusters:
    distance: float  # sqrt(mean_i ||x_i - mean||²), in the unit of the weights
    # Groups of at least two, far from one another; a single one where no gap separates them. In name order. None of
    # more peers than `MOST`: they have not been searched.
    clusters: tuple[tuple[str, ...], ...]
    outliers: tuple[str, ...]  # peers that are far from all others


def find_clusters(sketches: Mapping[str, Sketch], gap: float = GAP) -> PeerClusters | None:
    """Return distance, clusters and outliers of peers; None for fewer than two. Of more than `MOST`, only the distance.

    Single linkage: edges of the minimum spanning tree that are longer than `gap` times the median edge are cut. A ring
    that is still far from consensus has long edges everywhere, and none is cut.

    Parameters
    ----------
    sketches
        By peer, all equally long and made with one seed.
    gap
        See `GAP`.
    """
    if len(sketches) < 2:
        return None
    names = sorted(sketches)
    if len(names) > MOST:
        return PeerClusters(consensus_distance([sketches[name] for name in names]), (), ())
    edges = _spanning_tree(names, sketches)
    lengths = sorted(length for length, _, _ in edges)
    limit = gap * lengths[(len(lengths) - 1) // 2]
    groups = _joined(names, [(a, b) for length, a, b in edges if length <= limit])
    clusters = tuple(group for group in groups if len(group) > 1)
    outliers = tuple(group[0] for group in groups if len(group) == 1)
    return PeerClusters(consensus_distance([sketches[name] for name in names]), clusters, outliers)


def _spanning_tree(names: Sequence[str], at: Mapping[str, Sketch]) -> list[tuple[float, str, str]]:
    """Return the edges (length, a, b) of a minimum spanning tree, by Prim's algorithm."""
    import numpy as np  # which a view of a federated run does not need

    points = np.array([at[name] for name in names], dtype=float)
    nearest, through = np.full(len(names), np.inf), np.zeros(len(names), dtype=int)
    outside = np.ones(len(names), dtype=bool)
    edges, latest = [], 0
    for _ in names[1:]:
        outside[latest] = False
        lengths = np.sqrt(((points - points[latest]) ** 2).sum(axis=1))
        closer = lengths < nearest
        nearest[closer], through[closer] = lengths[closer], latest
        latest = int(np.argmin(np.where(outside, nearest, np.inf)))
        edges.append((float(nearest[latest]), names[through[latest]], names[latest]))
    return edges


def _joined(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    group = {name: {name} for name in names}
    for a, b in edges:
        merged = group[a] | group[b]
        group.update(dict.fromkeys(merged, merged))
    return sorted({tuple(sorted(members)) for members in group.values()})
