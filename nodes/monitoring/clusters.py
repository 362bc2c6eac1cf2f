"""How far peers are apart, estimated from sketches of their weights, without their models.

A sketch (`nervenet.models.weights.sketch`) keeps distances in expectation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..results.round_metrics import Sketch, consensus_distance

GAP = 4.0
"""How many times farther two groups must be apart than neighbors within them are."""

MOST = 64
"""Peers among which clusters are searched for: a live view does it repeatedly, in quadratic time."""


@dataclass(frozen=True, slots=True)
class PeerClusters:
    distance: float  # sqrt(mean_i ||x_i - mean||²), in the unit of the weights
    # Groups of at least two, far from one another; a single one where no gap separates them. In name order.
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
        return PeerClusters(consensus_distance([sketches[name] for name in names]), (tuple(names),), ())
    edges = _spanning_tree(names, sketches)
    lengths = sorted(length for length, _, _ in edges)
    limit = gap * lengths[(len(lengths) - 1) // 2]
    groups = _joined(names, [(a, b) for length, a, b in edges if length <= limit])
    clusters = tuple(group for group in groups if len(group) > 1)
    outliers = tuple(group[0] for group in groups if len(group) == 1)
    return PeerClusters(consensus_distance([sketches[name] for name in names]), clusters, outliers)


def _spanning_tree(names: Sequence[str], at: Mapping[str, Sketch]) -> list[tuple[float, str, str]]:
    """Return the edges (length, a, b) of a minimum spanning tree, by Prim's algorithm."""
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
