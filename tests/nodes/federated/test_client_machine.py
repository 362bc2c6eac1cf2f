"""The client's decisions: one task at a time, each finished or abandoned by its deadline."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.config.schema import Timing
from nervenet.nodes.config.site import AllowConfig
from nervenet.nodes.consent.requests import Policy
from nervenet.nodes.federated.assignment import Assignment
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.personalization import Personalization
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.round_reports import RoundReport

T = TypeVar("T")
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
TRAINED = {"loss": 0.5}


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def task(number: int, attempt: int = 0, work: m.TaskKind = "train", **fields: Any) -> m.Task:
    given = {"deadline_s": 10.0, "evaluate": False, "settings": {"epochs": 1}, "payload": MODEL} | fields
    return m.Task(round=number, attempt=attempt, work=work, **given)


class Bench:
    """A client on a bench, linked to its coordinator."""

    def __init__(self, **limits: float) -> None:
        self.state = ClientMachine(ClientConfig("coordinator", 25, 7, Timing(**limits)))
        self.now = 0.0
        self.log: list[e.Effect] = []
        self.tell(ev.Started())
        self.first = self.tell(ev.LinkUp("coordinator", "coordinator", 1))

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        self.now = self.now if now is None else now
        effects = self.state.handle(event, self.now)
        self.log += effects
        return effects

    def say(self, message: m.Message, body: Any = None, flaw: str | None = None) -> list[e.Effect]:
        return self.tell(ev.Arrived("coordinator", message, body, flaw))

    def settle(self) -> "Bench":
        return self.settle_with()

    def settle_with(self, **fields: Any) -> "Bench":
        """Take the first task, which brings the agreement, and answer it."""
        self.say(task(1, agreement={"columns": ["x"]}, **fields), "w0")
        self.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "init"))
        self.trained(1)
        return self

    def trained(self, number: int, attempt: int = 0, *, cancelled: bool = False) -> list[e.Effect]:
        body = None if cancelled else f"trained {number}.{attempt}"
        return self.tell(ev.Trained(number, attempt, body, 25, TRAINED, cancelled))


def sent(effects: Iterable[e.Effect]) -> list[m.Message]:
    return [send.message for send in only(e.Send, effects)]


# ------------------------------------------------------------------------------------------------------ the undisturbed


def test_it_announces_itself_until_it_is_given_a_task() -> None:
    bench = Bench()
    assert sent(bench.first) == [m.Ready(examples=25, pid=7)]
    assert m.Ready(examples=25, pid=7) in sent(bench.tell(ev.TimerFired(("pulse",), 0.5), 0.5))
    bench.say(task(0, work="survey", payload=None))
    effects = bench.tell(ev.TimerFired(("pulse",), 1.0), 1.0)
    assert sent(effects) == []
    assert only(e.SendHeartbeat, effects) == [e.SendHeartbeat(("coordinator",), 0, "survey for 0.5 s")]


def test_it_answers_whatever_question_of_round_0_it_is_asked_first() -> None:
    """It may have been started again after the others."""
    bench = Bench()
    (survey,) = only(e.Survey, bench.say(task(0, 3, work="survey", payload=None, question={"ask": "median"})))
    assert survey.question == {"ask": "median"}
    (answer,) = sent(bench.tell(ev.Surveyed({"of": "me"}, (1.0, 2.0))))
    assert isinstance(answer, m.Update)
    assert (answer.round, answer.attempt, answer.fields) == (0, 3, {"of": "me"})
    assert answer.payload == m.Payload("survey", "float64", 2)


def test_an_answer_to_a_question_that_is_no_longer_open_is_not_sent() -> None:
    bench = Bench()
    bench.say(task(0, 3, work="survey", payload=None, question={"ask": "median"}))
    bench.say(task(0, 4, work="survey", payload=None))
    effects = bench.tell(ev.Surveyed({}, (1.0,)))
    assert sent(effects) == []
    assert only(e.Survey, effects) == [e.Survey(asker="coordinator")]


def check_it_declines_a_question_that_nobody_asks_and_answers_the_next() -> None:
    bench = Bench()
    (survey,) = only(e.Survey, bench.say(task(0, 3, work="survey", payload=None, question={"ask": 3})))
    assert survey.asker == "coordinator", "by whose name it is refused"
    (declined,) = sent(
        bench.tell(ev.QuestionRefused(0, "coordinator", "asked by coordinator: ask is 3; allowed: 'fit'"))
    )
    assert isinstance(declined, m.Declined)
    assert declined.reason == "no such question is answered here: asked by coordinator: ask is 3; allowed: 'fit'"
    bench.say(task(0, 4, work="survey", payload=None, question={"ask": "median"}))
    (answer,) = sent(bench.tell(ev.Surveyed({"of": "me"}, (1.0,))))
    assert isinstance(answer, m.Update)


def test_it_declines_a_question_that_nobody_asks_and_answers_the_next() -> None:
    check_it_declines_a_question_that_nobody_asks_and_answers_the_next()


def test_else_the_coordinator_would_wait_for_an_answer_until_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientMachine, "_decline", lambda *_: [])
    with pytest.raises(ValueError, match="not enough values"):
        check_it_declines_a_question_that_nobody_asks_and_answers_the_next()


def test_a_coordinator_that_was_started_again_in_round_0_gets_answers_to_its_own_questions_alone() -> None:
    bench = Bench()
    bench.say(task(0, 3, work="survey", payload=None, question={"ask": "median"}))
    bench.tell(ev.LinkUp("coordinator", "coordinator", 2))
    bench.say(task(0, 0, work="survey", payload=None))
    effects = bench.tell(ev.Surveyed({"of": "the question before"}, (1.0,)))
    assert sent(effects) == []
    assert only(e.Survey, effects) == [e.Survey(asker="coordinator")]
    (answer,) = sent(bench.tell(ev.Surveyed({"of": "me"}, (1.0,))))
    assert isinstance(answer, m.Update)
    assert (answer.attempt, answer.fields) == (0, {"of": "me"})


def test_a_question_it_cannot_answer_is_declined_by_name() -> None:
    bench = Bench()
    bench.say(task(0, 1, work="survey", payload=None, question={"ask": "nonsense"}))
    (declined,) = sent(bench.tell(ev.WorkFailed("survey", 0, 0, "IncompatibleSites: no such question")))
    assert declined == m.Declined(0, 1, "survey failed: IncompatibleSites: no such question")


def test_it_leaves_when_a_run_of_round_0_alone_is_over() -> None:
    bench = Bench()
    effects = bench.say(task(0, 3, work="finish", payload=None))
    assert sent(effects) == [m.Goodbye(0, "done")]
    assert only(e.Finish, effects) == [e.Finish("completed")]


def test_it_answers_a_survey_with_its_statistics() -> None:
    bench = Bench()
    assert only(e.Survey, bench.say(task(0, work="survey", payload=None)))
    (send,) = only(e.Send, bench.tell(ev.Surveyed({"columns": ["x"]}, (1.0, 2.0))))
    payload = m.Payload("survey", "float64", 2)
    assert send.message == m.Update(0, 0, 25, {}, {"columns": ["x"]}, payload)
    assert send.body == (1.0, 2.0)


def test_it_settles_before_its_first_training_and_then_never_again() -> None:
    bench = Bench()
    assert only(e.ApplyAgreement, bench.say(task(1, agreement={"columns": ["x"]}), "w0"))
    effects = bench.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "init"))
    assert only(e.Train, effects) == [e.Train(1, 0, "w0", {"epochs": 1}, False, 0, 1, clock=0.0)]
    bench.trained(1)
    effects = bench.say(task(2, agreement={"columns": ["x"]}), "w1")
    assert only(e.Train, effects)
    assert not only(e.ApplyAgreement, effects)


def test_it_answers_a_training_before_it_publishes_it() -> None:
    bench = Bench().settle()
    bench.say(task(2), "w1")
    bench.now = 1.5
    kinds = [type(effect) for effect in bench.trained(2)]
    assert kinds.index(e.Send) < kinds.index(e.Publish)
    update = sent(bench.log)[-1]
    assert update == m.Update(2, 0, 25, TRAINED, None, MODEL)
    assert only(e.Completed, bench.log)[-1].fields == {"round": 2, "examples": 25, "duration_s": 1.5, **TRAINED}


def test_its_report_keeps_training_and_hold_out_apart() -> None:
    bench = Bench().settle()
    bench.say(task(2), "w1")
    found = {"loss": 0.01, "holdout_loss": 0.5, "holdout_accuracy": 0.75}
    (done,) = only(e.Completed, bench.tell(ev.Trained(2, 0, "mine", 25, found)))
    report = RoundReport.of(done)
    assert report.metrics == {"holdout": {"loss": 0.5, "accuracy": 0.75}}
    assert (report.accuracy, report.loss, report.train_loss, report.evaluated_on) == (0.75, 0.5, 0.01, "holdout")


def test_it_measures_its_hold_out_when_asked() -> None:
    bench = Bench().settle()
    assert only(e.Evaluate, bench.say(task(2, 1, "evaluate"), "w2")) == [e.Evaluate(2, "holdout", "w2", counted=True)]
    (update,) = sent(bench.tell(ev.Evaluated(2, "holdout", {"accuracy": 0.5, "examples": 6})))
    assert update == m.Update(2, 1, 25, {"holdout_accuracy": 0.5, "holdout_examples": 6.0})


def test_it_ends_with_the_final_model() -> None:
    bench = Bench().settle()
    effects = bench.say(task(1, 1, "finish"), "final")
    assert effects[-2:] == [e.LoadWeights("final"), e.Finish("completed")]
    assert bench.say(task(2), "w2") == []


# -------------------------------------------------------------------------------------------------------- one at a time


def test_a_newer_task_abandons_the_older() -> None:
    bench = Bench().settle()
    bench.say(task(2), "w1")
    assert bench.say(task(3), "w2") == [e.CancelTraining()]
    effects = bench.trained(2, cancelled=True)
    assert sent(effects) == []
    assert only(e.Train, effects) == [e.Train(3, 0, "w2", {"epochs": 1}, False, 0, 1, clock=0.0)]
    assert sent(bench.trained(3))[0].round == 3


def test_only_the_newest_of_those_that_wait_is_done() -> None:
    bench = Bench().settle()
    for number in (2, 3, 4):
        bench.say(task(number), f"w{number - 1}")
    assert [train.round for train in only(e.Train, bench.trained(2, cancelled=True))] == [4]


def test_it_never_trains_two_at_once_whatever_comes() -> None:
    bench = Bench().settle()
    running = 0
    for number in range(2, 8):
        for effect in bench.say(task(number), f"w{number - 1}"):
            running += isinstance(effect, e.Train)
            assert running <= 1
        if number % 2:
            running -= 1
            running += len(only(e.Train, bench.trained(bench.state.current.task.round, cancelled=True)))  # type: ignore[union-attr]


def test_a_task_said_twice_is_done_once() -> None:
    bench = Bench().settle()
    bench.say(task(2), "w1")
    assert bench.say(task(2), "w1") == []
    bench.trained(2)
    assert bench.say(task(2), "w1") == [], "nor after it was answered"


def test_work_that_does_not_stop_declines_by_name_what_comes_meanwhile() -> None:
    bench = Bench().settle()
    bench.say(task(2), "w1")
    bench.say(task(3), "w2")
    effects = bench.tell(ev.TimerFired(("task", 2, 0), 10.0), 10.0)
    assert e.CancelTraining() in effects
    assert sent(effects) == [m.Declined(3, 0, "still busy with train of round 2, for 10.0 s")]
    bench.now = 12.0
    assert sent(bench.say(task(4), "w3")) == [m.Declined(4, 0, "still busy with train of round 2, for 12.0 s")]
    bench.trained(2, cancelled=True)
    assert only(e.Train, bench.say(task(5), "w4")), "as good as new"


def test_a_training_that_is_done_in_time_has_no_deadline_left() -> None:
    bench = Bench().settle()
    bench.say(task(2), "w1")
    assert e.CancelTimer(("task", 2, 0)) in bench.trained(2)
    assert bench.tell(ev.TimerFired(("task", 2, 0), 10.0), 10.0) == []


# ------------------------------------------------------------------------------------------------------------- declined


@pytest.mark.parametrize(
    ("message", "flaw", "words"),
    [
        (task(2), "values must be finite, found NaN or infinity", "values must be finite"),
        (task(2, payload=None), None, "layout must be a1b2, found no payload"),
        (task(2, payload=m.Payload("beef", "float32", 5)), None, "layout must be a1b2, found beef"),
    ],
)
def test_a_task_that_cannot_be_done_is_declined_with_the_reason(message: m.Task, flaw: str | None, words: str) -> None:
    bench = Bench().settle()
    (declined,) = sent(bench.say(message, "w1", flaw))
    assert isinstance(declined, m.Declined)
    assert (declined.round, declined.attempt) == (2, 0)
    assert words in declined.reason
    assert only(e.Train, bench.say(task(3), "w2"))


def test_training_without_an_agreement_is_declined() -> None:
    assert sent(Bench().say(task(1), "w0")) == [m.Declined(1, 0, "no agreement has reached this client")]


@pytest.mark.parametrize("kind", ["train", "apply agreement"])
def test_work_that_fails_is_declined_with_the_reason(kind: str) -> None:
    bench = Bench()
    bench.say(task(1, agreement={}), "w0")
    if kind == "train":
        bench.tell(ev.ModelReady({}, MODEL, "init"))
    effects = bench.tell(ev.WorkFailed(kind, 1, 0, "MemoryError: no room"))
    assert sent(effects) == [m.Declined(1, 0, f"{kind} failed: MemoryError: no room")]


def test_a_site_that_the_agreement_does_not_fit_declines_once_and_ends_with_the_reason() -> None:
    bench = Bench()
    bench.say(task(1, agreement={"columns": ["y"]}), "w0")
    effects = bench.tell(
        ev.WorkFailed("apply agreement", 1, 0, "IncompatibleSites: this site has the columns x; agreed were y")
    )
    assert [type(message) for message in sent(effects)] == [m.Declined]
    (end,) = only(e.Finish, effects)
    assert (end.status, "agreed were y" in end.reason) == ("failed", True)


def test_a_refusal_is_a_warning() -> None:
    bench = Bench().settle()
    effects = bench.say(m.Refused("update", 1, "stale", "round 1 is closed"))
    assert [p.type for p in only(e.Publish, effects)] == ["warning"]


@pytest.mark.parametrize("code", ["stale", "version", "run"])  # with the third as with all: it waited for a minute
def test_a_client_that_will_not_be_heard_again_ends_at_once(code: str) -> None:
    bench = Bench().settle()
    reason = "client-0 has been started again since (incarnation 5)"
    effects = bench.say(m.Refused("hello", 0, code, reason))
    page = {"stale": "started-again", "version": "version-mismatch"}
    ends = [e.Finish("failed", f"{reason} (docs/errors.md#{page[code]})")] if code in page else []
    assert only(e.Finish, effects) == ends


# ---------------------------------------------------------------------------------------------------------- the silence


def test_a_coordinator_that_says_goodbye_ends_the_client_with_its_reason() -> None:
    assert Bench().settle().say(m.Goodbye(3, "too few clients"))[-1] == e.Finish(
        "failed", "coordinator ended the run: too few clients"
    )


def test_a_silent_coordinator_is_given_up() -> None:
    bench = Bench(rejoin_deadline_s=6.0).settle()
    effects: list[e.Effect] = []
    for step in range(1, 13):
        effects = bench.tell(ev.TimerFired(("pulse",), step * 0.5), step * 0.5)
    reason = "coordinator has been silent for 6 s; network.rejoin_deadline_s is 6 s (docs/errors.md#coordinator-lost)"
    assert effects[-1] == e.Finish("failed", reason)
    assert [p.type for p in only(e.Publish, bench.log)][-2:] == ["node.suspect", "node.lost"]


def test_without_a_task_it_waits_while_the_coordinator_beats_and_no_longer() -> None:
    bench = Bench()
    bench.now = 29.5
    bench.say(m.Heartbeat(0, "gathering", ()))
    assert bench.tell(ev.TimerFired(("join",), 30.0), 30.0) == [e.SetTimer(("join",), 60.0)]
    bench.tell(ev.LinkLost("coordinator", "cut"))
    effects = bench.tell(ev.TimerFired(("pulse",), 149.6), 149.6)
    reason = (
        "coordinator has been silent for 120 s; network.rejoin_deadline_s is 120 s (docs/errors.md#coordinator-lost)"
    )
    assert effects[-1] == e.Finish("failed", reason)


def test_a_coordinator_that_never_was_there_is_given_up_at_the_join_deadline() -> None:
    state = ClientMachine(ClientConfig("coordinator", 25))
    state.handle(ev.Started(), 0.0)
    reason = "coordinator gave no task within 30 s (network.join_deadline_s)"
    assert state.handle(ev.TimerFired(("join",), 30.0), 30.0) == [e.Finish("failed", reason)]


def test_a_coordinator_that_dies_before_its_first_task_may_come_back() -> None:
    bench = Bench()
    bench.tell(ev.LinkLost("coordinator", "its process has ended"), 20.0)
    assert bench.tell(ev.TimerFired(("join",), 30.0), 30.0) == [e.SetTimer(("join",), 60.0)]
    assert sent(bench.tell(ev.LinkUp("coordinator", "coordinator", 2), 50.0)) == [m.Ready(25, 7)]


# --------------------------------------------------------------------------------- a coordinator that was started again


def test_what_a_previous_incarnation_asked_for_is_abandoned_and_never_answered() -> None:
    bench = Bench().settle()
    bench.say(task(7), "w6")
    effects = bench.tell(ev.LinkUp("coordinator", "coordinator", 2))
    assert effects == [e.CancelTraining(), e.Send(("coordinator",), m.Ready(25, 7))]
    assert sent(bench.trained(7)) == [], "it had ended before it could be abandoned"
    effects = bench.say(task(6, durable=5), "w5")
    assert only(e.Train, effects) == [e.Train(6, 0, "w5", {"epochs": 1}, False, 5, 2, clock=0.0)]
    assert sent(bench.trained(6))[0].round == 6


def test_the_same_task_of_the_next_incarnation_is_done_again() -> None:
    bench = Bench().settle()
    bench.say(task(7), "w6")
    bench.tell(ev.LinkUp("coordinator", "coordinator", 2))
    bench.say(task(7), "w6")
    effects = bench.trained(7)
    assert sent(effects) == []
    assert [train.incarnation for train in only(e.Train, effects)] == [2]
    assert [update.round for update in sent(bench.trained(7))] == [7]


def test_the_task_of_a_previous_incarnation_is_not_declined_either() -> None:
    bench = Bench().settle()
    bench.say(task(7), "w6")
    bench.tell(ev.LinkUp("coordinator", "coordinator", 2))
    assert sent(bench.tell(ev.WorkFailed("train", 7, 0, "diverged"))) == []
    assert bench.state.current is None


def test_in_its_second_incarnation_it_hears_that_we_are_ready_until_it_gives_a_task() -> None:
    bench = Bench().settle()
    bench.tell(ev.LinkUp("coordinator", "coordinator", 2))
    assert m.Ready(25, 7) in sent(bench.tell(ev.TimerFired(("pulse",), 0.5), 0.5))
    bench.say(task(6), "w5")
    assert sent(bench.tell(ev.TimerFired(("pulse",), 1.0), 1.0)) == []


def test_a_cut_that_the_coordinator_lived_through_loses_nothing() -> None:
    bench = Bench().settle()
    bench.say(task(7), "w6")
    bench.tell(ev.LinkLost("coordinator", "cut"))
    assert bench.tell(ev.LinkUp("coordinator", "coordinator", 1)) == [e.Send(("coordinator",), m.Ready(25, 7))]
    assert [update.round for update in sent(bench.trained(7))] == [7]


# ------------------------------------------------------------------------------------------------------- partial work

PARTIAL = {"epochs": 1, "partial": True}


def test_where_partial_work_counts_it_stops_before_the_deadline_and_answers() -> None:
    bench = Bench().settle()
    timers = only(e.SetTimer, bench.say(task(2, settings=PARTIAL), "w1"))
    assert timers == [e.SetTimer(("task", 2, 0), 10.0), e.SetTimer(("partial", 2, 0), 8.0)]
    assert bench.tell(ev.TimerFired(("partial", 2, 0), 8.0), 8.0) == [e.CancelTraining(keep=True)]
    effects = bench.trained(2)
    assert [update.round for update in sent(effects)] == [2]
    assert e.CancelTimer(("partial", 2, 0)) in effects


def test_without_a_single_step_it_declines() -> None:
    bench = Bench().settle()
    bench.say(task(2, settings=PARTIAL), "w1")
    bench.tell(ev.TimerFired(("partial", 2, 0), 8.0), 8.0)
    (declined,) = sent(bench.trained(2, cancelled=True))
    assert declined == m.Declined(2, 0, "nothing was done within 8.0 s that could be sent")


def test_partial_work_that_a_newer_task_has_overtaken_is_dropped() -> None:
    bench = Bench().settle()
    bench.say(task(2, settings=PARTIAL), "w1")
    assert bench.say(task(3, settings=PARTIAL), "w2") == [e.CancelTraining()]
    assert bench.tell(ev.TimerFired(("partial", 2, 0), 8.0), 8.0) == []
    effects = bench.trained(2)
    assert sent(effects) == []
    assert [train.round for train in only(e.Train, effects)] == [3]


# ---------------------------------------------------------------------------------------------- a model of its own


def test_with_personalization_the_final_model_is_made_its_own_before_the_end() -> None:
    bench = Bench().settle()
    settings = {"epochs": 1, "fine_tune": 2}
    effects = bench.say(task(1, 1, "finish", settings=settings), "final")
    assert sent(effects) == [m.Goodbye(1, "done")]
    assert effects[-1] == e.Personalize(1, "final", settings)
    assert bench.tell(ev.LinkLost("coordinator", "gone")) == bench.say(m.Goodbye(1, "over")) == []
    effects = bench.tell(ev.Personalized(1, {"accuracy": 0.75}))
    reported = e.Publish("metric.personal", {"round": 1, "accuracy": 0.75})
    assert effects == [reported, e.Finish("completed")]


def test_where_personalization_fails_the_final_model_stays() -> None:
    bench = Bench().settle()
    bench.say(task(1, 1, "finish", settings={"ditto": 0.5}), "final")
    effects = bench.tell(ev.WorkFailed("personalize", 1, 0, "diverged"))
    assert effects[1:] == [e.LoadWeights("final"), e.Finish("completed")]
    assert "diverged" in only(e.Publish, effects)[0].fields["reason"]


def check_work_on_a_model_of_its_own_has_an_end() -> None:
    bench = Bench().settle()
    effects = bench.say(task(1, 1, "finish", settings={"fine_tune": 10**9}), "final")
    (timer,) = [effect for effect in effects if isinstance(effect, e.SetTimer) and effect.key[0] == "own"]
    assert timer.at == 100.0
    effects = bench.tell(ev.TimerFired(timer.key, timer.at), timer.at)
    assert e.CancelTraining() in effects
    assert not bench.state.finished, "it may still hand over what it has"
    assert only(e.Finish, bench.tell(ev.TimerFired(timer.key, 200.0), 200.0))[0].status == "failed"


def test_work_on_a_model_of_its_own_has_an_end() -> None:
    check_work_on_a_model_of_its_own_has_an_end()


def test_work_on_a_model_of_its_own_would_be_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Personalization, "_deadline", lambda self, now: [])
    with pytest.raises(ValueError, match="not enough values"):
        check_work_on_a_model_of_its_own_has_an_end()


def test_nobody_but_the_coordinator_gives_tasks() -> None:
    bench = Bench().settle()
    assert bench.tell(ev.Arrived("stranger", task(2), "w1")) == []


# ------------------------------------------------------- each bug that was, and a test that would fail if it were again


def check_a_task_held_up_on_its_way_abandons_nothing() -> None:
    bench = Bench().settle()
    bench.say(task(3), "w2")
    assert bench.say(task(2), "w1") == []
    assert sent(bench.trained(3))[0].round == 3


def test_a_task_held_up_on_its_way_abandons_nothing() -> None:
    check_a_task_held_up_on_its_way_abandons_nothing()


def test_a_task_held_up_would_abandon_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ClientMachine._task

    def _task(self: ClientMachine, new: Assignment, flaw: str | None, now: float) -> list[e.Effect]:
        self._newest = (-1, -1)
        return taken(self, new, flaw, now)

    monkeypatch.setattr(ClientMachine, "_task", _task)
    with pytest.raises(AssertionError):
        check_a_task_held_up_on_its_way_abandons_nothing()


def test_a_coordinator_that_starts_anew_counts_from_the_beginning() -> None:
    bench = Bench().settle()
    bench.tell(ev.LinkUp("coordinator", "coordinator", 2))
    assert only(e.Survey, bench.say(task(0, work="survey", payload=None)))


def check_a_task_that_was_overtaken_while_it_settled_is_not_trained() -> None:
    bench = Bench()
    bench.say(task(1, agreement={}), "w0")
    bench.say(task(2, agreement={}), "w1")
    effects = bench.tell(ev.ModelReady({}, MODEL, "init"))
    assert [train.round for train in only(e.Train, effects)] == [2]


def test_a_task_that_was_overtaken_while_it_settled_is_not_trained() -> None:
    check_a_task_that_was_overtaken_while_it_settled_is_not_trained()


def test_a_task_that_was_overtaken_would_be_trained_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = ClientMachine.handle

    def started(self: ClientMachine, event: ev.Event, now: float) -> list[e.Effect]:
        if isinstance(event, ev.ModelReady) and self.current:
            self.model = event
            return self._start(self.current, now)
        return handle(self, event, now)

    monkeypatch.setattr(ClientMachine, "handle", started)
    with pytest.raises(AssertionError):
        check_a_task_that_was_overtaken_while_it_settled_is_not_trained()


def check_what_nobody_would_count_is_not_sent() -> None:
    bench = Bench().settle()
    bench.say(task(2), "w1")
    bench.say(task(3), "w2")
    effects = bench.trained(2)  # it had ended before it could be abandoned
    assert sent(effects) == []
    assert [train.round for train in only(e.Train, effects)] == [3]


def test_what_nobody_would_count_is_not_sent() -> None:
    check_what_nobody_would_count_is_not_sent()


def test_what_nobody_would_count_would_be_sent_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = ClientMachine._trained

    def _trained(self: ClientMachine, event: ev.Trained, now: float) -> list[e.Effect]:
        waiting, self.pending = self.pending, None
        effects = trained(self, event, now)
        return effects + (self._begin(waiting, now) if waiting else [])

    monkeypatch.setattr(ClientMachine, "_trained", _trained)
    with pytest.raises(AssertionError):
        check_what_nobody_would_count_is_not_sent()


# -------------------------------------------------------------------------------------------------- a site's own choice


def a_client(**own: Any) -> Bench:
    bench = Bench()
    settings = {"epochs": 9, "local_steps": None, "batch_size": 64, "learning_rate": 0.5}
    bench.state.config = replace(bench.state.config, settings=settings, told=own)
    return bench


def test_it_trains_as_the_coordinator_says_and_says_what_it_was_told_otherwise() -> None:
    bench = a_client(epochs=9, batch_size=64)
    effects = bench.say(task(1, agreement={"columns": ["x"]}, settings={"epochs": 2, "local_steps": None}), "w0")
    (warning,) = [p.fields["reason"] for p in only(e.Publish, effects) if p.type == "warning"]
    assert "training.epochs = 9 (the coordinator's: 2) has no effect" in warning
    assert "batch_size" not in warning
    (train,) = only(e.Train, bench.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "init")))
    assert (train.settings["epochs"], train.settings["batch_size"], train.settings["learning_rate"]) == (2, 64, 0.5)
    bench.trained(1)
    assert not [p for p in only(e.Publish, bench.say(task(2), "w1")) if p.type == "warning"], "it is said once"


def test_what_its_owner_left_alone_is_overruled_without_a_word() -> None:
    effects = a_client().say(task(1, settings={"epochs": 2}), "w0")
    assert not [p for p in only(e.Publish, effects) if p.type == "warning"]


# ---------------------------------------------------------------------------------- what its site does not take part in


def limited(**allow: Any) -> Bench:
    bench = Bench()
    bench.state.config = replace(bench.state.config, policy=Policy(allow=AllowConfig(**allow), run="r"))
    return bench


def test_it_declines_by_the_key_of_its_sites_policy_and_says_so() -> None:
    bench = limited(strategies=("fedavg",))
    effects = bench.say(task(1, strategy="fedadam", agreement={"columns": ["x"]}), "w0")
    (declined,) = sent(effects)
    reason = "site.allow.strategies: found fedadam; allowed: fedavg"
    assert declined == m.Declined(1, 0, reason, "site.allow.strategies")
    (event,) = [each for each in only(e.Publish, effects) if each.type == "site.declined"]
    assert event.fields["subject"] == "coordinator"
    assert event.fields["key"] == "site.allow.strategies"
    assert only(e.ApplyAgreement, effects) == [], "nothing of what came is used"
    assert only(e.Train, effects) == []


def test_without_the_policy_it_would_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "of_task", lambda *_: None)
    bench = limited(strategies=("fedavg",))
    bench.say(task(1, strategy="fedadam", agreement={"columns": ["x"]}), "w0")
    assert only(e.Train, bench.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "init")))


def test_it_goes_on_with_what_its_site_allows() -> None:
    bench = limited(max_rounds=1).settle_with(rounds=1)
    assert isinstance(sent(bench.say(task(2, rounds=1), "w1"))[0], m.Declined)
    assert only(e.Finish, bench.say(task(3, work="finish"), "w2")) == [e.Finish("completed")]


def test_one_that_took_part_in_nothing_ends_with_the_reason() -> None:
    bench = limited(max_rounds=1)
    bench.say(task(0, work="survey", payload=None, rounds=9))
    (finish,) = only(e.Finish, bench.say(task(9, work="finish", agreement={"columns": ["x"]}), "w9"))
    assert finish.status == "failed"
    assert finish.reason.startswith(
        "this site took part in nothing: site.allow.max_rounds: found 9 rounds; allowed: 1 at most ("
    )
