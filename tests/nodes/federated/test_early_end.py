"""How a federated run ends before its last round: events in, effects out, through the coordinator's machine."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import pytest
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.early_stopping import Stop
from nervenet.nodes.federated.evaluation import Evaluation
from nervenet.nodes.federated.run_state import RunState
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.round_reports import RoundReport

T = TypeVar("T")
SURVEY = m.Payload(layout="survey", dtype="float64", length=9)
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
NAMES = ("client-0", "client-1")


class Harness:
    """A coordinator after round 0, and everything that it wanted done since."""

    def __init__(self, agreement: Mapping[str, Any] | None = None, *, writes: bool = True, **more: Any) -> None:
        self.state = CoordinatorMachine(coordinator_config(NAMES, **({"rounds": 9, "until": "accuracy=0.9"} | more)))
        self.writes = writes  # checkpoints are written at once; else the test answers for the disk
        self.effects: list[e.Effect] = []
        self.tell(ev.Started())
        for name in NAMES:
            self.tell(ev.LinkUp(name, "client", 1))
            self.tell(ev.Arrived(name, m.Ready(examples=1000, pid=1)))
        for name in NAMES:
            self.tell(ev.Arrived(name, m.Update(0, 0, 10, {}, {}, SURVEY), "survey"))
        self.tell(ev.ModelReady(agreement or {}, MODEL, "w0"))

    def tell(self, event: ev.Event, now: float = 0.0) -> list[e.Effect]:
        effects = self.state.handle(event, now)
        self.effects += effects
        for effect in list(effects):
            if isinstance(effect, e.Checkpoint) and self.writes:
                effects += self.tell(ev.Saved(effect.round), now)
        return effects

    def answers(self, number: int, attempt: int = 0, **metrics: float) -> list[e.Effect]:
        """Everybody answers; gives what comes of the last answer."""
        for name in NAMES:
            effects = self.tell(ev.Arrived(name, m.Update(number, attempt, 10, metrics, None, MODEL), f"{name}"))
        return effects

    def train(self, number: int) -> list[e.Effect]:
        self.answers(number)
        return self.tell(ev.Folded(number, 0, f"w{number}"))

    def evaluated(self, number: int, **metrics: float) -> list[e.Effect]:
        return self.tell(ev.Evaluated(number, "test", metrics))

    def of(self, kind: type[T]) -> list[T]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def published(self, kind: str) -> list[dict[str, Any]]:
        return [dict(p.fields) for p in self.of(e.Publish) if p.type == kind]


def kinds(effects: list[e.Effect]) -> set[type]:
    return {type(effect) for effect in effects}


def test_the_round_that_reaches_the_goal_is_the_last_and_the_open_one_is_abandoned() -> None:
    harness = Harness()
    harness.train(1)
    harness.evaluated(1, accuracy=0.5)
    harness.train(2)
    harness.tell(ev.Arrived(NAMES[0], m.Update(3, 0, 10, {}, None, MODEL), "early"))
    effects = harness.evaluated(2, accuracy=0.92)
    assert harness.published("run.stopping") == [
        {"round": 2, "stopped_by": "until", "reason": "accuracy >= 0.9 was reached in round 2: 0.92"}
    ]
    assert e.CancelTimer(("deadline", 3, 0)) in effects
    (finish,) = [s for s in effects if isinstance(s, e.Send)]
    # Newer than the task of round 3, which the clients are at.
    assert (finish.message.work, finish.message.round, finish.message.attempt, finish.body) == ("finish", 3, 1, "w2")
    assert effects[-1] == e.Finish("completed")
    assert e.LoadWeights("w2") in effects
    assert (harness.state.run.completed, harness.state.run.weights) == (2, "w2")
    assert harness.tell(ev.Arrived(NAMES[1], m.Update(3, 0, 10, {}, None, MODEL), "late")) == []
    best = harness.state.run.evaluation.best
    assert best is not None
    assert (best.round, best.weights, best.metrics) == (2, "w2", {"accuracy": 0.92})


def ends_while_a_checkpoint_is_written() -> Harness:
    harness = Harness(writes=False)
    harness.tell(ev.Saved(0))
    harness.train(1)
    harness.evaluated(1, accuracy=0.95)
    harness.answers(2)
    return harness


def test_an_open_round_stays_abandoned_while_a_checkpoint_holds_up_the_end() -> None:
    harness = ends_while_a_checkpoint_is_written()
    assert [fold.round for fold in harness.of(e.Fold)] == [1]
    assert not harness.of(e.Finish)
    harness.tell(ev.Saved(1))
    assert harness.state.run.completed == 1
    assert harness.of(e.Finish) == [e.Finish("completed")]


def test_an_open_round_that_is_not_abandoned_is_folded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_early = RunState.stop_early

    def careless(self: RunState, stop: Stop) -> list[e.Effect]:
        current, self.round = self.round, None
        effects = stop_early(self, stop)
        self.round = current
        return effects

    monkeypatch.setattr(RunState, "stop_early", careless)
    assert [fold.round for fold in ends_while_a_checkpoint_is_written().of(e.Fold)] == [1, 2]


def test_a_round_is_not_folded_before_the_last_evaluation_is_in() -> None:
    harness = Harness()
    harness.train(1)
    assert e.Fold not in kinds(harness.answers(2))
    (fold,) = [f for f in harness.evaluated(1, accuracy=0.5) if isinstance(f, e.Fold)]
    assert (fold.round, fold.body, len(fold.contributions)) == (2, "w1", 2)
    harness.tell(ev.Folded(2, 0, "w2"))
    harness.answers(3)
    effects = harness.evaluated(2, accuracy=0.95)
    assert e.Fold not in kinds(effects)
    assert harness.state.run.weights == "w2"
    assert effects[-1] == e.Finish("completed")


def test_without_a_rule_that_watches_nobody_waits_for_an_evaluation() -> None:
    harness = Harness(until=None, budget_s=5.0)
    harness.train(1)
    assert e.Fold in kinds(harness.answers(2))


def test_an_evaluation_that_fails_lets_the_round_go_on() -> None:
    harness = Harness()
    harness.train(1)
    harness.answers(2)
    assert e.Fold in kinds(harness.tell(ev.WorkFailed("evaluate", 1, 0, "ValueError: no")))
    assert harness.state.run.evaluation.best is None


def test_the_goal_in_the_last_round_stops_nothing() -> None:
    harness = Harness(rounds=1)
    harness.train(1)
    assert harness.evaluated(1, accuracy=0.95)[-1] == e.Finish("completed")
    assert harness.published("run.stopping") == []
    assert harness.state.run.stopped is None


def test_patience_ends_with_the_round_that_used_it_up_and_the_best_is_kept() -> None:
    harness = Harness(until=None, patience=2)
    for number, accuracy in ((1, 0.6), (2, 0.8), (3, 0.7), (4, 0.8)):
        harness.train(number)
        harness.evaluated(number, accuracy=accuracy, loss=1 - accuracy)
    assert harness.of(e.Finish) == [e.Finish("completed")]
    assert harness.published("run.stopping")[0]["stopped_by"] == "patience"
    best = harness.state.run.evaluation.best
    assert best is not None
    assert (best.round, best.weights, harness.state.run.weights) == (2, "w2", "w4")


def test_sites_stop_a_run_that_has_no_test_set_before_their_round_counts() -> None:
    harness = Harness(evaluate_test=False, evaluate_sites=True)
    harness.train(1)
    harness.answers(2, holdout_accuracy=0.95, holdout_examples=5)
    effects = harness.tell(ev.Folded(2, 0, "w2"))
    assert harness.published("metric.test")[-1]["round"] == 1
    assert harness.published("run.stopping")[0]["round"] == 1
    assert [f["round"] for f in harness.published("round.completed")] == [0, 1]
    (asked,) = (effect.message for effect in effects if isinstance(effect, e.Send))
    assert (asked.work, harness.state.run.completed) == ("evaluate", 1), "what reports are made of"
    for name in NAMES:
        effects = harness.tell(ev.Arrived(name, m.Update(2, asked.attempt, 10, {}), None))
    assert (effects[-1], harness.state.run.completed) == (e.Finish("completed"), 1)
    assert e.LoadWeights("w1") in effects


def test_a_round_that_only_the_sites_judge_is_reported_with_what_they_found() -> None:
    harness = Harness(until=None, evaluate_test=False, evaluate_sites=True, rounds=2)
    harness.train(1)
    assert harness.of(e.Completed) == [], "nobody has judged it"
    harness.answers(2, loss=0.01, holdout_accuracy=0.75, holdout_loss=0.5, holdout_examples=5)
    harness.tell(ev.Folded(2, 0, "w2"))
    (first,) = harness.of(e.Completed)
    report = RoundReport.of(first)
    assert (report.round, report.evaluated_on, report.accuracy, report.loss) == (1, "holdout", 0.75, 0.5)
    assert report.metrics["holdout"]["worst"] == {"site": NAMES[0], "accuracy": 0.75}
    for name in NAMES:  # the sites are asked once more for the last one
        harness.tell(ev.Arrived(name, m.Update(2, 1, 1000, {"holdout_accuracy": 1.0, "holdout_examples": 5.0}, None)))
    last = RoundReport.of(harness.of(e.Completed)[-1])
    assert (last.round, last.accuracy, last.train_loss, last.loss) == (2, 1.0, 0.01, None)
    assert harness.of(e.Finish) == [e.Finish("completed")]


def test_reported_as_soon_as_it_is_complete_it_would_have_no_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evaluation, "completed", lambda _self, number, fields: [e.Completed(number, fields)])
    harness = Harness(until=None, evaluate_test=False, evaluate_sites=True, rounds=2)
    harness.train(1)
    harness.answers(2, holdout_accuracy=0.75, holdout_examples=5)
    harness.tell(ev.Folded(2, 0, "w2"))
    assert {RoundReport.of(done).accuracy for done in harness.of(e.Completed)} == {None}


def test_a_run_that_fails_reports_the_rounds_that_nobody_has_judged() -> None:
    harness = Harness(until=None, evaluate_test=False, evaluate_sites=True)
    harness.train(1)
    harness.tell(ev.WorkFailed("agreement", 2, 0, "no"))
    assert [done.round for done in harness.of(e.Completed)] == [1]
    assert harness.of(e.Finish)[0].status == "failed"


def test_beside_a_test_set_sites_report_and_are_asked_once_more_at_an_early_end() -> None:
    harness = Harness(evaluate_sites=True)
    harness.train(1)
    harness.evaluated(1, accuracy=0.5)
    harness.answers(2, holdout_accuracy=0.95, holdout_examples=5)
    harness.tell(ev.Folded(2, 0, "w2"))
    assert harness.published("metric.sites")[-1]["round"] == 1  # and the run goes on, whatever the sites think
    harness.evaluated(2, accuracy=0.93)
    task = harness.of(e.Send)[-1].message
    assert (task.work, task.round, task.attempt, harness.of(e.Send)[-1].body) == ("evaluate", 3, 1, "w2")
    # What is still on its way from round 3 disturbs nobody.
    assert harness.tell(ev.Arrived(NAMES[0], m.Update(3, 0, 10, {}, None, MODEL), "late")) == []
    for name in NAMES:
        reported = {"holdout_accuracy": 0.9, "holdout_examples": 5.0}
        harness.tell(ev.Arrived(name, m.Update(3, 1, 1000, reported, None, None)))
    assert harness.published("metric.sites")[-1]["round"] == 2
    assert harness.of(e.Finish) == [e.Finish("completed")]
    assert harness.published("update.rejected") == []


def test_a_spent_budget_ends_the_run_with_the_round_that_is_open() -> None:
    harness = Harness(until=None, budget_s=5.0, evaluate_every=100)
    assert e.SetTimer(("budget",), 5.0) in harness.effects
    harness.train(1)
    assert harness.tell(ev.TimerFired(("budget",), 5.0), 5.0) == []
    effects = harness.train(2)
    assert e.Evaluate(2, "test", "w2") in effects  # the last round always is
    assert harness.published("run.stopping") == [
        {"round": 2, "stopped_by": "budget", "reason": "the budget of 5 s is spent"}
    ]
    assert harness.evaluated(2, accuracy=0.5)[-1] == e.Finish("completed")


def test_a_spent_budget_takes_a_round_that_fails_for_the_end_once_there_is_a_model() -> None:
    for rounds_before in (0, 1):
        harness = Harness(until=None, budget_s=5.0, evaluate_test=False)
        if rounds_before:
            harness.train(1)
        harness.tell(ev.TimerFired(("budget",), 5.0), 5.0)
        harness.tell(ev.TimerFired(("deadline", rounds_before + 1, 0), 30.0), 30.0)
        assert len(harness.published("round.failed")) == 1
        assert harness.of(e.Finish) == ([e.Finish("completed")] if rounds_before else [])


def test_a_goal_that_the_task_cannot_reach_fails_the_run_by_name() -> None:
    harness = Harness({"classes": None})
    (finish,) = harness.of(e.Finish)
    assert finish.status == "failed"
    assert "of a regression, accuracy is not reported, r2, loss are" in finish.reason


def test_a_figure_that_was_asked_for_and_is_not_reported_is_remarked_once() -> None:
    harness = Harness(scorers=("roc_auc", "f1_macro"))
    for number in (1, 2):
        harness.train(number)
        harness.evaluated(number, accuracy=0.5, f1_macro=0.4, examples=9.0)
    (warning,) = harness.published("warning")
    assert warning["reason"].startswith("roc_auc: not defined")
    assert "accuracy, f1_macro" in warning["reason"]


@pytest.mark.parametrize("gathered_first", [True, False])
def test_a_run_that_was_killed_before_it_could_stop_stops_when_it_is_taken_up(gathered_first: bool) -> None:
    harness = Harness()
    harness.train(1)
    harness.evaluated(1, accuracy=0.5)
    harness.train(2)
    memory = json.loads(json.dumps(harness.state.run.to_dict(3.0)))
    harness.state = CoordinatorMachine.restored(harness.state.run.config, memory, "w2", best="w1")
    best = harness.state.run.evaluation.best
    assert best is not None
    assert (best.round, best.weights) == (1, "w1")
    harness.effects.clear()
    assert e.Evaluate(2, "test", "w2") in harness.tell(ev.Started())
    if not gathered_first:
        assert e.Finish not in kinds(harness.evaluated(2, accuracy=0.95))
    for name in NAMES:
        harness.tell(ev.LinkUp(name, "client", 2))
        harness.tell(ev.Arrived(name, m.Ready(examples=1000, pid=1)))
    if gathered_first:
        assert harness.published("round.started")[-1]["round"] == 3
        harness.evaluated(2, accuracy=0.95)
    assert harness.of(e.Send)[-1].message.work == "finish"
    assert harness.of(e.Finish) == [e.Finish("completed")]
    assert harness.published("run.stopping")[0]["round"] == 2
    assert harness.state.run.evaluation.best is not None
    assert harness.state.run.evaluation.best.weights == "w2"


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_judged_is_remembered(kept: bool) -> None:
    harness = Harness()
    harness.train(1)
    harness.evaluated(1, accuracy=0.7)
    memory = harness.state.run.evaluation.to_dict(3.0)
    other = Harness().state.run.evaluation
    other.restore(memory, 1 if kept else 2, "w1")
    assert other.stopping.judged == 1
    assert other.stopping.best == ((1, 0.7) if kept else None)
    assert other.best == (harness.state.run.evaluation.best if kept else None)
