"""The MLP on rows with weights: against scikit-learn's, and against rows that are there several times."""

from inspect import signature
from itertools import product

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, generator
from nervenet.models.mlp.batch_weights import BatchWeights
from sklearn.neural_network import MLPClassifier, MLPRegressor

ROWS, FEATURES, BATCH, EPOCHS, L2, RATE = 56, 5, 16, 4, 0.1, 0.02
TASKS = {"two classes": 2, "three classes": 3, "regression": None}
WEIGHS = pytest.mark.skipif(
    "sample_weight" not in signature(MLPClassifier.partial_fit).parameters, reason="since scikit-learn 1.7"
)


def never() -> bool:
    return False


def rows(classes, dtype):
    rng = generator(0, "data")
    X = rng.standard_normal((ROWS, FEATURES)).astype(dtype)
    y = (X @ np.arange(1.0, 6.0) + 1).astype(dtype) if classes is None else rng.integers(0, classes, ROWS)
    return X, y, rng.exponential(2.0, ROWS)


def built(classes, dtype="float64", optimizer="nesterov"):
    ours = MLP((7, 6), "tanh", optimizer=optimizer, learning_rate=RATE, l2=L2, dtype=dtype)
    ours.build(FEATURES, classes, generator(0, "init"))
    return ours


def scikit_learn(model, X, y, classes):
    cls, known = (MLPRegressor, {}) if classes is None else (MLPClassifier, {"classes": np.arange(classes)})
    theirs = cls(
        hidden_layer_sizes=model.hidden,
        activation=model.activation,
        solver="adam" if model.optimizer == "adam" else "sgd",
        momentum=0 if model.optimizer == "sgd" else 0.9,
        learning_rate_init=RATE,
        alpha=L2,
        batch_size=BATCH,
        shuffle=False,
    )
    theirs.partial_fit(X, y, **known)
    del theirs._optimizer
    parts = model.layout.views(model.get_weights())
    theirs.coefs_ = [parts[f"weight.{i}"] for i in range(3)]
    theirs.intercepts_ = [parts[f"bias.{i}"] for i in range(3)]
    return theirs


def end(theirs):
    return np.concatenate([array.ravel() for array in theirs.coefs_ + theirs.intercepts_])


def compared(classes, optimizer, dtype, weigh=lambda weight: weight):
    X, y, weight = rows(classes, dtype)
    ours = built(classes, dtype, optimizer)
    theirs = scikit_learn(ours, X, y, classes)
    work = LocalWork(epochs=EPOCHS, batch_size=BATCH)
    ours.fit(X, y, work, generator(0, "batches"), never, sample_weight=weigh(weight))
    orders = generator(0, "batches")
    for _ in range(EPOCHS):
        order = orders.permutation(ROWS)
        theirs.partial_fit(X[order], y[order], sample_weight=weight[order])
    return ours.get_weights(), end(theirs)


@WEIGHS
@pytest.mark.parametrize(("task", "optimizer"), list(product(TASKS, ("sgd", "nesterov", "adam"))))
def test_same_weights_as_scikit_learn_with_sample_weight(task, optimizer):
    ours, theirs = compared(TASKS[task], optimizer, "float64")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@WEIGHS
def test_same_weights_in_single_precision():
    ours, theirs = compared(3, "nesterov", "float32")
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


@WEIGHS
def test_another_normalization_would_be_seen():
    """The comparison can fail: with weights of mean 1 the penalty alone is another one."""
    ours, theirs = compared(3, "sgd", "float64", lambda weight: weight / weight.mean())
    assert np.abs(ours - theirs).max() > 1e-6


@pytest.mark.parametrize("classes", [2, 3, None])
def test_a_weight_of_2_is_a_row_that_is_there_twice(classes):
    X, y, _ = rows(classes, "float64")
    weight = 1.0 + (np.arange(ROWS) % 2)
    twice = np.repeat(np.arange(ROWS), weight.astype(int))
    once, repeated = built(classes), built(classes)
    one = once.fit(X, y, LocalWork(5, None, ROWS), generator(0), never, sample_weight=weight)
    other = repeated.fit(X[twice], y[twice], LocalWork(5, None, len(twice)), generator(0), never)
    np.testing.assert_allclose(once.get_weights(), repeated.get_weights(), atol=1e-12)
    assert one.loss == pytest.approx(other.loss)


def test_equal_weights_are_no_weights_to_rounding():
    X, y, _ = rows(3, "float64")
    plain, weighted = built(3), built(3)
    plain.fit(X, y, LocalWork(batch_size=BATCH), generator(0), never)
    weighted.fit(X, y, LocalWork(batch_size=BATCH), generator(0), never, sample_weight=np.ones(ROWS))
    np.testing.assert_allclose(plain.get_weights(), weighted.get_weights(), atol=1e-13)


def test_each_batch_is_divided_by_its_own_weights():
    factors = BatchWeights(np.array([1.0, 3, 1, 3, 8]), 2, gain=0.5, l2=0.1, dtype="float64")
    factors.shuffle(np.array([4, 0, 1, 2, 3]))
    scales, decays = zip(*factors.batches, strict=True)
    assert [scale.ravel().tolist() for scale in scales] == [[4 / 9, 0.5 / 9], [0.375, 0.125], [0.5]]
    np.testing.assert_allclose(decays, [0.05 / 9, 0.05 / 4, 0.05 / 3.2])  # no less than the mean


def test_weights_far_apart_leave_the_weights_finite():
    X, y, _ = rows(3, "float32")
    ours = built(3, "float32")
    weight = np.where(np.arange(ROWS) % 7, 1e-60, 1.0)
    ours.fit(X, y, LocalWork(batch_size=2), generator(0), never, sample_weight=weight)
    assert np.isfinite(ours.get_weights()).all()


def test_without_a_floor_the_penalty_of_light_rows_would_break_the_network(monkeypatch):
    """The test before can fail."""
    shuffle = BatchWeights.shuffle

    def unlimited(self, order):
        self._least = 0.0
        shuffle(self, order)

    monkeypatch.setattr(BatchWeights, "shuffle", unlimited)
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        test_weights_far_apart_leave_the_weights_finite()


@pytest.mark.parametrize("weight", [np.ones(3), np.zeros(ROWS), np.full(ROWS, np.nan)])
def test_what_is_no_weight_is_refused(weight):
    X, y, _ = rows(3, "float64")
    with pytest.raises(ValueError, match="sample_weight"):
        built(3).fit(X, y, LocalWork(), generator(0), never, sample_weight=weight)
