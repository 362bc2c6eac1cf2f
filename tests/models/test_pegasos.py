"""Pegasos: the step of the paper, its clock, and what it refuses."""

import numpy as np
import pytest
from nervenet.models import LocalWork, Pegasos, SiteModel, generator
from nervenet.models.model import LocalUnsupported
from nervenet.models.pegasos import pegasos_step
from nervenet.models.registry import as_model, named_model, rebuild
from nervenet.models.site_statistics import agree


def never() -> bool:
    return False


def built(**given: object) -> Pegasos:
    model = Pegasos(dtype="float64", **given)  # type: ignore[arg-type]
    model.build(2, 2, generator(0, "init"))
    return model


def test_a_step_is_that_of_the_paper() -> None:
    w, x, penalty, t = np.array([0.5, -1.0]), np.array([2.0, 1.0]), 0.1, 4.0
    expected = (1 - 1 / t) * w + x / (penalty * t)
    pegasos_step(w, x[None], np.array([1.0]), t, penalty)
    np.testing.assert_allclose(w, expected)
    sure = np.array([5.0, 5.0])
    pegasos_step(sure, x[None], np.array([1.0]), t, penalty)
    np.testing.assert_allclose(sure, [3.75, 3.75], err_msg="a row with margin enough only shrinks the weights")


def test_a_batch_counts_the_mean_of_its_violations() -> None:
    X, signs = np.array([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]), np.array([1.0, -1.0, 1.0])
    w = np.array([0.2, 0.1])
    pegasos_step(w, X, signs, 2.0, 0.5)
    np.testing.assert_allclose(w, 0.5 * np.array([0.2, 0.1]) + np.array([1.0, -1.0]) / (0.5 * 2 * 3))


def test_the_first_step_forgets_the_start() -> None:
    model = built()
    model.set_weights(np.array([7.0, 7.0]))
    model.fit(np.array([[-1.0, 0.0]]), np.array([1]), LocalWork(local_steps=1, batch_size=1), generator(0), never)
    np.testing.assert_allclose(model.get_weights(), [-1 / 1e-4, 0.0])


def test_its_clock_goes_on_and_can_be_set() -> None:
    model = built()
    X, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    report = model.fit(X, y, LocalWork(epochs=3, batch_size=1), generator(0), never)
    assert (report.steps, model.get_state()["t"][0]) == (6, 7)
    model.set_state({"t": np.array([100.0])})
    model.fit(X, y, LocalWork(local_steps=1, batch_size=2), generator(0), never)
    assert model.get_state(moments=False)["t"][0] == 101


def test_it_separates_what_can_be_separated() -> None:
    rng = generator(1)
    X = rng.normal(size=(200, 2))
    y = (X @ [2.0, -1.0] > 0).astype(np.int64)
    model = built(penalty=0.01)
    loss = model.fit(X, y, LocalWork(epochs=20, batch_size=1), generator(2), never).loss
    assert np.mean(model.predict(X) == y) > 0.97
    assert loss < 0.3
    assert model.probabilities(X) is None


def test_a_bias_moves_the_border() -> None:
    X, y = np.array([[1.0, 0.0], [3.0, 0.0]] * 20), np.array([0, 1] * 20)
    with_bias = built(penalty=0.01, bias=True)
    with_bias.fit(X, y, LocalWork(epochs=200, batch_size=1), generator(3), never)
    assert np.mean(with_bias.predict(X) == y) == 1
    assert with_bias.layout.size == 3


def test_it_can_be_launched_described_and_learned_with() -> None:
    model = named_model("pegasos", {"penalty": 0.01})
    again = rebuild(as_model(model).describe())
    assert again.describe() == model.describe()
    rng = generator(4)
    X = rng.normal(size=(60, 3))
    site_model = SiteModel(model, X, np.where(X[:, 0] > 0, "yes", "no"), holdout=0.2)
    site_model.build(agree({"site": site_model.statistics()}), 0)
    site_model.clock = 9.0
    assert site_model.clock == 9
    site_model.train(LocalWork(epochs=10, batch_size=4), generator(5))
    assert site_model.clock == 9 + 10 * 12
    assert site_model.evaluate("holdout")["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"penalty": 0}, "penalty is 0; a number above 0"),
        ({"bias": 1}, "bias is 1; true and false"),
        ({"dtype": "int8"}, "dtype is 'int8'; allowed are float32, float64"),
        ({"lambda": 1}, "no parameter 'lambda'; allowed are penalty, bias, dtype"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named_model("pegasos", given)


def test_more_than_two_classes_and_corrections_are_refused() -> None:
    with pytest.raises(ValueError, match="separates 2 classes, found 3 classes"):
        Pegasos().build(2, 3, generator(0))
    with pytest.raises(ValueError, match="the target is a number"):
        Pegasos().build(2, None, generator(0))
    with pytest.raises(RuntimeError, match="not built yet"):
        Pegasos().get_weights()
    with pytest.raises(LocalUnsupported, match="pegasos"):
        built().fit(np.ones((1, 2)), np.array([1]), LocalWork(proximal=0.1), generator(0), never)
