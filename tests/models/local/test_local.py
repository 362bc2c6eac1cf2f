"""A client's rounds: what it sends, what it remembers, and that what it remembers is all there is."""

import sys
from itertools import product
from types import ModuleType

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, SiteModel, generator
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.model import LocalUnsupported
from nervenet.models.site_statistics import agree
from nervenet.models.weights import IncompatibleWeights
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

ROWS = 40
SHORT = {"epochs": 2, "batch_size": 8}


def table(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    return rng.standard_normal((rows, 4)) + 1.5 * np.eye(3, 4)[y], y


def plain(**parameters):
    """Multinomial regression by exact gradient steps, in float64."""
    given = {"hidden": (), "optimizer": "sgd", "learning_rate": 0.1, "l2": 0.0, "dtype": "float64"}
    return MLP(**given | parameters)


def client(model=None, node="ada", data=0, **options):
    one = SiteModel(plain() if model is None else model, *table(data), **options)
    one.build(agree({"only": one.statistics()}), 0)
    return LocalTraining(one, node=node, seed=5)


def settings(**asked):
    return LocalSettings(**SHORT | asked)


def gradient(plain_client, weights):
    """Of the mean loss over a client's rows, by one step of plain descent."""
    sent = plain_client.train(weights, LocalSettings(epochs=1, batch_size=ROWS), 1).vector
    return (weights - sent) / 0.1


@pytest.fixture
def coarse(monkeypatch):
    """In the place of the codecs: one that rounds to eighths, of differences."""

    class Codec:
        relative = lossy = True

        def encode(self, vector, rng, parts=1):
            noise = rng.uniform(0, 1, vector.size)
            return np.frombuffer(np.floor(vector * 8 + noise).astype(np.int16).tobytes(), np.uint8)

        def decode(self, frame, size, dtype, parts=1):
            return (frame.view(np.int16) / 8).astype(dtype)

    def error_feedback(vector, residual, codec, rng, parts=1):
        wanted = vector if residual is None else vector + residual
        frame = codec.encode(wanted, rng, parts)
        decoded = codec.decode(frame, vector.size // parts, vector.dtype, parts)
        return frame, decoded, wanted - decoded

    stand_in = ModuleType("nervenet.models.compress")
    stand_in.parse = {"coarse": Codec()}.__getitem__
    stand_in.error_feedback = error_feedback
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    return Codec()


# ---------------------------------------------------------------------------------------------------------- settings


def test_settings_come_from_a_mapping_and_name_what_they_do_not_know():
    given = {"epochs": 2, "local_steps": None, "proximal": 1, "personal": ["bias"], "control": True}
    assert LocalSettings.from_dict(given) == LocalSettings(2, proximal=1, personal=("bias",), control=True)
    assert LocalSettings.from_dict({}) == LocalSettings()
    with pytest.raises(ValueError, match="no setting 'proximl'; did you mean proximal\\? Allowed are epochs"):
        LocalSettings.from_dict({"proximl": 1.0})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": True}, "epochs must be a whole number, found True"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"control": 1}, "control must be true or false"),
        ({"personal": "bias"}, "personal must be a list of names"),
        ({"personal": [3]}, "personal must be a list of names"),
        ({"encoding": None}, "encoding must be text"),
        ({"proximal": -1.0}, "proximal must be a number of at least 0"),
        ({"ditto": float("nan")}, "ditto must be a number of at least 0"),
        ({"batch_size": 0}, "batch_size at least 1"),
        ({"control": True, "carry_optimizer": True}, "carry_optimizer must be off"),
        ({"personal": ["bias"], "ditto": 0.1}, "one of them is allowed"),
    ],
)
def test_wrong_settings_are_refused_by_name(wrong, said):
    with pytest.raises(ValueError, match=said):
        LocalSettings.from_dict(wrong)


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        (MLPClassifier((3,)), {"proximal": 0.1}, "MLPClassifier: proximal > 0"),
        (LogisticRegression(), {"ditto": 0.1}, "LogisticRegression: ditto > 0"),
        (LogisticRegression(), {"control": True}, "LogisticRegression: control"),
        (MLP(optimizer="adam"), {"control": True}, "mlp: control.*optimizer sgd, momentum or nesterov"),
    ],
)
def test_a_model_that_cannot_follow_is_refused_before_training(model, asked, said):
    one = client(model)
    received = np.zeros(one.site_model.layout.size * (2 if "control" in asked else 1), one.site_model.layout.dtype)
    with pytest.raises(LocalUnsupported, match=f"{said}.*Models that can: mlp"):
        one.train(received, settings(**asked), 1)


