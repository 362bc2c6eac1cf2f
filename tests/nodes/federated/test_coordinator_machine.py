"""The coordinator's decisions: events in, effects out, one assertion at a time."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.federated import round as one_round
from nervenet.nodes.federated.client_registry import ClientRegistry
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.run_state import RunState
from nervenet.nodes.federated.sync_rounds import SyncRounds
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
SURVEY = m.Payload(layout="survey", dtype="float64", length=9)
MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def bodies(effects: Iterable[e.Effect]) -> tuple[Any, ...]:
    """What is folded."""
    (fold,) = only(e.Fold, effects)
    return tuple(c.body for c in fold.contributions)


# ------------------------------------------------------------------------------------------------------ the undisturbed


def test_round_zero_begins_when_all_are_there_and_asks_for_surveys(coordinator: Any) -> None:
    harness = coordinator().gather()
    (sent,) = only(e.Send, harness.effects)
    assert sent.to == harness.names
    assert isinstance(sent.message, m.Task)
    assert (sent.message.round, sent.message.work, sent.message.payload, sent.body) == (0, "survey", None, None)
    assert ("join",) not in harness.timers


def test_surveys_are_settled_together_by_name(coordinator: Any) -> None:
    harness = coordinator().gather()
    for name in reversed(harness.names):
        effects = harness.say(name, m.Update(0, 0, 10, {}, {"of": name}, SURVEY), f"survey of {name}")
    (settle,) = only(e.ApplyAgreement, effects)
    assert dict(settle.surveys) == {name: ({"of": name}, f"survey of {name}") for name in harness.names}


def test_a_round_folds_by_examples_in_name_order_whoever_was_first(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.answer("client-2", examples=30, loss=3.0)
    harness.answer("client-0", examples=10, loss=1.0)
    effects = harness.answer("client-1", examples=20, loss=2.0)
    (fold,) = only(e.Fold, effects)
    assert (fold.round, fold.attempt, fold.body) == (1, 0, "w0")
    assert [(c.client, c.body, c.base, c.examples) for c in fold.contributions] == [
        ("client-0", "client-0 1.0", "w0", 10),
        ("client-1", "client-1 1.0", "w0", 20),
        ("client-2", "client-2 1.0", "w0", 30),
    ]
    harness.now = 3.0
    effects = harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.completed")[-1] == {
        "round": 1,
        "participants": list(harness.names),
        "closed_by": "all",
        "duration_s": 3.0,
        "waiting_s": 0.0,
        "folding_s": 3.0,
        "loss": pytest.approx(140 / 60),
    }
    assert only(e.Evaluate, effects) == [e.Evaluate(1, "test", "w1")]
    (sent,) = only(e.Send, effects)
    assert (sent.message.round, sent.body, sent.message.payload) == (2, "w1", MODEL)


def test_the_agreement_goes_only_to_those_who_do_not_hold_it(coordinator: Any) -> None:
    harness = coordinator().settle()
    first = only(e.Send, harness.effects)[-1]
    assert first.message.agreement == {"columns": ["x"]}
    harness.answer("client-0")
    harness.answer("client-1")
    harness.tell(ev.LinkUp("client-1", "client", 2))  # a new process knows nothing
    effects = [*harness.answer("client-2"), *harness.tell(ev.Folded(1, 0, "w1"))]
    with_agreement = {send.to: send.message.agreement is not None for send in only(e.Send, effects)}
    assert with_agreement == {("client-0", "client-2"): False, ("client-1",): True}


def test_the_last_round_hands_everybody_the_model_and_waits_for_its_evaluation(coordinator: Any) -> None:
    harness = coordinator(rounds=1).settle()
    effects = harness.train()
    (last,) = (send for send in only(e.Send, effects) if send.message.work == "finish")
    assert (last.to, last.body) == (harness.names, "w1")
    assert harness.finished() is None
    effects = harness.tell(ev.Evaluated(1, "test", {"accuracy": 0.5}))
    assert only(e.Completed, effects)[0].metrics == {"test": {"accuracy": 0.5}}
    assert harness.finished() == e.Finish("completed")
    assert harness.tell(ev.Started()) == [], "nothing more"


def test_a_share_of_the_clients_is_asked(coordinator: Any) -> None:
    harness = coordinator(4, participation=0.5).settle()
    asked = harness.published("round.started")[-1]["asked"]
    assert len(asked) == 2
    assert set(asked) < set(harness.names)


def test_a_quorum_closes_and_names_who_is_missing(coordinator: Any) -> None:
    harness = coordinator(4, quorum=0.75).settle()
    harness.answer("client-0")
    harness.answer("client-1")
    assert only(e.Fold, harness.answer("client-3"))
    harness.tell(ev.Folded(1, 0, "w1"))
    reported = harness.published("round.completed")[-1]
    assert reported["closed_by"] == "quorum"
    assert reported["missing"] == {"client-2": "no answer when the round closed by quorum"}


def test_sites_measure_the_last_model_and_the_worst_is_named(coordinator: Any) -> None:
    harness = coordinator(2, rounds=1, evaluate_test=False, evaluate_sites=True).settle()
    harness.train()
    task = only(e.Send, harness.effects)[-1].message
    assert (task.work, task.round) == ("evaluate", 1)
    for name, score, size in (("client-0", 0.9, 30.0), ("client-1", 0.5, 10.0)):
        metrics = {"holdout_accuracy": score, "holdout_examples": size}
        harness.say(name, m.Update(1, task.attempt, 10, metrics))
    reported = harness.published("metric.test")[-1]
    assert reported["accuracy"] == pytest.approx(0.8)
    assert reported["worst"] == {"site": "client-1", "accuracy": 0.5}
    assert reported["sites"] == 2
    assert reported["spread"] == {
        "accuracy": {"std": pytest.approx(0.2), "min": 0.5, "max": 0.9}
    }  # each site counts once
    assert harness.finished() == e.Finish("completed")


# ------------------------------------------------------------------------------------------------------------- refusals

NAN = "values must be finite, found NaN or infinity"


@pytest.mark.parametrize(
    ("change", "flaw", "code", "words"),
    [
        ({"examples": 0}, None, "examples", "examples must be at least 1, found 0"),
        ({}, NAN, "values", NAN),
        ({"payload": None}, None, "payload", "a train answer must carry a payload, found none"),
        ({"payload": m.Payload("beef", "float32", 5)}, None, "layout", "layout must be a1b2, found beef"),
        ({"payload": m.Payload("a1b2", "float64", 5)}, None, "dtype", "dtype must be float32, found float64"),
        ({"payload": m.Payload("a1b2", "float32", 4)}, None, "length", "length must be 5, found 4"),
    ],
)
def test_a_wrong_update_is_refused_with_its_reason_and_the_round_goes_on(
    coordinator: Any, change: dict[str, Any], flaw: str | None, code: str, words: str
) -> None:
    harness = coordinator().settle()
    fields = {"round": 1, "attempt": 0, "examples": 10, "metrics": {}, "fields": None, "payload": MODEL} | change
    effects = harness.say("client-1", m.Update(**fields), "bad", flaw)
    (refusal,) = only(e.Send, effects)
    assert refusal.to == ("client-1",)
    assert isinstance(refusal.message, m.Refused)
    assert (refusal.message.about, refusal.message.round, refusal.message.code) == ("update", 1, code)
    assert refusal.message.reason == words
    assert code in m.CODES
    assert harness.published("update.rejected") == [{"subject": "client-1", "round": 1, "reason": words}]
    harness.answer("client-0")
    assert "bad" not in bodies(harness.answer("client-2"))
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.completed")[-1]["missing"] == {"client-1": f"rejected: {words}"}


def test_a_client_may_mend_a_refused_answer(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.say("client-1", m.Update(1, 0, 0, {}, None, MODEL), "bad")
    harness.answer("client-1")
    harness.answer("client-0")
    assert bodies(harness.answer("client-2")) == ("client-0 1.0", "client-1 1.0", "client-2 1.0")


def refusal_of(effects: list[e.Effect]) -> tuple[str, str]:
    (send,) = only(e.Send, effects)
    assert isinstance(send.message, m.Refused)
    assert send.message.code in m.CODES
    return send.message.code, send.message.reason


def test_a_second_answer_is_refused_and_the_first_counts_once(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.answer("client-0")
    assert refusal_of(harness.answer("client-0")) == ("duplicate", "client-0 has answered round 1 already")
    harness.answer("client-1")
    assert len(bodies(harness.answer("client-2"))) == 3


def test_an_answer_for_a_closed_round_is_refused_by_name(coordinator: Any) -> None:
    harness = coordinator(3, rounds=5, quorum=0.6).settle()
    harness.answer("client-0")
    harness.answer("client-1")
    closed = "round 1, attempt 0 is closed; no round is open"
    assert refusal_of(harness.answer("client-1")) == ("stale", closed), "while the fold runs"
    harness.tell(ev.Folded(1, 0, "w1"))
    assert refusal_of(harness.answer("client-1")) == ("stale", "round 1, attempt 0 is closed; round 2 is open")
    assert refusal_of(harness.answer("client-2", 4)) == ("stale", "round 4, attempt 0 is closed; round 2 is open")


def test_an_answer_of_an_earlier_attempt_does_not_count(coordinator: Any) -> None:
    harness = coordinator(2, deadline_s=5.0, suspect_after_s=60.0).settle()
    harness.until(5.0, beating=harness.names)
    assert [reported["attempt"] for reported in harness.published("round.started")] == [0, 0, 1]
    assert harness.answer("client-0", 1, 0) == [], "late"
    assert refusal_of(harness.answer("client-0", 1, 0))[0] == "stale"
    assert only(e.Send, harness.answer("client-0", 1, 1)) == []


def test_an_uninvited_answer_is_refused(coordinator: Any) -> None:
    harness = coordinator(4, participation=0.5).settle()
    asked = harness.published("round.started")[-1]["asked"]
    outsider = next(name for name in harness.names if name not in asked)
    assert refusal_of(harness.answer(outsider)) == ("uninvited", f"{outsider} was not asked in round 1")


def test_something_unreadable_is_reported_and_the_round_goes_on(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.tell(ev.MalformedMessage("client-0", "header: not a map"))
    assert harness.published("update.rejected") == [{"subject": "client-0", "round": 1, "reason": "header: not a map"}]
    harness.train()
    assert harness.state.run.completed == 1


# -------------------------------------------------------------------------------------------------- silence and failure


def test_a_closed_connection_excuses_at_once(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.answer("client-0")
    harness.answer("client-2")
    effects = harness.tell(ev.LinkLost("client-1", "the connection of client-1 has ended"))
    assert bodies(effects) == ("client-0 1.0", "client-2 1.0")
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.completed")[-1]["missing"] == {"client-1": "the connection of client-1 has ended"}
    assert harness.published("round.started")[-1]["asked"] == ["client-0", "client-2"]


def test_silence_excuses_after_the_limit_and_the_round_closes_with_the_others(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.answer("client-0")
    harness.answer("client-2")
    effects = harness.until(3.0, beating=("client-0", "client-2"))
    assert bodies(effects) == ("client-0 1.0", "client-2 1.0")
    assert harness.published("node.suspect") == [{"subject": "client-1", "reason": "silent for 2.0 s"}]


def test_one_given_up_who_answers_in_time_after_all_counts(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.tell(ev.LinkLost("client-1", "cut"))
    harness.answer("client-1")
    harness.answer("client-0")
    assert len(bodies(harness.answer("client-2"))) == 3


def test_who_is_back_is_asked_in_the_next_round(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.tell(ev.LinkLost("client-1", "cut"))
    harness.answer("client-0")
    harness.answer("client-2")
    harness.tell(ev.LinkUp("client-1", "client", 2))
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.started")[-1]["asked"] == list(harness.names)


def asked_while_cut_off(harness: Any) -> list[str]:
    """Who is asked when one whose connection has ended is still heard: of what was on its way, by the other lane."""
    harness.tell(ev.LinkLost("client-1", "cut"))
    harness.answer("client-0")
    harness.answer("client-2")
    harness.say("client-1", m.Heartbeat(round=1, state="training", sending=()))
    harness.tell(ev.Folded(1, 0, "w1"))
    return list(harness.published("round.started")[-1]["asked"])


def test_who_is_heard_without_a_connection_is_not_asked(coordinator: Any) -> None:
    assert asked_while_cut_off(coordinator().settle()) == ["client-0", "client-2"]


def test_otherwise_a_task_would_go_to_whom_nothing_can_be_sent(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClientRegistry, "cut", lambda *_: None)
    assert asked_while_cut_off(coordinator().settle()) == ["client-0", "client-1", "client-2"]


def test_a_late_joiner_is_asked_in_the_next_round(coordinator: Any) -> None:
    harness = coordinator(rounds=3).settle()
    harness.tell(ev.LinkUp("late", "client", 1))
    harness.say("late", m.Ready(examples=4, pid=9))
    harness.train()
    assert harness.published("round.started")[-1]["asked"] == [*harness.names, "late"]


def test_a_hanging_training_is_ended_by_the_deadline_and_named(coordinator: Any) -> None:
    harness = coordinator(deadline_s=10.0).settle()
    harness.answer("client-0")
    harness.answer("client-2")
    effects = harness.until(10.0, beating=harness.names)
    assert len(bodies(effects)) == 2
    harness.tell(ev.Folded(1, 0, "w1"))
    reported = harness.published("round.completed")[-1]
    assert reported["closed_by"] == "deadline"
    assert reported["missing"] == {"client-1": "no answer within 10 s (last heard: train for 9.9 s)"}


def test_three_failures_in_a_row_end_the_run_with_the_reasons(coordinator: Any) -> None:
    harness = coordinator(deadline_s=10.0).settle()
    harness.until(30.0, beating=harness.names)
    failed = harness.published("round.failed")
    assert [(reported["round"], reported["attempt"]) for reported in failed] == [(1, 0), (1, 1), (1, 2)]
    ended = harness.finished()
    assert ended is not None
    assert ended.status == "failed"
    assert ended.reason.startswith("round 1 failed 3 times in a row: 0 of at least 2 clients answered within 10 s")
    assert all(f"{name}: no answer within 10 s" in ended.reason for name in harness.names)
    goodbye = only(e.Send, harness.effects)[-1]
    assert isinstance(goodbye.message, m.Goodbye)
    assert goodbye.to == harness.names


def test_when_all_decline_nobody_waits_for_the_deadline(coordinator: Any) -> None:
    harness = coordinator(2).settle()
    for attempt in range(3):
        for name in harness.names:
            harness.say(name, m.Declined(1, attempt, "no memory"))
    ended = harness.finished()
    assert ended is not None
    assert "client-1: declined: no memory" in ended.reason


def test_too_few_at_the_join_deadline_end_the_run_by_name(coordinator: Any) -> None:
    harness = coordinator(4)
    harness.tell(ev.Started())
    harness.tell(ev.LinkUp("client-0", "client", 1))
    harness.say("client-0", m.Ready(examples=10, pid=1))
    harness.until(30.0, beating=("client-0",))
    ended = harness.finished()
    assert ended is not None
    assert ended.reason == (
        "1 of at least 2 clients (federated.min_clients) were ready within 30 s (network.join_deadline_s); "
        "still missing: client-1, client-2, client-3"
    )


def test_enough_at_the_join_deadline_begin_without_the_rest(coordinator: Any) -> None:
    harness = coordinator(3)
    harness.tell(ev.Started())
    for name in harness.names[:2]:
        harness.tell(ev.LinkUp(name, "client", 1))
        harness.say(name, m.Ready(examples=10, pid=1))
    harness.until(30.0, beating=harness.names[:2])
    assert harness.published("round.started")[0]["asked"] == ["client-0", "client-1"]


def test_one_who_leaves_is_named_and_not_waited_for(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.answer("client-0")
    harness.answer("client-1")
    assert only(e.Fold, harness.say("client-2", m.Goodbye(0, "maintenance")))
    assert harness.published("node.lost") == [{"subject": "client-2", "reason": "left: maintenance"}]


def test_an_unreachable_client_is_excused(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.answer("client-0")
    harness.answer("client-1")
    assert only(e.Fold, harness.tell(ev.SendFailed("client-2", "task", 1, "no connection")))


def test_a_transfer_on_its_way_extends_the_deadline_but_not_forever(coordinator: Any) -> None:
    harness = coordinator(2, deadline_s=1.0, suspect_after_s=1000.0).settle()
    harness.answer("client-0")
    found: list[e.Effect] = []
    for step in range(1, 40):
        harness.say("client-1", m.Heartbeat(round=1, state="sending", sending=(1,)))
        found += harness.until(step * 0.5)
        if only(e.Publish, found) and harness.published("round.failed"):
            break
    assert 10.0 <= harness.now <= 11.0
    assert "client-1" in harness.published("round.failed")[0]["reason"]


def test_a_fold_that_fails_fails_the_round_by_name(coordinator: Any) -> None:
    harness = coordinator().settle()
    for name in harness.names:
        harness.answer(name)
    harness.tell(ev.WorkFailed("fold", 1, 0, "ArithmeticError: the average must be finite"))
    assert "the average must be finite" in harness.published("round.failed")[0]["reason"]
    assert harness.published("round.started")[-1]["attempt"] == 1


def test_an_evaluation_that_fails_is_a_warning(coordinator: Any) -> None:
    harness = coordinator(rounds=1).settle()
    harness.train()
    harness.tell(ev.WorkFailed("evaluate", 1, 0, "ValueError: no"))
    assert harness.published("warning") == [{"reason": "evaluation of round 1 failed: ValueError: no"}]
    assert harness.finished() == e.Finish("completed")


# ------------------------------------------------------- each bug that was, and a test that would fail if it were again


def check_a_late_update_does_not_pass_for_an_evaluation(coordinator: Any) -> None:
    harness = coordinator(4, rounds=1, quorum=0.75, evaluate_test=False, evaluate_sites=True).settle()
    for name in harness.names[:3]:
        harness.answer(name)
    harness.tell(ev.Folded(1, 0, "w1"))
    task = only(e.Send, harness.effects)[-1].message
    assert task.work == "evaluate"
    harness.answer("client-3", holdout_accuracy=0.1, holdout_examples=50.0)
    for name in harness.names[:3]:
        harness.say(name, m.Update(1, task.attempt, 10, {"holdout_accuracy": 0.9, "holdout_examples": 10.0}))
    harness.say("client-3", m.Declined(1, task.attempt, "no hold-out"))
    assert harness.published("metric.test")[-1]["accuracy"] == pytest.approx(0.9)


def test_a_late_update_does_not_pass_for_an_evaluation(coordinator: Any) -> None:
    check_a_late_update_does_not_pass_for_an_evaluation(coordinator)


def test_a_late_update_would_pass_if_both_were_one_attempt(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = SyncRounds.open

    def same_attempt(
        self: SyncRounds, number: int, attempt: int, now: float, work: m.TaskKind | None = None
    ) -> list[e.Effect]:
        return opened(self, number, 0 if work == "evaluate" else attempt, now, work)

    monkeypatch.setattr(SyncRounds, "open", same_attempt)
    with pytest.raises(AssertionError):
        check_a_late_update_does_not_pass_for_an_evaluation(coordinator)


def check_failures_of_round_zero_are_forgotten_when_it_is_over(coordinator: Any) -> None:
    harness = coordinator(2, deadline_s=5.0, suspect_after_s=60.0).gather()
    harness.until(10.0, beating=harness.names)
    for name in harness.names:
        harness.say(name, m.Update(0, 2, 10, {}, {}, SURVEY), "survey")
    harness.tell(ev.ModelReady({}, MODEL, "w0"))
    harness.until(15.0, beating=harness.names)
    assert harness.published("round.failed")[-1]["round"] == 1
    assert harness.finished() is None


def test_cautions_of_round_zero_are_published(coordinator: Any) -> None:
    harness = coordinator(2).gather()
    for name in harness.names:
        harness.say(name, m.Update(0, 0, 10, {}, {}, SURVEY), "survey")
    harness.tell(ev.ModelReady({}, MODEL, "w0", cautions=("nobody has all classes",)))
    assert harness.published("warning")[-1] == {"reason": "nobody has all classes"}


def test_failures_of_round_zero_are_forgotten_when_it_is_over(coordinator: Any) -> None:
    check_failures_of_round_zero_are_forgotten_when_it_is_over(coordinator)


def test_failures_of_round_zero_would_count_against_round_one(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_model = RunState.update_model

    def resentful(self: RunState, event: ev.ModelReady | ev.Folded, number: int) -> None:
        failures = self.failures
        update_model(self, event, number)
        self.failures = failures

    monkeypatch.setattr(RunState, "update_model", resentful)
    with pytest.raises(AssertionError):
        check_failures_of_round_zero_are_forgotten_when_it_is_over(coordinator)


def check_a_shaky_connection_while_gathering_does_not_end_the_run(coordinator: Any) -> None:
    harness = coordinator(2)
    harness.tell(ev.Started())
    harness.tell(ev.LinkUp("client-0", "client", 1))
    harness.say("client-0", m.Ready(examples=10, pid=1))
    harness.tell(ev.LinkLost("client-0", "cut"))
    harness.tell(ev.LinkUp("client-1", "client", 1))
    harness.say("client-1", m.Ready(examples=10, pid=1))
    assert harness.finished() is None
    harness.tell(ev.LinkUp("client-0", "client", 1))
    assert harness.published("round.started")[0]["asked"] == ["client-0", "client-1"]


def test_a_shaky_connection_while_gathering_does_not_end_the_run(coordinator: Any) -> None:
    check_a_shaky_connection_while_gathering_does_not_end_the_run(coordinator)


def test_a_shaky_connection_would_end_the_run_if_every_look_were_the_last(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = CoordinatorMachine._begin_if_gathered

    def hasty(self: CoordinatorMachine, now: float, *, at_deadline: bool = False) -> list[e.Effect]:
        absent = any(name not in self.run.registry for name in self.run.config.clients)
        return begin(self, now, at_deadline=at_deadline or not absent)

    monkeypatch.setattr(CoordinatorMachine, "_begin_if_gathered", hasty)
    with pytest.raises(AssertionError):
        check_a_shaky_connection_while_gathering_does_not_end_the_run(coordinator)


def check_one_heard_again_keeps_the_round_open(coordinator: Any) -> None:
    harness = coordinator(2).settle()
    harness.until(2.0, beating=("client-1",))
    assert harness.published("node.suspect")[0]["subject"] == "client-0"
    harness.say("client-0", m.Heartbeat(round=1, state="train for 2.1 s", sending=()))
    harness.answer("client-1")
    assert harness.published("round.failed") == []
    assert only(e.Fold, harness.answer("client-0"))


def test_one_heard_again_keeps_the_round_open(coordinator: Any) -> None:
    check_one_heard_again_keeps_the_round_open(coordinator)


def test_one_heard_again_would_be_given_up_by_looking_at_suspects_only(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_suspects(self: SyncRounds) -> bool:
        assert self.run.round is not None
        return any(name in self.run.registry.liveness.suspects for name in self.run.round.excused)

    monkeypatch.setattr(SyncRounds, "_could_recover", only_suspects)
    with pytest.raises(AssertionError):
        check_one_heard_again_keeps_the_round_open(coordinator)


def check_a_transfer_that_has_left_extends_nothing(coordinator: Any) -> None:
    harness = coordinator(2, deadline_s=1.0, suspect_after_s=1000.0).settle()
    harness.answer("client-0")
    harness.tell(ev.StillSending("client-1", (1,)))  # said once; by the next pulse it has left
    harness.until(1.5)
    assert len(harness.published("round.failed")) == 1


def test_a_transfer_that_has_left_extends_nothing(coordinator: Any) -> None:
    check_a_transfer_that_has_left_extends_nothing(coordinator)


def test_a_transfer_that_has_left_would_extend_ten_deadlines(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unforgetting(dict[str, tuple[int, ...]]):
        def clear(self) -> None:
            pass

    def started(self: CoordinatorMachine, event: ev.Event, now: float) -> list[e.Effect]:
        if not isinstance(self.run.registry.outgoing, Unforgetting):
            self.run.registry.outgoing = Unforgetting()
        return handle(self, event, now)

    handle = CoordinatorMachine.handle
    monkeypatch.setattr(CoordinatorMachine, "handle", started)
    with pytest.raises(AssertionError):
        check_a_transfer_that_has_left_extends_nothing(coordinator)


def check_a_lost_heartbeat_excuses_nobody(coordinator: Any) -> None:
    harness = coordinator(2).settle()
    harness.tell(ev.SendFailed("client-1", "heartbeat", 1, "slow"))
    assert harness.answer("client-0") == []


def test_a_lost_heartbeat_excuses_nobody(coordinator: Any) -> None:
    check_a_lost_heartbeat_excuses_nobody(coordinator)


def test_a_lost_heartbeat_would_excuse_if_any_message_did(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = CoordinatorMachine.handle

    def any_message(self: CoordinatorMachine, event: ev.Event, now: float) -> list[e.Effect]:
        if isinstance(event, ev.SendFailed):
            event = ev.SendFailed(event.peer, "task", event.round, event.reason)
        return handle(self, event, now)

    monkeypatch.setattr(CoordinatorMachine, "handle", any_message)
    with pytest.raises(AssertionError):
        check_a_lost_heartbeat_excuses_nobody(coordinator)


def check_sizes_that_are_no_numbers_harm_nobody(coordinator: Any) -> None:
    harness = coordinator(3, evaluate_sites=True).settle()
    harness.train()
    harness.answer("client-0", 2, holdout_accuracy=0.5, holdout_examples=float("nan"))
    harness.answer("client-1", 2, holdout_accuracy=0.5, holdout_examples=float("inf"))
    harness.answer("client-2", 2, holdout_accuracy=0.75, holdout_examples=8.0)
    harness.tell(ev.Folded(2, 0, "w2"))
    assert harness.published("metric.sites")[-1]["accuracy"] == 0.75


def test_sizes_that_are_no_numbers_harm_nobody(coordinator: Any) -> None:
    check_sizes_that_are_no_numbers_harm_nobody(coordinator)


def test_sizes_that_are_no_numbers_would_end_the_coordinator(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def site_metrics(admitted: dict[str, Any], ratio: float) -> dict[str, Any]:
        return {"examples": sum(int(a.metrics.get("holdout_examples", 0)) for a in admitted.values())}

    monkeypatch.setattr("nervenet.nodes.federated.evaluation.site_metrics", site_metrics)
    with pytest.raises(ValueError, match="NaN"):
        check_sizes_that_are_no_numbers_harm_nobody(coordinator)


def check_the_round_fails_as_soon_as_the_missing_are_lost(coordinator: Any) -> None:
    harness = coordinator(2).settle()
    harness.answer("client-0")
    harness.tell(ev.LinkLost("client-1", "killed"))
    harness.until(11.0, beating=("client-0",))
    assert "client-1: killed" in harness.published("round.failed")[0]["reason"]
    assert harness.state.run.status == "waiting", "for another: one alone is no federation"


def test_the_round_fails_as_soon_as_the_missing_are_lost(coordinator: Any) -> None:
    check_the_round_fails_as_soon_as_the_missing_are_lost(coordinator)


def test_the_round_would_wait_for_the_lost_until_the_deadline(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SyncRounds, "_could_recover", lambda self: bool(self.run.round and self.run.round.silent))
    with pytest.raises(IndexError):
        check_the_round_fails_as_soon_as_the_missing_are_lost(coordinator)


def test_figures_over_sites_leave_out_what_nobody_can_average() -> None:
    assert one_round.site_metrics({}) == {}
    assert one_round.weighted_loss({}) is None


# ------------------------------------------------------------------------------------------ sites that do not take part


def test_what_a_site_declines_by_its_policy_is_published_once_by_its_key(coordinator: Any) -> None:
    harness = coordinator(3, rounds=3).settle()
    key = "site.allow.max_rounds"
    for number in (1, 2):
        harness.say("client-0", m.Declined(number, 0, f"{key}: found 50 rounds", key))
        for name in harness.names[1:]:
            harness.answer(name, number, 0)
        harness.tell(ev.Folded(number, 0, f"w{number}"))
    (event,) = harness.published("site.declined")
    assert event == {"subject": "client-0", "round": 1, "key": key, "reason": f"{key}: found 50 rounds"}
    completed = [each for each in harness.published("round.completed") if each["round"]]
    assert [each["missing"] for each in completed] == [{"client-0": f"declined: {key}: found 50 rounds"}] * 2


def test_what_a_client_cannot_do_is_no_matter_of_policy(coordinator: Any) -> None:
    harness = coordinator(3).settle()
    harness.say("client-0", m.Declined(1, 0, "no memory"))
    assert harness.published("site.declined") == []


def test_tasks_name_the_strategy_and_how_many_are_asked(coordinator: Any) -> None:
    harness = coordinator(3).settle()
    tasks = [each.message for each in only(e.Send, harness.effects) if isinstance(each.message, m.Task)]
    assert {(task.strategy, task.clients) for task in tasks} == {("fedavg", 3)}
