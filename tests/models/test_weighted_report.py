"""Weighted figures of a report against scikit-learn's."""

import numpy as np
import pytest
from nervenet.models import MLP, generator
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.model import LocalWork
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.models.weighted_report import weighted_report_on
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error, precision_recall_fscore_support
from sklearn.metrics import r2_score as r2


def trained(name: str) -> SiteModel:
    train, _ = split(load(name))
    one = SiteModel(MLP(), train.X, train.y)
    one.build(agree({"only": one.statistics()}), 0)
    one.train(LocalWork(epochs=2), generator(0))
    return one


def test_classes() -> None:
    one, (_, test) = trained("iris"), split(load("iris"))
    weight = 0.5 + np.arange(len(test)) % 4
    report, found = weighted_report_on(one, test.X, test.y, weight), one.predict(test.X)
    assert report["weight"] == weight.sum()
    assert report["accuracy"] == pytest.approx(accuracy_score(test.y, found, sample_weight=weight))
    theirs = precision_recall_fscore_support(test.y, found, sample_weight=weight)
    for name, values in zip(("precision", "recall", "f1", "weight"), theirs, strict=True):
        assert [of[name] for of in report["per_class"].values()] == pytest.approx(list(values))


def test_quantities() -> None:
    one, (_, test) = trained("diabetes"), split(load("diabetes"))
    weight = 0.5 + np.arange(len(test)) % 4
    found = one.predict(test.X)
    assert weighted_report_on(one, test.X, test.y, weight) == {
        "weight": weight.sum(),
        "mae": pytest.approx(mean_absolute_error(test.y, found, sample_weight=weight)),
        "rmse": pytest.approx(np.sqrt(mean_squared_error(test.y, found, sample_weight=weight))),
        "r2": pytest.approx(r2(test.y, found, sample_weight=weight)),
    }


def test_quantities_that_are_all_the_same_have_no_r2() -> None:
    one, (_, test) = trained("diabetes"), split(load("diabetes"))
    report = weighted_report_on(one, test.X[:3], np.full(3, 0.1), np.array([1.0, 2.0, 3.0]))
    assert report["r2"] is None
    assert report["mae"] > 0


def test_a_class_without_rows_has_no_recall() -> None:
    one, (_, test) = trained("iris"), split(load("iris"))
    first = test.y == 0
    report = weighted_report_on(one, test.X[first], test.y[first], np.ones(first.sum()))
    assert report["per_class"]["2"]["recall"] is None
