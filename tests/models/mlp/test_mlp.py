"""The MLP as a model: gradients, tasks, weights in and out, and what it refuses."""

import json

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, generator
from nervenet.models.evaluate import evaluate
from nervenet.models.mlp.network import Pass, mean_loss
from nervenet.models.mlp.product import Product
from nervenet.models.registry import as_model, named_model, rebuild
from nervenet.models.weights import IncompatibleWeights

WORK = LocalWork(epochs=3, batch_size=8)


def never():
    return False


def built(n_classes=3, n_features=4, **parameters):
    model = MLP(**{"hidden": (5,), **parameters})
    model.build(n_features, n_classes, generator(0, "init"))
    return model


def table(classes=3, rows=60, dtype=np.float32):
    y = np.arange(rows) % classes
    X = generator(0, "table").standard_normal((rows, 4)) + 2.5 * np.eye(classes, 4)[y]
    return X.astype(dtype), y


@pytest.mark.parametrize("n_classes", [2, 4, None])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_back_propagation_is_the_derivative_of_the_loss(activation, n_classes):
    """Against central differences, parameter by parameter."""
    rng = generator(1)
    model = built(n_classes, activation=activation, hidden=(5, 3), dtype="float64")
    X = rng.standard_normal((6, 4))
    y = rng.standard_normal(6) if n_classes is None else rng.integers(0, n_classes, 6)
    labels, classes = model._targets(y)
    Y = labels if classes is None else classes[labels]
    batch, outputs = Pass(model._layers, 6, activation, model.output), np.empty_like(Y)

    def loss():
        batch.forward(X, outputs)
        return mean_loss(outputs, Y, model.output) * (0.5 if n_classes is None else 1)

    loss()
    batch.backward(X, Y, outputs, np.array(1 / 6))
    found, step = model._gradient.copy(), 1e-6
    for i in range(model.layout.size):
        here = model.weights[i]
        model.weights[i] = here + step
        above = loss()
        model.weights[i] = here - step
        below = loss()
        model.weights[i] = here
        assert found[i] == pytest.approx((above - below) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_classes(classes, optimizer):
    X, y = table(classes)
    model = built(classes, optimizer=optimizer, hidden=(16,))
    report = model.fit(X, y, LocalWork(epochs=30, batch_size=8), generator(0), never)
    assert evaluate(model, X, y)["accuracy"] > 0.9
    assert report.loss < 0.5
    assert model.predict(X).dtype == np.int64
    np.testing.assert_allclose(model.probabilities(X).sum(axis=1), 1, atol=1e-6)
    assert model.probabilities(X).shape == (60, classes)


def test_it_learns_numbers():
    X, _ = table()
    y = X @ [1.0, -2.0, 0.5, 0.0]
    model = built(None, hidden=(16,), learning_rate=0.01)
    model.fit(X, y, LocalWork(epochs=60, batch_size=8), generator(0), never)
    assert evaluate(model, X, y)["r2"] > 0.9
    assert model.probabilities(X) is None


def test_no_hidden_layer_is_a_linear_model():
    X, y = table()
    model = built(hidden=())
    assert model.layout.names == ("weight.0", "bias.0")
    model.fit(X, y, LocalWork(epochs=20), generator(0), never)
    assert evaluate(model, X, y)["accuracy"] > 0.9


def test_the_start_is_glorots_and_belongs_to_its_address():
    model = built(hidden=(400,), n_features=200)
    weights = model.layout.views(model.get_weights())["weight.0"]
    bound = np.sqrt(6 / 600)
    assert bound * 0.99 < np.abs(weights).max() <= bound
    assert abs(weights.std() - bound / np.sqrt(3)) < 0.01 * bound
    np.testing.assert_array_equal(built().get_weights(), built().get_weights())
    logistic = built(hidden=(400,), n_features=200, activation="logistic")
    assert np.abs(logistic.layout.views(logistic.get_weights())["weight.0"]).max() <= np.sqrt(2 / 600)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_go_out_and_in_without_being_shared(dtype):
    X, y = table(dtype=dtype)
    model, other = built(dtype=dtype), built(dtype=dtype)
    model.fit(X, y, WORK, generator(0), never)
    sent = model.get_weights()
    received = np.frombuffer(sent.tobytes(), sent.dtype)  # read-only, as from the wire
    other.set_weights(received)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    for each in (model, other):
        each.fit(X, y, WORK, generator(1), never)
    np.testing.assert_array_equal(model.get_weights(), other.get_weights())
    np.testing.assert_array_equal(sent, received)
    assert not np.array_equal(sent, model.get_weights())


def test_weights_that_do_not_fit_are_refused():
    model = built()
    before = model.get_weights()
    for wrong in (before[:-1], before.astype(np.float64), np.full_like(before, np.nan)):
        with pytest.raises(IncompatibleWeights):
            model.set_weights(wrong)
    np.testing.assert_array_equal(model.get_weights(), before)


def test_the_same_address_gives_the_same_bits():
    X, y = table()

    def trained(*address):
        model = built()
        model.fit(X, y, WORK, generator(0, *address), never)
        return model.get_weights().tobytes()

    assert trained("node", 1) == trained("node", 1)
    assert trained("node", 1) != trained("node", 2)


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adam"])
def test_moments_are_reset_or_carried_on_purpose(optimizer):
    X, y = table()

    def second_round(carry, resumed=False):
        model = built(optimizer=optimizer)
        start = model.get_weights()
        model.fit(X, y, WORK, generator(0), never)
        if resumed:
            fresh = built(optimizer=optimizer)
            fresh.set_state(model.get_state())
            model = fresh
        model.set_weights(start)
        model.fit(X, y, LocalWork(epochs=3, batch_size=8, carry_optimizer=carry), generator(1), never)
        return model.get_weights()

    fresh = built(optimizer=optimizer)
    fresh.fit(X, y, WORK, generator(1), never)
    np.testing.assert_array_equal(second_round(carry=False), fresh.get_weights())
    assert not np.array_equal(second_round(carry=True), fresh.get_weights())
    np.testing.assert_array_equal(second_round(carry=True), second_round(carry=True, resumed=True))


def test_what_is_carried_is_a_copy():
    X, y = table()
    model = built()
    model.fit(X, y, WORK, generator(0), never)
    carried = model.get_state()
    kept = carried["velocity"].copy()
    model.fit(X, y, LocalWork(carry_optimizer=True), generator(1), never)
    np.testing.assert_array_equal(carried["velocity"], kept)


def test_stopping_is_asked_before_every_mini_batch():
    X, y = table()
    model, asked = built(), []

    def stop():
        asked.append(None)
        return len(asked) > 5

    report = model.fit(X, y, LocalWork(epochs=10, batch_size=8), generator(0), stop)
    assert (report.cancelled, report.steps, len(asked)) == (True, 5, 6)
    assert np.isfinite(report.loss)
    steps = built()
    assert steps.fit(X, y, LocalWork(local_steps=5, batch_size=8), generator(0), never).steps == 5
    np.testing.assert_array_equal(model.get_weights(), steps.get_weights())


def test_stopping_between_two_epochs_reports_the_epoch_that_was_whole():
    X, y = table()
    model, left = built(), iter([False] * 8 + [True])
    report = model.fit(X, y, LocalWork(epochs=3, batch_size=8), generator(0), lambda: next(left))
    assert (report.steps, report.cancelled) == (8, True)
    assert report.loss == built().fit(X, y, LocalWork(epochs=1, batch_size=8), generator(0), never).loss


def test_local_steps_go_over_the_ends_of_epochs():
    X, y = table()
    report = built().fit(X, y, LocalWork(local_steps=21, batch_size=8), generator(0), never)
    assert (report.steps, report.examples, report.cancelled) == (21, 60, False)


def test_no_work_changes_nothing():
    X, y = table()
    model = built()
    before = model.get_weights()
    report = model.fit(X, y, LocalWork(epochs=0), generator(0), never)
    assert report.steps == 0
    assert np.isnan(report.loss)
    np.testing.assert_array_equal(model.get_weights(), before)


def test_a_batch_larger_than_the_data_is_the_data():
    X, y = table(rows=9)
    assert built().fit(X, y, LocalWork(epochs=4, batch_size=100), generator(0), never).steps == 4


def test_a_diverging_model_shows_in_its_weights_without_a_warning():
    X, y = table()
    model = built(None, learning_rate=1e6)
    report = model.fit(X * 1e3, y.astype(float), LocalWork(epochs=10), generator(0), never)
    assert not np.isfinite(report.loss)
    with pytest.raises(IncompatibleWeights, match="NaN or infinite"):
        model.layout.check(model.get_weights())


def test_extreme_logits_neither_overflow_nor_warn():
    X, y = table()
    for classes in (2, 3):
        model = built(classes)
        model.set_weights(np.full(model.layout.size, 1e10, np.float32))
        assert np.isfinite(model.probabilities(X)).all()
        assert np.isfinite(evaluate(model, X, y % classes)["loss"])


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"hidden": (0,)}, "hidden"),
        ({"hidden": (2.5,)}, "hidden"),
        ({"hidden": "ab"}, "hidden"),
        ({"activation": "elu"}, "activation is 'elu'; allowed are relu, tanh, logistic, identity"),
        ({"optimizer": "sdg"}, "optimizer is 'sdg'; allowed are sgd, momentum, nesterov, adam"),
        ({"learning_rate": 0}, "learning_rate is 0; a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"momentum": 1.5}, "momentum is 1.5; a number from 0 to 1"),
        ({"l2": -1}, "l2"),
        ({"dtype": "float16"}, "dtype is 'float16'; allowed are float32, float64"),
        ({"layers": 2}, "mlp has no parameter 'layers'; allowed are hidden"),
    ],
)
def test_wrong_parameters_are_named(parameters, said):
    with pytest.raises(ValueError, match=said):
        named_model("mlp", parameters)


