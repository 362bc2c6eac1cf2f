"""What the workers of all roles have in common: they agree, evaluate, load, and look at what comes."""

from typing import Any

import numpy as np
import pytest
from nervenet.broker.messages import Payload
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.models.weights import sketch
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.model_worker import ModelWorker
from nervenet.nodes.runtime.worker import Cancellation, Worker


def rows(seed: int = 0, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.c_[y, -y], y


def a_worker(node: str = "client-0", rows_of: int = 0, columns: tuple[str, str] = ("a", "b"), **options: Any) -> Any:
    of_site_model = {key: options.pop(key) for key in ("test", "holdout") if key in options}
    site_model = SiteModel(MLP(hidden=(3,)), *rows(rows_of), columns=columns, **of_site_model)
    return ModelWorker(site_model, node=node, seed=options.pop("seed", 0), **options)


def do(one: ModelWorker, effect: e.Effect) -> Any:
    return one.perform(effect, Cancellation())


def agreed(one: ModelWorker) -> ev.ModelReady:
    survey = do(one, e.Survey())
    found = do(one, e.ApplyAgreement(surveys={"only": (survey.fields, survey.body)}))
    assert isinstance(found, ev.ModelReady)
    return found


def test_round_zero_agrees_and_says_what_goes_over_the_wire() -> None:
    one, other = a_worker("a"), a_worker("b", rows_of=1)
    surveys = {}
    for name, site in (("a", one), ("b", other)):
        survey = do(site, e.Survey())
        assert survey.body.dtype == np.float64
        surveys[name] = (survey.fields, survey.body)
    first = do(one, e.ApplyAgreement(surveys=surveys))
    assert first.payload == Payload(one.site_model.layout.hash, "float32", one.site_model.layout.size)
    second = do(other, e.ApplyAgreement(agreement=first.agreement))
    assert second.agreement == first.agreement
    assert second.body.tobytes() == first.body.tobytes(), "all start from the same weights"


def test_sites_that_differ_are_named() -> None:
    one = a_worker()
    here, there = do(one, e.Survey()), do(a_worker(columns=("a", "c")), e.Survey())
    surveys = {"x": (here.fields, here.body), "y": (here.fields, here.body), "z": (there.fields, there.body)}
    failed = Worker(one).answer(e.ApplyAgreement(surveys=surveys))
    assert isinstance(failed, ev.WorkFailed)
    assert failed.kind == "apply agreement"
    assert failed.reason.startswith("IncompatibleSites: ")
    assert "z" in failed.reason


def test_an_evaluation_can_carry_a_sketch_of_the_weights() -> None:
    one = a_worker(test=rows(5), sketches=True)
    body = agreed(one).body
    evaluated = do(one, e.Evaluate(2, "test"))
    assert evaluated.metrics.keys() == {"accuracy", "loss", "examples", "sketch"}
    assert evaluated.metrics["sketch"] == sketch(body, 0)


def test_an_evaluation_is_of_the_weights_that_come_with_it() -> None:
    one = a_worker(holdout=0.25)
    body = agreed(one).body
    before = one.site_model.evaluate("holdout")
    do(one, e.LoadWeights(np.zeros_like(body)))
    assert do(one, e.Evaluate(1, "holdout")).metrics != before
    assert do(one, e.Evaluate(1, "holdout", body)).metrics == before


def test_without_the_data_asked_for_there_are_no_metrics() -> None:
    one = a_worker()
    agreed(one)
    assert do(one, e.Evaluate(2, "holdout")) == ev.Evaluated(2, "holdout", {})


def test_a_model_may_keep_its_own_start() -> None:
    built = a_worker()
    start = agreed(built).body + np.float32(1.0)
    do(built, e.LoadWeights(start))
    own = ModelWorker(built.site_model, node="client-0", seed=3, init="own")
    np.testing.assert_array_equal(agreed(own).body, start)
    with pytest.raises(ValueError, match="found 'mine'"):
        ModelWorker(built.site_model, node="client-0", seed=3, init="mine")


def test_weights_that_do_not_fit_are_refused() -> None:
    one = a_worker()
    agreed(one)
    failed = Worker(one).answer(e.LoadWeights(np.zeros(2, np.float32)))
    assert isinstance(failed, ev.WorkFailed)
    assert failed.kind == "load weights"
    assert "2" in failed.reason


def test_what_only_another_role_does_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="ModelWorker performs no Fold"):
        do(a_worker(), e.Fold(1, 0, None, ()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_a_flaw(value: float) -> None:
    one, array = a_worker(), np.ones(100_000, np.float32)
    assert one.unpack(array, None) == (array, None)
    large = array * np.float32(1e38)
    assert one.unpack(large, None) == (large, None), "large is not infinite"
    array[77_777] = value
    assert one.unpack(array, None) == (array, "values must be finite, found NaN or infinity")


def test_an_encoding_that_comes_before_the_layout_is_a_flaw() -> None:
    payload = Payload("abc", "uint8", 4, "delta+int8")
    body, flaw = a_worker().unpack(np.zeros(4, np.uint8), payload)
    assert (body, flaw) == (None, "cannot be decoded as delta+int8: no layout is settled yet")
