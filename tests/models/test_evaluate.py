"""Figures against scikit-learn's own."""

import numpy as np
import pytest
from nervenet.models import MLP, generator, moments
from nervenet.models.evaluate import evaluate
from nervenet.models.registry import as_model
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    matthews_corrcoef,
    max_error,
    mean_squared_error,
    r2_score,
)


def built(n_classes, seed=0):
    model = MLP((5,), dtype="float64")
    model.build(4, n_classes, generator(seed, "init"))
    return model


X = generator(0, "rows").standard_normal((40, 4))


@pytest.mark.parametrize("classes", [2, 3])
def test_classification(classes):
    model, y = built(classes), np.arange(40) % classes
    figures = evaluate(model, X, y)
    assert figures == {
        "accuracy": pytest.approx(accuracy_score(y, model.predict(X))),
        "loss": pytest.approx(log_loss(y, model.probabilities(X))),
    }
    assert all(type(value) is float for value in figures.values())


def test_regression():
    model, y = built(None), X @ [1.0, 2.0, 3.0, 4.0]
    predicted = model.predict(X)
    assert evaluate(model, X, y) == {
        "r2": pytest.approx(r2_score(y, predicted)),
        "loss": pytest.approx(mean_squared_error(y, predicted)),
    }
    assert np.isnan(evaluate(model, X[:1], y[:1])["r2"])


def r2_of_a_constant(rows=3):
    """R² of rows whose targets are all 0.1, which float64 has not exactly: nor is the mean of three of them 0.1."""
    return evaluate(built(None), X[:rows], np.full(rows, 0.1))["r2"]


def test_r2_is_not_defined_where_all_targets_are_the_same():
    assert np.full(3, 0.1).mean() != 0.1
    assert np.isnan(r2_of_a_constant())
    assert np.isnan(evaluate(built(None), X[:3], np.full(3, 0.1), sample_weight=np.array([1.0, 2.0, 3.0]))["r2"])
    assert np.isfinite(evaluate(built(None), X[:3], np.array([1.0, 1.0, 1.0 + 1e-9]))["r2"])


def test_a_spread_that_is_only_rounding_would_make_r2_boundless(monkeypatch):
    monkeypatch.setattr(moments, "ROUNDING", 0.0)
    assert r2_of_a_constant() < -1e20


def test_a_model_without_probabilities_has_the_share_of_wrong_answers_for_loss():
    model, y = as_model(SGDClassifier()), np.arange(40) % 3
    model.build(4, 3, generator(0))
    figures = evaluate(model, X, y)
    assert figures["loss"] == 1 - figures["accuracy"]


def test_scorers_by_scikit_learns_names():
    model, y = built(3), np.arange(40) % 3
    figures = evaluate(model, X, y, ["balanced_accuracy", "neg_log_loss"])
    assert figures["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, model.predict(X)))
    assert figures["neg_log_loss"] == pytest.approx(-figures["loss"])
    assert evaluate(built(2), X, y % 2, ["roc_auc"])["roc_auc"] > 0
    numbers = evaluate(built(None), X, X[:, 0], ["neg_mean_absolute_error"])
    assert numbers["neg_mean_absolute_error"] < 0
    with pytest.raises(ValueError, match=r"unknown scorer 'sharpness'; allowed are .*accuracy"):
        evaluate(model, X, y, ["sharpness"])
    with pytest.raises(ValueError, match=r"unknown scorer 'f1_macor'; did you mean f1_macro\?"):
        evaluate(model, X, y, ["f1_macor"])


def test_a_score_that_is_not_defined_on_these_rows_leaves_the_others_alone():
    figures = evaluate(built(3), X, np.arange(40) % 2, ["roc_auc", "neg_mean_absolute_error"])
    assert np.isnan(figures["roc_auc"])
    assert figures["neg_mean_absolute_error"] <= 0
    assert 0 <= figures["accuracy"] <= 1


@pytest.mark.parametrize("classes", [2, 3, None])
def test_a_diverged_model_scores_nan_without_a_warning(classes):
    model = built(classes)
    model.weights[:] = np.nan
    y = X[:, 0] if classes is None else np.arange(40) % classes
    assert all(np.isnan(value) for value in evaluate(model, X, y).values())


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        evaluate(built(3), X[:0], np.zeros(0, int))


@pytest.mark.parametrize("classes", [2, 3])
def test_weighted_classification(classes):
    model, y = built(classes), np.arange(40) % classes
    weight = 0.5 + np.arange(40) % 3
    figures = evaluate(model, X, y, ["balanced_accuracy", "matthews_corrcoef"], weight)
    assert figures == {
        "accuracy": pytest.approx(accuracy_score(y, model.predict(X), sample_weight=weight)),
        "loss": pytest.approx(log_loss(y, model.probabilities(X), sample_weight=weight)),
        "balanced_accuracy": pytest.approx(balanced_accuracy_score(y, model.predict(X), sample_weight=weight)),
        "matthews_corrcoef": pytest.approx(matthews_corrcoef(y, model.predict(X), sample_weight=weight)),
    }
    assert all(type(value) is float for value in figures.values())


def test_weighted_regression_and_a_scorer_that_takes_no_weights():
    model, y, weight = built(None), X @ [1.0, 2.0, 3.0, 4.0], 0.5 + np.arange(40) % 3
    predicted = model.predict(X)
    assert evaluate(model, X, y, ["neg_max_error"], weight) == {
        "r2": pytest.approx(r2_score(y, predicted, sample_weight=weight)),
        "loss": pytest.approx(mean_squared_error(y, predicted, sample_weight=weight)),
        "neg_max_error": pytest.approx(-max_error(y, predicted)),
    }
