"""A forest of all sites: its trees are theirs, its answers their mean, and a class that a site lacks shifts none."""

import json

import numpy as np
import pytest
from nervenet.models import CannotMerge, LocalWork, artifact, generator
from nervenet.models.agreement.asked import MalformedQuestion
from nervenet.models.agreement.questions import Answer, Dialog, settle
from nervenet.models.artifact import ModelFileError, load_model, save_model, save_weights
from nervenet.models.exporting import to_sklearn
from nervenet.models.model import LocalUnsupported
from nervenet.models.moments import IncompatibleSites
from nervenet.models.registry import as_model
from nervenet.models.saved_estimator import load_estimator
from nervenet.models.site_model import SiteModel
from nervenet.models.sklearn.ensembles import forest as module
from nervenet.models.sklearn.ensembles.forest import shares_of
from nervenet.models.sklearn.ensembles.trees import Trees
from nervenet.models.weights import IncompatibleWeights
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier

LABELS = np.array(["ash", "beech", "cedar"])


def table(n=150, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return rng.standard_normal((n, 4)) + 2 * np.eye(3, 4)[y], y


def sites_of(estimator, parts, **options):
    """Return a site model for each name, from (X, y) or (X, y, weight)."""
    sites = {}
    for name, part in parts.items():
        sites[name] = SiteModel(estimator, *part, **options)
        sites[name].site = name
    return sites


def learned(sites, seed=0):
    """Let the sites agree, and build them all; return what they agreed on."""
    agreed = settle(next(iter(sites.values())).questions(seed=seed), {name: s.answer for name, s in sites.items()})
    for site in sites.values():
        site.build(agreed.preprocessing, seed)
        site.set_weights(agreed.weights)
    return agreed


def skewed():
    """One site has all classes, one lacks one, one has a single one."""
    X, y = table()
    t = LABELS[y]
    return {
        "a": (X[:90], t[:90]),
        "b": (X[90:][y[90:] != 1], t[90:][y[90:] != 1]),
        "c": (X[90:][y[90:] == 2], t[90:][y[90:] == 2]),
    }


@pytest.mark.parametrize("cls", [RandomForestClassifier, ExtraTreesClassifier])
def test_probabilities_are_the_mean_over_the_trees_of_all_sites(cls, monkeypatch):
    own = {}

    def spy(forest, n_classes):
        own[len(own)] = forest
        return real(forest, n_classes)

    real = module.trees_of
    monkeypatch.setattr(module, "trees_of", spy)
    sites = sites_of(cls(n_estimators=12), skewed())
    agreed = learned(sites)
    assert agreed.preprocessing.model_shape["trees"] == 12
    assert sum(len(forest.estimators_) for forest in own.values()) == 12
    X, y = table(seed=1)
    prepared = agreed.preprocessing.transform(X, "float64")
    expected = np.zeros((len(X), 3))
    for forest in own.values():
        expected[:, forest.classes_] += len(forest.estimators_) / 12 * forest.predict_proba(prepared)
    for site in sites.values():
        assert np.abs(site.predict_proba(X) - expected).max() < 1e-12
    assert np.mean(site.predict(X) == LABELS[y]) > 0.7


def test_a_regression_is_the_mean_in_the_targets_own_unit():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = 1e6 + 50 * X[:, 0]
    parts = {"a": (X[:140], y[:140]), "b": (X[140:], y[140:])}
    for cls in (RandomForestRegressor, ExtraTreesRegressor):
        sites = sites_of(cls(n_estimators=10), parts)
        learned(sites)
        found = sites["b"].predict(X)
        assert 1 - np.square(found - y).sum() / np.square(y - y.mean()).sum() > 0.8
        assert to_sklearn(sites["a"]).predict(X) == pytest.approx(found, rel=1e-12)


def test_the_exported_forest_is_plain_and_has_the_users_parameters():
    sites = sites_of(RandomForestClassifier(n_estimators=9, min_samples_leaf=2, n_jobs=1), skewed())
    learned(sites)
    X, _ = table(seed=1)
    exported = to_sklearn(sites["a"])
    forest = exported[-1]
    assert type(forest) is RandomForestClassifier
    assert forest.get_params() == RandomForestClassifier(n_estimators=9, min_samples_leaf=2, n_jobs=1).get_params()
    assert len(forest.estimators_) == 9
    assert list(forest.classes_) == list(LABELS)
    assert np.array_equal(exported.predict_proba(X), sites["a"].predict_proba(X))
    assert forest.feature_importances_.sum() == pytest.approx(1)


def test_the_same_seed_gives_the_same_trees_and_sites_draw_apart():
    X, y = table()
    twins = {"a": (X, y), "b": (X, y)}
    one, two, other = (learned(sites_of(RandomForestClassifier(6), twins), seed=seed).weights for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one[: len(other)], other[: len(one)])
    sites = sites_of(RandomForestClassifier(2), twins)
    learned(sites)
    first, second = to_sklearn(sites["a"])[-1].estimators_
    assert not np.array_equal(first.tree_.threshold, second.tree_.threshold)


def test_weights_of_rows_and_classes_reach_the_trees():
    X, y = table()
    weight = np.where(y == 0, 50.0, 1.0)
    plain = sites_of(RandomForestClassifier(6, max_depth=1), {"a": (X, y)})
    weighted = sites_of(RandomForestClassifier(6, max_depth=1), {"a": (X, y, weight)})
    by_class = sites_of(RandomForestClassifier(6, max_depth=1), {"a": (X, y)}, class_weight={"0": 50.0})
    shares = []
    for sites in (plain, weighted, by_class):
        learned(sites)
        shares.append(sites["a"].predict_proba(X)[:, 0].mean())
    assert shares[0] < 0.5 < 0.6 < shares[1]
    assert shares[1] == pytest.approx(shares[2])


def test_rounds_leave_the_forest_as_it_is():
    sites = sites_of(RandomForestClassifier(6), skewed())
    learned(sites)
    site = sites["a"]
    before = site.get_weights()
    report = site.train(LocalWork(), generator(0, "a", 1))
    assert (report.examples, report.steps, report.cancelled) == (90, 0, False)
    assert np.array_equal(site.get_weights(), before)
    site.set_weights(before * 0.3 + before * 0.7)
    assert np.array_equal(site.predict_proba(table()[0]), sites["b"].predict_proba(table()[0]))


def test_nobody_trains_on_trees_that_it_was_not_told():
    sites = sites_of(RandomForestClassifier(6), skewed())
    agreed = learned(sites)
    late = SiteModel(RandomForestClassifier(6), *skewed()["a"])
    late.build(agreed.preprocessing, 0)
    assert late.layout == sites["a"].layout
    with pytest.raises(LocalUnsupported, match="nobody has sent them to this node"):
        late.train(LocalWork(), generator(0, "late", 1))
    late.set_weights(agreed.weights)
    assert late.train(LocalWork(), generator(0, "late", 1)).examples == 90


@pytest.mark.parametrize(
    ("trees", "rows", "expected"),
    [
        (20, {"b": 10, "a": 10}, {"a": 10, "b": 10}),
        (10, {"a": 900, "b": 90, "c": 1}, {"a": 8, "b": 1, "c": 1}),
        (3, {"a": 1, "b": 1, "c": 1000}, {"a": 1, "b": 1, "c": 1}),
        (5, {"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 1}),
    ],
)
def test_a_site_grows_its_share_by_rows_one_tree_at_least(trees, rows, expected):
    found = shares_of(trees, rows)
    assert found == expected
    assert sum(found.values()) == trees


def test_fewer_trees_than_sites_are_refused():
    with pytest.raises(IncompatibleSites, match=r"2 trees for 3 sites.*n_estimators must be at least 3"):
        learned(sites_of(RandomForestClassifier(2), skewed()))


def test_a_forest_that_no_message_carries_says_how_large_it_is_and_what_to_change():
    sites = sites_of(RandomForestClassifier(12), skewed())
    sites["a"].most_numbers = 100
    with pytest.raises(IncompatibleSites, match=r"of this site has \d+ trees.*max_message_bytes.*smaller max_depth"):
        learned(sites)
    most = max(len(answer.vector) for answer in asked(sites)[1].values())
    sites["a"].most_numbers = most
    with pytest.raises(IncompatibleSites, match=r"of all sites has 12 trees.*larger min_samples_leaf"):
        learned(sites)


def asked(sites):
    """Return the dialog at the question for trees, and the sites' answers to it."""
    any_site = next(iter(sites.values()))
    before, any_site.most_numbers = any_site.most_numbers, 1 << 24
    dialog = Dialog(any_site.questions())
    any_site.most_numbers = before
    dialog.take({name: site.answer({}) for name, site in sites.items()})
    assert dialog.question["part"] == "trees"
    return dialog, {name: site.answer(dialog.question) for name, site in sites.items()}


def without_a_column(fields, vector):
    return fields, vector[:-1]


def more_trees(fields, vector):
    return fields | {"trees": fields["trees"] + 1}, vector


def no_sizes(fields, vector):
    return {}, vector


def a_column_beyond(fields, vector):
    vector[fields["trees"]] = 4  # of columns 0 to 3
    return fields, vector


def a_missing_leaf(fields, vector):
    vector[fields["trees"] + fields["nodes"] - 1] = 0
    return fields, vector


def not_a_number(fields, vector):
    vector[fields["trees"] + fields["nodes"]] = np.nan
    return fields, vector


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_column, "has sent .* numbers, and a forest of"),
        (more_trees, "was to grow"),
        (no_sizes, "was to grow"),
        (a_column_beyond, "no forest: feature, number 0: found 4, expected -1 to 3"),
        (a_missing_leaf, "no forest: tree .* does not end"),
        (not_a_number, "no forest: threshold, number 0: found nan"),
    ],
)
def test_a_site_that_sends_no_forest_is_named(change, message):
    dialog, answers = asked(sites_of(RandomForestClassifier(12), skewed()))
    answers["b"] = Answer(*change(dict(answers["b"].fields), answers["b"].vector.copy()))
    with pytest.raises(IncompatibleSites, match=f"site b .*{message}") as caught:
        dialog.take(answers)
    assert caught.value.site == "b"


