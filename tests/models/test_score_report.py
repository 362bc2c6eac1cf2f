"""Score reports: the figures of sklearn.metrics, and None where there are none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.score_counts import roc_auc
from nervenet.models.score_report import classification_report, regression_report, reliability
from sklearn import metrics


def drawn(classes, rows=400, seed=0):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(classes), rows).round(2) + 1e-3  # rounded, so that there are ties
    P /= P.sum(axis=1, keepdims=True)
    y = np.array([rng.choice(classes, p=p) for p in P])
    return y, P.argmax(axis=1), P


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_figures_are_those_of_scikit_learn(classes):
    y, found, P = drawn(classes)
    labels = [f"c{k}" for k in range(classes)]
    report = classification_report(y, found, P, labels)
    assert report["confusion"]["matrix"] == metrics.confusion_matrix(y, found).tolist()
    assert report["accuracy"] == pytest.approx(metrics.accuracy_score(y, found))
    assert report["macro_f1"] == pytest.approx(metrics.f1_score(y, found, average="macro"))
    for k, figures in enumerate(zip(*metrics.precision_recall_fscore_support(y, found), strict=True)):
        assert list(report["per_class"][labels[k]].values()) == pytest.approx(list(figures))
    area = metrics.roc_auc_score(y, P[:, 1]) if classes == 2 else metrics.roc_auc_score(y, P, multi_class="ovr")
    assert report["roc_auc"] == pytest.approx(area)
    squares = np.square(P - np.eye(classes)[y]).sum(axis=1).mean()
    assert report["brier"] == pytest.approx(metrics.brier_score_loss(y, P[:, 1]) if classes == 2 else squares)


def test_a_class_that_nobody_has_or_predicts_has_no_figures():
    y, found, P = drawn(3)
    report = classification_report(y, found, np.column_stack([P, np.zeros(len(y))]), ["a", "b", "c", "d"])
    assert report["per_class"]["d"] == {"precision": None, "recall": None, "f1": None, "rows": 0}
    assert report["macro_f1"] == pytest.approx(metrics.f1_score(y, found, average="macro"))
    assert report["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, P, multi_class="ovr"))


def test_a_model_without_finite_probabilities_is_not_ranked():
    y, found, P = drawn(3)
    for none in (None, np.full_like(P, np.nan)):
        assert set(classification_report(y, found, none, "abc")) == {
            "rows", "accuracy", "macro_f1", "confusion", "per_class",
        }  # fmt: skip


def test_one_class_alone_has_no_area_under_the_curve():
    y = np.zeros(5, np.int64)
    assert classification_report(y, y, np.full((5, 2), 0.5), ["no", "yes"])["roc_auc"] is None


def test_no_rows_have_no_figures():
    nobody = np.zeros(0, np.int64)
    assert classification_report(nobody, nobody, np.zeros((0, 2)), "ab")["accuracy"] is None
    assert regression_report(nobody.astype(float), nobody.astype(float)) == {
        "rows": 0, "mae": None, "rmse": None, "r2": None,
    }  # fmt: skip


def test_regression_figures_are_in_the_unit_of_the_target():
    rng = np.random.default_rng(1)
    y = rng.normal(1e3, 50, 200)
    found = y + rng.normal(0, 10, 200)
    report = regression_report(y, found)
    assert report["mae"] == pytest.approx(metrics.mean_absolute_error(y, found))
    assert report["rmse"] == pytest.approx(metrics.mean_squared_error(y, found) ** 0.5)
    assert report["r2"] == pytest.approx(metrics.r2_score(y, found))
    assert regression_report(np.ones(3), np.ones(3))["r2"] is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_the_area_under_the_curve_counts_pairs(rows):
    positive, score = np.array([p for p, _ in rows]), np.array([s for _, s in rows])
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    assert roc_auc(positive, score) == pytest.approx(float(np.mean(pairs)) if pairs else float("nan"), nan_ok=True)


def test_reliability_counts_every_row_once_the_sure_ones_too():
    right, confidence = np.array([True, False, True, True]), np.array([0.0, 0.55, 0.58, 1.0])
    table = reliability(right, confidence)
    assert table["rows"] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert table["right"][5] == 0.5
    assert table["confidence"][5] == pytest.approx(0.565)
    assert table["right"][1] is None
