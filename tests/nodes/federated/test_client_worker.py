"""The client's half of the worker: tasks repeat to the byte, also after the client's own death."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.base import ModelBase
from nervenet.models.compress import parse
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.model_worker import ModelWorker
from nervenet.nodes.runtime.worker import Cancellation, Worker
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import SGDClassifier

PLAIN = {"epochs": 1, "local_steps": None, "batch_size": 8, "carry_optimizer": False}
EVERYTHING = PLAIN | {"control": True, "encoding": "delta+top-k:0.25+int8"}
MOMENTA = PLAIN | {"carry_optimizer": True, "encoding": "delta+int4"}


def rows(seed: int = 0, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.c_[y, -y], y


def client(folder: Path | None = None, warnings: list[str] | None = None, **options: Any) -> ClientWorker:
    """A settled client's worker."""
    model = MLP(hidden=(3,), optimizer="momentum", **options)
    site_model = SiteModel(model, *rows(), columns=("a", "b"), holdout=0.25)
    states = ClientStateStore(folder, (warnings if warnings is not None else []).append)
    one = ClientWorker(site_model, node="client-0", seed=0, states=states)
    survey = do(one, e.Survey())
    assert isinstance(survey, ev.Surveyed)
    do(one, e.ApplyAgreement(surveys={"only": (survey.fields, survey.body)}))
    return one


def kept(one: ClientWorker) -> list[int]:
    return one.states.rounds


def do(one: ModelWorker, effect: e.Effect) -> Any:
    return one.perform(effect, Cancellation())


def received(number: int, parts: int = 1) -> np.ndarray:
    """What the coordinator sends in a round: any vector will do."""
    size = client().site_model.layout.size
    return np.random.default_rng(number).normal(0, 0.1, parts * size).astype(np.float32)


def train(
    one: ClientWorker,
    number: int,
    settings: dict[str, Any],
    *,
    durable: int = 0,
    incarnation: int = 1,
    counted: int | None = None,
) -> ev.Trained:
    parts = 2 if settings.get("control") else 1
    body = received(number, parts)
    reported = do(one, e.Train(number, 0, body, settings, durable=durable, incarnation=incarnation, counted=counted))
    assert isinstance(reported, ev.Trained)
    return reported


def answered(trained: ev.Trained) -> tuple[Any, ...]:
    return trained.body.tobytes(), dict(trained.metrics), trained.payload


def test_a_plain_task_gives_the_bits_of_the_model_alone_and_keeps_nothing(tmp_path: Path) -> None:
    one = client(tmp_path / "state")
    alone = client().site_model
    for number in (1, 2, 3):
        answer = train(one, number, PLAIN)
        alone.set_weights(received(number))
        alone.train(LocalWork(1, None, 8, carry_optimizer=False), generator(0, "client-0", number, "batches"))
        np.testing.assert_array_equal(answer.body, alone.get_weights())
        assert answer.payload is None, "the weights need no description of their own"
    assert kept(one) == []
    assert not (tmp_path / "state").exists()


def test_an_encoded_answer_says_what_it_is_and_decodes() -> None:
    one = client()
    answer = train(one, 1, EVERYTHING)
    layout = one.site_model.layout
    assert answer.payload is not None
    assert (answer.payload.dtype, answer.payload.length) == ("uint8", answer.body.size)
    assert (answer.payload.encoding, answer.payload.parts) == (EVERYTHING["encoding"], ("weights", "control"))
    decoded = parse(answer.payload.encoding).decode(answer.body, layout.size, layout.dtype, parts=2)
    assert decoded.size == 2 * layout.size
    assert {"raw_bytes", "sent_bytes", "codec_error"} <= set(answer.metrics)


def test_a_task_says_which_of_a_clients_updates_counted_and_it_goes_on_from_there(tmp_path: Path) -> None:
    one = client(tmp_path)
    first = [answered(train(one, number, EVERYTHING, counted=number - 1)) for number in (1, 2)]
    third = answered(train(one, 3, EVERYTHING, counted=1))
    assert answered(train(client(tmp_path / "other"), 1, EVERYTHING)) == first[0]
    other = client(tmp_path / "other")
    assert answered(train(other, 3, EVERYTHING)) == third, "as one that never had round 2"
    # Neither does one that was killed in the meantime take round 2 for counted.
    assert answered(train(client(tmp_path), 3, EVERYTHING, counted=1)) == third
    assert answered(train(client(tmp_path), 3, EVERYTHING)) != third


