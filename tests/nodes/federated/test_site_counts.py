"""What sites count of the last model: asked for once the run is over, checked, kept with the checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.models.score_counts import class_counts, told
from nervenet.models.score_report import counts_on
from nervenet.models.site_model import SiteModel, kept_rows
from nervenet.models.site_statistics import agree
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import confusion_matrix

SITES = {"rounds": 1, "evaluate_test": False, "evaluate_sites": True}
AGREED = {"columns": ["x"], "classes": ["no", "yes"]}


def counts(rows: int) -> dict[str, Any]:
    y = np.arange(rows) % 2
    return told(class_counts(y, y, np.eye(2)[y], 2), 1)


def judging(coordinator: Any, n: int = 2, **settings: Any) -> tuple[Any, m.Task]:
    """A coordinator that has asked the sites for the last time, and that task."""
    harness = coordinator(n, **(SITES | settings)).settle()
    harness.state.run.model = ev.ModelReady(AGREED, harness.state.run.model.payload, "w0")
    harness.train()
    task = [send.message for send in harness.effects if isinstance(send, e.Send)][-1]
    assert task.work == "evaluate"
    return harness, task


def answer(harness: Any, name: str, task: m.Task, found: Any) -> None:
    metrics = {"holdout_accuracy": 0.5, "holdout_examples": 10.0}
    harness.say(name, m.Update(task.round, task.attempt, 10, metrics, found))


def test_counts_come_with_the_last_evaluation(coordinator: Any) -> None:
    harness, task = judging(coordinator)
    answer(harness, "client-0", task, {"counts": counts(10)})
    answer(harness, "client-1", task, None)  # its hold-out is too small to tell of
    assert harness.state.run.evaluation.counts == {"client-0": counts(10)}
    assert harness.published("metric.test")[-1]["sites"] == 2, "its score counts all the same"
    assert harness.finished() == e.Finish("completed")


@pytest.mark.parametrize("lie", [{"rows": 7}, [1, 2], "many", {**counts(10), "truth": [9, 2]}])
def test_what_is_no_counts_is_left_out_by_name_and_nothing_fails(coordinator: Any, lie: Any) -> None:
    harness, task = judging(coordinator)
    answer(harness, "client-0", task, {"counts": counts(10)})
    answer(harness, "client-1", task, {"counts": lie})
    assert list(harness.state.run.evaluation.counts) == ["client-0"]
    (warning,) = harness.published("warning")
    assert warning["subject"] == "client-1"
    assert warning["reason"].startswith("the counts of client-1's hold-out are left out: ")
    assert harness.finished() == e.Finish("completed")


def test_they_outlive_the_coordinator(coordinator: Any) -> None:
    harness, task = judging(coordinator)
    for name in harness.names:
        answer(harness, name, task, {"counts": counts(10)})
    record = harness.state.run.to_dict()
    again = CoordinatorMachine.restored(coordinator_config(harness.names, **SITES), record, "w1")
    assert again.run.evaluation.counts == harness.state.run.evaluation.counts
    assert again.run.evaluation.counted == 1


def test_a_run_that_sites_have_ended_early_asks_them_for_counts_and_judges_once(coordinator: Any) -> None:
    harness = coordinator(2, **(SITES | {"rounds": 9, "until": "accuracy=0.4"})).settle()
    harness.train()
    for name in harness.names:
        harness.answer(name, 2, holdout_accuracy=0.5, holdout_examples=10.0)
    harness.tell(ev.Folded(2, 0, "w2"))
    assert len(harness.published("metric.test")) == 1
    task = [send.message for send in harness.effects if isinstance(send, e.Send)][-1]
    assert (task.work, task.round) == ("evaluate", 2)
    for name in harness.names:
        answer(harness, name, task, {"counts": counts(10)})
    assert len(harness.published("metric.test")) == 1
    assert harness.state.run.completed == 1
    assert harness.finished() == e.Finish("completed")


# -------------------------------------------------------------------------------------------------------- the client


def client_worker(rows: int, report_rows: int, weight: Any = None) -> ClientWorker:
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:rows]
    site = SiteModel(SGDClassifier(loss="log_loss"), X[order], y[order], weight, holdout=0.2)
    site.build(agree({"one": site.statistics()}), 0)
    states = ClientStateStore(None, lambda _: None)
    return ClientWorker(site, node="a", seed=0, states=states, report_rows=report_rows)


def evaluated(worker: ClientWorker, *, counted: bool = True) -> ev.Evaluated:
    found = worker.perform(e.Evaluate(1, "holdout", worker.site_model.get_weights(), counted), Cancellation())
    assert isinstance(found, ev.Evaluated)
    return found


def test_a_client_counts_its_hold_out() -> None:
    worker = client_worker(150, 30)
    X, y = kept_rows(worker.site_model) or (None, None)
    found = evaluated(worker)
    assert found.counts["rows"] == found.metrics["examples"] == 30
    assert found.counts["confusion"] == confusion_matrix(y, worker.site_model.predict(X)).tolist()
    assert evaluated(worker, counted=False).counts == {}


def test_of_fewer_rows_than_its_floor_it_tells_scores_alone() -> None:
    found = evaluated(client_worker(145, 30))
    assert found.metrics["examples"] == 29
    assert found.counts == {}


def test_rows_with_weights_are_counted_as_rows() -> None:
    found = evaluated(client_worker(150, 10, np.linspace(1, 2, 150)))
    assert found.counts == evaluated(client_worker(150, 10)).counts
    assert found.counts["rows"] == 30


def test_with_their_weights_for_an_argument_there_would_be_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_weights(self: ClientWorker) -> Any:
        return counts_on(self.site_model, *(kept_rows(self.site_model) or ()))

    monkeypatch.setattr(ClientWorker, "_counts", with_weights)
    with pytest.raises(TypeError):
        evaluated(client_worker(150, 10, np.linspace(1, 2, 150)))


def test_a_client_answers_the_last_evaluation_with_counts() -> None:
    machine = ClientMachine(ClientConfig("coordinator", 10))
    payload = m.Payload(layout="a1b2", dtype="float32", length=5)
    machine.model = ev.ModelReady(AGREED, payload, "w0")
    machine.handle(ev.LinkUp("coordinator", "coordinator", 1), 0.0)
    task = m.Task(3, 1, "evaluate", 30.0, False, {}, payload=payload)
    effects = machine.handle(ev.Arrived("coordinator", task, "w3"), 0.0)
    assert e.Evaluate(3, "holdout", "w3", counted=True) in effects
    (answer,) = (
        each.message
        for each in machine.handle(ev.Evaluated(3, "holdout", {"accuracy": 0.5}, counts(10)), 1.0)
        if isinstance(each, e.Send)
    )
    assert (answer.metrics, answer.fields) == ({"holdout_accuracy": 0.5}, {"counts": counts(10)})