# ------------------------------------------------------------------------------------------------------ what is sent


@pytest.mark.parametrize("model", [MLP((5,)), SGDClassifier(loss="log_loss")])
def test_plainly_it_is_the_site_model_trained_on_addressed_batches(model):
    one, other = client(model), client(model).site_model
    received = one.site_model.get_weights() + 0.1
    result = one.train(received, settings(), 3)
    other.set_weights(received)
    report = other.train(LocalWork(**SHORT), generator(5, "ada", 3, "batches"))
    assert np.array_equal(result.vector, other.get_weights())
    assert (result.examples, result.parts, result.encoding) == (ROWS, ("weights",), "")
    assert result.metrics.pop("fednova_normalizer") > 0
    assert result.metrics == {"loss": report.loss, "steps": 10.0}


def test_what_is_sent_is_a_copy():
    one = client()
    first = one.train(one.site_model.get_weights(), settings(), 1).vector
    before = first.copy()
    one.train(first, settings(), 2)
    assert np.array_equal(first, before)


def test_received_weights_must_fit():
    one = client()
    with pytest.raises(IncompatibleWeights, match="weights and control, 2 x 15 elements, were expected"):
        one.train(one.site_model.get_weights(), settings(control=True), 1)
    with pytest.raises(IncompatibleWeights, match="float32"):
        one.train(one.site_model.get_weights().astype("f"), settings(), 1)


def test_a_training_that_diverges_says_what_may_help_and_leaves_the_state():
    one = client(MLP((5,), learning_rate=1e20, momentum=0.9))
    received = one.site_model.get_weights()
    with pytest.raises(ArithmeticError, match=r"\(a smaller training.learning_rate may help\) must be finite"):
        one.train(received, settings(epochs=20, carry_optimizer=True), 1)
    assert one.get_state() == {}


def test_the_probe_is_the_loss_of_what_was_received():
    one = client()
    received = one.site_model.get_weights()
    expected = one.site_model.training_loss()
    result = one.train(received, settings(probe=True), 1)
    assert result.metrics["probe_loss"] == expected
    assert result.metrics["loss"] < expected


@pytest.mark.parametrize("partial", [False, True])
def test_an_abandoned_training_reports_what_it_has_if_it_may(partial):
    one = client(MLP((5,)))
    received, asked = one.site_model.get_weights(), settings(partial=partial, carry_optimizer=True)
    left = iter([False] * 3 + [True] * 100)
    result = one.train(received, asked, 1, lambda: next(left))
    assert result.cancelled is not partial
    assert result.examples == ROWS
    if partial:
        same = client(MLP((5,))).train(received, settings(epochs=1, local_steps=3), 1)
        assert np.array_equal(result.vector, same.vector)
        assert (result.metrics["steps"], result.metrics["partial"]) == (3, 1.0)
        assert one.get_state()
    else:
        assert result.vector is None
        assert one.get_state() == {}
    nothing = one.train(received, asked, 2, lambda: True)
    assert nothing.cancelled
    assert nothing.vector is None


# --------------------------------------------------------------------------------------------------------- SCAFFOLD


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_the_control_variate_is_the_gradient_without_the_correction(optimizer):
    one = client(plain(optimizer=optimizer, momentum=0.5))
    x, asked = one.site_model.get_weights(), LocalSettings(epochs=1, batch_size=ROWS, control=True)
    c = np.zeros_like(x)
    for number in (1, 2, 3):
        before = one.get_state().get("control", np.zeros_like(x))
        result = one.train(np.concatenate([x, c]), asked, number)
        y, change = result.vector.reshape(2, -1)
        now = gradient(client(), x)
        np.testing.assert_allclose(change, now - before, atol=1e-12)
        np.testing.assert_allclose(one.get_state()["control"], now, atol=1e-12)
        size = 0.15 if optimizer == "nesterov" else 0.1
        np.testing.assert_allclose(y, x - size * (now + c - before), atol=1e-12)
        assert result.parts == ("weights", "control")
        x, c = y + 0.1, c + 0.3