@pytest.mark.parametrize(
    ("X", "y", "said"),
    [
        (np.zeros((5, 3)), np.zeros(5, int), r"X has shape \(5, 3\), the model expects \(rows, 4\)"),
        (np.zeros(4), np.zeros(1, int), "X has shape"),
        (np.full((5, 4), np.nan), np.zeros(5, int), "NaN"),
        (np.zeros((5, 4)), np.zeros(4, int), r"y has shape \(4,\), X has 5 rows"),
        (np.zeros((5, 4)), np.full(5, 3), "class indices from 0 to 2"),
        (np.zeros((5, 4)), np.full(5, -1), "class indices"),
        (np.zeros((5, 4)), np.zeros(5), "class indices"),
        (np.zeros((0, 4)), np.zeros(0, int), "no rows"),
    ],
)
def test_wrong_inputs_are_refused_before_anything_is_trained(X, y, said):
    model = built()
    before = model.get_weights()
    with pytest.raises(ValueError, match=said):
        model.fit(X, y, WORK, generator(0), never)
    np.testing.assert_array_equal(model.get_weights(), before)


def test_targets_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite numbers"):
        built(None).fit(np.zeros((2, 4)), np.array([1.0, np.inf]), WORK, generator(0), never)


def test_an_unbuilt_model_says_so():
    for call in (MLP().get_weights, lambda: MLP().predict(np.zeros((1, 4))), lambda: MLP().layout):
        with pytest.raises(RuntimeError, match="build"):
            call()
    for n_features, n_classes in ((0, 2), (3, 1)):
        with pytest.raises(ValueError, match="at least"):
            MLP().build(n_features, n_classes, generator(0))


