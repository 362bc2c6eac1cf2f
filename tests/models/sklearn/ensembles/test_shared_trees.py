"""Trees that all sites grow together: those of the pooled rows, however divided; no question breaks a site."""

from base64 import b64encode

import numpy as np
import pytest
from nervenet.models import CannotMerge, SiteModel
from nervenet.models.agreement.asked import MalformedQuestion
from nervenet.models.agreement.questions import Answer, Dialog, settle
from nervenet.models.exporting import to_sklearn
from nervenet.models.moments import IncompatibleSites
from nervenet.models.own_questions import OwnRows, Sites
from nervenet.models.registry import as_model
from nervenet.models.sklearn.ensembles import growing_forest, shared_trees
from nervenet.models.sklearn.ensembles.growth import growth_of
from nervenet.models.sklearn.ensembles.shared_trees import shared_answer, shared_questions
from nervenet.nodes import FederatedClassifier
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor


def table(n=120, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 12, (n, columns)).astype(float)
    return X, ((X[:, 0] > 5) * 2 + (X[:, 1] > X[:, 2])) % 3


def grown(given, X, y, parts, n_classes, seed=0):
    """Return the trees that sites grow together, each with these rows."""
    growth = growth_of(given, X.shape[1], n_classes, len(y))
    rows = {f"s{k}": OwnRows(f"s{k}", X[part], y[part], n_classes, None) for k, part in enumerate(parts)}
    sites = Sites({name: len(own.y) for name, own in rows.items()}, X.shape[1], n_classes, seed)
    answers = {name: lambda question, own=own: shared_answer(question, own, growth) for name, own in rows.items()}
    return settle(shared_questions(growth, given.n_estimators, sites), answers)


@pytest.mark.parametrize("cls", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_a_forest_is_the_same_to_the_bit_however_the_rows_are_divided(cls, criterion):
    X, y = table()
    given = cls(5, bootstrap=False, criterion=criterion)
    whole = [np.arange(120)]
    uneven = [np.arange(3), np.flatnonzero(y == 1)[1:], np.setdiff1d(np.arange(3, 120), np.flatnonzero(y == 1)[1:])]
    one, several = (grown(given, X, y, parts, 3).to_vector() for parts in (whole, uneven))
    assert np.array_equal(one, several) or pytest.fail(f"{one.shape} and {several.shape}")


def test_a_tree_of_few_distinct_values_is_scikit_learns():
    X, y = table(n=400)
    X += np.arange(6) / 10  # no two columns are split alike
    found = grown(
        RandomForestClassifier(1, bootstrap=False, max_features=None, max_depth=3),
        X,
        y,
        [np.arange(150), np.arange(150, 400)],
        3,
    )
    plain = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)
    assert found.impurity[0] == pytest.approx(plain.tree_.impurity[0])
    assert found.feature[0] == plain.tree_.feature[0]
    assert np.array_equal(np.sort(found.n_node_samples), np.sort(plain.tree_.n_node_samples))
    assert np.sort(found.impurity) == pytest.approx(np.sort(plain.tree_.impurity), abs=1e-12)


def test_a_regression_tree_of_few_distinct_values_is_scikit_learns():
    X, _ = table(n=300)
    y = X @ np.arange(6.0) + np.sin(X[:, 0])
    found = grown(
        RandomForestRegressor(1, bootstrap=False, max_features=1.0, max_depth=4),
        X,
        y,
        [np.arange(7), np.arange(7, 300)],
        None,
    )
    plain = DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, y)
    assert np.sort(found.value[:, 0]) == pytest.approx(np.sort(plain.tree_.value[:, 0, 0]))
    assert np.sort(found.impurity) == pytest.approx(np.sort(plain.tree_.impurity), abs=1e-6)


@pytest.mark.parametrize(
    ("cls", "load"),
    [
        (RandomForestClassifier, load_breast_cancer),
        (ExtraTreesClassifier, load_breast_cancer),
        (RandomForestRegressor, load_diabetes),
        (ExtraTreesRegressor, load_diabetes),
    ],
)
def test_they_are_as_good_as_trees_of_the_pooled_rows(cls, load):
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[: len(y) * 2 // 3], order[len(y) * 2 // 3 :]
    scores = []
    for kind in ("shared", "own"):
        sites = {}
        for k, part in enumerate(np.array_split(train, 8)):
            model = as_model(cls(24, min_samples_leaf=2))
            if kind == "shared":
                model.share_trees()
            sites[f"s{k}"] = SiteModel(model, X[part], y[part])
            sites[f"s{k}"].site = f"s{k}"
        agreed = settle(sites["s0"].questions(seed=0), {name: site.answer for name, site in sites.items()})
        sites["s1"].build(agreed.preprocessing, 0)
        sites["s1"].set_weights(agreed.weights)
        scores.append(to_sklearn(sites["s1"]).score(X[test], y[test]))
    pooled = cls(24, min_samples_leaf=2, random_state=0).fit(X[train], y[train]).score(X[test], y[test])
    assert scores[0] > pooled - 0.04, (scores, pooled)


def test_the_estimator_takes_the_key():
    X, y = table()
    own, shared = (
        FederatedClassifier(
            RandomForestClassifier(6, bootstrap=False), n_clients=4, settings={"training.trees": trees}, random_state=0
        ).fit(X, y)
        for trees in ("own", "shared")
    )
    assert len(own.estimator_.estimators_) == len(shared.estimator_.estimators_) == 6
    roots = [tree.tree_.n_node_samples[0] for tree in shared.estimator_.estimators_]
    assert roots == [120] * 6  # each has seen all rows
    assert {tree.tree_.n_node_samples[0] for tree in own.estimator_.estimators_} == {30}


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"max_leaf_nodes": 9}, "max_depth"),
        ({"ccp_alpha": 0.1}, "min_impurity_decrease"),
        ({"min_weight_fraction_leaf": 0.1}, "min_samples_leaf"),
        ({"max_samples": 30}, "a share"),
    ],
)
def test_what_counts_cannot_say_is_refused(parameters, word):
    with pytest.raises(CannotMerge, match=rf"training.trees = 'shared'.*{word}"):
        as_model(RandomForestClassifier(**parameters)).share_trees()
    with pytest.raises(CannotMerge, match="absolute_error"):
        as_model(RandomForestRegressor(criterion="absolute_error")).share_trees()


