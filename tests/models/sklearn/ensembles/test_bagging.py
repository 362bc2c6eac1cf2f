"""Bags of averaged models: each member is averaged, from a fixed sample of each site's rows."""

import numpy as np
import pytest
from nervenet.models import CannotMerge, LocalWork, generator
from nervenet.models.agreement.questions import settle
from nervenet.models.exporting import to_sklearn
from nervenet.models.registry import as_model, named_model, rebuild
from nervenet.models.site_model import SiteModel
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier

WORK = LocalWork(epochs=3, batch_size=10)


def never():
    return False


def table(rows=120, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    return rng.standard_normal((rows, 4)) + 2.5 * np.eye(3, 4)[y], y


def built(estimator, n_classes=3, seed=0):
    model = as_model(estimator)
    model.build(4, n_classes, generator(seed, "init"))
    return model


def averaged(estimator, sites, rounds=5, n_classes=3):
    """Return a model that is the mean of all sites after each round."""
    models = [built(estimator, n_classes) for _ in sites]
    for number in range(rounds):
        for place, (model, (X, y)) in enumerate(zip(models, sites, strict=True)):
            model.fit(X, y, WORK, generator(0, place, number), never)
        mean = np.mean([model.get_weights() for model in models], axis=0)
        for model in models:
            model.set_weights(mean)
    return models[0]


@pytest.mark.parametrize("member", [SGDClassifier(loss="log_loss"), SGDClassifier(), LogisticRegression()])
def test_a_bag_learns_at_sites_that_lack_classes(member):
    X, y = table()
    sites = [(X[y != 0], y[y != 0]), (X[y != 1], y[y != 1]), (X[y == 2], y[y == 2])]
    model = averaged(BaggingClassifier(member, n_estimators=4), sites)
    X, y = table(seed=1)
    assert np.mean(model.predict(X) == y) > 0.85
    shares = model.probabilities(X)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(shares.argmax(axis=1), model.predict(X))


def test_a_bag_of_regressors_is_the_mean_of_its_members():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0]
    model = averaged(
        BaggingRegressor(SGDRegressor(), n_estimators=3), [(X[:150], y[:150]), (X[150:], y[150:])], n_classes=None
    )
    assert 1 - np.square(model.predict(X) - y).mean() / y.var() > 0.95
    assert model.predict(X) == pytest.approx(np.mean([member.predict(X) for member in model.members], axis=0))
    assert model.probabilities(X) is None


def drawn(model, X, y):
    model.fit(X, y, WORK, generator(0, "a", 1), never)
    return [rows.tolist() for rows in model._drawn[1]]


def test_samples_are_drawn_once_by_the_rows_and_differ_from_site_to_site():
    X, y = table()
    estimator = BaggingClassifier(SGDClassifier(), n_estimators=3, max_samples=0.5)
    one = built(estimator)
    first = drawn(one, X, y)
    assert drawn(one, X.copy(), y) == first
    assert drawn(built(estimator), X, y) == first
    assert all(len(rows) == 60 for rows in first)
    assert first[0] != first[1]
    assert drawn(built(estimator), *table(seed=2)) != first
    assert drawn(built(estimator, seed=1), X, y) != first


def test_without_replacement_every_row_comes_once():
    X, y = table()
    half = drawn(built(BaggingClassifier(SGDClassifier(), 2, max_samples=0.5, bootstrap=False)), X, y)
    assert all(len(set(rows)) == 60 for rows in half)
    assert drawn(built(BaggingClassifier(SGDClassifier(), 2, bootstrap=False)), X, y) == [list(range(120))] * 2


def test_columns_are_the_same_at_all_sites():
    estimator = BaggingClassifier(SGDClassifier(), n_estimators=5, max_features=0.5)
    one, two = built(estimator), built(estimator)
    assert [columns.tolist() for columns in one.features] == [columns.tolist() for columns in two.features]
    assert all(len(set(columns)) == 2 for columns in one.features)
    assert len({tuple(columns) for columns in one.features}) > 1
    assert one.layout == two.layout
    with pytest.raises(ValueError, match="max_features is 9, and there are 4 columns"):
        built(BaggingClassifier(SGDClassifier(), max_features=9))


def test_the_exported_bag_is_plain_and_predicts_the_same():
    X, y = table()
    for member in (SGDClassifier(loss="log_loss"), SGDClassifier(), MLPClassifier((5,))):
        site = SiteModel(BaggingClassifier(member, n_estimators=3, max_features=3), X, np.array(["a", "b", "c"])[y])
        site.build(settle(site.questions(), {"only": site.answer}).preprocessing, 0)
        site.train(WORK, generator(0, "only", 1))
        plain = to_sklearn(site)
        assert type(plain[-1]) is BaggingClassifier
        assert np.array_equal(plain.predict(X), site.predict(X))
        assert plain.predict_proba(X) == pytest.approx(site.predict_proba(X), abs=1e-12)


def test_weights_of_rows_reach_the_members():
    X, y = table()
    model = built(BaggingClassifier(LogisticRegression(), n_estimators=2))
    model.fit(X, y, LocalWork(epochs=20), generator(0), never, sample_weight=np.where(y == 0, 2.8, 0.1))
    assert np.mean(model.predict(X) == 0) > 0.4


def test_its_clock_goes_on_from_round_to_round():
    X, y = table()
    model = built(BaggingClassifier(SGDClassifier(), n_estimators=2))
    model.fit(X, y, WORK, generator(0), never)
    assert model.get_state(moments=False)["t"] == 1 + 3 * 120
    other = built(BaggingClassifier(SGDClassifier(), n_estimators=2))
    other.set_state(model.get_state())
    assert [member.working.t_ for member in other.members] == [361, 361]


def test_a_bag_is_made_again_from_its_description():
    model = as_model(BaggingClassifier(SGDClassifier(alpha=0.01), n_estimators=3, max_samples=0.5))
    again = rebuild(model.describe())
    assert again.describe() == model.describe()
    assert again.given.estimator.alpha == 0.01
    chosen = as_model(BaggingClassifier(SGDClassifier(penalty=None), n_estimators=3)).chosen_parameters()
    member = {"name": "sklearn.linear_model.SGDClassifier", "parameters": {"penalty": "none"}}
    assert chosen == {"estimator": member, "n_estimators": 3}
    assert named_model("sklearn.ensemble.BaggingClassifier", chosen).given.estimator.penalty is None
    by_path = named_model("sklearn.ensemble.BaggingClassifier", {"estimator": "sklearn.linear_model.SGDClassifier"})
    assert len(by_path.members) == 10
    with pytest.raises(ValueError, match="an import path, or a table with name and parameters"):
        named_model("sklearn.ensemble.BaggingClassifier", {"estimator": {"class": "SGDClassifier"}})


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (BaggingClassifier(), "of trees.*RandomForest with max_features=None"),
        (BaggingClassifier(RandomForestClassifier()), "copies of this one are not"),
        (BaggingClassifier(SGDClassifier(average=True)), "ignores the weights that arrive"),
        (BaggingClassifier(SGDRegressor()), "must each be a classifier"),
        (BaggingClassifier(SGDClassifier(), max_samples=20), "max_samples=20.*give a share"),
        (BaggingClassifier(SGDClassifier(), oob_score=True), "oob_score=True"),
        (BaggingClassifier(SGDClassifier(), warm_start=True), "warm_start=True"),
    ],
)
def test_what_cannot_be_bagged_is_refused(estimator, message):
    with pytest.raises(CannotMerge, match=message):
        as_model(estimator)
