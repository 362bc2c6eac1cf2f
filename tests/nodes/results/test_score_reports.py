"""Whose rows a report is of: of all that nobody trained on, of this node, of each site."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nervenet.models.score_counts import told
from nervenet.models.score_report import counts_on
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.results.score_reports import Judged, common_report, site_reports
from sklearn import metrics
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import SGDClassifier, SGDRegressor

NAMES = ("east", "north", "west")


def trained(task: str) -> tuple[SiteModel, Any, Any]:
    """A model with some training, and all rows."""
    X, y = (load_iris if task == "classification" else load_diabetes)(return_X_y=True)
    model = SGDClassifier(loss="log_loss") if task == "classification" else SGDRegressor()
    site = SiteModel(model, X[::3], y[::3], task=task)
    site.build(agree({"one": site.statistics()}), 0)
    from nervenet.models.model import LocalWork

    site.train(LocalWork(epochs=2), np.random.default_rng(0))
    return site, X, y


def parts(rows: int) -> Any:
    return np.random.default_rng(3).integers(0, 3, rows)


def figures_of(report: Any) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in ("evaluated_on", "sites", "roc_auc")}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_each_sites_report_has_the_figures_of_scikit_learn_on_its_rows(task: str) -> None:
    site, X, y = trained(task)
    owners = parts(len(y))
    judged = Judged((X, y), owners, NAMES)
    found = site_reports(site, dict.fromkeys(NAMES, site.get_weights()), judged)
    assert list(found) == sorted(NAMES)
    for place, name in enumerate(NAMES):
        mine = owners == place
        truth, answer, report = y[mine], site.predict(X[mine]), found[name]
        assert (report["evaluated_on"], report["rows"]) == ("holdout", mine.sum())
        if task == "regression":
            assert report["r2"] == pytest.approx(metrics.r2_score(truth, answer), rel=1e-12)
            assert report["mae"] == pytest.approx(metrics.mean_absolute_error(truth, answer), rel=1e-12)
            continue
        P = site.predict_proba(X[mine])
        assert report["confusion"]["matrix"] == metrics.confusion_matrix(truth, answer).tolist()
        assert report["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, P, multi_class="ovr"))
        assert report["brier"] == pytest.approx(metrics.brier_score_loss(truth, P), rel=1e-6)
        theirs = metrics.classification_report(truth, answer, output_dict=True, zero_division=0)
        assert report["per_class"]["1"]["f1"] == pytest.approx(theirs["1"]["f1-score"])


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_counts_that_sites_have_told_make_the_report_of_the_rows_themselves(task: str) -> None:
    site, X, y = trained(task)
    owners = parts(len(y))
    counts = {n: told(counts_on(site, X[owners == k], y[owners == k]), 10) for k, n in enumerate(NAMES)}
    weights = site.get_weights()
    of_counts = common_report(site, weights, Judged(counts=counts))
    of_rows = common_report(site, weights, Judged((X, y)))
    assert (of_counts["evaluated_on"], of_counts["sites"], of_rows["evaluated_on"]) == ("holdout", 3, "test")
    exact, close = ("rows", "accuracy", "macro_f1", "confusion", "per_class"), ("brier", "mae", "rmse", "r2")
    for name in set(exact) & set(of_rows):
        assert of_counts[name] == of_rows[name]
    for name in set(close) & set(of_rows):
        assert of_counts[name] == pytest.approx(of_rows[name], rel=1e-12)
    by_site = site_reports(site, dict.fromkeys(NAMES, weights), Judged(counts=counts))
    by_rows = site_reports(site, dict.fromkeys(NAMES, weights), Judged((X, y), owners, NAMES))
    assert by_site == by_rows


def test_a_site_of_one_class_and_one_without_rows() -> None:
    site, X, y = trained("classification")
    owners = np.where(y == 0, 0, 1)
    judged = Judged((X, y), owners, NAMES)
    found = site_reports(site, dict.fromkeys(NAMES, site.get_weights()), judged)
    assert list(found) == ["east", "north"]
    assert found["east"]["roc_auc"] is None
    assert found["east"]["per_class"]["0"]["rows"] == 50
    assert found["east"]["per_class"]["2"]["recall"] is None


def test_a_node_alone_is_judged_on_what_it_kept() -> None:
    site, X, y = trained("classification")
    report = common_report(site, site.get_weights(), Judged(holdout=(X[:30], y[:30])))
    assert (report["evaluated_on"], report["rows"]) == ("holdout", 30)
    assert common_report(site, site.get_weights(), Judged()) == {}


def test_each_peers_own_model_is_judged_on_the_rows_of_its_site() -> None:
    site, X, y = trained("classification")
    weights = site.get_weights()
    peers = {name: weights * k for k, name in enumerate(NAMES)}
    found = site_reports(site, peers, Judged((X, y), np.arange(len(y)) % 3, NAMES))
    site.set_weights(weights * 2)
    assert found["west"]["accuracy"] == metrics.accuracy_score(y[2::3], site.predict(X[2::3]))
    assert found["east"]["accuracy"] == np.mean(y[::3] == 0)  # the weights of its model are all 0


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_with_weights_have_a_part_that_counts_these_and_else_count_as_one(task: str) -> None:
    site, X, y = trained(task)
    weight, owners = 0.5 + np.arange(len(y)) % 4, parts(len(y))
    weights = site.get_weights()
    plain, weighted = (common_report(site, weights, Judged(rows)) for rows in ((X, y), (X, y, weight)))
    of = weighted.pop("weighted")
    assert weighted == plain
    score, truth = ("accuracy", metrics.accuracy_score) if task == "classification" else ("r2", metrics.r2_score)
    assert of["weight"] == weight.sum()
    assert of[score] == pytest.approx(truth(y, site.predict(X), sample_weight=weight))
    found = site_reports(site, dict.fromkeys(NAMES, weights), Judged((X, y, weight), owners, NAMES))
    assert [report["weighted"]["weight"] for report in found.values()] == [weight[owners == k].sum() for k in range(3)]
    own = common_report(site, weights, Judged(holdout=(X[:30], y[:30], weight[:30])))
    assert own["weighted"]["weight"] == weight[:30].sum()
