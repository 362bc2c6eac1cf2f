"""Between scikit-learn's fitted forests and the arrays of their trees."""

from __future__ import annotations

from copy import copy
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .trees import LEAF, Trees, Whole, below

NODE = (
    "left_child",
    "right_child",
    "feature",
    "threshold",
    "impurity",
    "n_node_samples",
    "weighted_n_node_samples",
    "missing_go_to_left",
)
"""What a node has in scikit-learn 1.5 to 1.9; another release may have more, and is then refused."""

UNDEFINED = -2
"""What scikit-learn has for column and threshold of a leaf."""


def trees_of(forest: Any, n_classes: int | None) -> Trees:
    """Return the trees of a fitted forest. A classifier's labels are indices of `n_classes`, of which it may lack some:
    no row that it has seen was of those, and their share is 0.
    """
    classes = None if n_classes is None else np.asarray(forest.classes_, np.int64)
    return Trees.joined([_tree(each.tree_, classes, n_classes or 1) for each in forest.estimators_])


def _tree(tree: Any, classes: Whole | None, width: int) -> Trees:
    order = preorder(tree.children_left, tree.children_right)
    known = tree.value[order, 0, :]
    value = known
    if classes is not None:
        value = np.zeros((len(order), width))
        value[:, classes] = known
    feature = tree.feature[order].astype(np.int64)
    splits = tree.children_left[order] != LEAF
    return Trees(
        tree_nodes=np.array([len(order)]),
        feature=np.where(splits, feature, LEAF),
        threshold=np.where(splits, below(tree.threshold[order]), 0.0),
        missing_go_to_left=np.where(splits, tree.missing_go_to_left[order], 0).astype(np.int64),
        impurity=tree.impurity[order],
        n_node_samples=tree.n_node_samples[order].astype(np.int64),
        weighted_n_node_samples=tree.weighted_n_node_samples[order],
        value=np.asarray(value, np.float64),
    )


def preorder(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nodes of a tree in preorder, from the children of each; scikit-learn mostly has them so."""
    splits = np.flatnonzero(left != LEAF)
    if (left[splits] == splits + 1).all():
        return np.arange(len(left))
    order, waiting = [], [0]
    lefts, rights = left.tolist(), right.tolist()
    while waiting:
        node = waiting.pop()
        order.append(node)
        if lefts[node] != LEAF:
            waiting += (rights[node], lefts[node])
    return np.array(order)


def fitted_forest(given: Any, trees: Trees, n_features: int, n_classes: int | None) -> Any:
    """Return a fitted forest of the class and with the parameters of `given`, of trees that have been checked.

    A classifier's `classes_` are indices, for the caller to replace.
    """
    forest = _shell(given, n_features, n_classes)
    [template] = forest.estimators_
    forest.set_params(**given.get_params(deep=False))
    template.set_params(**{name: getattr(given, name) for name in forest.estimator_params if name != "random_state"})
    forest.estimators_ = []
    for tree in _states(trees, n_features, n_classes):
        member = copy(template)
        member.tree_ = tree
        forest.estimators_.append(member)
    for name in ("_n_samples", "_n_samples_bootstrap", "_sample_weight"):  # of the rows that no node here has seen
        vars(forest).pop(name, None)
    return forest


def _shell(given: Any, n_features: int, n_classes: int | None) -> Any:
    """Return a forest of one tree, fitted on a row for each class: it has all that a fitted one has in this release."""
    from sklearn.base import clone

    usual = {each.name: each.default for each in signature(type(given)).parameters.values()}
    forest = clone(given).set_params(**usual).set_params(n_estimators=1, bootstrap=False)
    rows = n_classes or 2
    return forest.fit(np.zeros((rows, n_features)), np.arange(rows))


def _states(trees: Trees, n_features: int, n_classes: int | None) -> list[Any]:
    """Return the trees as scikit-learn has them."""
    from sklearn.tree._tree import NODE_DTYPE, Tree

    if set(NODE_DTYPE.names) != set(NODE):
        odd = sorted(set(NODE_DTYPE.names) ^ set(NODE))
        raise RuntimeError(f"this scikit-learn has other nodes in its trees ({odd}) than 1.5 to 1.9; take one of those")
    leaf = trees.feature == LEAF
    starts = np.repeat(trees.starts, trees.tree_nodes)
    nodes = np.zeros(len(leaf), NODE_DTYPE)
    nodes["left_child"] = np.where(leaf, LEAF, np.arange(len(leaf)) + 1 - starts)
    nodes["right_child"] = np.where(leaf, LEAF, trees.right - starts)
    nodes["feature"] = np.where(leaf, UNDEFINED, trees.feature)
    nodes["threshold"] = np.where(leaf, UNDEFINED, trees.threshold)
    for name in ("impurity", "n_node_samples", "weighted_n_node_samples", "missing_go_to_left"):
        nodes[name] = getattr(trees, name)
    values = np.ascontiguousarray(trees.value[:, None, :])
    classes = np.array([n_classes or 1], np.intp)
    found = []
    for start, size, depth in zip(trees.starts.tolist(), trees.tree_nodes.tolist(), trees.depths.tolist(), strict=True):
        rows = slice(start, start + size)
        tree = Tree(n_features, classes, 1)
        tree.__setstate__({"max_depth": depth, "node_count": size, "nodes": nodes[rows], "values": values[rows]})
        found.append(tree)
    return found