@pytest.mark.parametrize("encoding", ["", "delta+top-k:0.2"])
def test_what_did_not_count_leaves_no_trace_in_what_the_server_adds_up(encoding):
    one, other = client(MLP((5,))), client(MLP((5,)))
    x = one.site_model.get_weights()
    received, asked = np.concatenate([x, 0 * x]), settings(control=True, encoding=encoding)
    for both in (one, other):
        both.train(received, asked, 1)
    lost = one.train(received + 0.5, asked, 2)
    again, straight = one.train(received, asked, 3, counted=False), other.train(received, asked, 3)
    assert again.vector.tobytes() == straight.vector.tobytes()
    assert lost.vector.tobytes() != straight.vector.tobytes()
    # Twice in a row is as once; and by default, what was lost is taken for counted.
    assert one.train(received, asked, 4, counted=False).vector.tobytes() == client_after_one(received, asked, 4)
    assert one.train(received, asked, 5).vector.tobytes() != client_after_one(received, asked, 5)


def client_after_one(received, asked, number):
    other = client(MLP((5,)))
    other.train(received, asked, 1)
    return other.train(received, asked, number).vector.tobytes()


def test_an_update_that_did_not_count_leaves_what_is_personal():
    one = client(MLP((5,)))
    x, asked = one.site_model.get_weights(), settings(personal=("bias",), encoding="delta+int4")
    one.train(x, asked, 1)
    one.train(x, asked, 2)
    personal = {name: array for name, array in one.get_state().items() if name.startswith("personal/")}
    one.set_weights(x, asked)
    assert personal
    one.train(x, asked, 3, counted=False)
    assert all(not np.array_equal(one.get_state()[name], array) for name, array in personal.items()), (
        "it was trained on"
    )


def test_with_momentum_it_is_a_mean_of_the_gradients_on_the_way():
    """Small steps hardly move the weights, so that all their gradients, and any mean of them, are the first."""
    one = client(plain(optimizer="nesterov", learning_rate=1e-7))
    x, asked = one.site_model.get_weights(), LocalSettings(epochs=50, batch_size=ROWS, control=True)
    one.train(np.concatenate([x, np.ones_like(x)]), asked, 1)
    np.testing.assert_allclose(one.get_state()["control"], gradient(client(), x), atol=1e-4)


def opposed(which, optimizer="sgd"):
    """One of two clients that give the same kind of rows different names."""
    one = client(plain(optimizer=optimizer, momentum=0.5), node=f"client-{which}", data=which)
    X, y = one.site_model._train
    one.site_model._train = X, (y + which) % 3
    return one


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov"])
def test_scaffold_finds_the_common_optimum_that_averaging_misses(optimizer):
    def slope_after(control):
        clients = [opposed(1, optimizer), opposed(2, optimizer)]
        x = np.zeros(clients[0].site_model.layout.size)
        c = np.zeros_like(x)
        asked = LocalSettings(epochs=10, batch_size=ROWS, control=control)
        for number in range(150):
            received = np.concatenate([x, c]) if control else x
            answers = [one.train(received, asked, number).vector.reshape(-1, x.size) for one in clients]
            x = np.mean([answer[0] for answer in answers], axis=0)
            c = c + np.mean([answer[-1] for answer in answers], axis=0) if control else c
        return np.linalg.norm(gradient(opposed(1), x) + gradient(opposed(2), x))

    assert slope_after(control=True) < slope_after(control=False) / 20


# --------------------------------------------------------------------------------------------------- personal layers


def test_personal_arrays_stay_and_travel_as_they_came():
    one = client(MLP((5,)))
    layout, asked = one.site_model.layout, settings(personal=("weight.1", "bias.1"))
    x = one.site_model.get_weights()
    first = one.train(x, asked, 1).vector
    own = one.site_model.get_weights()
    for name in layout.names:
        kept = np.array_equal(layout.views(first)[name], layout.views(x)[name])
        assert kept == (name in asked.personal)
        assert not np.array_equal(layout.views(own)[name], layout.views(x)[name])

    one.set_weights(first, asked)  # next round: the head of before over the body that arrives
    used = layout.views(one.site_model.get_weights())
    assert np.array_equal(used["weight.1"], layout.views(own)["weight.1"])
    assert np.array_equal(used["weight.0"], layout.views(first)["weight.0"])
    assert np.array_equal(one.personal_weights(first), one.site_model.get_weights())

    same = client(MLP((5,)))
    same.site_model.set_weights(one.site_model.get_weights())
    same.site_model.train(LocalWork(**SHORT), generator(5, "ada", 2, "batches"))
    one.train(first, asked, 2)
    assert np.array_equal(one.site_model.get_weights(), same.site_model.get_weights())


