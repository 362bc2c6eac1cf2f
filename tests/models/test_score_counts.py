"""Counts of several sites: added up they are those of all rows, and what cannot be counts is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models import moments
from nervenet.models import score_counts as module
from nervenet.models.score_counts import MOST_CLASSES, class_counts, flaw, pooled, regression_counts, told
from nervenet.models.score_report import report_of
from sklearn import metrics
from sklearn.calibration import calibration_curve


def drawn(classes: int, rows: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(classes), rows)
    y = np.array([rng.choice(classes, p=p) for p in P], np.int64).reshape(-1)
    return y, P.argmax(axis=1), P


def cut(rows: int, seed: int = 1) -> list[Any]:
    """Sites of 60, 25 and 15 of a hundred rows."""
    order = np.random.default_rng(seed).permutation(rows)
    return np.split(order, [rows * 60 // 100, rows * 85 // 100])


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_pooled_counts_have_the_figures_of_scikit_learn_on_all_rows(classes: int) -> None:
    y, found, P = drawn(classes, 400)
    sites = [class_counts(y[part], found[part], P[part], classes) for part in cut(400)]
    report = report_of(pooled(sites), list("abcde"[:classes]))
    assert report["rows"] == 400
    assert report["confusion"]["matrix"] == metrics.confusion_matrix(y, found).tolist()
    theirs = metrics.classification_report(y, found, output_dict=True, zero_division=0)
    assert report["accuracy"] == theirs["accuracy"]
    assert report["macro_f1"] == pytest.approx(theirs["macro avg"]["f1-score"], rel=1e-12)
    for k in range(classes):
        figures = report["per_class"]["abcde"[k]]
        assert [figures["precision"], figures["recall"], figures["f1"], figures["rows"]] == pytest.approx(
            [theirs[str(k)][name] for name in ("precision", "recall", "f1-score", "support")], rel=1e-12
        )
    brier = metrics.brier_score_loss(y, P if classes > 2 else P[:, 1], labels=list(range(classes)))
    assert report["brier"] == pytest.approx(brier, rel=1e-12)
    share, confidence = calibration_curve(y == found, P.max(axis=1), n_bins=10)
    table = report["reliability"]
    assert [v for v in table["right"] if v is not None] == pytest.approx(share.tolist(), rel=1e-12)
    assert [v for v in table["confidence"] if v is not None] == pytest.approx(confidence.tolist(), rel=1e-12)
    whole = class_counts(y, found, P, classes)
    assert {k: pooled(sites)[k] for k in ("rows", "truth", "predicted", "hits", "confusion")} == {
        k: whole[k] for k in ("rows", "truth", "predicted", "hits", "confusion")
    }


def test_the_area_under_the_curve_is_not_pooled_but_averaged_and_named_so() -> None:
    y, found, P = drawn(3, 300)
    parts = cut(300)
    sites = [class_counts(y[part], found[part], P[part], 3) for part in parts]
    report = report_of(pooled(sites), "abc")
    assert "roc_auc" not in report
    areas = [metrics.roc_auc_score(y[part], P[part], multi_class="ovr") for part in parts]
    assert report["roc_auc_mean"] == pytest.approx(np.average(areas, weights=[len(part) for part in parts]))


def test_a_site_of_one_class_has_no_area_and_takes_none_from_the_others() -> None:
    y, found, P = drawn(2, 200)
    one = np.flatnonzero(y == 0)[:20]
    rest = np.setdiff1d(np.arange(200), one)
    sites = [class_counts(y[part], found[part], P[part], 2) for part in (one, rest)]
    assert sites[0]["roc_auc"] is None
    report = report_of(sites[0], "ab")
    assert report["per_class"]["b"]["rows"] == 0
    assert report["per_class"]["b"]["recall"] is None
    both = report_of(pooled(sites), "ab")
    assert both["roc_auc_mean"] == pytest.approx(metrics.roc_auc_score(y[rest], P[rest, 1]))
    assert both["confusion"]["matrix"] == metrics.confusion_matrix(y, found).tolist()


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_pooled_errors_are_those_of_all_rows(offset: float) -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(offset, 3, 500) + np.repeat([0, 20], 250)  # what lies between sites counts, too
    found = y + rng.normal(0.5, 2, 500)
    parts = [np.arange(0, 250), np.arange(250, 490), np.arange(490, 500)]
    report = report_of(pooled([regression_counts(y[part], found[part]) for part in parts]), None)
    assert report["r2"] == pytest.approx(metrics.r2_score(y, found), rel=1e-12)
    assert report["mae"] == pytest.approx(metrics.mean_absolute_error(y, found), rel=1e-12)
    assert report["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, found), rel=1e-12)


def test_spreads_that_were_only_added_would_lose_what_lies_between_sites() -> None:
    y = np.repeat([0.0, 10.0], 5)
    sites = [regression_counts(y[:5], y[:5] + 1), regression_counts(y[5:], y[5:] + 1)]
    assert sum(site["spread"] for site in sites) == 0
    assert report_of(pooled(sites), None)["r2"] == pytest.approx(metrics.r2_score(y, y + 1))


def r2_of_sites_with_one_value() -> float | None:
    """R² of three sites, all of whose targets are 0.1, which float64 has not exactly."""
    sites = [regression_counts(np.full(rows, 0.1), np.full(rows, 0.2)) for rows in (3, 6, 7)]
    found: float | None = report_of(pooled(sites), None)["r2"]
    return found


def test_sites_whose_targets_are_all_the_same_have_no_r2() -> None:
    assert r2_of_sites_with_one_value() is None
    assert report_of(regression_counts(np.full(3, 0.1), np.full(3, 0.2)), None)["r2"] is None


def test_what_rounding_leaves_of_equal_targets_would_make_an_r2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "ROUNDING", 0.0)
    found = r2_of_sites_with_one_value()
    assert found is not None
    assert found < -1e20


def test_one_site_without_probabilities_leaves_all_without() -> None:
    y, found, P = drawn(2, 40)
    sites = [class_counts(y[:20], found[:20], P[:20], 2), class_counts(y[20:], found[20:], None, 2)]
    report = report_of(pooled(sites), "ab")
    assert "brier" not in report
    assert report["accuracy"] == metrics.accuracy_score(y, found)


def test_few_rows_are_not_told_and_of_many_classes_no_matrix() -> None:
    y, found, P = drawn(2, 9)
    counts = class_counts(y, found, P, 2)
    assert told(counts, 10) == {}
    assert told(counts, 9) == counts
    many = MOST_CLASSES + 1
    wide = told(class_counts(np.arange(many), np.arange(many), None, many), 10)
    assert "confusion" not in wide
    assert "confusion" not in report_of(wide, range(many))
    assert report_of(wide, range(many))["macro_f1"] == 1.0


# ------------------------------------------------------------------------------------------------ what others have told


@given(st.integers(2, 4), st.integers(1, 30), st.booleans(), st.integers(0, 3))
def test_what_a_site_counts_has_no_flaw(classes: int, rows: int, sure: bool, seed: int) -> None:
    y, found, P = drawn(classes, rows, seed)
    assert flaw(told(class_counts(y, found, P if sure else None, classes), 1), classes) is None
    assert flaw(regression_counts(P[:, 0], P[:, 1]), None) is None


BAD = {
    "rows": 7,
    "truth": [3, "x"],
    "predicted": [10**20, 0],
    "hits": [11, 0],
    "confusion": [[1, 2], [3]],
    "squared": float("nan"),
    "bins": {"rows": [1], "confidence": [0.1], "right": [0]},
    "roc_auc": 7.0,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_counts_is_refused(name: str) -> None:
    counts = told(class_counts(*drawn(2, 20), 2), 1)
    assert flaw({**counts, name: BAD[name]}, 2)
    rest = {k: v for k, v in counts.items() if k != name}
    assert (flaw(rest, 2) is None) == (name in ("confusion", "squared", "roc_auc"))
    assert flaw(counts, 3)
    assert flaw(counts, None)
    assert flaw({}, 2)


def test_texts_and_fields_of_others_would_end_what_pools_them(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = told(class_counts(*drawn(2, 20), 2), 1)
    of_texts = [{**counts, "squared": "1.0"}, {**counts, "roc_auc": "0.5"}]
    further = [{**counts, "spread": 1.0}, {**counts, "roc_auc_mean": "0.5"}]
    assert all(flaw(lie, 2) for lie in of_texts + further)
    of_sums = regression_counts(np.arange(5.0), np.arange(5.0))
    large = [{**of_sums, "mean": 1e300}, {**of_sums, "absolute": 1e308}, {**of_sums, "spread": 1e308}]
    assert all(flaw(lie, None) for lie in [*large, {**of_sums, "mean": "1.0"}])
    monkeypatch.setattr(module, "_number", float)
    assert [flaw(lie, 2) for lie in of_texts] == [None, None]
    with pytest.raises(TypeError):
        pooled([counts, of_texts[0]])
    with pytest.raises(OverflowError):
        pooled([of_sums, large[0]])


@pytest.mark.parametrize("name", ["rows", "absolute", "squared", "mean", "spread"])
def test_sums_that_are_no_numbers_are_refused(name: str) -> None:
    counts = regression_counts(np.arange(5.0), np.arange(5.0))
    for bad in (float("inf"), "many", None, float("nan") if name == "mean" else -1.0):
        assert flaw({**counts, name: bad}, None)


def test_a_site_that_claims_more_hits_than_rows_would_be_believed_without_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = told(class_counts(*drawn(2, 20), 2), 1)
    lie = copy.deepcopy(counts)
    lie["hits"] = [n + 5 for n in lie["truth"]]
    del lie["confusion"]
    assert flaw(lie, 2)
    monkeypatch.setattr(module, "_more", lambda _, __: False)
    assert flaw(lie, 2) is None