def test_least_rows_depth_and_decrease_are_heeded():
    X, y = table(n=300)
    parts = [np.arange(100), np.arange(100, 300)]
    found = grown(RandomForestClassifier(3, min_samples_leaf=20, max_depth=4), X, y, parts, 3)
    assert found.n_node_samples.min() >= 20
    assert found.depths.max() <= 4
    full, few = (
        grown(RandomForestClassifier(3, bootstrap=False, min_impurity_decrease=d), X, y, parts, 3) for d in (0, 0.02)
    )
    assert full.shape["nodes"] > 3 * few.shape["nodes"] > 3


def test_weights_of_rows_are_refused_by_name():
    X, y = table()
    model = as_model(RandomForestClassifier(2))
    model.share_trees()
    rows = OwnRows("a", X, y, 3, np.ones(120))
    dialog = Dialog(model.questions(Sites({"a": 120}, 6, 3, 0)))
    with pytest.raises(IncompatibleSites, match="takes no weights"):
        model.answer(dialog.question, rows)


def open_question():
    X, y = table()
    growth = growth_of(RandomForestClassifier(2), 6, 3, 120)
    rows = OwnRows("a", X, y, 3, None)
    dialog = Dialog(shared_questions(growth, 2, Sites({"a": 120}, 6, 3, 0)))
    while dialog.question["ask"] != "histograms":
        dialog.take({"a": shared_answer(dialog.question, rows, growth)})
    return dialog, rows, growth


def packed(*nodes):
    return b64encode(np.array(list(nodes), growing_forest.NODE).tobytes()).decode()


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"nodes": packed((0, 0, 0), (0, 0, 0))}, "no trees"),  # a node that is its own child
        ({"nodes": packed((1, 0, 0), (2, 0, 0))}, "no trees"),  # a child that is not there
        ({"nodes": packed((1, 77, 0), (0, 65535, 0), (0, 65535, 0))}, "no trees"),
        ({"nodes": packed((0, 65534, 0))}, "no nodes of 2 trees"),
        ({"nodes": "§"}, "base64"),
        ({"edges": b64encode(b"\0\0").decode()}, "no edges of 6 columns"),
        (
            {
                "edges": b64encode(
                    np.array([2, 0, 0, 0, 0, 0], "<u2").tobytes() + np.array([2, 1], "<f4").tobytes()
                ).decode()
            },
            "do not rise",
        ),
        ({"trees": 0}, "trees is 0"),
        ({"more": 1}, "'more'"),
    ],
)
def test_a_question_that_nobody_asks_is_refused(changed, word):
    dialog, rows, growth = open_question()
    with pytest.raises(MalformedQuestion, match=word):
        shared_answer({**dialog.question, **changed}, rows, growth)


@pytest.mark.parametrize(
    "vector", [[1.0], [0.5, 1.0], [-1.0, 1.0], [1e15, 1.0], [0.0, np.nan], [0.0, -3.0], [3.0, 1.0, 1.0, 1.0]]
)
def test_an_answer_that_is_none_names_the_site(vector):
    dialog, _, _ = open_question()
    with pytest.raises(IncompatibleSites, match="site a has") as caught:
        dialog.take({"a": Answer({}, np.array(vector))})
    assert caught.value.site == "a"


def test_more_than_a_question_holds_is_said(monkeypatch):
    monkeypatch.setattr(growing_forest, "QUESTION_BYTES", 300)
    with pytest.raises(IncompatibleSites, match=r"nodes, more than a question holds: give a smaller max_depth"):
        open_question()
    monkeypatch.setattr(shared_trees, "EDGES", 90)
    with pytest.raises(IncompatibleSites, match="at most 5 columns; here are 6"):
        open_question()


def test_without_further_draws_a_node_of_constant_columns_stays_whole(monkeypatch):
    X = np.zeros((60, 12))
    X[:, 5] = np.arange(60)
    y = (X[:, 5] > 30).astype(np.int64)
    given = RandomForestClassifier(8, max_features=1, bootstrap=False)
    parts = [np.arange(20), np.arange(20, 60)]
    tried = grown(given, X, y, parts, 2).shape["nodes"]
    monkeypatch.setattr(growing_forest, "TRIES", 1)
    assert grown(given, X, y, parts, 2).shape["nodes"] < tried
