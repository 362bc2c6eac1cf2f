"""The worker of a peer without rounds: trains from what it is given, and combines models without touching its own."""

from typing import Any

import numpy as np
import pytest
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes.gossip.asynchronous.model_merge import Part
from nervenet.nodes.gossip.asynchronous.worker import AsyncGossipWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation, Worker

WORK = {"epochs": 1, "local_steps": None, "batch_size": 8, "carry_optimizer": False}


def rows(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.c_[y, -y], y


def a_worker(node: str = "peer-0", seed: int = 0, **options: Any) -> AsyncGossipWorker:
    X, y = rows()
    site_model = SiteModel(MLP(hidden=(3,), **options), X, y.astype(float), task="regression")
    return AsyncGossipWorker(site_model, node=node, seed=seed)


def do(one: AsyncGossipWorker, effect: e.Effect) -> Any:
    return one.perform(effect, Cancellation())


def agreed(one: AsyncGossipWorker) -> Any:
    survey = do(one, e.Survey())
    return do(one, e.ApplyAgreement(surveys={"only": (survey.fields, survey.body)})).body


def test_training_depends_on_seed_node_and_round_and_not_on_what_was_done_before() -> None:
    def trained(one: AsyncGossipWorker, number: int = 1, attempt: int = 0) -> bytes:
        answer = do(one, e.Train(number, attempt, body, WORK))
        assert (answer.round, answer.attempt, answer.examples, answer.cancelled) == (number, attempt, 40, False)
        assert answer.metrics.keys() == {"loss", "steps"}
        return bytes(answer.body.tobytes())

    one = a_worker()
    body = agreed(one)
    first = trained(one)
    assert trained(one, 2) != first
    assert trained(one, 1) == first
    for other in (a_worker("peer-1"), a_worker(seed=1)):
        agreed(other)
        assert trained(other) != first


def test_what_was_sent_does_not_change_when_training_goes_on_from_where_the_model_stands() -> None:
    one = a_worker()
    body = agreed(one)
    first = do(one, e.Train(1, 0, body, WORK)).body
    np.testing.assert_array_equal(one.site_model.get_weights(), first)
    before = first.copy()
    second = do(one, e.Train(2, 0, None, WORK)).body
    np.testing.assert_array_equal(first, before)
    assert (second != first).any()
    np.testing.assert_array_equal(body, agreed(a_worker()))


def test_models_are_combined_without_touching_ones_own() -> None:
    one = a_worker()
    body = agreed(one)
    two, four = (np.full_like(body, value) for value in (2.0, 4.0))
    assert (do(one, e.Combine(1, (two, four), (0.25, 0.75))).body == 3.5).all()
    assert (do(one, e.Merge(2, two, four, (0.5, 0.5), Part())).body == 3.0).all()
    assert do(one, e.CopyPart(3, four, Part(0, (0, None, 2)))).body.size == (body.size + 1) // 2
    np.testing.assert_array_equal(one.site_model.get_weights(), body)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (e.Combine(1, (np.array([np.inf], np.float32),), (1.0,)), "the sum of models must be finite"),
        (e.Merge(1, *[np.array([np.nan], np.float32)] * 2, (0.5, 0.5), Part()), "the merged model must be finite"),
        (e.Train(2, 1, None, {"epochs": 1, "bogus": 2}), "bogus"),
        (e.Train(2, 1, np.zeros(2, np.float32), WORK), "2"),
    ],
)
def test_what_cannot_be_done_is_a_failure_by_name(effect: Any, words: str) -> None:
    one = a_worker()
    agreed(one)
    failed = Worker(one).answer(effect)
    assert isinstance(failed, ev.WorkFailed)
    assert failed.kind == type(effect).__name__.lower()
    assert words in failed.reason


def test_training_that_diverges_says_what_may_help() -> None:
    one = a_worker(learning_rate=1e30)
    agreed(one)
    with np.errstate(all="ignore"):
        failed = Worker(one).answer(e.Train(1, 0, None, WORK | {"epochs": 5}))
    assert isinstance(failed, ev.WorkFailed)
    assert "a smaller training.learning_rate may help" in failed.reason
