"""The worker: each heavy effect is answered by its event, failures by name, and nobody waits for a fit."""

import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from nervenet.broker.messages import Payload
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.models.weights import sketch
from nervenet.nodes.federated.aggregator import Aggregator
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Worker, flaw_of

WORK = {"epochs": 1, "local_steps": None, "batch_size": 8, "carry_optimizer": False}
PATIENCE_S = 20.0


def rows(seed: int = 0, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.c_[y, -y], y


def site_model(seed: int = 0, **options: Any) -> SiteModel:
    return SiteModel(MLP(hidden=(3,)), *rows(seed), columns=("a", "b"), **options)


def trainer(node: str = "client-0", seed: int = 0, rows_of: int = 0, **options: Any) -> Worker:
    of_site_model = {key: options.pop(key) for key in ("test", "holdout") if key in options}
    return Worker(site_model(rows_of, **of_site_model), node=node, seed=seed, **options)


def contributions(vectors: Sequence[np.ndarray], examples: Sequence[int] = (1,)) -> tuple[Contribution, ...]:
    pairs = zip(vectors, examples, strict=True)
    return tuple(Contribution(f"client-{i}", vector, vector, n) for i, (vector, n) in enumerate(pairs))


def settled(one: Worker) -> ev.ModelReady:
    survey = one.perform(e.Survey())
    assert isinstance(survey, ev.Surveyed)
    found = one.perform(e.ApplyAgreement(surveys={"only": (survey.fields, survey.body)}))
    assert isinstance(found, ev.ModelReady)
    return found


def test_round_zero_agrees_and_says_what_goes_over_the_wire() -> None:
    one, other = trainer("a"), trainer("b", rows_of=1)
    surveys = {}
    for name, site in (("a", one), ("b", other)):
        told = site.perform(e.Survey())
        assert isinstance(told, ev.Surveyed)
        assert told.body.dtype == np.float64
        surveys[name] = (told.fields, told.body)
    first = one.perform(e.ApplyAgreement(surveys=surveys))
    assert isinstance(first, ev.ModelReady)
    assert first.payload == Payload("mean", one.site_model.layout.hash, "float32", one.site_model.layout.size)
    second = other.perform(e.ApplyAgreement(agreement=first.agreement))
    assert isinstance(second, ev.ModelReady)
    assert second.agreement == first.agreement
    assert second.body.tobytes() == first.body.tobytes(), "all start from the same weights"


def test_training_depends_on_seed_node_and_round_and_not_on_what_was_done_before() -> None:
    def trained(one: Worker, number: int = 1, attempt: int = 0) -> bytes:
        told = one.perform(e.Train(number, attempt, body, WORK))
        assert isinstance(told, ev.Trained)
        assert (told.round, told.attempt, told.examples, told.cancelled) == (number, attempt, 40, False)
        assert told.metrics.keys() == {"loss", "steps"}
        return bytes(told.body.tobytes())

    one = trainer()
    body = settled(one).body
    first = trained(one)
    assert trained(one, 2) != first
    assert trained(one, 1) == first
    assert trained(one, 1, attempt=2) == first, "a repeated task does the same"
    for other in (trainer("client-1"), trainer(seed=1)):
        settled(other)
        assert trained(other) != first


def test_what_was_sent_does_not_change_when_training_goes_on() -> None:
    one = trainer()
    body = settled(one).body
    told = one.perform(e.Train(1, 0, body, WORK))
    assert isinstance(told, ev.Trained)
    before = told.body.copy()
    one.perform(e.Train(2, 0, None, WORK))
    np.testing.assert_array_equal(told.body, before)
    np.testing.assert_array_equal(body, settled(trainer()).body)


def test_without_weights_it_trains_from_where_the_model_stands() -> None:
    one = trainer()
    settled(one)
    first = one.perform(e.Train(1, 0, None, WORK))
    assert isinstance(first, ev.Trained)
    np.testing.assert_array_equal(one.site_model.get_weights(), first.body)


def test_it_measures_the_hold_out_with_the_weights_it_was_sent() -> None:
    one = trainer(holdout=0.25)
    body = settled(one).body
    one.perform(e.LoadWeights(body))
    before = one.site_model.evaluate("holdout")
    told = one.perform(e.Train(1, 0, body, WORK, evaluate=True))
    assert isinstance(told, ev.Trained)
    assert {key: value for key, value in told.metrics.items() if key not in ("loss", "steps")} == {
        f"holdout_{key}": value for key, value in before.items()
    }
    evaluated = one.perform(e.Evaluate(1, "holdout", body))
    assert isinstance(evaluated, ev.Evaluated)
    assert evaluated.metrics == before


def test_it_folds_and_mixes_in_the_order_given() -> None:
    one = trainer(merger=Aggregator(FedAvg()))
    body = settled(one).body
    vectors = [np.full_like(body, value) for value in (1.0, 2.0, 4.0)]
    folded = one.perform(e.Fold(3, 1, body, contributions(vectors, (20, 10, 10))))
    assert isinstance(folded, ev.Folded)
    assert (folded.round, folded.attempt) == (3, 1)
    np.testing.assert_array_equal(folded.body, np.full_like(body, 2.0))
    np.testing.assert_array_equal(one.site_model.get_weights(), body)  # a fold is not the model yet
    mixed = one.perform(e.Mix(4, vectors[:2], (0.25, 0.75)))
    assert isinstance(mixed, ev.Mixed)
    np.testing.assert_array_equal(mixed.body, np.full_like(body, 1.75))
    np.testing.assert_array_equal(one.site_model.get_weights(), mixed.body)


def test_an_evaluation_can_carry_a_sketch_of_the_weights() -> None:
    one = trainer(test=rows(5), sketches=True)
    body = settled(one).body
    told = one.perform(e.Evaluate(2, "test"))
    assert isinstance(told, ev.Evaluated)
    assert told.metrics.keys() == {"accuracy", "loss", "examples", "sketch"}
    assert told.metrics["sketch"] == sketch(body, 0)


def test_without_the_data_asked_for_there_are_no_metrics() -> None:
    one = trainer()
    settled(one)
    assert one.perform(e.Evaluate(2, "holdout")) == ev.Evaluated(2, "holdout", {})


def test_a_model_may_keep_its_own_start() -> None:
    built = trainer()
    start = settled(built).body + np.float32(1.0)
    built.perform(e.LoadWeights(start))
    own = Worker(built.site_model, node="client-0", seed=3, init="own")
    np.testing.assert_array_equal(settled(own).body, start)
    with pytest.raises(ValueError, match="found 'mine'"):
        Worker(built.site_model, node="client-0", seed=3, init="mine")


# ------------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("job", "kind", "words"),
    [
        (
            e.Fold(2, 1, np.zeros(4), contributions([np.array([np.nan] * 4)])),
            "fold",
            "client-0: values must be finite",
        ),
        (e.Fold(2, 1, None, ()), "fold", "no update is left"),
        (e.Mix(2, [np.array([np.inf] * 4, np.float32)], [1.0]), "mix", "the mixture must be finite"),
        (e.Train(2, 1, None, {"epochs": 1, "bogus": 2}), "train", "bogus"),
        (e.Train(2, 1, np.zeros(2, np.float32), WORK), "train", "2"),
        (e.LoadWeights(np.zeros(2, np.float32)), "load weights", "2"),
    ],
)
def test_what_a_job_raises_is_told_by_name(job: Any, kind: str, words: str) -> None:
    one = trainer(merger=Aggregator(FedAvg()))
    settled(one)
    told = one.answer(job)
    assert isinstance(told, ev.WorkFailed)
    assert told.kind == kind
    assert words in told.reason
    assert (told.round, told.attempt) == (getattr(job, "round", 0), getattr(job, "attempt", 0))


