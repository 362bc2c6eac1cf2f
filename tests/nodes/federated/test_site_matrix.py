"""Each site's own model at the others, by hand: asked for when the rounds are over, and never waited for in vain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.models.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.site_matrix import MOST_SITES, SiteMatrix
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation
from sklearn.datasets import load_iris

WANTED = {"rounds": 1, "evaluate_test": False, "evaluate_sites": True, "site_matrix": True}
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def asked(harness: Any) -> e.Send:
    """The last task."""
    return [each for each in harness.effects if isinstance(each, e.Send) and isinstance(each.message, m.Task)][-1]


def compared(coordinator: Any, n: int = 3, **settings: Any) -> Any:
    """A coordinator whose sites have judged the last model, and are asked for their own."""
    harness = coordinator(n, **(WANTED | settings)).settle()
    harness.train()
    judge(harness, 0.9)
    return harness


def judge(harness: Any, score: float, names: Any = None) -> None:
    task = asked(harness).message
    for name in harness.names if names is None else names:
        metrics = {"holdout_accuracy": score, "holdout_examples": 10.0}
        harness.say(name, m.Update(task.round, task.attempt, 10, metrics))


def send_own(harness: Any, names: Any = None) -> None:
    task = asked(harness).message
    for name in harness.names if names is None else names:
        harness.say(name, m.Update(task.round, task.attempt, 10, {}, None, MODEL), f"own of {name}")


def test_every_site_judges_every_model_and_then_the_run_ends(coordinator: Any) -> None:
    harness = compared(coordinator)
    task = asked(harness).message
    assert (task.work, task.payload, task.rounds, task.deadline_s) == ("alone", None, 1, 300.0)
    send_own(harness)
    for place, name in enumerate(harness.names):
        sent = asked(harness)
        assert (sent.message.work, sent.to, sent.body) == ("judge", harness.names, f"own of {name}")
        assert sent.message.payload == MODEL
        assert harness.finished() is None
        judge(harness, place / 10)
    assert harness.finished() == e.Finish("completed")
    assert asked(harness).message.work == "finish"
    assert harness.state.run.matrix.result() == {
        "sites": list(harness.names),
        "rows": [10, 10, 10],
        "scores": [[0.0] * 3, [0.1] * 3, [0.2] * 3],
    }


def test_nothing_of_the_kind_is_asked_for_unless_it_is_wanted(coordinator: Any) -> None:
    harness = compared(coordinator, site_matrix=False)
    assert harness.finished() == e.Finish("completed")
    assert harness.state.run.matrix.result() == {}


def test_a_site_that_keeps_its_model_judges_the_others_all_the_same(coordinator: Any) -> None:
    harness = compared(coordinator, 2)
    task = asked(harness).message
    harness.say("client-0", m.Declined(task.round, task.attempt, "it stays here"))
    send_own(harness, ["client-1"])
    assert asked(harness).to == harness.names
    judge(harness, 0.5)
    assert harness.finished() == e.Finish("completed")
    found = harness.state.run.matrix.result()
    assert found["scores"] == [[None, None], [0.5, 0.5]]
    assert found["missing"] == {"client-0": "has sent no model of its own: declined: it stays here"}


def test_a_site_that_is_lost_leaves_gaps_by_name(coordinator: Any) -> None:
    harness = compared(coordinator)
    send_own(harness)
    judge(harness, 0.5)  # the first model, by all
    harness.tell(ev.LinkLost("client-1", "connection reset"))
    judge(harness, 0.6, ["client-0", "client-2"])
    assert asked(harness).to == ("client-0", "client-2")
    judge(harness, 0.7, ["client-0", "client-2"])
    assert harness.finished() is None  # it may come back for the final model
    harness.until(3.0)
    assert harness.finished() == e.Finish("completed")
    found = harness.state.run.matrix.result()
    assert found["scores"] == [[0.5, 0.5, 0.5], [0.6, None, 0.6], [0.7, None, 0.7]]
    assert list(found["missing"]) == ["client-1"]
    assert found["missing"]["client-1"].startswith("has not judged the model of client-1 and those after it: ")


def test_a_site_that_never_answers_costs_one_deadline_and_no_more(coordinator: Any) -> None:
    harness = compared(coordinator)
    send_own(harness, ["client-0", "client-1"])
    assert asked(harness).message.work == "alone"
    harness.until(301.0, beating=harness.names)  # it beats, and trains on
    assert asked(harness).message.work == "judge"
    for _ in range(2):
        judge(harness, 0.5, ["client-0", "client-1"])
        harness.until(harness.now + 31.0, beating=harness.names)
    assert harness.finished() == e.Finish("completed")
    found = harness.state.run.matrix.result()
    assert found["scores"] == [[0.5, 0.5, None], [0.5, 0.5, None], [None, None, None]]
    assert "no answer within 300 s" in found["missing"]["client-2"]
    assert "has not judged the model of client-0 and those after it" in found["missing"]["client-2"]


def test_when_all_are_gone_the_run_ends_without_a_matrix(coordinator: Any) -> None:
    harness = compared(coordinator, 2)
    send_own(harness, ["client-0"])
    for name in harness.names:
        harness.tell(ev.LinkLost(name, "connection reset"))
    harness.until(1000.0)
    assert harness.finished() == e.Finish("completed")
    assert harness.state.run.matrix.result()["scores"] == [[None, None], [None, None]]


def test_waited_for_all_the_same_it_would_be_at_every_model(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    take = SiteMatrix.take

    def forgiving(self: SiteMatrix, current: Any) -> None:
        take(self, current)
        self._silent.clear()

    monkeypatch.setattr(SiteMatrix, "take", forgiving)
    harness = compared(coordinator)
    send_own(harness)
    judge(harness, 0.5, ["client-0", "client-1"])
    harness.until(harness.now + 31.0, beating=harness.names)
    assert "client-2" in asked(harness).to


def test_a_coordinator_that_is_started_again_asks_from_the_beginning(coordinator: Any) -> None:
    harness = compared(coordinator, 2)
    send_own(harness)
    assert asked(harness).message.work == "judge"
    record = harness.state.run.to_dict()
    again = CoordinatorMachine.restored(coordinator_config(harness.names, **WANTED), record, "w1")
    effects = list(again.handle(ev.Started(), 0.0))
    for name in harness.names:
        effects += again.handle(ev.LinkUp(name, "client", 1), 0.0)
        effects += again.handle(ev.Arrived(name, m.Ready(examples=1000, pid=1)), 0.0)
    tasks = [each.message.work for each in effects if isinstance(each, e.Send) and isinstance(each.message, m.Task)]
    assert tasks == ["alone"], "the last model has been judged"


def test_figures_that_are_no_numbers_are_gaps(coordinator: Any) -> None:
    harness = compared(coordinator, 2)
    send_own(harness)
    judge(harness, float("inf"))
    judge(harness, float("nan"))
    assert harness.state.run.matrix.result()["scores"] == [[None, None], [None, None]]


def test_too_many_sites_are_not_compared() -> None:
    matrix = SiteMatrix(wanted=True)
    assert matrix.next([f"site-{k}" for k in range(MOST_SITES + 1)]) is None
    assert "more than the 100" in matrix.result()["missing"]["all"]
    assert matrix.over
    assert SiteMatrix(wanted=True).next(["alone"]) is None


# -------------------------------------------------------------------------------------------------------- the client


def machine(*, sends_own: bool = True) -> ClientMachine:
    found = ClientMachine(ClientConfig("coordinator", 10, sends_own=sends_own))
    found.model = ev.ModelReady({"classes": None}, MODEL, "w0")
    found.handle(ev.LinkUp("coordinator", "coordinator", 1), 0.0)
    return found


def told(client: ClientMachine, work: Any, **more: Any) -> list[e.Effect]:
    task = m.Task(3, 1, work, 30.0, False, {"epochs": 2}, rounds=3, **more)
    return client.handle(ev.Arrived("coordinator", task, "theirs"), 0.0)


def sent(effects: list[e.Effect]) -> Any:
    return next(each for each in effects if isinstance(each, e.Send))


def test_a_client_sends_its_own_model_where_its_site_says_so() -> None:
    client = machine()
    assert e.TrainAlone(3, 1, {"epochs": 2}, 3) in told(client, "alone")
    answer = sent(client.handle(ev.TrainedAlone(3, 1, "own"), 1.0))
    assert (answer.body, answer.message.payload, answer.message.round) == ("own", MODEL, 3)


def test_else_the_model_stays_there() -> None:
    declined = sent(told(machine(sends_own=False), "alone")).message
    assert isinstance(declined, m.Declined)
    assert declined.reason == "evaluation.site_matrix is not true at this site, whose model stays there"


def test_a_client_that_is_not_done_in_time_says_so() -> None:
    client = machine()
    told(client, "alone")
    assert e.CancelTraining() in client.handle(ev.TimerFired(("task", 3, 1), 30.0), 30.0)
    declined = sent(client.handle(ev.TrainedAlone(3, 1, None), 31.0)).message
    assert (type(declined), declined.reason) == (m.Declined, "its own model was not done in time")


def test_a_client_judges_a_model_as_it_came() -> None:
    client = machine()
    assert e.Evaluate(3, "holdout", "theirs", plain=True) in told(client, "judge", payload=MODEL)
    answer = sent(client.handle(ev.Evaluated(3, "holdout", {"accuracy": 0.5}), 1.0)).message
    assert (answer.metrics, answer.fields) == ({"holdout_accuracy": 0.5}, None)


def worker(rows: slice, weight: Any = None) -> ClientWorker:
    X, y = load_iris(return_X_y=True)
    site = SiteModel(MLP(hidden=(5,)), X[rows], y[rows], weight, holdout=0.2)
    everything = SiteModel(MLP(hidden=(5,)), X, y)
    site.build(agree({"all": everything.statistics()}), 0)
    return ClientWorker(site, node="a", seed=0, states=ClientStateStore(None, lambda _: None))


def test_a_model_of_its_own_leaves_the_common_one_as_it_is() -> None:
    one = worker(slice(0, 150, 2))
    before, state = one.site_model.get_weights(), one.local.get_state()
    effect = e.TrainAlone(3, 1, {"epochs": 5}, 4)
    found = one.perform(effect, Cancellation())
    assert isinstance(found, ev.TrainedAlone)
    assert np.array_equal(one.site_model.get_weights(), before)
    assert one.local.get_state().keys() == state.keys()
    again = worker(slice(0, 150, 2)).perform(effect, Cancellation())
    assert np.array_equal(found.body, again.body), "the same for the same seed"  # type: ignore[union-attr]
    judged = worker(slice(1, 150, 2)).perform(e.Evaluate(3, "holdout", found.body, plain=True), Cancellation())
    assert isinstance(judged, ev.Evaluated)
    assert judged.metrics["accuracy"] > 0.7


def test_its_training_can_be_cancelled() -> None:
    cancellation = Cancellation()
    cancellation.request()
    found = worker(slice(0, 150, 2)).perform(e.TrainAlone(3, 1, {"epochs": 5}, 4), cancellation)
    assert found == ev.TrainedAlone(3, 1, None)


@pytest.mark.parametrize("fixed", [True, False])
def test_rows_are_counted_as_in_the_report_whatever_their_weights(fixed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fixed:
        evaluate = SiteModel.evaluate
        monkeypatch.setattr(SiteModel, "evaluate", lambda self, on, **_: evaluate(self, on))
    y = load_iris(return_X_y=True)[1]
    one = worker(slice(0, 150), np.where(y == 0, 1000.0, 1.0))
    common = one.site_model.get_weights()
    judged = one.perform(e.Evaluate(3, "holdout", common, plain=True), Cancellation())
    reported = one.perform(e.Evaluate(3, "holdout", common, counted=True), Cancellation())
    assert isinstance(judged, ev.Evaluated)
    assert isinstance(reported, ev.Evaluated)
    share = sum(reported.counts["hits"]) / reported.counts["rows"]
    assert (judged.metrics["accuracy"] == pytest.approx(share)) == fixed
    assert ("weight" in judged.metrics) != fixed
