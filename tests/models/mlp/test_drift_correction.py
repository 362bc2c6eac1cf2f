"""The proximal term and the correction: exact in the MLP, split off in the SGD models, refused elsewhere."""

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, generator
from nervenet.models.mlp.network import Pass, mean_loss
from nervenet.models.model import LocalUnsupported
from nervenet.models.registry import as_model
from nervenet.models.weights import IncompatibleWeights
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier

ROWS = 24


def never():
    return False


def table(seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(ROWS) % 3
    return rng.standard_normal((ROWS, 4)) + 2.0 * np.eye(3, 4)[y], y


def built(model, n_classes=3):
    model = as_model(model)
    model.build(4, n_classes, generator(0, "init"))
    return model


def linear(**parameters):
    plain = {"optimizer": "sgd", "learning_rate": 0.1, "l2": 0.0, "dtype": "float64"}
    return built(MLP(hidden=(), **plain | parameters))


def gradient(model, weights):
    """The gradient of the mean loss over the whole table, at some weights."""
    X, y = table()
    probe = linear()
    probe.set_weights(weights)
    labels, classes = probe._targets(y)
    Y, outputs = classes[labels], np.empty((ROWS, 3))
    batch = Pass(probe._layers, ROWS, "relu", "softmax")
    batch.forward(X, outputs)
    batch.backward(X, Y, outputs, np.array(1 / ROWS))
    return probe._gradient.copy()


def test_two_steps_of_gradient_descent_by_hand():
    model, mu = linear(), 0.7
    c = np.linspace(-1, 1, model.layout.size)
    start = model.get_weights()
    first = start - 0.1 * (gradient(model, start) + c)
    second = first - 0.1 * (gradient(model, first) + mu * (first - start) + c)
    model.fit(*table(), LocalWork(epochs=2, batch_size=ROWS, proximal=mu), generator(1), never, c)
    np.testing.assert_allclose(model.get_weights(), second, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("rho", "optimizer"), [(0.9, "momentum"), (0.5, "nesterov")])
def test_momentum_is_of_the_corrected_gradient(rho, optimizer):
    model, mu = linear(optimizer=optimizer, momentum=rho), 0.7
    c = np.linspace(-1, 1, model.layout.size)
    start = w = model.get_weights()
    v = np.zeros_like(w)
    for _ in range(4):
        g = gradient(model, w) + mu * (w - start) + c
        v = rho * v - 0.1 * g
        w = w + (v if optimizer == "momentum" else rho * v - 0.1 * g)
    model.fit(*table(), LocalWork(epochs=4, batch_size=ROWS, proximal=mu), generator(1), never, c)
    np.testing.assert_allclose(model.get_weights(), w, rtol=0, atol=1e-13)


def test_the_moments_of_adam_are_of_the_corrected_gradient():
    model, mu = linear(optimizer="adam"), 0.7
    c = np.linspace(-1, 1, model.layout.size)
    start = w = model.get_weights()
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 5):
        g = gradient(model, w) + mu * (w - start) + c
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8 / np.sqrt(1 - 0.999**t))
    model.fit(*table(), LocalWork(epochs=4, batch_size=ROWS, proximal=mu), generator(1), never, c)
    np.testing.assert_allclose(model.get_weights(), w, rtol=0, atol=1e-9)


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_a_step_follows_the_derivative_of_the_proximal_objective(hidden):
    """Against central differences of loss + μ/2 ||w - w_start||² + c·w, after a first step away from w_start."""
    rate, mu, (X, y) = 0.05, 1.3, table()

    def fresh():
        parameters = {"optimizer": "sgd", "learning_rate": rate, "l2": 0.0, "dtype": "float64"}
        return built(MLP(hidden=hidden, activation="tanh", **parameters))

    def after(steps):
        model = fresh()
        model.fit(X, y, LocalWork(epochs=steps, batch_size=ROWS, proximal=mu), generator(1), never, c)
        return model.get_weights()

    def objective(w):
        model.set_weights(w)
        outputs = model.probabilities(X)
        return mean_loss(outputs, np.eye(3)[y], "softmax") + mu / 2 * np.sum((w - start) ** 2) + c @ w

    model = fresh()
    start = model.get_weights()
    c = np.linspace(-0.3, 0.2, start.size)
    here, there = after(1), after(2)
    steps = 1e-6 * np.eye(start.size)
    slope = [(objective(here + step) - objective(here - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose((here - there) / rate, slope, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_float32_takes_the_same_corrections(optimizer):
    ends = []
    for dtype in ("float32", "float64"):
        model = linear(optimizer=optimizer, dtype=dtype, learning_rate=0.01)
        c = np.linspace(-1, 1, model.layout.size).astype(dtype)
        X, y = table()
        model.fit(X.astype(dtype), y, LocalWork(epochs=5, batch_size=7, proximal=0.5), generator(1), never, c)
        ends.append(model.get_weights())
    np.testing.assert_allclose(ends[0], ends[1], atol=2e-4)


def test_a_strong_pull_keeps_the_weights_near_their_start():
    ends = {}
    for mu in (0.0, 5.0):
        model = linear()
        start = model.get_weights()
        model.fit(*table(), LocalWork(epochs=50, batch_size=8, proximal=mu), generator(1), never)
        ends[mu] = np.linalg.norm(model.get_weights() - start)
    assert ends[5.0] < ends[0.0] / 4


@pytest.mark.parametrize("model", [MLP(hidden=(3,)), SGDClassifier(loss="log_loss")])
def test_a_correction_of_another_length_is_refused(model):
    model, (X, y) = built(model), table()
    with pytest.raises(IncompatibleWeights, match="3 elements"):
        model.fit(X.astype(model.dtype), y, LocalWork(), generator(0), never, np.zeros(3, model.dtype))


def test_a_proximal_coefficient_is_a_number_of_at_least_zero():
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="proximal"):
            LocalWork(proximal=wrong)


# ---------------------------------------------------------------------------------------- scikit-learn's SGD models


def row_by_row(X, y, rate, alpha, mu, c, epochs, order):
    """SGDClassifier(loss="log_loss") of two classes, with both terms inside every step."""
    w, b = np.zeros(4), 0.0
    for _ in range(epochs):
        for x, sign in zip(X[order], 2 * y[order] - 1, strict=True):
            p = x @ w + b
            slope = -sign / (1 + np.exp(sign * p))
            w = w * (1 - rate * alpha) - rate * (slope * x + mu * w + c[:4])
            b = b - rate * (slope + mu * b + c[4])
    return np.append(w, b)


def test_splitting_tends_to_row_by_row_steps_as_rates_get_smaller():
    X, y = table()
    y = y % 2
    c, mu, alpha, errors = np.linspace(-0.5, 0.5, 5), 2.0, 1e-3, []
    for parts in (1, 4, 16):
        given = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.02 / parts, alpha=alpha, shuffle=False)
        model = built(given, 2)
        work = LocalWork(epochs=10 * parts, batch_size=6, proximal=mu)
        model.fit(X, y, work, generator(1), never, c)
        exact = row_by_row(X, y, 0.02 / parts, alpha, mu, c, 10 * parts, np.arange(ROWS))
        errors.append(np.abs(model.get_weights() - exact).max())
    assert errors[0] < 0.03
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_a_pull_is_stable_where_a_schedule_begins_with_a_large_rate():
    ends = {}
    for mu in (0.0, 0.1, 10.0):
        model = built(SGDClassifier(loss="log_loss"))
        assert model.rates(1.0, 1)[0] == pytest.approx(10)
        model.fit(*table(), LocalWork(epochs=5, batch_size=6, proximal=mu), generator(1), never)
        ends[mu] = np.linalg.norm(model.get_weights())
    assert ends[10.0] < ends[0.1] < ends[0.0]


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "optimal"])
def test_the_rates_are_those_that_the_estimator_uses(learning_rate):
    """A row of zeros moves the intercept of a perceptron by its rate alone."""
    for loss in ("perceptron", "hinge"):
        given = SGDClassifier(loss=loss, learning_rate=learning_rate, eta0=0.3, power_t=0.4, alpha=0.01, penalty=None)
        model = built(given, 2)
        model.set_state({"t": np.array([7.0])})
        rates = model.rates(7.0, 3)
        moved = []
        for _ in range(3):
            model.set_weights(np.zeros(5))
            model.fit(np.zeros((1, 4)), np.ones(1, int), LocalWork(epochs=1), generator(0), never)
            moved.append(model.get_weights()[-1])
        np.testing.assert_allclose(rates, moved, rtol=1e-12)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "optimal"])
