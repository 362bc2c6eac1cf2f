"""The trees of a forest as plain arrays: on one flat vector, checked before anybody walks them.

A tree is written in preorder: a node, all of its left subtree, all of its right one. Which nodes are leaves then says
where every child is, so that no cycle can be written, and no child outside of the tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...weights import Array, Layout, Vector

LEAF = -1
"""In place of the column that a node splits by."""

SUM_TOLERANCE = 1e-6
"""Of the shares of classes at a node, whose sum is one."""

Whole = NDArray[np.int64]


class MalformedTrees(ValueError):
    """Numbers that are no trees; the message says at which tree and node."""


def forest_layout(trees: int, nodes: int, width: int) -> Layout:
    """Return the layout of a forest: `width` is the number of classes, 1 for regression."""
    per_node = ("feature", "threshold", "missing_go_to_left", "impurity", "n_node_samples", "weighted_n_node_samples")
    names = ("tree_nodes", *per_node, "value")
    return Layout(names, ((trees,), *((nodes,),) * len(per_node), (nodes, width)), "float64")


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees one after another, each in preorder; all arrays but `tree_nodes` have a row for each node."""

    tree_nodes: Whole  # (trees,): how many nodes each has
    feature: Whole  # the column that it splits by; LEAF: it does not
    threshold: NDArray[np.float64]  # to the left: values up to it, all of which float32 has; 0 at leaves
    missing_go_to_left: Whole  # 1: so do missing values
    impurity: NDArray[np.float64]
    n_node_samples: Whole
    weighted_n_node_samples: NDArray[np.float64]
    value: NDArray[np.float64]  # (nodes, classes): shares of the classes; (nodes, 1): the target

    @classmethod
    def joined(cls, parts: Sequence[Trees]) -> Trees:
        """Return the union of forests, in this order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    @classmethod
    def from_vector(cls, vector: Vector, layout: Layout, n_features: int, n_classes: int | None) -> Trees:
        """Return the trees of a vector, which may have been averaged with others of the same trees: what rounding has
        done to whole numbers and thresholds is undone.

        Raises MalformedTrees unless these are trees over `n_features` columns: a walk along any of them ends at a
        leaf, and compares with a number on the way.
        """
        arrays = layout.views(vector)
        trees = cls(
            tree_nodes=_whole(arrays, "tree_nodes", 1),
            feature=_whole(arrays, "feature", LEAF, n_features - 1),
            threshold=_of_float32(arrays["threshold"]),
            missing_go_to_left=_whole(arrays, "missing_go_to_left", 0, 1),
            impurity=_finite(arrays, "impurity"),
            n_node_samples=_whole(arrays, "n_node_samples", 0),
            weighted_n_node_samples=_finite(arrays, "weighted_n_node_samples"),
            value=_finite(arrays, "value"),
        )
        trees._check(n_classes)
        return trees

    def to_vector(self) -> NDArray[np.float64]:
        """Return all arrays as one vector of float64, in the order of `forest_layout`."""
        arrays = (getattr(self, name) for name in self.__dataclass_fields__)
        return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])

    @property
    def shape(self) -> dict[str, int]:
        return {"trees": len(self.tree_nodes), "nodes": len(self.feature)}

    @property
    def starts(self) -> Whole:
        """Places of the roots, (trees,)."""
        return np.cumsum(self.tree_nodes) - self.tree_nodes

    @cached_property
    def right(self) -> Whole:
        """The place of each node's right child among all nodes, (nodes,), LEAF at leaves; the left child follows its
        parent.
        """
        parents = np.flatnonzero(self.feature != LEAF)
        found = np.full(len(self.feature), LEAF, np.int64)
        found[parents] = self._ends(parents + 1) + 1
        return found

    @cached_property
    def depths(self) -> Whole:
        """How many steps the longest path of each tree has, (trees,)."""
        parents = np.flatnonzero(self.feature != LEAF)
        change = np.zeros(len(self.feature) + 1, np.int64)  # in the number of a node's ancestors
        np.add.at(change, parents + 1, 1)
        np.add.at(change, self._ends(parents) + 1, -1)
        deepest: Whole = np.maximum.reduceat(np.cumsum(change)[:-1], self.starts)
        return deepest

    @cached_property
    def _open(self) -> Whole:
        """How many subtrees have still to come after each node, minus the number of trees that have ended before."""
        return np.cumsum(np.where(self.feature == LEAF, -1, 1))

    def _ends(self, roots: Whole) -> Whole:
        """Return the places of the last nodes of the subtrees at these places: the first, from there on, after which
        one subtree less has to come than before.
        """
        nodes, least = len(self._open), int(np.min(self._open, initial=0)) - 1
        keys = np.sort((self._open - least) * nodes + np.arange(nodes))
        before = np.where(roots == 0, 0, self._open[roots - 1])
        return keys[np.searchsorted(keys, (before - 1 - least) * nodes + roots)] % nodes

    def _check(self, n_classes: int | None) -> None:
        if self.tree_nodes.sum() != len(self.feature):
            raise MalformedTrees(f"its trees have {self.tree_nodes.sum()} nodes, and there are {len(self.feature)}")
        ended = np.repeat(np.arange(len(self.tree_nodes)), self.tree_nodes)
        to_come = self._open + ended + 1
        last = self.starts + self.tree_nodes - 1
        too_late = np.flatnonzero(to_come[last] != 0)
        if len(too_late):
            raise MalformedTrees(f"tree {too_late[0]} does not end with its {self.tree_nodes[too_late[0]]} nodes")
        to_come[last] = 1
        if len(too_early := np.flatnonzero(to_come < 1)):
            raise MalformedTrees(f"{self._at(too_early[0])}: the tree ends here, and has nodes after it")
        if len(odd := np.flatnonzero(self.weighted_n_node_samples < 0)):
            raise MalformedTrees(f"{self._at(odd[0])}: weighted_n_node_samples is below 0")
        if n_classes is None:
            return
        if len(odd := np.flatnonzero((self.value < -SUM_TOLERANCE).any(axis=1))):
            raise MalformedTrees(f"{self._at(odd[0])}: the share of a class is below 0")
        if len(odd := np.flatnonzero(np.abs(self.value.sum(axis=1) - 1) > SUM_TOLERANCE)):
            raise MalformedTrees(f"{self._at(odd[0])}: the shares of its classes do not sum to one")

    def _at(self, node: int) -> str:
        tree = int(np.searchsorted(self.starts, node, "right")) - 1
        return f"tree {tree}, node {node - self.starts[tree]}"


def single_leaves(trees: int, nodes: int, width: int) -> Trees:
    """Return a forest of these sizes that knows nothing: what stands there until its weights come.

    All trees are leaves but the last, which has as many nodes as are left. Raises MalformedTrees for sizes that no
    forest has: a tree has one leaf more than it has splits.
    """
    if not 1 <= trees <= nodes or (nodes - trees) % 2:
        raise MalformedTrees(f"there is no forest of {trees} trees with {nodes} nodes")
    sizes = np.ones(trees, np.int64)
    sizes[-1] += nodes - trees
    feature = np.full(nodes, LEAF, np.int64)
    feature[trees - 1 : -1 : 2] = 0  # a split, a leaf, a split …
    counts, zeros = np.zeros(nodes, np.int64), np.zeros(nodes)
    return Trees(sizes, feature, zeros, counts, zeros, counts, zeros, np.full((nodes, width), 1 / width))


def below(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest numbers of float32 that are not above these: who compares a number of float32 with them, as
    trees do, finds the same.
    """
    nearest = threshold.astype(np.float32)
    above = nearest > threshold
    nearest[above] = np.nextafter(nearest[above], np.float32(-np.inf))
    return nearest.astype(np.float64)


def _whole(arrays: Mapping[str, Array], name: str, least: int, most: int | None = None) -> Whole:
    found = np.rint(_finite(arrays, name))
    odd = np.flatnonzero((found < least) | (found > (2**53 if most is None else most)))
    if len(odd):
        limits = f"at least {least}" if most is None else f"{least} to {most}"
        raise MalformedTrees(f"{name}, number {odd[0]}: found {found[odd[0]]:g}, expected {limits}")
    whole: Whole = found.astype(np.int64)
    return whole


def _of_float32(threshold: Array) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        found = threshold.astype(np.float32).astype(np.float64)
    if len(odd := np.flatnonzero(~np.isfinite(found))):
        raise MalformedTrees(f"threshold, number {odd[0]}: found {threshold[odd[0]]}, expected a number of float32")
    return found


def _finite(arrays: Mapping[str, Array], name: str) -> NDArray[Any]:
    found = np.array(arrays[name], np.float64)
    if len(odd := np.argwhere(~np.isfinite(found))):
        raise MalformedTrees(f"{name}, number {odd[0][0]}: found {found[tuple(odd[0])]}, expected a finite number")
    return found
