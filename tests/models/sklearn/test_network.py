"""The built-in network with scikit-learn's habits."""

import warnings
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, MLPClassifier, MLPRegressor, generator
from nervenet.models.registry import as_model
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import check_estimator

X, Y = load_iris(return_X_y=True)
X, LABELS = scale(X), np.array(["setosa", "versicolor", "virginica"])[Y]


@pytest.mark.parametrize(
    "estimator", [MLPClassifier(hidden=(8,), epochs=30), MLPRegressor(hidden=(8,), epochs=30)], ids=repr
)
def test_scikit_learn_s_checks_pass(estimator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks fit on rows that make scikit-learn warn
        check_estimator(estimator)


def test_it_is_the_built_in_network() -> None:
    own = MLPClassifier(hidden=(8,), epochs=3, random_state=0).fit(X, LABELS)
    plain = MLP((8,), optimizer="adam", learning_rate=0.005, dtype="float64")
    plain.build(4, 3, generator(0, "init"))
    plain.fit(X, Y, LocalWork(epochs=3), generator(0, "batches", 0), lambda: False)
    assert own.model_.get_weights().tobytes() == plain.get_weights().tobytes()
    assert [W.shape for W in own.coefs_] == [(4, 8), (8, 3)]
    assert [b.shape for b in own.intercepts_] == [(8,), (3,)]


def test_labels_and_probabilities_are_of_the_classes() -> None:
    own = MLPClassifier(hidden=(8,), random_state=0).fit(X, LABELS)
    assert own.score(X, LABELS) > 0.95
    assert (own.classes_[own.predict_proba(X).argmax(axis=1)] == own.predict(X)).all()
    assert np.allclose(np.exp(own.predict_log_proba(X)), own.predict_proba(X))


def test_partial_fit_is_one_epoch_more() -> None:
    own = MLPClassifier(hidden=(8,), random_state=0)
    with pytest.raises(ValueError, match="classes must be passed"):
        own.partial_fit(X, LABELS)
    for _ in range(20):
        own.partial_fit(X[:100], LABELS[:100], classes=np.unique(LABELS))
    assert own.n_iter_ == 20
    assert own.score(X[:100], LABELS[:100]) > 0.9
    with pytest.raises(ValueError, match="label 'rose'"):
        own.partial_fit(X, np.full(150, "rose"))
    quantities = MLPRegressor(hidden=(8,), random_state=0).partial_fit(X, X[:, 0]).partial_fit(X, X[:, 0])
    assert quantities.n_iter_ == 2


def test_rows_have_weights() -> None:
    kept = Y < 2
    weighted = MLPClassifier(hidden=(8,), epochs=3, random_state=0).fit(X, LABELS, sample_weight=kept)
    alone = MLPClassifier(hidden=(8,), epochs=3, random_state=0).fit(X[kept], LABELS[kept], sample_weight=np.ones(100))
    assert weighted.model_.get_weights().tobytes() == alone.model_.get_weights().tobytes()
    with pytest.raises(TypeError, match="unexpected argument 'groups'"):
        weighted.fit(X, LABELS, groups=Y)


def test_training_that_diverges_says_so() -> None:
    with pytest.raises(ValueError, match="training has diverged"):
        MLPRegressor(optimizer="sgd", learning_rate=1e6, epochs=20).fit(X * 1e6, Y)


def test_a_node_may_be_given_one() -> None:
    model = as_model(MLPClassifier(hidden=(5,), dtype="float32"))
    assert isinstance(model, MLP)
    assert model.describe()["parameters"]["hidden"] == [5]