def test_without_the_check_such_trees_would_be_taken(monkeypatch):
    monkeypatch.setattr(Trees, "_check", lambda *_: None)
    dialog, answers = asked(sites_of(RandomForestClassifier(12), skewed()))
    answers["b"] = Answer(*a_missing_leaf(dict(answers["b"].fields), answers["b"].vector.copy()))
    dialog.take(answers)
    assert dialog.question is None  # and nobody walks them here


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trees": {"z": 1}}, "no number of trees for this site, a"),
        ({"trees": {"a": 0}}, "expected a number of trees for each site"),
        ({"trees": {"a": 9000}}, "is for 9000 trees; the model of this site has 12"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"more": 1}, "allowed: ask, most, seed, trees"),
    ],
)
def test_a_question_that_nobody_asks_is_refused(change, message):
    sites = sites_of(RandomForestClassifier(12), skewed())
    dialog, _ = asked(sites)
    odd = {**dialog.question, "question": {**dialog.question["question"], **change}}
    with pytest.raises(MalformedQuestion, match=message):
        sites["a"].answer(odd)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": "leaves"}, "no question 'leaves'"),
        ({"agreed": {"columns": 3}}, "what this site cannot use"),
        ({"agreed": None}, "expected what all sites have agreed on"),
    ],
)
def test_a_question_around_it_is_looked_at_too(change, message):
    sites = sites_of(RandomForestClassifier(12), skewed())
    dialog, _ = asked(sites)
    with pytest.raises(MalformedQuestion, match=message):
        sites["a"].answer({**dialog.question, **change})


