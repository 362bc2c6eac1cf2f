"""Round 0 of several questions at a coordinator: all sites answer each, or the dialog starts again without some."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from coordinator_by_hand import MODEL, SURVEY, ByHand
from federated_config import coordinator_config
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from nervenet.broker import messages as m
from nervenet.nodes.federated.coordinator_machine import FAILURES_IN_A_ROW, CoordinatorMachine
from nervenet.nodes.federated.sync_rounds import SyncRounds
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
QUESTIONS = ({}, {"ask": "spread"}, {"ask": "median"})


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def answer(harness: Any, name: str, attempt: int, **fields: Any) -> list[e.Effect]:
    update = m.Update(0, attempt, 10, {}, {"of": name}, SURVEY)
    return list(harness.say(name, update, f"{name} {attempt}", **fields))


def answers(harness: Any, attempt: int, names: Iterable[str] | None = None) -> list[e.Effect]:
    return [effect for name in names or harness.names for effect in answer(harness, name, attempt)]


def ask(harness: Any, step: int) -> list[e.Effect]:
    return list(harness.tell(ev.NextQuestion(step, QUESTIONS[step])))


def tasks(effects: Iterable[e.Effect]) -> list[tuple[Any, int, Any]]:
    """To whom, as which attempt, with which question."""
    return [(s.to, s.message.attempt, s.message.question) for s in only(e.Send, effects) if s.message == s.message]


def at_question(harness: Any, step: int) -> list[e.Effect]:
    """Go on until a question is open; return what was wanted when it was asked."""
    effects: list[e.Effect] = harness.gather().effects
    for k in range(step):
        answers(harness, k)
        effects = ask(harness, k + 1)
    return effects


def settled(harness: Any, effects: Iterable[e.Effect]) -> list[e.Effect]:
    assert only(e.ApplyAgreement, effects)
    return list(harness.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0")))


# ------------------------------------------------------------------------------------------------------ the undisturbed


def test_question_0_has_no_question_on_the_wire_and_each_further_one_is_an_attempt_of_its_own(coordinator: Any) -> None:
    harness = coordinator()
    assert tasks(at_question(harness, 0)) == [(harness.names, 0, UNSET)]
    answers(harness, 0)
    assert tasks(ask(harness, 1)) == [(harness.names, 1, {"ask": "spread"})]
    answers(harness, 1)
    assert tasks(ask(harness, 2)) == [(harness.names, 2, {"ask": "median"})]


def test_all_answers_to_a_question_go_to_the_dialog_together_and_rows_only_with_the_first(coordinator: Any) -> None:
    harness = coordinator()
    for step in range(3):
        if step:
            ask(harness, step)
        else:
            harness.gather()
        (agree,) = only(e.ApplyAgreement, answers(harness, step))
        assert agree.step == step
        assert dict(agree.surveys) == {name: ({"of": name}, f"{name} {step}") for name in harness.names}
        assert dict(agree.rows) == (dict.fromkeys(harness.names, 10) if step == 0 else {})


def test_round_0_is_complete_once_with_all_its_questions(coordinator: Any) -> None:
    harness = coordinator()
    at_question(harness, 2)
    harness.now = 7.0
    settled(harness, answers(harness, 2))
    (completed,) = harness.published("round.completed")
    assert completed["participants"] == list(harness.names)
    assert completed["duration_s"] == 7.0
    assert [fields["round"] for fields in harness.published("round.started")] == [0, 1]
    assert harness.state.run.round.number == 1


@given(st.permutations(["client-0", "client-1", "client-2"]), st.permutations(["client-0", "client-1", "client-2"]))
def test_the_order_of_answers_does_not_matter(first: list[str], second: list[str]) -> None:

    names = ("client-0", "client-1", "client-2")
    harness = ByHand(names, CoordinatorMachine(coordinator_config(names))).gather()
    answers(harness, 0, first)
    ask(harness, 1)
    (agree,) = only(e.ApplyAgreement, answers(harness, 1, second))
    assert list(agree.surveys) == list(names)


# ---------------------------------------------------------------------------------------------------- answers in time


def test_an_answer_to_another_question_does_not_count(coordinator: Any) -> None:
    harness = coordinator()
    at_question(harness, 1)
    answers(harness, 1, harness.names[:2])
    effects = answer(harness, "client-2", 0)
    assert only(e.ApplyAgreement, effects) == []
    assert only(e.Send, effects)[0].message.code == "stale"
    assert only(e.ApplyAgreement, answer(harness, "client-2", 1))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (m.Payload("survey", "float32", 9), "dtype"),
        (m.Payload("other", "float64", 9), "layout"),
        (m.Payload("survey", "float64", 2**24 + 1), "length"),
        (m.Payload("survey", "uint8", 9, "delta+int8"), "payload"),
        (m.Payload("survey", "float64", 9, parts=("weights", "more")), "payload"),
    ],
)
def test_an_answer_that_cannot_be_one_is_refused(coordinator: Any, payload: m.Payload, code: str) -> None:
    harness = coordinator()
    at_question(harness, 1)
    effects = harness.say("client-0", m.Update(0, 1, 10, {}, {}, payload), "b")
    assert only(e.Send, effects)[0].message.code == code


# ------------------------------------------------------------------------------------------------- one that is missing


def check_the_dialog_starts_again(harness: Any, effects: list[e.Effect], *, attempt: int, of: Iterable[str]) -> None:
    (task,) = [s for s in only(e.Send, effects) if isinstance(s.message, m.Task)]
    assert (tuple(task.to), task.message.attempt, task.message.question) == (tuple(of), attempt, UNSET)
    answers(harness, attempt, of)
    assert tasks(ask(harness, 1)) == [(tuple(of), attempt + 1, {"ask": "spread"})]
    answers(harness, attempt + 1, of)
    settled(harness, [effect for effect in harness.effects if isinstance(effect, e.ApplyAgreement)])
    assert harness.published("round.completed")[-1]["participants"] == list(of)


def test_without_a_site_that_declines_the_dialog_starts_again_and_says_why(coordinator: Any) -> None:
    harness = coordinator(4)
    at_question(harness, 2)
    answer(harness, "client-0", 2)
    effects = harness.say("client-2", m.Declined(0, 2, "survey failed: no such column"))
    (failed,) = harness.published("round.failed")
    assert failed["attempt"] == 2
    assert failed["reason"] == (
        "question 2: 1 of 4 sites answered, and all must; client-2: declined: survey failed: no such column"
    )
    check_the_dialog_starts_again(harness, effects, attempt=3, of=["client-0", "client-1", "client-3"])


def test_without_a_site_whose_answer_is_refused_it_starts_again(coordinator: Any) -> None:
    harness = coordinator(3)
    at_question(harness, 1)
    effects = answer(harness, "client-1", 1, flaw="values must be finite, found NaN or infinity")
    assert "client-1: rejected: values must be finite" in harness.published("round.failed")[0]["reason"]
    tasks_only = [s for s in effects if not (isinstance(s, e.Send) and isinstance(s.message, m.Refused))]
    check_the_dialog_starts_again(harness, tasks_only, attempt=2, of=["client-0", "client-2"])


def test_without_a_site_that_leaves_it_starts_again(coordinator: Any) -> None:
    harness = coordinator(3)
    at_question(harness, 1)
    effects = harness.say("client-1", m.Goodbye(0, "interrupted"))
    assert "client-1: left: interrupted" in harness.published("round.failed")[0]["reason"]
    check_the_dialog_starts_again(harness, effects, attempt=2, of=["client-0", "client-2"])


def test_without_a_site_that_left_while_the_question_was_made_it_starts_again(coordinator: Any) -> None:
    harness = coordinator(3).gather()
    answers(harness, 0)
    harness.say("client-1", m.Goodbye(0, "interrupted"))
    effects = ask(harness, 1)
    assert "client-1: left" in harness.published("round.failed")[0]["reason"]
    restarted = [s for s in only(e.Send, effects) if s.message.question is UNSET]
    check_the_dialog_starts_again(harness, list(restarted), attempt=2, of=["client-0", "client-2"])


def test_without_a_site_that_does_not_answer_in_time_it_starts_again(coordinator: Any) -> None:
    harness = coordinator(3, deadline_s=5.0)
    at_question(harness, 1)
    answers(harness, 1, ["client-0", "client-2"])
    effects = harness.until(5.0, beating=harness.names)
    reason = harness.published("round.failed")[0]["reason"]
    assert reason.startswith("question 1: 2 of at least 3 clients answered within 5 s; client-1: no answer within 5 s")
    check_the_dialog_starts_again(harness, effects, attempt=2, of=["client-0", "client-2"])


def check_a_dead_site_is_waited_for_until_it_is_lost(harness: Any) -> None:
    at_question(harness, 1)
    answers(harness, 1, ["client-0"])
    harness.tell(ev.LinkLost("client-1", "the connection has closed"))
    assert harness.published("round.failed") == [], "it may come back"
    effects = harness.until(11.0, beating=["client-0", "client-2"])
    (failed,) = harness.published("round.failed")
    assert failed["reason"].endswith("client-1: the connection has closed")
    check_the_dialog_starts_again(harness, effects, attempt=2, of=["client-0", "client-2"])


def test_a_dead_site_is_waited_for_until_it_is_lost(coordinator: Any) -> None:
    check_a_dead_site_is_waited_for_until_it_is_lost(coordinator(3, deadline_s=60.0, lost_after_s=10.0))


def test_a_dead_site_would_be_waited_for_until_the_deadline(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyncRounds, "_cannot_go_on", lambda self, current: False)
    with pytest.raises(ValueError, match="not enough values to unpack"):
        check_a_dead_site_is_waited_for_until_it_is_lost(coordinator(3, deadline_s=60.0, lost_after_s=10.0))


def test_with_too_few_left_it_waits_for_more_and_the_run_fails_by_name(coordinator: Any) -> None:
    harness = coordinator(2, deadline_s=60.0, lost_after_s=10.0, wait_deadline_s=20.0)
    at_question(harness, 1)
    harness.tell(ev.LinkLost("client-1", "the connection has closed"))
    harness.until(100.0, beating=["client-0"])
    finish = harness.finished()
    assert finish is not None
    assert finish.status == "failed"
    assert "round 0 waited 20 s for clients: 1 of at least 2 are there; missing: client-1" in finish.reason


def test_a_site_that_is_left_out_is_asked_again_where_the_others_are_too_few(coordinator: Any) -> None:
    harness = coordinator(2)
    at_question(harness, 1)
    effects = harness.say("client-1", m.Declined(0, 1, "no"))
    assert tasks(effects) == [(harness.names, 2, UNSET)]


def test_the_run_fails_when_the_dialog_has_started_again_too_often(coordinator: Any) -> None:
    harness = coordinator(2).gather()
    for attempt in range(0, 2 * FAILURES_IN_A_ROW, 2):
        answers(harness, attempt)
        ask(harness, 1)
        harness.say("client-1", m.Declined(0, attempt + 1, "no"))
    finish = harness.finished()
    assert finish is not None
    assert finish.reason == (
        "round 0 failed 3 times in a row: question 1: 0 of 2 sites answered, and all must; client-1: declined: no"
        " (docs/errors.md#rounds-failed)"
    )


# ------------------------------------------------------------------------------------------------------- who comes back


def test_a_site_that_comes_back_is_asked_the_open_question_again(coordinator: Any) -> None:
    harness = coordinator(3)
    at_question(harness, 1)
    answers(harness, 1, ["client-0", "client-2"])
    harness.tell(ev.LinkLost("client-1", "the connection has closed"))
    effects = harness.join("client-1")
    assert tasks(effects) == [(("client-1",), 1, {"ask": "spread"})]
    assert only(e.ApplyAgreement, answer(harness, "client-1", 1))


def check_a_new_process_goes_on_with_the_open_question(harness: Any) -> None:
    at_question(harness, 1)
    answers(harness, 1, ["client-0", "client-2"])
    harness.tell(ev.LinkUp("client-1", "client", 2))
    assert harness.published("round.failed") == []
    effects = harness.say("client-1", m.Ready(examples=1000, pid=2))
    assert tasks(effects) == [(("client-1",), 1, {"ask": "spread"})]
    assert only(e.ApplyAgreement, answer(harness, "client-1", 1))


def test_a_new_process_goes_on_with_the_open_question(coordinator: Any) -> None:
    check_a_new_process_goes_on_with_the_open_question(coordinator(3))


def test_a_new_process_would_make_the_dialog_start_again(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.nodes.federated.run_state import RunState

    monkeypatch.setattr(RunState, "inquiring", False)
    with pytest.raises(AssertionError):
        check_a_new_process_goes_on_with_the_open_question(coordinator(3))


def test_a_new_process_with_other_rows_makes_it_start_again(coordinator: Any) -> None:
    harness = coordinator(3)
    at_question(harness, 1)
    harness.tell(ev.LinkUp("client-1", "client", 2))
    harness.say("client-1", m.Ready(examples=900, pid=2))
    assert (
        "client-1: came back with 900 rows; it answered with 1000 before"
        in harness.published("round.failed")[0]["reason"]
    )


def test_one_that_enrolls_during_round_0_is_asked_from_round_1_on(coordinator: Any) -> None:
    harness = coordinator(3)
    at_question(harness, 1)
    assert tasks(harness.join("late")) == []
    answers(harness, 1)
    assert tasks(ask(harness, 2)) == [(harness.names, 2, {"ask": "median"})]
    effects = settled(harness, answers(harness, 2))
    assert [name for s in only(e.Send, effects) for name in s.to] == [*harness.names, "late"]
    assert harness.published("round.completed")[0]["participants"] == list(harness.names)


# ----------------------------------------------------------------------------------------------------------- to be seen


def test_a_watcher_learns_which_question_is_open_and_who_is_waited_for(coordinator: Any) -> None:
    harness = coordinator(3)
    at_question(harness, 1)
    answers(harness, 1, ["client-0"])
    harness.until(2.0, beating=harness.names)
    assert harness.published("round.progress") == [
        {"round": 0, "question": 1, "ask": "spread", "unanswered": 2, "waiting": ["client-1", "client-2"]}
    ], "once, for as long as nothing changes"
    answers(harness, 1, ["client-1", "client-2"])
    harness.until(4.0, beating=harness.names)
    assert harness.published("round.progress")[-1] == {
        "round": 0, "question": 1, "ask": "spread", "unanswered": 0, "waiting": []
    }  # fmt: skip


# --------------------------------------------------------------------------------------------- a run of round 0 alone


def test_a_run_of_round_0_alone_ends_with_it_and_the_clients_may_go(coordinator: Any) -> None:
    harness = coordinator(3, first_question={"ask": "describe"})
    assert tasks(at_question(harness, 0)) == [(harness.names, 0, {"ask": "describe"})]
    answers(harness, 0)
    ask(harness, 1)
    answers(harness, 1)
    effects = harness.tell(ev.Agreed())
    (last,) = only(e.Send, effects)
    assert (tuple(last.to), last.message.work, last.message.payload) == (harness.names, "finish", None)
    assert harness.finished() == e.Finish("completed")
    assert harness.published("round.completed")[0]["participants"] == list(harness.names)