@pytest.mark.parametrize(
    "shape", [(10, 784, 200), (10, 785, 200), (33, 700, 100), (64, 784, 256), (3, 4, 5), (1, 1, 1)]
)
def test_a_product_in_pieces_is_the_product(shape):
    rows, inner, outer = shape
    A, W = generator(4).standard_normal((rows, inner)), generator(5).standard_normal((inner, outer))
    out = np.full((rows, outer), np.nan)
    product = Product(rows, W)
    product(A, out)
    np.testing.assert_allclose(out, A @ W, atol=1e-11)
    assert len(product.rest) == {(10, 784, 200): 1, (10, 785, 200): 1, (33, 700, 100): 2}.get(shape, 0)


def test_predicting_in_blocks_changes_nothing():
    X = generator(3).standard_normal((2500, 4)).astype(np.float32)
    model = built()
    np.testing.assert_allclose(model.probabilities(X)[1500:1600], model.probabilities(X[1500:1600]), atol=1e-6)
    assert len(model.predict(X[:0])) == 0


def test_descriptions_rebuild_through_json():
    model = MLP((8, 4), "tanh", optimizer="adam", learning_rate=0.01, l2=0.5, dtype="float64")
    again = rebuild(json.loads(json.dumps(model.describe())))
    assert again.describe() == model.describe()
    assert isinstance(again, MLP)
    assert again.hidden == (8, 4)
    for broken in ({}, {"name": "mlp"}, {"name": "nothing", "parameters": {}}, 3):
        with pytest.raises(ValueError, match="model"):
            rebuild(broken)


def test_a_model_is_taken_as_it_is():
    model = MLP()
    assert as_model(model) is model
    with pytest.raises(ValueError, match="batch_size"):
        LocalWork(batch_size=0)
