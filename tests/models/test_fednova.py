"""FedNova's normalizer: the closed forms of the paper, and what the optimizers do under a constant gradient."""

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, generator
from nervenet.models.fednova import fednova_normalizer, proximal_steps
from nervenet.models.mlp.optimizers import OPTIMIZERS

TAUS = (0, 1, 2, 3, 10, 137)


def displaced(rule, steps, rho, rate, mu):
    """Displacement per -η g, by running the optimizer on a gradient g = 1 that stays the same."""
    p, g = np.zeros(1), np.zeros(1)
    optimizer = OPTIMIZERS[rule](p, g, 1, rate, rho)
    for _ in range(steps):
        g[:] = optimizer.gain * (1 + mu * p)
        optimizer.step(np.array(0.0))
    return float(-p[0] / rate)


@pytest.mark.parametrize("steps", TAUS)
@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize(("rho", "rate", "mu"), [(0.9, 0.05, 0.0), (0.9, 0.05, 1.0), (0.0, 0.3, 2.0), (1.0, 0.01, 0.0)])
def test_it_is_the_displacement_under_a_constant_gradient(rule, steps, rho, rate, mu):
    assert fednova_normalizer(rule, steps, rho, rate, mu) == pytest.approx(
        displaced(rule, steps, rho, rate, mu), rel=1e-9
    )


@pytest.mark.parametrize("steps", TAUS)
def test_it_has_the_closed_forms_of_the_paper(steps):
    rho, pull = 0.9, 0.05 * 2.0
    heavy_ball = (steps - rho * (1 - rho**steps) / (1 - rho)) / (1 - rho)
    assert fednova_normalizer("sgd", steps, rho, 0.05, 0.0) == steps
    assert fednova_normalizer("momentum", steps, rho, 0.05, 0.0) == pytest.approx(heavy_ball)
    assert fednova_normalizer("nesterov", steps, rho, 0.05, 0.0) == pytest.approx(steps + rho * heavy_ball)
    assert fednova_normalizer("sgd", steps, rho, 0.05, 2.0) == pytest.approx((1 - (1 - pull) ** steps) / pull)


def test_adam_has_none_and_an_unknown_rule_is_named():
    assert fednova_normalizer("adam", 3, 0.9, 0.1, 0.0) is None
    with pytest.raises(ValueError, match="'lion'"):
        fednova_normalizer("lion", 3, 0.9, 0.1, 0.0)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_a_fit_reports_it(optimizer):
    model = MLP(hidden=(), optimizer=optimizer, learning_rate=0.02)
    model.build(2, 3, generator(0, "init"))
    X, y = np.zeros((10, 2), "f"), np.arange(10) % 3
    report = model.fit(X, y, LocalWork(epochs=3, batch_size=4, proximal=0.3), generator(0), lambda: False)
    assert report.steps == 9
    assert report.fednova_normalizer == fednova_normalizer(optimizer, 9, 0.9, 0.02, 0.3)
    assert report.rate == 0.02


def test_flow_composes_steps_of_different_rates():
    rates, mu, d = np.array([0.3, 10.0, 0.05]), 0.7, 2.0
    kept, reached = proximal_steps(rates, mu)
    for rate in rates:
        d = (d - rate * 1.5) / (1 + rate * mu)
    assert kept * 2.0 - reached * 1.5 == pytest.approx(d)
    assert proximal_steps(rates, 0.0) == (1.0, pytest.approx(10.35))
    assert proximal_steps(np.empty(0), 1.0) == (1.0, 0.0)