def test_training_that_diverges_says_what_may_help() -> None:
    X, y = rows()
    one = Worker(
        SiteModel(MLP(hidden=(3,), learning_rate=1e30), X, y.astype(float), task="regression"), node="a", seed=0
    )
    settled(one)
    with np.errstate(all="ignore"):
        told = one.answer(e.Train(1, 0, None, WORK | {"epochs": 5}))
    assert isinstance(told, ev.WorkFailed)
    assert "a smaller training.learning_rate may help" in told.reason


def test_sites_that_differ_are_named() -> None:
    one = trainer()
    here = one.perform(e.Survey())
    there = Worker(SiteModel(MLP(), *rows(), columns=("a", "c")), node="b", seed=0).perform(e.Survey())
    assert isinstance(here, ev.Surveyed)
    assert isinstance(there, ev.Surveyed)
    told = one.answer(
        e.ApplyAgreement(
            surveys={"x": (here.fields, here.body), "y": (here.fields, here.body), "z": (there.fields, there.body)}
        )
    )
    assert isinstance(told, ev.WorkFailed)
    assert told.kind == "apply agreement"
    assert told.reason.startswith("IncompatibleSites: ")
    assert "z" in told.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_a_flaw(value: float) -> None:
    array = np.ones(100_000, np.float32)
    assert flaw_of(array) is None
    assert flaw_of(array * np.float32(1e38)) is None, "large is not infinite"
    array[77_777] = value
    assert flaw_of(array) == "values must be finite, found NaN or infinity"


