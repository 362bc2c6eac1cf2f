"""The MLP against scikit-learn's: one start, the same batches and settings, the same weights to rounding."""

from itertools import product

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, generator
from sklearn.neural_network import MLPClassifier, MLPRegressor

ACTIVATIONS = ("relu", "tanh", "logistic", "identity")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam")
TASKS = {"two classes": 2, "three classes": 3, "regression": None}
ROWS, FEATURES, BATCH, EPOCHS, L2, RATE = 50, 5, 16, 4, 0.1, 0.02  # 50 rows: the last batch of an epoch is smaller


def never():
    return False


def data(classes, dtype):
    rng = generator(0, "data")
    X = rng.standard_normal((ROWS, FEATURES)).astype(dtype)
    return X, (X @ np.arange(1.0, 6.0) + 1).astype(dtype) if classes is None else rng.integers(0, classes, ROWS)


def scikit_learn(model, X, y, classes):
    """Scikit-learn's estimator with the model's settings and its weights, and an optimizer that has seen nothing."""
    cls, known = (MLPRegressor, {}) if classes is None else (MLPClassifier, {"classes": np.arange(classes)})
    theirs = cls(
        hidden_layer_sizes=model.hidden,
        activation=model.activation,
        solver="adam" if model.optimizer == "adam" else "sgd",
        momentum=0 if model.optimizer == "sgd" else 0.9,
        nesterovs_momentum=model.optimizer == "nesterov",
        learning_rate_init=RATE,
        alpha=L2,
        batch_size=BATCH,
        shuffle=False,
    )
    theirs.partial_fit(X, y, **known)
    del theirs._optimizer
    parts = model.layout.views(model.get_weights())
    theirs.coefs_ = [parts[f"weight.{i}"] for i in range(len(theirs.coefs_))]
    theirs.intercepts_ = [parts[f"bias.{i}"] for i in range(len(theirs.intercepts_))]
    return theirs


def flat(theirs):
    return np.concatenate([array.ravel() for array in theirs.coefs_ + theirs.intercepts_])


def trained(activation, optimizer, classes, dtype, batch_size=BATCH):
    X, y = data(classes, dtype)
    ours = MLP((7, 6), activation, optimizer=optimizer, learning_rate=RATE, l2=L2, dtype=dtype)
    ours.build(FEATURES, classes, generator(0, "init"))
    theirs = scikit_learn(ours, X, y, classes)
    theirs.batch_size = batch_size
    report = ours.fit(X, y, LocalWork(epochs=EPOCHS, batch_size=batch_size), generator(0, "batches"), never)
    orders = generator(0, "batches")
    for _ in range(EPOCHS):
        order = orders.permutation(ROWS)
        theirs.partial_fit(X[order], y[order])
    return ours, theirs, report, X


@pytest.mark.parametrize(("activation", "optimizer", "task"), list(product(ACTIVATIONS, OPTIMIZERS, TASKS)))
def test_same_weights_as_scikit_learn(activation, optimizer, task):
    ours, theirs, report, X = trained(activation, optimizer, TASKS[task], "float64")
    np.testing.assert_allclose(ours.get_weights(), flat(theirs), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-12)
    if TASKS[task]:
        np.testing.assert_allclose(ours.probabilities(X), theirs.predict_proba(X), atol=1e-12)
    assert report.steps == EPOCHS * 4


@pytest.mark.parametrize("task", TASKS)
def test_same_weights_in_single_precision(task):
    ours, theirs, _, _ = trained("relu", "nesterov", TASKS[task], "float32")
    assert flat(theirs).dtype == ours.get_weights().dtype == np.float32
    np.testing.assert_allclose(ours.get_weights(), flat(theirs), rtol=0, atol=2e-5)


@pytest.mark.parametrize("task", TASKS)
def test_the_reported_loss_is_scikit_learns_without_the_penalty(task):
    # One batch an epoch, so that the loss is that of one set of weights: those before the last step.
    _, theirs, report, _ = trained("tanh", "sgd", TASKS[task], "float64", batch_size=ROWS)
    X, y = data(TASKS[task], "float64")
    before = MLP((7, 6), "tanh", optimizer="sgd", learning_rate=RATE, l2=L2, dtype="float64")
    before.build(FEATURES, TASKS[task], generator(0, "init"))
    before.fit(X, y, LocalWork(epochs=EPOCHS - 1, batch_size=ROWS), generator(0, "batches"), never)
    parts = before.layout.views(before.get_weights())
    penalty = L2 / 2 / ROWS * sum(float((parts[f"weight.{i}"] ** 2).sum()) for i in range(3))
    halves = 2 if TASKS[task] is None else 1  # scikit-learn halves the squared error, metrics do not
    assert report.loss == pytest.approx(halves * (theirs.loss_ - penalty), rel=1e-10)


def test_a_wrong_penalty_would_be_seen():
    """The comparison can fail: L2 not divided by the batch size is far outside the tolerance."""
    _, theirs, _, _ = trained("relu", "sgd", 3, "float64")
    X, y = data(3, "float64")
    wrong = MLP((7, 6), "relu", optimizer="sgd", learning_rate=RATE, l2=L2 * BATCH, dtype="float64")
    wrong.build(FEATURES, 3, generator(0, "init"))
    wrong.fit(X, y, LocalWork(epochs=EPOCHS, batch_size=BATCH), generator(0, "batches"), never)
    assert np.abs(wrong.get_weights() - flat(theirs)).max() > 1e-3