@pytest.mark.parametrize("mu", [0.0, 0.8])
def test_the_normaliser_is_the_displacement_under_a_constant_gradient(learning_rate, mu):
    """Rows of zeros have no gradient, so that the correction is all there is; the intercept is left out of it."""
    given = SGDRegressor(learning_rate=learning_rate, eta0=0.1, alpha=0.3, penalty=None)
    model = built(given, None)
    c = np.array([1.0, -2.0, 0.5, 0.0, 0.0])
    for _ in range(2):
        model.set_weights(np.zeros(5))
        work = LocalWork(epochs=3, batch_size=4, proximal=mu)
        report = model.fit(np.zeros((10, 4)), np.zeros(10), work, generator(0), never, c)
        np.testing.assert_allclose(model.get_weights(), -report.fednova_normalizer * report.rate * c, rtol=1e-12)
    assert report.rate == pytest.approx(model.rates(1.0, 1)[0])
    if learning_rate == "constant" and not mu:
        assert report.fednova_normalizer == pytest.approx(30)


def test_the_normaliser_does_not_depend_on_whether_a_correction_was_asked_for():
    reports = []
    for c in (None, np.zeros(5)):
        model = built(SGDRegressor(), None)
        X, _ = table()
        reports.append(model.fit(X, X[:, 0], LocalWork(epochs=3, batch_size=5), generator(0), never, c))
    assert reports[0].fednova_normalizer == pytest.approx(reports[1].fednova_normalizer)
    assert reports[0].steps == reports[1].steps == 15


def test_a_correction_of_zeros_changes_no_sgd_model_but_by_rounding():
    ends = []
    for c in (None, np.zeros(15)):
        model = built(SGDClassifier(loss="log_loss"))
        model.fit(*table(), LocalWork(epochs=3, batch_size=5), generator(0), never, c)
        ends.append(model.get_weights())
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-9)


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier((3,)),
        SGDClassifier(learning_rate="pa1", eta0=0.1),
    ],
)
def test_models_that_cannot_be_corrected_say_so(estimator):
    model = built(estimator)
    X, y = table()
    assert not model.capabilities & {"proximal", "correction", "fednova_normalizer"}
    name = type(estimator).__name__
    with pytest.raises(LocalUnsupported, match=f"{name}.*proximal term"):
        model.fit(X, y, LocalWork(proximal=0.1), generator(0), never)
    with pytest.raises(TypeError, match="correction term"):
        model.fit(X, y, LocalWork(), generator(0), never, np.zeros(model.layout.size))
    assert model.fit(X, y, LocalWork(), generator(0), never).fednova_normalizer is None
