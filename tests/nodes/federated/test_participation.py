"""Who is asked, how many answers are enough, and what happens to the rest and while too few are there."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.federated.strategies.registry import build_strategy
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def asked(harness: Any) -> list[str]:
    found: list[str] = harness.published("round.started")[-1]["asked"]
    return found


# ------------------------------------------------------------------------------------------------------- over-selection


def test_more_are_asked_than_are_wanted_and_the_wanted_number_closes(coordinator: Any) -> None:
    harness = coordinator(10, participation=0.3, over_selection=1.3).settle()
    names = asked(harness)
    assert len(names) == 4, "ceil(1.3 x 3)"
    for name in names[:2]:
        assert not only(e.Fold, harness.answer(name))
    effects = harness.answer(names[3])
    assert len(only(e.Fold, effects)[0].contributions) == 3
    harness.tell(ev.Folded(1, 0, "w1"))
    reported = harness.published("round.completed")[-1]
    assert reported["closed_by"] == "quorum"
    assert reported["missing"] == {names[2]: "no answer when the round closed by quorum"}


def test_one_who_fails_is_made_up_for_by_the_surplus(coordinator: Any) -> None:
    harness = coordinator(10, participation=0.3, over_selection=1.3).settle()
    names = asked(harness)
    harness.say(names[0], m.Declined(1, 0, "no memory"))
    harness.answer(names[1])
    harness.answer(names[2])
    assert only(e.Fold, harness.answer(names[3]))
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.completed")[-1]["missing"] == {names[0]: "declined: no memory"}


def test_those_who_are_still_at_work_are_dismissed_and_nobody_else(coordinator: Any) -> None:
    harness = coordinator(5, quorum=0.6).settle()
    harness.say("client-4", m.Declined(1, 0, "no memory"))
    harness.answer("client-0")
    harness.answer("client-1")
    effects = harness.answer("client-2")
    (reported,) = only(e.Send, effects)
    assert reported.to == ("client-3",), "who has declined is not at work"
    assert (reported.message.about, reported.message.round, reported.message.code) == ("task", 1, "stale")
    assert reported.message.reason == "round 1 has closed by quorum"


def test_a_quorum_is_a_share_of_the_wanted(coordinator: Any) -> None:
    harness = coordinator(10, participation=0.4, over_selection=2.0, quorum=0.5).settle()
    names = asked(harness)
    assert len(names) == 8
    harness.answer(names[0])
    assert only(e.Fold, harness.answer(names[1]))


def test_a_quorum_waits_for_as_many_as_the_strategy_needs(coordinator: Any) -> None:
    harness = coordinator(8, quorum=0.5, strategy=build_strategy("krum", {})).settle()
    for name in harness.names[:4]:
        assert not only(e.Fold, harness.answer(name)), "half have answered, and krum cannot tolerate 1 among 4"
    assert only(e.Fold, harness.answer(harness.names[4]))


def test_where_fewer_than_the_strategy_needs_can_answer_it_is_asked_and_says_why_not(coordinator: Any) -> None:
    harness = coordinator(5, quorum=0.5, strategy=build_strategy("krum", {})).settle()
    harness.tell(ev.LinkLost(harness.names[4], "gone"))
    for name in harness.names[:3]:
        assert not only(e.Fold, harness.answer(name))
    assert only(e.Fold, harness.answer(harness.names[3]))


# ----------------------------------------------------------------------------------------------------- late is no wrong


def check_late_answers_disturb_nobody(coordinator: Any) -> None:
    harness = coordinator(4, quorum=0.5).settle()
    harness.answer("client-0")
    harness.answer("client-1")
    assert harness.answer("client-2") == [], "while the fold runs"
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.answer("client-3") == [], "when the next round is open"
    assert harness.published("update.rejected") == []


def test_late_answers_disturb_nobody(coordinator: Any) -> None:
    check_late_answers_disturb_nobody(coordinator)


def test_late_answers_would_count_as_disturbances(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nervenet.nodes.federated.client_registry.ClientRegistry.answered", lambda self, name, key: False
    )
    with pytest.raises(AssertionError):
        check_late_answers_disturb_nobody(coordinator)


def test_only_the_first_late_answer_is_owed(coordinator: Any) -> None:
    harness = coordinator(4, quorum=0.5).settle()
    harness.answer("client-0")
    harness.answer("client-1")
    harness.answer("client-2")
    harness.answer("client-2")
    assert [reported["subject"] for reported in harness.published("update.rejected")] == ["client-2"]


# ------------------------------------------------------------------------------------------------------------ by turns


def test_by_turns_everybody_is_asked_equally_often(coordinator: Any) -> None:
    harness = coordinator(5, rounds=5, participation=0.4, sampling="round-robin").settle()
    for number in range(1, 6):
        for name in asked(harness):
            harness.answer(name, number)
        harness.tell(ev.Folded(number, 0, f"w{number}"))
    turns = [name for reported in harness.published("round.started")[1:] for name in reported["asked"]]
    assert sorted(turns) == sorted(2 * list(harness.names))


def test_a_large_claim_does_not_buy_every_turn(coordinator: Any) -> None:
    """Weighted by examples, an unbelievable claim counts as the cap."""
    harness = coordinator(10, rounds=60, participation=0.1, sampling="weighted", max_examples_ratio=1.0, min_clients=1)
    harness.tell(ev.Started())
    for name in harness.names:
        harness.tell(ev.LinkUp(name, "client", 1))
        harness.say(name, m.Ready(examples=10**9 if name == "client-0" else 1000, pid=1))
    for name in harness.names:
        harness.say(name, m.Update(0, 0, 10, {}, {}, m.Payload("survey", "float64", 9)), "s")
    harness.tell(ev.ModelReady({}, m.Payload("a1b2", "float32", 5), "w0"))
    for number in range(1, 61):
        harness.answer(asked(harness)[0], number)
        harness.tell(ev.Folded(number, 0, "w"))
    reported = [one["asked"] for one in harness.published("round.started")[1:]]
    assert 0 < reported.count(["client-0"]) < 20


# -------------------------------------------------------------------------------------------------------------- waiting


def test_too_few_clients_are_waited_for_and_the_run_goes_on_when_they_are_back(coordinator: Any) -> None:
    harness = coordinator(3, min_clients=2, wait_deadline_s=20.0).settle()
    harness.tell(ev.LinkLost("client-1", "cut"))
    harness.tell(ev.LinkLost("client-2", "cut"))
    harness.answer("client-0")
    harness.until(11.0, beating=("client-0",))
    assert harness.state.run.status == "waiting"
    (reported,) = (w for w in harness.published("warning") if "waits" in w["reason"])
    said = "round 1 waits for clients: 1 of at least 2 are there; missing: client-1, client-2 (--min-clients goes on"
    assert reported["reason"].startswith(said)
    beat = [effect for effect in harness.effects if isinstance(effect, e.SendHeartbeat)][-1]
    assert beat.state == "waiting"
    harness.tell(ev.LinkUp("client-2", "client", 2))
    assert (asked(harness), harness.state.run.status) == (["client-0", "client-2"], "asking")
    assert ("wait",) not in harness.timers


def test_the_wait_ends_in_a_named_error(coordinator: Any) -> None:
    harness = coordinator(3, min_clients=2, wait_deadline_s=20.0).settle()
    harness.tell(ev.LinkLost("client-1", "cut"))
    harness.tell(ev.LinkLost("client-2", "cut"))
    harness.until(60.0, beating=("client-0",))
    assert harness.finished() == e.Finish(
        "failed",
        (
            "round 1 waited 20 s for clients: 1 of at least 2 are there; missing: client-1, client-2 "
            "(--min-clients goes on with fewer, federated.wait_deadline_s waits longer) (docs/errors.md#too-few-nodes)"
        ),
    )


def check_nobody_there_is_waited_for_once(coordinator: Any) -> None:
    harness = coordinator(2, deadline_s=10.0, wait_deadline_s=15.0).settle()
    harness.until(40.0)
    ended = harness.finished()
    assert ended is not None
    assert ended.reason.startswith("round 1 waited 15 s for clients: 0 of at least 2 are there")
    assert len(harness.published("round.failed")) == 1


def test_nobody_there_is_waited_for_once(coordinator: Any) -> None:
    check_nobody_there_is_waited_for_once(coordinator)


def test_nobody_there_would_be_asked_three_times(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.sync_rounds.least", lambda config, registry: 0)
    with pytest.raises(AssertionError):
        check_nobody_there_is_waited_for_once(coordinator)


# --------------------------------------------------------------------------------------------------------- partial work


def test_tasks_say_partial_and_the_round_names_who_had_to_stop(coordinator: Any) -> None:
    harness = coordinator(3, partial=True).settle()
    task = only(e.Send, harness.effects)[-1].message
    assert task.settings["partial"] is True
    harness.answer("client-0")
    harness.answer("client-1", partial=1.0)
    harness.answer("client-2", partial=0.0)
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.completed")[-1]["partial"] == ["client-1"]


def test_nobody_is_said_to_be_partial_where_nobody_is(coordinator: Any) -> None:
    harness = coordinator(3).settle()
    assert "partial" not in only(e.Send, harness.effects)[-1].message.settings
    harness.train()
    assert "partial" not in harness.published("round.completed")[-1]