@pytest.mark.parametrize("settings", [EVERYTHING, MOMENTA], ids=["scaffold-top-k", "momenta-int4"])
def test_a_client_that_died_repeats_a_round_to_the_byte(tmp_path: Path, settings: dict[str, Any]) -> None:
    one = client(tmp_path)
    first = {number: answered(train(one, number, settings)) for number in (1, 2, 3, 4)}
    again = client(tmp_path)
    assert answered(train(again, 3, settings)) == first[3]
    assert kept(again) == [1, 2, 3], "round 4 is of a future that is being repeated"
    assert answered(train(again, 4, settings)) == first[4]
    assert answered(train(one, 2, settings)) == first[2], "one that lived does the same"
    assert answered(train(client(), 3, settings)) != first[3], "and one that kept nothing cannot"


def test_only_what_may_be_asked_for_again_is_kept(tmp_path: Path) -> None:
    one = client(tmp_path)
    for number in range(1, 8):
        train(one, number, MOMENTA, durable=max(0, number - 2))
    assert kept(one) == [3, 4, 5, 6, 7], "5 is durable, and 3 and 4 are the checkpoints before it"
    assert len(list(tmp_path.iterdir())) == 5


def test_the_future_of_a_coordinator_that_came_back_is_forgotten(tmp_path: Path) -> None:
    one = client(tmp_path)
    first = {number: answered(train(one, number, MOMENTA)) for number in (1, 2, 3, 4)}
    # It goes on after round 2, and does not ask this client before round 5.
    late = answered(train(one, 5, MOMENTA, durable=2, incarnation=2))
    steady = client()
    assert [answered(train(steady, number, MOMENTA)) for number in (1, 2)] == [first[1], first[2]]
    assert answered(train(steady, 5, MOMENTA)) == late


def test_a_client_that_came_back_forgets_nothing_that_its_coordinator_knows(tmp_path: Path) -> None:
    one = client(tmp_path)
    for number in (1, 2, 3):
        train(one, number, MOMENTA)
    again = client(tmp_path)
    assert answered(train(again, 4, MOMENTA, durable=1)) == answered(train(one, 4, MOMENTA, durable=1))
    stranger = client(tmp_path)
    train(stranger, 5, MOMENTA, durable=1, incarnation=7)
    assert kept(stranger) == [1, 5]


def stopped(after: int, *, keep: bool) -> Cancellation:
    """A request to stop that comes with a mini-batch."""
    cancellation, steps = Cancellation(), itertools.count()
    cancellation.request(keep=keep)
    cancellation.requested = lambda: next(steps) >= after  # type: ignore[method-assign]
    return cancellation


def test_work_that_nobody_takes_leaves_no_trace() -> None:
    one, settings = client(), MOMENTA | {"epochs": 50, "partial": True}
    answer = one.train(e.Train(1, 0, received(1), settings), stopped(3, keep=False))
    assert answer.cancelled
    assert answer.body is None
    assert kept(one) == []
    assert answered(train(one, 1, MOMENTA)) == answered(train(client(), 1, MOMENTA))