def test_a_part_of_a_name_before_a_dot_means_all_that_have_it():
    one = client(MLP((5,)))
    one.train(one.site_model.get_weights(), settings(personal=("bias",)), 1)
    assert set(one.get_state()) == {"personal/bias.0", "personal/bias.1"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("head",), "'head'; the model's arrays are weight.0, weight.1, bias.0, bias.1"),
        (("weigh",), "'weigh'"),
        (("weight", "bias"), "all arrays"),
    ],
)
def test_unknown_personal_names_are_refused_with_those_that_exist(names, said):
    one = client(MLP((5,)))
    with pytest.raises(ValueError, match=said):
        one.train(one.site_model.get_weights(), settings(personal=names), 1)


def test_control_variates_of_personal_arrays_are_zero():
    one = client(MLP((5,)))
    layout, x = one.site_model.layout, one.site_model.get_weights()
    asked = settings(personal=("weight.1",), control=True)
    for number in (1, 2):
        result = one.train(np.concatenate([x, 0 * x]), asked, number)
        assert not layout.views(one.get_state()["control"])["weight.1"].any()
        assert layout.views(one.get_state()["control"])["weight.0"].any()
        assert not layout.views(result.vector[x.size :])["weight.1"].any()


# ------------------------------------------------------------------------------------------------------------- Ditto


def test_ditto_trains_a_second_model_towards_what_was_received():
    one = client()
    x1, asked = one.site_model.get_weights(), LocalSettings(epochs=1, batch_size=ROWS, ditto=0.4)
    assert "personal_loss" in one.train(x1, asked, 1).metrics
    v1 = x1 - 0.1 * gradient(client(), x1)
    np.testing.assert_allclose(one.personal_weights(), v1, atol=1e-12)
    x2 = x1 + 0.5
    one.train(x2, asked, 2)
    v2 = v1 - 0.1 * (gradient(client(), v1) + 0.4 * (v1 - x2))
    np.testing.assert_allclose(one.personal_weights(), v2, atol=1e-12)


@pytest.mark.parametrize("model", [MLP((5,), optimizer="adam"), SGDClassifier(loss="log_loss")])
def test_what_ditto_sends_is_what_would_be_sent_without(model):
    sent = []
    for ditto in (0.0, 0.5):
        one, x = client(model), None
        for number in (1, 2, 3):
            x = one.site_model.get_weights() if x is None else x
            x = one.train(x, settings(ditto=ditto, carry_optimizer=True), number).vector
        sent.append(x)
    assert np.array_equal(*sent)
    assert np.array_equal(one.site_model.get_weights(), x)
    assert not np.array_equal(one.personal_weights(), x)


def test_without_a_model_of_its_own_the_weights_of_all_are_needed():
    with pytest.raises(ValueError, match="no whole model of its own"):
        client().personal_weights()


# ---------------------------------------------------------------------------------------------------------- encoding


def test_an_encoding_carries_its_error_to_the_next_round(coarse):
    one = client()
    x, total, decoded = one.site_model.get_weights(), 0.0, 0.0
    for number in (1, 2, 3):
        result = one.train(x, settings(encoding="coarse"), number)
        assert result.vector.dtype == np.uint8
        assert result.encoding == "coarse"
        total = total + one.site_model.get_weights() - x
        decoded = decoded + coarse.decode(result.vector, x.size, "float64")
        np.testing.assert_allclose(one.get_state()["residual"], total - decoded, atol=1e-12)
        assert result.metrics["raw_bytes"] == 8 * x.size
        assert result.metrics["sent_bytes"] == 2 * x.size
        assert 0 < result.metrics["codec_error"] < 1.5
    one.train(x, settings(), 4)
    assert one.get_state() == {}


def test_all_parts_are_encoded_and_only_the_weights_are_a_difference(coarse):
    one, other = client(), client()
    x = one.site_model.get_weights()
    received = np.concatenate([x, 0 * x])
    y, change = other.train(received, settings(control=True), 1).vector.reshape(2, -1)
    result = one.train(received, settings(control=True, encoding="coarse"), 1)
    wanted = np.concatenate([y - x, change])
    np.testing.assert_allclose(coarse.decode(result.vector, x.size, "float64", 2), wanted, atol=0.125)


@pytest.mark.parametrize("spec", ["delta+int8", "delta+top-k:0.2", "float16+deflate"])
def test_the_codecs_of_the_house_serve(spec):
    compress = pytest.importorskip("nervenet.models.compress")
    one = client(MLP((5,)))
    x, asked = one.site_model.get_weights(), settings(encoding=spec)
    for number in (1, 2):
        result = one.train(x, asked, number)
        left = one.get_state()["residual"]
    sent = compress.parse(spec).decode(result.vector, x.size, x.dtype)
    assert 0 < result.metrics["codec_error"] < 1
    wanted = one.site_model.get_weights() - (x if "delta" in spec else 0)
    before = sent + left - wanted  # what the first round left behind
    assert 0 < np.linalg.norm(before) < np.linalg.norm(wanted)


