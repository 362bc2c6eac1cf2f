"""The base of summed families: whoever holds the rows, the sums are those of all, and a copy is solved from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models.aggregate import weighted_mean
from nervenet.models.data.prepared import PreparedRows
from nervenet.models.model import CannotMerge, LocalWork, in_one_round, is_summed
from nervenet.models.registry import as_model
from nervenet.models.rng import generator
from nervenet.models.sklearn import statistics
from nervenet.models.sklearn.statistics import Arrays, Block, Shapes, StatisticsAdapter
from nervenet.models.sklearn.sums import covariance, second_moments, symmetric, triangle, upper
from over_sites import learn
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.naive_bayes import CategoricalNB, GaussianNB, MultinomialNB

ROWS, OFFSET = 40, 1e6
FAMILIES = [
    LinearRegression(),
    GaussianNB(),
    LinearDiscriminantAnalysis(priors=[0.2, 0.3, 0.5]),
    QuadraticDiscriminantAnalysis(),
    MultinomialNB(),
    CategoricalNB(min_categories=4),
]
DRAWS = np.random.default_rng(5)
FAR = DRAWS.normal(size=(ROWS, 3)) + OFFSET
COUNTED = DRAWS.integers(0, 4, (ROWS, 3)).astype(float)
LABELS, QUANTITIES = np.arange(ROWS) % 3, DRAWS.normal(size=ROWS) + OFFSET


def built(estimator: Any) -> Any:
    model: Any = as_model(estimator)
    model.build(3, None if model.classifies is False else 3, generator(0, "init"))
    center = FAR.mean(axis=0) if model.centered else np.zeros(3)
    model.anchor(ROWS, center, QUANTITIES.mean())
    return model


def sums(estimator: Any, rows: Any, weight: Any = None) -> Any:
    """Return the vector of a site that has some of the rows."""
    model = built(estimator)
    X, y = FAR if model.centered else COUNTED, LABELS if model.classifies else QUANTITIES
    own = None if weight is None else weight[rows]
    model.fit(X[rows], y[rows], LocalWork(), generator(0), lambda: False, sample_weight=own)
    return model.get_weights()


@settings(max_examples=25, deadline=None)
@given(
    estimator=st.sampled_from(FAMILIES),
    sites=st.lists(st.integers(0, 6), min_size=ROWS, max_size=ROWS),
    weights=st.none() | st.lists(st.floats(0.01, 100), min_size=ROWS, max_size=ROWS),
)
def test_the_sums_of_any_split_are_those_of_all_rows(estimator: Any, sites: list[int], weights: Any) -> None:
    weight = np.array(weights) if weights and as_model(estimator).capabilities else None
    owners = np.array(sites)
    vectors = [sums(estimator, np.flatnonzero(owners == site), weight) for site in np.unique(owners)]
    merged, whole = built(estimator), built(estimator)
    merged.set_weights(weighted_mean(vectors, [1.0] * len(vectors)))
    whole.set_weights(sums(estimator, np.arange(ROWS), weight))
    for name, wanted in whole.sums().items():
        np.testing.assert_allclose(merged.sums()[name], wanted, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("estimator", [*FAMILIES, RidgeCV(cv=3)], ids=str)
def test_sums_do_not_depend_on_how_many_rows_are_looked_at_together(
    estimator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = sums(estimator, np.arange(ROWS))
    monkeypatch.setattr(statistics, "ELEMENTS", 12)
    np.testing.assert_allclose(sums(estimator, np.arange(ROWS)), at_once, rtol=1e-12, atol=1e-12)


def test_rows_that_stay_on_disk_are_read_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "ELEMENTS", 12)
    stored = PreparedRows(3, "float64")
    stored.append(FAR)
    model = built(LinearRegression())
    model.fit(stored, QUANTITIES, LocalWork(), generator(0), lambda: False)
    assert (model.get_weights() == sums(LinearRegression(), np.arange(ROWS))).all()


def test_a_training_that_is_stopped_changes_nothing() -> None:
    model = built(GaussianNB())
    before = model.get_weights()
    report = model.fit(FAR, LABELS, LocalWork(), generator(0), lambda: True)
    assert report.cancelled
    assert (model.get_weights() == before).all()


def test_before_there_are_sums_nothing_is_predicted_and_nothing_exported() -> None:
    classifier, regressor = built(GaussianNB()), built(LinearRegression())
    assert classifier.predict(FAR).tolist() == [0] * ROWS
    assert np.allclose(classifier.probabilities(FAR), 1 / 3)
    assert regressor.predict(FAR).tolist() == [0.0] * ROWS
    with pytest.raises(RuntimeError, match="GaussianNB has no sums of any rows yet"):
        _ = classifier.estimator


def test_rows_of_sites_that_are_missing_count_as_their_share_of_all() -> None:
    model = built(LinearRegression())
    model.set_weights(sums(LinearRegression(), np.arange(ROWS // 2)))
    assert model.sums()["rows"] == pytest.approx([ROWS])


def test_a_site_counts_once_whatever_its_rows_and_their_weights() -> None:
    rows = [(FAR[:3], QUANTITIES[:3], np.full(3, 9.0)), (FAR[3:], QUANTITIES[3:], np.ones(ROWS - 3))]
    model = learn(LinearRegression(), rows)
    assert model.weight == 1.0
    assert model.model.arrays["weight"][0] * 2 == pytest.approx(27 + ROWS - 3)  # type: ignore[attr-defined]


class Middle(StatisticsAdapter):
    """An intercept alone, by steps that halve its distance."""

    one_round = False
    centered = False
    classifies = False

    def parameter_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        return {"middle": (1,)}

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        return {"away": (1,)}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        return {"away": np.atleast_1d(block.weight @ (block.y - parameters["middle"]))}

    def step(self, parameters: Arrays, sums: Arrays) -> Arrays:
        return {"middle": parameters["middle"] + 0.5 * sums["away"] / sums["weight"]}

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        self.working.coef_, self.working.intercept_ = np.zeros(self.n_features), self.target_center
        self.working.intercept_ += float(self.step(parameters, sums)["middle"][0])


def test_a_family_of_several_rounds_steps_alike_at_all_sites() -> None:
    found = []
    for rounds in (1, 2, 40):
        model = Middle(LinearRegression(), "sklearn.linear_model.LinearRegression")
        sites = [(FAR[:5], QUANTITIES[:5] + 10), (FAR[5:], QUANTITIES[5:])]
        middle = learn(model, sites, rounds=rounds).model.estimator.intercept_  # type: ignore[attr-defined]
        found.append(abs(middle - np.concatenate([y for _, y in sites]).mean()))
    assert found[1] == pytest.approx(found[0] / 2)
    assert found[2] < 1e-5


def test_what_a_model_is_can_be_asked() -> None:
    assert in_one_round(as_model(GaussianNB()))
    assert is_summed(Middle(LinearRegression(), "x"))
    assert not in_one_round(Middle(LinearRegression(), "x"))
    assert not is_summed(object())


def test_a_refusal_says_what_sums_do_not_reach() -> None:
    with pytest.raises(CannotMerge, match=r"RidgeCV with cv=None does not follow from sums over rows: to "):
        as_model(RidgeCV())


def test_constant_columns_have_no_covariance_to_the_bit() -> None:
    X = np.column_stack([FAR, np.full(ROWS, 1 / 3)])
    first, second = second_moments(X, np.ones(ROWS))
    found = covariance(ROWS, first, second)
    assert not found[3].any()
    assert not found[:, 3].any()
    assert (symmetric(upper(found), 4) == found).all()
    assert len(upper(found)) == triangle(4)
