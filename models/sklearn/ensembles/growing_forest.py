"""Trees as far as all sites have grown them: the open nodes are split by what was counted there."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...moments import IncompatibleSites
from ...rng import generator
from .fitted import preorder
from .growth import Growth
from .histograms import LEAF, NODE, OPEN, Counted, drawn_columns
from .splits import Splits, best_splits, impurity
from .trees import Trees

QUESTION_BYTES = 900_000  # of edges and nodes: a question travels in a message's header
TRIES = 8  # draws of columns for a node, none of which varies there, before it is a leaf
PURE = 16 * np.finfo(np.float64).eps


class Forest:
    """Some trees, as far as they have grown."""

    def __init__(self, growth: Growth, trees: int, edges: Sequence[NDArray[np.float32]]) -> None:
        self.growth, self.trees, self.edges = growth, trees, edges
        self.nodes = np.zeros(trees, NODE)
        self.nodes["feature"] = OPEN
        self.tree = np.arange(trees)
        self.depth = np.zeros(trees, np.int64)
        self.tries = np.zeros(trees, np.int64)
        self.sums = np.zeros((trees, growth.channels))

    @property
    def open(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.nodes["feature"] == OPEN)

    def told(self) -> dict[str, str]:
        """Return nodes and edges as a question has them."""
        sizes = np.array([len(own) for own in self.edges], "<u2")
        edges = b"".join([sizes.tobytes(), *(own.astype("<f4").tobytes() for own in self.edges)])
        found = {name: b64encode(data).decode() for name, data in (("edges", edges), ("nodes", self.nodes.tobytes()))}
        if sum(map(len, found.values())) > QUESTION_BYTES:
            raise IncompatibleSites(
                f"a tree that all sites grow together has {len(self.nodes):,} nodes, more than a question holds: give "
                "a smaller max_depth or a larger min_samples_leaf, or training.trees = 'own'"
            )
        return found

    def take(self, counts: Counted, address: Sequence[Any]) -> None:
        """Split the open nodes by what was counted there."""
        growth, places = self.growth, self.open
        columns = drawn_columns((*address, "columns"), len(places), growth.n_features, growth.wanted)
        found = best_splits(
            counts,
            growth.channels,
            growth.wanted,
            growth.criterion,
            growth.min_samples_leaf,
            generator(*address, "lots"),
            random=growth.random,
        )
        self.sums[places[found.node]] = found.total
        empty = np.ones(len(places), np.bool_)
        empty[found.node] = False
        self.nodes["feature"][places[empty]] = LEAF
        self._split(places[found.node], columns[found.node], found)

    def _split(self, nodes: NDArray[np.int64], columns: NDArray[np.int64], found: Splits) -> None:
        growth, right = self.growth, found.total - found.left
        closed = ~self._worth_splitting(nodes, found.total)
        parted = (found.slot >= 0) & ~closed
        if growth.min_impurity_decrease > 0:
            parted &= self._decrease(nodes, found) >= growth.min_impurity_decrease
            closed |= (found.slot >= 0) & ~parted
        none = (found.slot < 0) & ~closed
        self.tries[nodes[none]] += 1
        closed |= none & ((self.tries[nodes] >= TRIES) | (growth.wanted >= growth.n_features))
        self.nodes["feature"][nodes[closed]] = LEAF
        some, count = nodes[parted], int(parted.sum())
        children = len(self.nodes) + 2 * np.arange(count)
        self.nodes["left"][some] = children
        self.nodes["feature"][some] = columns[parted, found.slot[parted]]
        self.nodes["bin"][some] = found.bin[parted]
        more = np.zeros(2 * count, NODE)
        more["feature"] = OPEN
        self.nodes = np.concatenate([self.nodes, more])
        self.tree = np.concatenate([self.tree, np.repeat(self.tree[some], 2)])
        self.depth = np.concatenate([self.depth, np.repeat(self.depth[some] + 1, 2)])
        self.tries = np.concatenate([self.tries, np.zeros(2 * count, np.int64)])
        sums = np.stack([found.left[parted], right[parted]], axis=1).reshape(2 * count, growth.channels)
        self.sums = np.concatenate([self.sums, sums])
        fresh = len(self.nodes) - 2 * count + np.arange(2 * count)
        self.nodes["feature"][fresh[~self._worth_splitting(fresh, sums)]] = LEAF

    def _worth_splitting(self, nodes: NDArray[np.int64], sums: NDArray[np.float64]) -> NDArray[np.bool_]:
        growth = self.growth
        rows = growth.rows(sums)
        least = max(growth.min_samples_split, 2 * growth.min_samples_leaf)
        deep = np.zeros(len(nodes), np.bool_) if growth.max_depth is None else self.depth[nodes] >= growth.max_depth
        return (rows >= least) & ~deep & (impurity(sums, growth.criterion) > PURE)

    def _decrease(self, nodes: NDArray[np.int64], found: Splits) -> NDArray[np.float64]:
        """Return by how much each split lowers the impurity, as scikit-learn has it: weighted by rows of the tree's."""
        growth, right = self.growth, found.total - found.left

        def weighted(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(growth.rows(sums) * _impurity(sums, growth))

        roots = self.sums[self.tree[nodes]]
        rows = growth.rows(roots)
        return (weighted(found.total) - weighted(found.left) - weighted(right)) / rows

    def finished(self) -> Trees:
        """Return the trees, each in preorder."""
        growth, split = self.growth, self.nodes["feature"] < OPEN
        order = np.argsort(self.tree, kind="stable")
        number = np.empty(len(order), np.int64)  # of a node, in its own tree
        starts = np.searchsorted(self.tree[order], np.arange(self.trees))
        number[order] = np.arange(len(order)) - starts[self.tree[order]]
        left = np.where(split, number[np.where(split, self.nodes["left"], 0)], -1)
        right = np.where(split, left + 1, -1)
        threshold = np.zeros(len(split))
        for place in np.flatnonzero(split):
            threshold[place] = self.edges[self.nodes["feature"][place]][self.nodes["bin"][place]]
        rows = growth.rows(self.sums)
        safe = np.where(rows > 0, rows, 1.0)[:, None]
        value = self.sums[:, 1:2] / safe if growth.n_classes is None else self.sums / safe
        parts = []
        for tree, start in enumerate(starts):
            own = order[start : start + int((self.tree == tree).sum())]
            parts.append(own[preorder(left[own], right[own])])
        walk = np.concatenate(parts)
        count = np.array([len(part) for part in parts])
        feature = np.where(split, self.nodes["feature"].astype(np.int64), -1)
        return Trees(
            tree_nodes=count,
            feature=feature[walk],
            threshold=threshold[walk],
            missing_go_to_left=np.zeros(len(walk), np.int64),
            impurity=_impurity(self.sums, growth)[walk],
            n_node_samples=np.rint(rows).astype(np.int64)[walk],
            weighted_n_node_samples=rows[walk],
            value=value[walk],
        )


def _impurity(sums: NDArray[np.float64], growth: Growth) -> NDArray[np.float64]:
    """Return the impurity of nodes, of which some may have no rows: theirs is 0."""
    rows = growth.rows(sums)
    return np.where(rows > 0, impurity(np.where(rows[:, None] > 0, sums, 1.0), growth.criterion), 0.0)