def test_weights_that_are_no_forest_are_refused():
    sites = sites_of(RandomForestClassifier(6), skewed())
    agreed = learned(sites)
    with pytest.raises(IncompatibleWeights, match="the weights are no forest: tree"):
        sites["a"].set_weights(agreed.weights / 2)


def test_a_saved_forest_predicts_the_same(tmp_path):
    sites = sites_of(RandomForestClassifier(6), skewed())
    learned(sites)
    save_model(tmp_path, sites["a"])
    again = load_model(tmp_path)
    X, _ = table(seed=1)
    assert np.array_equal(again.predict_proba(X), sites["a"].predict_proba(X))
    trees = "sklearn.tree._tree.Tree"
    assert f"trusted=['{trees}']" in json.loads((tmp_path / "model.json").read_text())["skops"]
    with pytest.raises(ModelFileError, match=r"holds sklearn\.tree\._tree\.Tree"):
        load_estimator(tmp_path)
    plain = load_estimator(tmp_path, trusted=[trees])
    assert np.array_equal(plain.predict_proba(X), again.predict_proba(X))


def test_a_file_that_holds_no_forest_is_refused(tmp_path):
    sites = sites_of(RandomForestClassifier(6), skewed())
    learned(sites)
    vector = sites["a"].get_weights()
    vector[6] = 99  # a column that there is not
    save_model(tmp_path, sites["a"])
    digest = save_weights(tmp_path / "model.safetensors", sites["a"].layout, vector)
    fields = json.loads((tmp_path / "model.json").read_text())
    fields["weights"]["blake2b"] = digest
    fields["blake2b"] = artifact._own_digest(fields)
    (tmp_path / "model.json").write_text(json.dumps(fields))
    with pytest.raises(ModelFileError, match="no forest: feature, number 0: found 99"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (RandomForestClassifier(oob_score=True), "oob_score=True.*data.test_size"),
        (RandomForestClassifier(warm_start=True), "warm_start=True.*round 0"),
        (RandomForestRegressor(criterion="poisson"), "criterion='poisson'.*standardized"),
        (RandomForestClassifier(class_weight="balanced"), "class_weight='balanced'.*--class-weight balanced"),
        (RandomForestClassifier(class_weight="balanced_subsample"), "training.class_weight"),
        (DecisionTreeClassifier(), "vote of plain trees, one of each site"),
        (GradientBoostingClassifier(), "corrects those before it.*RandomForest"),
    ],
)
def test_what_a_forest_of_sites_cannot_honor_is_refused(estimator, message):
    with pytest.raises(CannotMerge, match=message):
        as_model(estimator)


def test_monotonic_signs_are_honored_or_refused():
    X, y = table()
    two = {"a": (X[y < 2], y[y < 2])}
    signs = [1, 0, 0, 0]
    sites = sites_of(RandomForestClassifier(4, monotonic_cst=signs), two)
    learned(sites)
    line = np.tile(X[:1], (50, 1))
    line[:, 0] = np.linspace(-4, 4, 50)
    assert (np.diff(sites["a"].predict_proba(line)[:, 1]) >= 0).all()
    with pytest.raises(IncompatibleSites, match="two classes; all sites together have 3"):
        learned(sites_of(RandomForestClassifier(4, monotonic_cst=signs), {"a": (X, y)}))
    with pytest.raises(IncompatibleSites, match="2 signs; a model sees 4 columns"):
        learned(sites_of(RandomForestClassifier(4, monotonic_cst=[1, 0]), two))


def test_a_site_whose_rows_cannot_be_fitted_says_why():
    X, _ = table()
    sites = sites_of(RandomForestRegressor(4, monotonic_cst=[2, 0, 0, 0]), {"a": (X, X[:, 0])})
    with pytest.raises(IncompatibleSites, match=r"RandomForestRegressor cannot be fitted on 150 rows: .*monoton"):
        learned(sites)
