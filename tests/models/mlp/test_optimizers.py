"""Update rules against their formulae, written out one element at a time."""

from math import sqrt

import numpy as np
import pytest
from nervenet.models import MLP
from nervenet.models.mlp.optimizers import OPTIMIZERS

RATE, MOMENTUM, L2, N_WEIGHTS = 0.1, 0.9, 0.01, 3


def reference(name, p, gradients):
    """The textbook, in Python floats. Biases, after the first three, have no penalty."""
    velocity = first = second = 0.0
    for t, (g, l2) in enumerate(gradients, 1):
        g = g + l2 * p
        match name:
            case "sgd":
                p -= RATE * g
            case "momentum":
                velocity = MOMENTUM * velocity - RATE * g
                p += velocity
            case "nesterov":
                velocity = MOMENTUM * velocity - RATE * g
                p += MOMENTUM * velocity - RATE * g
            case "adam":
                first = 0.9 * first + 0.1 * g
                second = 0.999 * second + 0.001 * g * g
                p -= RATE * sqrt(1 - 0.999**t) / (1 - 0.9**t) * first / (sqrt(second) + 1e-8)
    return p


def run(name, gradients, dtype="float64", between=lambda optimizer: None):
    parameters = np.linspace(-1, 1, 5).astype(dtype)
    gradient = np.empty_like(parameters)
    optimizer = OPTIMIZERS[name](parameters, gradient, N_WEIGHTS, RATE, MOMENTUM)
    for g in gradients:
        gradient[:] = g * optimizer.gain
        optimizer.step(np.array(L2 * optimizer.gain, dtype))
        between(optimizer)
    return parameters, optimizer


GRADIENTS = np.random.default_rng(0).standard_normal((8, 5))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_steps_follow_the_formula(name, dtype, tolerance):
    found, _ = run(name, GRADIENTS, dtype)
    for i, start in enumerate(np.linspace(-1, 1, 5)):
        penalty = L2 if i < N_WEIGHTS else 0.0
        assert found[i] == pytest.approx(reference(name, start, [(g[i], penalty) for g in GRADIENTS]), abs=tolerance)
    assert found.dtype == dtype


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_memory_moves_with_carry_and_restore(name):
    whole, _ = run(name, GRADIENTS)
    half, before = run(name, GRADIENTS[:4])
    gradient = np.empty_like(half)
    after = OPTIMIZERS[name](half, gradient, N_WEIGHTS, RATE, MOMENTUM)
    after.set_state(before.get_state())
    for g in GRADIENTS[4:]:
        gradient[:] = g * after.gain
        after.step(np.array(L2 * after.gain))
    np.testing.assert_array_equal(half, whole)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reset_forgets_everything(name):
    without, _ = run(name, GRADIENTS, between=lambda optimizer: optimizer.reset())
    expected = np.linspace(-1, 1, 5)
    for g in GRADIENTS:
        for i in range(5):
            expected[i] = reference(name, expected[i], [(g[i], L2 if i < N_WEIGHTS else 0.0)])
    np.testing.assert_allclose(without, expected, atol=1e-14)


def test_a_state_that_does_not_fit_is_refused():
    _, optimizer = run("adam", GRADIENTS)
    with pytest.raises(ValueError, match="'first' is missing"):
        optimizer.set_state({})
    with pytest.raises(ValueError, match=r"not of shape \(5,\)"):
        optimizer.set_state({"first": np.zeros(4), "second": np.zeros(4), "t": np.zeros(1)})


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="'rmsprop'; allowed are sgd, momentum, nesterov, adam"):
        MLP(optimizer="rmsprop")
