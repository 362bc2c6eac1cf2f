"""Adapters pass row weights on, and a model that takes none says so."""

from inspect import signature

import numpy as np
import pytest
from nervenet.models import LocalWork, generator
from nervenet.models.data.data import DataError
from nervenet.models.model import LocalUnsupported
from nervenet.models.pegasos import Pegasos
from nervenet.models.registry import as_model, models_with
from nervenet.models.site_model import SiteModel
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier

ROWS, BATCH = 60, 10
WEIGHT = 1.0 + np.arange(ROWS) % 4


def never() -> bool:
    return False


def table(classes=3):
    rng = np.random.default_rng(0)
    y = np.arange(ROWS) % classes
    return rng.standard_normal((ROWS, 4)) + np.eye(classes, 4)[y], y


def built(estimator, classes=3):
    model = as_model(estimator)
    model.build(4, classes, generator(0, "init"))
    return model


@pytest.mark.parametrize("classes", [2, 3, None])
def test_sgd_steps_are_those_of_partial_fit_with_sample_weight(classes):
    X, y = table(classes or 3)
    estimator = SGDRegressor() if classes is None else SGDClassifier(loss="log_loss")
    y = y if classes else X @ [1.0, 2, 0, 0]
    model = built(estimator, classes)
    model.fit(X, y, LocalWork(epochs=3, batch_size=BATCH), generator(0, "order"), never, sample_weight=WEIGHT)
    theirs = type(estimator)(**(estimator.get_params() | {"shuffle": False}))
    known, orders = {} if classes is None else {"classes": np.arange(classes)}, generator(0, "order")
    for _ in range(3):
        order = orders.permutation(ROWS)
        theirs.partial_fit(X[order], y[order], **known, sample_weight=WEIGHT[order])
    found = np.concatenate([theirs.coef_.ravel(), theirs.intercept_.ravel()])
    np.testing.assert_allclose(model.get_weights(), found, rtol=1e-12)


@pytest.mark.skipif("sample_weight" not in signature(MLPClassifier.partial_fit).parameters, reason="scikit-learn 1.7")
def test_a_network_of_scikit_learn_is_weighted_as_the_built_in_one():
    from nervenet.models import MLP

    X, y = table()
    theirs = built(MLPClassifier((5,), solver="sgd", learning_rate_init=0.05, alpha=1e-4))
    ours = MLP((5,), learning_rate=0.05, dtype="float64")
    ours.build(4, 3, generator(0, "init"))
    assert "sample_weight" in theirs.capabilities
    for model in (theirs, ours):
        work = LocalWork(epochs=3, batch_size=BATCH)
        model.fit(X, y, work, generator(0, "order"), never, sample_weight=WEIGHT)
    np.testing.assert_allclose(theirs.get_weights(), ours.get_weights(), atol=1e-12)


@pytest.mark.parametrize("lacking", [False, True])
def test_logistic_regression_counts_a_row_by_its_weight(lacking):
    """Of rows that lack a class, which go another way, too."""
    X, y = table()
    kept = y != 2 if lacking else np.ones(ROWS, bool)
    X, y, weight = X[kept], y[kept], WEIGHT[kept]
    once, repeated = built(LogisticRegression()), built(LogisticRegression())
    twice = np.repeat(np.arange(len(y)), weight.astype(int))
    once.fit(X, y, LocalWork(epochs=200), generator(0), never, sample_weight=weight)
    repeated.fit(X[twice], y[twice], LocalWork(epochs=200), generator(0), never)
    np.testing.assert_allclose(once.get_weights(), repeated.get_weights(), atol=1e-3)


def test_a_model_that_takes_no_weights_says_so_with_those_that_do():
    X, y = table(2)
    model = Pegasos()
    model.build(4, 2, generator(0))
    with pytest.raises(LocalUnsupported, match="pegasos: its training takes no sample_weight"):
        model.fit(X, y, LocalWork(), generator(0), never, sample_weight=WEIGHT)
    with pytest.raises(
        DataError,
        match=r"pegasos takes no sample_weight, and so no weights of rows; models that do: mlp, SGDC",
    ):
        SiteModel(Pegasos(), X, y, WEIGHT)


def test_a_schedule_that_takes_no_correction_takes_weights():
    assert "sample_weight" in as_model(SGDClassifier(learning_rate="pa1", eta0=0.1)).capabilities
    assert "SGDClassifier" in models_with("sample_weight")
    assert "SGDClassifier" not in models_with("sample_weight", "correction")