# ----------------------------------------------------------------------------------------------------------- the thread


class Slow(MLP):
    """Says when its training has begun, and trains until it is stopped."""

    def __init__(self) -> None:
        super().__init__(hidden=(3,))
        self.entered = threading.Event()

    def fit(self, X: Any, y: Any, work: Any, rng: Any, stop: Any) -> Any:
        def noticed() -> bool:
            self.entered.set()
            return bool(stop())

        return super().fit(X, y, type(work)(epochs=10**9, batch_size=8), rng, noticed)


def working(model: MLP | None = None) -> tuple[Worker, "SimpleQueue[ev.Event]"]:
    answers: SimpleQueue[ev.Event] = SimpleQueue()
    one = Worker(SiteModel(model or MLP(hidden=(3,)), *rows(), columns=("a", "b")), node="a", seed=0)
    settled(one)
    one.start(answers.put)
    return one, answers


def test_jobs_are_answered_in_order_from_a_daemon_thread() -> None:
    one, answers = working()
    before = threading.active_count()
    one.submit(e.Train(1, 0, None, WORK))
    one.submit(e.Fold(2, 0, None, ()))
    one.submit(e.Evaluate(3, "test"))
    kinds = [type(answers.get(timeout=PATIENCE_S)) for _ in range(3)]
    assert kinds == [ev.Trained, ev.WorkFailed, ev.Evaluated], "and it goes on after a failure"
    assert threading.active_count() == before
    assert all(thread.daemon for thread in one._threads)
    one.close()
    one._threads[0].join(PATIENCE_S)
    assert not one._threads[0].is_alive()


def test_an_abandoned_training_stops_at_the_next_mini_batch_and_the_next_runs() -> None:
    model = Slow()
    one, answers = working(model)
    one.submit(e.Train(1, 0, None, WORK))
    assert model.entered.wait(PATIENCE_S)
    one.abandon()
    told = answers.get(timeout=PATIENCE_S)
    assert isinstance(told, ev.Trained)
    assert (told.cancelled, told.body) == (True, None)
    model.entered.clear()
    one.submit(e.Train(2, 0, None, WORK))
    assert model.entered.wait(PATIENCE_S), "an old word to stop does not stop it"
    one.close()
    one._threads[0].join(PATIENCE_S)
    assert not one._threads[0].is_alive(), "closing ends a training too"


def test_values_are_looked_at_beside_a_training() -> None:
    model = Slow()
    one, _ = working(model)
    one.submit(e.Train(1, 0, None, WORK))
    assert model.entered.wait(PATIENCE_S)
    flaws: SimpleQueue[str | None] = SimpleQueue()
    for array in (np.ones(5), np.array([np.nan])):
        one.inspect(array, None, lambda _, flaw: flaws.put(flaw))
    found = [flaws.get(timeout=PATIENCE_S) for _ in range(2)]
    assert found == [None, "values must be finite, found NaN or infinity"]
    one.close()


def test_a_trainer_that_was_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="must be started"):
        trainer()._post(ev.Started())
