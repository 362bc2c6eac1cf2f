"""The learning rates of MLPClassifier's schedules, over rounds."""

import numpy as np
import pytest
from nervenet.models.model import LocalWork
from nervenet.models.registry import as_model
from nervenet.models.rng import generator
from nervenet.models.sklearn.mlp import MLPAdapter
from sklearn.neural_network import MLPClassifier

WORK = LocalWork(epochs=2, batch_size=10)


def table():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    return rng.normal(size=(60, 4)) + y[:, None], y


def built(**settings):
    model = as_model(MLPClassifier((5,), solver="sgd", learning_rate_init=0.1, **settings))
    model.build(4, 3, generator(0, "init"))
    return model


def rate(model):
    return model.working._optimizer.learning_rate


def rates(model, rounds=12):
    found = []
    for number in range(rounds):
        found.append(rate(model))
        model.fit(*table(), WORK, generator(0, number), lambda: False)
    return found


def test_inverse_scaling_goes_on_from_round_to_round_without_the_moments():
    found = rates(built(learning_rate="invscaling"))
    assert found == pytest.approx([0.1 / (120 * r + 1) ** 0.5 for r in range(12)])


def test_an_adaptive_rate_is_cut_over_rounds_without_the_moments():
    found = rates(built(learning_rate="adaptive", tol=10.0, n_iter_no_change=3))
    assert found[0] == 0.1
    assert found[-1] < 0.1 / 5


@pytest.mark.parametrize("settings", [{"learning_rate": "invscaling"}, {"learning_rate": "adaptive", "tol": 10.0}])
def test_the_rate_would_never_fall_if_it_were_forgotten_with_the_moments(settings, monkeypatch):
    def forget(self):
        self._memory._set_clock(0.0)
        self.working._no_improvement_count = 0

    monkeypatch.setattr(MLPAdapter, "forget", forget)
    assert len(set(rates(built(n_iter_no_change=3, **settings))[1:])) == 1


def resumed(model, without=()):
    """Return a fresh copy that goes on from the weights and the state of a model."""
    fresh = built(**{k: v for k, v in model.given.get_params().items() if k in ("learning_rate", "n_iter_no_change")})
    fresh.set_weights(model.get_weights())
    fresh.set_state({name: array for name, array in model.get_state(moments=False).items() if name not in without})
    return fresh


@pytest.fixture
def plateau(monkeypatch):
    """No loss is an improvement: an adaptive rate is cut after every few epochs, wherever they lie."""
    monkeypatch.setattr(MLPClassifier, "_update_no_improvement_count", lambda self, *_: _count(self))


def _count(estimator):
    estimator._no_improvement_count += 1


@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
def test_a_resumed_model_goes_on_bit_for_bit(learning_rate, plateau):
    model = built(learning_rate=learning_rate, n_iter_no_change=4)
    rates(model, 4)
    other = resumed(model)
    assert rates(model, 4) == rates(other, 4)
    np.testing.assert_array_equal(model.get_weights(), other.get_weights())


def test_it_would_not_if_the_epochs_without_improvement_were_forgotten(plateau):
    model = built(learning_rate="adaptive", n_iter_no_change=4)
    rates(model, 4)
    other = resumed(model, without=("best_loss", "no_improvement"))
    assert rates(model, 4) != rates(other, 4)


def test_the_clock_of_an_adaptive_rate_counts_cuts_and_sets_the_rate():
    model = built(learning_rate="adaptive")
    model.set_state({"t": np.array([3.0])})
    assert rate(model) == pytest.approx(0.1 / 25)
    assert model.get_state(moments=False)["t"] == [3.0]
    model.set_state({"t": np.array([2.0**53])})
    assert rate(model) > 0


def test_a_constant_rate_has_no_clock():
    assert built().get_state(moments=False) == {}