def test_partial_work_that_is_wanted_is_answered_and_kept() -> None:
    one, settings = client(), MOMENTA | {"epochs": 50, "partial": True}
    answer = one.train(e.Train(1, 0, received(1), settings), stopped(3, keep=True))
    assert not answer.cancelled
    assert answer.metrics["partial"] == 1.0
    assert answer.metrics["steps"] == 3.0
    assert kept(one) == [1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("encoding", ["", "delta+int8", "float16"])
def test_a_training_that_diverges_is_named_however_it_is_encoded(encoding: str) -> None:
    answer = Worker(client(learning_rate=1e30)).answer(e.Train(1, 0, received(1), PLAIN | {"encoding": encoding}))
    assert isinstance(answer, ev.WorkFailed)
    assert "the weights after training" in answer.reason
    assert "must be finite" in answer.reason


def test_what_cannot_be_encoded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    one = client()
    huge = np.full(one.site_model.layout.size, 3e38, np.float32)
    monkeypatch.setattr(one.site_model.model, "get_weights", lambda: huge)  # finite, and too large for a scale of int8
    answer = Worker(one).answer(e.Train(1, 0, received(1), PLAIN | {"encoding": "delta+int8"}))
    assert isinstance(answer, ev.WorkFailed)
    assert answer.reason.startswith("ArithmeticError: the weights after training, sent as delta+int8, must be finite")


def test_fed_per_keeps_its_arrays_through_rounds_and_measures_both_models() -> None:
    one, settings = client(), PLAIN | {"personal": ["weight.1", "bias.1"]}
    views = one.site_model.layout.views
    for number in (1, 2):
        answer = train(one, number, settings)
        came, went = views(received(number)), views(answer.body)
        np.testing.assert_array_equal(went["weight.1"], came["weight.1"])
        assert (went["weight.0"] != came["weight.0"]).any()
    head = views(one.site_model.get_weights())["weight.1"].copy()
    final = received(3)
    measured = do(one, e.Personalize(2, final, settings))
    assert isinstance(measured, ev.Personalized)
    assert {"accuracy", "loss", "examples", "global_accuracy", "global_loss"} == set(measured.metrics)
    own = views(one.personal)
    np.testing.assert_array_equal(own["weight.1"], head)
    np.testing.assert_array_equal(own["weight.0"], views(final)["weight.0"])
    assert measured.metrics["loss"] == one.site_model.evaluate("holdout")["loss"]
    do(one, e.LoadWeights(final))
    assert measured.metrics["global_loss"] == one.site_model.evaluate("holdout")["loss"]


def test_federated_evaluation_measures_the_model_that_this_client_uses() -> None:
    one, settings = client(), PLAIN | {"personal": ["weight.1", "bias.1"]}
    train(one, 1, settings)
    head = one.site_model.layout.views(one.site_model.get_weights())["weight.1"].copy()
    do(one, e.Evaluate(1, "holdout", received(2)))
    np.testing.assert_array_equal(one.site_model.layout.views(one.site_model.get_weights())["weight.1"], head)


def test_ditto_ends_with_its_own_model_and_fine_tuning_with_one_that_went_on() -> None:
    one = client()
    train(one, 1, PLAIN | {"ditto": 0.5})
    ditto = one.local.personal_weights()
    do(one, e.Personalize(1, received(2), PLAIN | {"ditto": 0.5}))
    np.testing.assert_array_equal(one.personal, ditto)
    other = client()
    do(other, e.Personalize(1, received(2), PLAIN | {"fine_tune": 3}))
    assert (other.personal != received(2)).any()
    np.testing.assert_array_equal(other.personal, other.site_model.get_weights())


def test_a_name_that_is_no_array_is_named_with_all_that_are() -> None:
    names = "weight.0, weight.1, bias.0, bias.1"
    answer = Worker(client()).answer(e.Train(1, 0, received(1), PLAIN | {"personal": ["head"]}))
    assert isinstance(answer, ev.WorkFailed)
    assert names in answer.reason
    site_model = SiteModel(MLP(hidden=(3,)), *rows(), columns=("a", "b"))
    coordinator = CoordinatorWorker(site_model, Aggregator(FedAvg()), node="coordinator", seed=0, personal=("head",))
    survey = do(coordinator, e.Survey())
    assert isinstance(survey, ev.Surveyed)
    answer = Worker(coordinator).answer(e.ApplyAgreement(surveys={"a": (survey.fields, survey.body)}))
    assert isinstance(answer, ev.WorkFailed)
    assert names in answer.reason


class Own(MLP):
    """A network of the user's."""


class OwnEstimator(SGDClassifier):
    """An estimator of the user's."""


def trained_at_once(model: Any) -> bool:
    """Return whether short trainings of a client with this model are done on its loop."""
    site_model = SiteModel(model, *rows(), holdout=0.25)
    one = ClientWorker(site_model, node="a", seed=0, states=ClientStateStore(None, print))
    return Worker(one)._pace is not None


@pytest.mark.parametrize("model", [MLP(), SGDClassifier()], ids=["network", "estimator"])
def test_short_trainings_of_known_code_are_done_on_the_loop(model: Any) -> None:
    assert trained_at_once(model)


@pytest.mark.parametrize(
    "model", [Own(), OwnEstimator(), BaggingClassifier(OwnEstimator())], ids=["network", "estimator", "part"]
)
def test_code_that_others_wrote_stays_in_the_thread_where_it_may_wait_or_run_a_loop(model: Any) -> None:
    assert not trained_at_once(model)


def test_taken_for_known_it_would_be_run_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelBase, "runs_foreign_code", False)
    assert trained_at_once(Own())
