"""Trees as arrays: what scikit-learn has grown comes back, what is no tree is refused before anybody walks it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models.sklearn.ensembles.fitted import fitted_forest, preorder, trees_of
from nervenet.models.sklearn.ensembles.trees import (
    LEAF,
    MalformedTrees,
    Trees,
    below,
    forest_layout,
    single_leaves,
)
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor

#        0: x1 <= 0.5
#        1: leaf       2: x0 <= -1
#                      3: leaf      4: leaf          and a tree that is one leaf
TREES = Trees(
    tree_nodes=np.array([5, 1]),
    feature=np.array([1, LEAF, 0, LEAF, LEAF, LEAF]),
    threshold=np.array([0.5, 0, -1, 0, 0, 0]),
    missing_go_to_left=np.array([1, 0, 0, 0, 0, 0]),
    impurity=np.array([0.5, 0, 0.2, 0, 0, 0]),
    n_node_samples=np.array([9, 4, 5, 2, 3, 9]),
    weighted_n_node_samples=np.array([9.0, 4, 5, 2, 3, 9]),
    value=np.array([[0.4, 0.6], [1, 0], [0.2, 0.8], [1, 0], [0, 1], [0.5, 0.5]]),
)


def rows(classes=3, n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.standard_normal((n, 4)) + 1.5 * np.eye(classes, 4)[y], y


def read(trees, n_features=2, n_classes=2):
    return Trees.from_vector(trees.to_vector(), forest_layout(**trees.shape, width=2), n_features, n_classes)


def test_children_and_depths_follow_from_the_leaves():
    assert TREES.right.tolist() == [2, LEAF, 4, LEAF, LEAF, LEAF]
    assert TREES.depths.tolist() == [2, 0]
    assert TREES.starts.tolist() == [0, 5]


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(5, random_state=0),
        ExtraTreesClassifier(5, max_leaf_nodes=9, random_state=0),
        RandomForestClassifier(3, ccp_alpha=0.01, random_state=0),
        RandomForestRegressor(4, min_samples_leaf=3, random_state=0),
    ],
    ids=["depth first", "best first", "pruned", "regression"],
)
def test_a_fitted_forest_comes_back_from_its_arrays(forest):
    X, y = rows()
    classes = 3 if hasattr(forest, "predict_proba") or "Classifier" in type(forest).__name__ else None
    forest.fit(X, y)
    trees = trees_of(forest, classes)
    layout = forest_layout(**trees.shape, width=classes or 1)
    again = fitted_forest(forest, Trees.from_vector(trees.to_vector(), layout, 4, classes), 4, classes)
    more = rows(seed=1)[0]
    ask = "predict" if classes is None else "predict_proba"
    assert np.array_equal(getattr(again, ask)(more), getattr(forest, ask)(more))
    assert again.feature_importances_ == pytest.approx(forest.feature_importances_, abs=1e-15)
    for mine, theirs in zip(again.estimators_, forest.estimators_, strict=True):
        assert mine.get_depth() == theirs.get_depth()
        assert mine.get_n_leaves() == theirs.get_n_leaves()
    assert again.get_params() == forest.get_params()


def test_a_forest_that_lacks_a_class_keeps_the_places_of_the_others():
    X, y = rows()
    seen = y != 1
    forest = RandomForestClassifier(4, random_state=0).fit(X[seen], y[seen])
    trees = trees_of(forest, 3)
    assert not trees.value[:, 1].any()
    again = fitted_forest(forest, trees, 4, 3)
    assert np.array_equal(again.predict_proba(X)[:, [0, 2]], forest.predict_proba(X))
    assert set(again.predict(X)) <= {0, 2}


def test_a_mean_of_the_same_trees_is_the_same_trees():
    X, y = rows()
    trees = trees_of(RandomForestClassifier(5, random_state=0).fit(X, y), 3)
    vector, layout = trees.to_vector(), forest_layout(**trees.shape, width=3)
    mean = sum(vector * share for share in (0.1, 0.3, 0.6))
    assert not np.array_equal(mean, vector)
    again = Trees.from_vector(mean, layout, 4, 3)
    for name in ("tree_nodes", "feature", "threshold", "missing_go_to_left", "n_node_samples"):
        assert np.array_equal(getattr(again, name), getattr(trees, name)), name


def test_a_threshold_parts_the_same_numbers_of_float32():
    rng = np.random.default_rng(0)
    values = np.sort(rng.standard_normal(1000).astype(np.float32))
    threshold = values[:-1].astype(np.float64) / 2 + values[1:].astype(np.float64) / 2
    found = below(threshold)
    assert np.array_equal(found, found.astype(np.float32))
    assert np.array_equal(values[:, None] <= threshold, values[:, None] <= found)


def changed(name, place, value):
    array = getattr(TREES, name).astype(np.float64)
    array[place] = value
    return dataclasses.replace(TREES, **{name: array})


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("feature", 0, 2, "feature, number 0: found 2, expected -1 to 1"),
        ("feature", 0, -2, "feature, number 0: found -2, expected -1 to 1"),
        ("feature", 4, 0, "tree 0 does not end with its 5 nodes"),
        ("feature", 0, LEAF, "tree 0 does not end"),
        ("feature", slice(0, 3), [LEAF, 0, 0], "tree 0, node 0: the tree ends here, and has nodes after it"),
        ("tree_nodes", 1, 0, "tree_nodes, number 1: found 0, expected at least 1"),
        ("tree_nodes", 1, 2, "its trees have 7 nodes, and there are 6"),
        ("tree_nodes", slice(None), [3, 3], "tree 0 does not end with its 3 nodes"),
        ("threshold", 2, np.nan, "threshold, number 2: found nan, expected a number of float32"),
        ("threshold", 2, 1e39, "threshold, number 2"),
        ("missing_go_to_left", 1, 3, "missing_go_to_left, number 1: found 3, expected 0 to 1"),
        ("impurity", 1, np.inf, "impurity, number 1: found inf"),
        ("n_node_samples", 1, -1, "n_node_samples, number 1: found -1"),
        ("weighted_n_node_samples", 5, -1, "tree 1, node 0: weighted_n_node_samples is below 0"),
        ("value", (3, 0), -0.5, "tree 0, node 3: the share of a class is below 0"),
        ("value", (5, 0), 0.7, "tree 1, node 0: the shares of its classes do not sum to one"),
    ],
)
def test_what_is_no_tree_is_refused_by_name(name, place, value, message):
    assert read(TREES).shape == {"trees": 2, "nodes": 6}
    with pytest.raises(MalformedTrees, match=message):
        read(changed(name, place, value))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([LEAF, 0, 1]), min_size=1, max_size=24), st.data())
def test_whatever_passes_the_check_is_walked_to_its_leaves(feature, data):
    """Every node is reached once from the root of its tree, by steps that stay inside of it."""
    cut = data.draw(st.integers(1, len(feature)))
    sizes = [cut] if cut == len(feature) else [cut, len(feature) - cut]
    n = len(feature)
    trees = Trees(np.array(sizes), np.array(feature), np.zeros(n), *(np.zeros(n),) * 4, np.full((n, 2), 0.5))
    try:
        found = read(trees)
    except MalformedTrees:
        return
    for start, size in zip(found.starts, found.tree_nodes, strict=True):
        reached, waiting = [], [int(start)]
        while waiting:
            node = waiting.pop()
            assert start <= node < start + size
            reached.append(node)
            if found.feature[node] != LEAF:
                waiting += [node + 1, int(found.right[node])]
        assert sorted(reached) == list(range(start, start + size))


def test_any_order_of_nodes_becomes_preorder():
    left, right = np.array([2, LEAF, LEAF, 4, LEAF]), np.array([3, LEAF, LEAF, 1, LEAF])
    assert preorder(left, right).tolist() == [0, 2, 3, 4, 1]


@pytest.mark.parametrize(("trees", "nodes"), [(1, 1), (1, 7), (3, 3), (4, 10)])
def test_a_forest_that_knows_nothing_has_any_possible_size(trees, nodes):
    found = single_leaves(trees, nodes, 2)
    assert read(found).shape == {"trees": trees, "nodes": nodes}


@pytest.mark.parametrize(("trees", "nodes"), [(0, 1), (2, 1), (1, 2), (3, 6)])
def test_other_sizes_are_refused(trees, nodes):
    with pytest.raises(MalformedTrees, match="there is no forest"):
        single_leaves(trees, nodes, 2)