# ------------------------------------------------------------------------------------------------------------- state

CARRIED = {
    "moments": ({"carry_optimizer": True}, 1),
    "scaffold": ({"control": True}, 2),
    "residual": ({"encoding": "coarse"}, 1),
    "fedper": ({}, 1),  # by the names of each model
    "ditto": ({"ditto": 0.3, "carry_optimizer": True}, 1),
}
MODELS = {
    "nesterov": lambda: MLP((5,)),
    "adam": lambda: MLP((5,), optimizer="adam", learning_rate=0.01),
    "sgd": lambda: SGDClassifier(loss="log_loss"),
}


@pytest.mark.parametrize(("what", "model"), [pair for pair in product(CARRIED, MODELS) if pair != ("scaffold", "adam")])
def test_a_client_that_was_restored_goes_on_bit_for_bit(what, model, coarse):
    asked, parts = CARRIED[what]
    if what == "fedper":
        asked = {"personal": ("coef",) if model == "sgd" else ("weight",)}
    one, asked = client(MODELS[model]()), settings(**asked)
    x = one.site_model.get_weights()

    def received(number):
        rng = np.random.default_rng(number)
        c = 0.1 * rng.standard_normal(x.size * (parts - 1))
        return np.concatenate([x + 0.1 * rng.standard_normal(x.size), c]).astype(x.dtype)

    clock = 0.0
    for number in (1, 2):
        clock = one.train(received(number), asked, number, clock=clock).clock
    state = {name: array.copy() for name, array in one.get_state().items()}
    went_on = one.train(received(3), asked, 3, clock=clock)
    assert state or (what, model) == ("moments", "sgd"), "there is something to carry"

    reborn = client(MODELS[model]())
    reborn.set_state(state)
    repeated = client(MODELS[model]())
    repeated.train(received(7), asked, 7)
    repeated.set_state(state)
    for other in (reborn, repeated, one):
        if other is one:
            one.set_state(state)
        result = other.train(received(3), asked, 3, clock=clock)
        assert np.array_equal(result.vector, went_on.vector)
        assert result.metrics == went_on.metrics
        assert set(other.get_state()) == set(one.get_state())
        assert all(np.array_equal(array, one.get_state()[name]) for name, array in other.get_state().items())

    lost = client(MODELS[model]())
    forgot = not np.array_equal(lost.train(received(3), asked, 3).vector, went_on.vector)
    assert forgot or any(not np.array_equal(array, one.get_state()[name]) for name, array in lost.get_state().items())


def test_restoring_nothing_is_a_fresh_start():
    for name in ("nesterov", "adam"):
        one, asked = client(MODELS[name]()), settings(carry_optimizer=True)
        x = one.site_model.get_weights()
        first = one.train(x, asked, 1).vector
        assert not np.array_equal(one.train(x, asked, 1).vector, first)
        one.set_state({})
        assert np.array_equal(one.train(x, asked, 1).vector, first)


def test_where_nothing_is_carried_there_is_no_state():
    one = client(MLP((5,)))
    one.train(one.site_model.get_weights(), settings(proximal=0.1, probe=True), 1)
    assert one.get_state() == {}


def test_a_state_cannot_be_changed_from_outside_and_names_what_it_does_not_know():
    one = client()
    x = one.site_model.get_weights()
    one.train(np.concatenate([x, x]), settings(control=True), 1)
    with pytest.raises(ValueError, match="read-only"):
        one.get_state()["control"][:] = 0
    one.get_state().clear()
    assert set(one.get_state()) == {"control"}
    with pytest.raises(ValueError, match="'controls'"):
        one.set_state({"controls": x})


# ------------------------------------------------------------------------------------------------------- fine-tuning


def test_fine_tuning_trains_on_from_what_all_agreed_and_forgets_nothing():
    one = client(MLP((5,)))
    x, asked = one.site_model.get_weights(), settings(personal=("bias",), carry_optimizer=True)
    one.train(x, asked, 1)
    before, start = one.get_state(), one.personal_weights(x)
    report = one.fine_tune(x, 3, batch_size=8)
    tuned = one.site_model.get_weights()
    assert report.steps == 15
    assert all(before[name] is array for name, array in one.get_state().items())
    other = client(MLP((5,))).site_model
    other.set_weights(start)
    other.train(LocalWork(epochs=3, batch_size=8), generator(5, "ada", "fine-tune"))
    assert np.array_equal(tuned, other.get_weights())
