"""Clients that come late, leave, or are started again under their name."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def test_a_stranger_to_the_roster_is_asked_from_the_next_round_on_and_gets_the_agreement(coordinator: Any) -> None:
    harness = coordinator(rounds=3).settle()
    harness.tell(ev.LinkUp("late", "client", 1))
    harness.say("late", m.Ready(examples=500, pid=9))
    assert harness.published("round.started")[-1]["asked"] == list(harness.names), "not in the round that is open"
    effects = harness.train()
    (with_it,) = (send for send in only(e.Send, effects) if send.to == ("late",))
    assert with_it.message.agreement == {"columns": ["x"]}
    assert with_it.message.round == 2


def check_a_previous_incarnation_is_excused_at_once(coordinator: Any) -> None:
    harness = coordinator(3).settle()
    harness.answer("client-0")
    harness.answer("client-2")
    effects = harness.tell(ev.LinkUp("client-1", "client", 2))
    assert len(only(e.Fold, effects)[0].contributions) == 2
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.completed")[-1]["missing"] == {"client-1": "was started again"}
    assert harness.published("round.started")[-1]["asked"] == list(harness.names)


def test_a_previous_incarnation_is_excused_at_once(coordinator: Any) -> None:
    check_a_previous_incarnation_is_excused_at_once(coordinator)


def test_a_previous_incarnation_would_be_waited_for_until_the_deadline(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nervenet.nodes.federated.client_registry.ClientRegistry.linked",
        lambda self, name, incarnation, now, role: self.liveness.watch(name, now),
    )
    with pytest.raises(IndexError):
        check_a_previous_incarnation_is_excused_at_once(coordinator)


def check_a_lost_link_and_a_new_incarnation_end_the_wait(coordinator: Any) -> None:
    """The loss alone might be only a cut: the round would stay open for its answer."""
    harness = coordinator(2).settle()
    harness.answer("client-0")
    harness.tell(ev.LinkLost("client-1", "cut"))
    assert harness.published("round.failed") == []
    harness.tell(ev.LinkUp("client-1", "client", 2))
    assert "client-1: was started again" in harness.published("round.failed")[0]["reason"]
    assert harness.published("round.started")[-1]["asked"] == list(harness.names)


def test_a_lost_link_and_a_new_incarnation_end_the_wait(coordinator: Any) -> None:
    check_a_lost_link_and_a_new_incarnation_end_the_wait(coordinator)


def test_a_lost_link_and_a_new_incarnation_would_wait_if_silence_were_not_overruled(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nervenet.nodes.federated.round import Round

    excuse = Round.excuse

    def first_word(self: Round, name: str, reason: str, *, silent: bool = False) -> bool:
        return name not in self.excused and excuse(self, name, reason, silent=silent)

    monkeypatch.setattr(Round, "excuse", first_word)
    with pytest.raises(IndexError):
        check_a_lost_link_and_a_new_incarnation_end_the_wait(coordinator)


def test_a_cut_that_heals_within_the_same_incarnation_excuses_nobody_permanently(coordinator: Any) -> None:
    harness = coordinator(2).settle()
    harness.answer("client-0")
    harness.tell(ev.LinkLost("client-1", "cut"))
    harness.tell(ev.LinkUp("client-1", "client", 1))
    assert only(e.Fold, harness.answer("client-1"))


def test_a_new_incarnation_may_hold_other_rows(coordinator: Any) -> None:
    harness = coordinator(2).settle()
    harness.say("client-1", m.Ready(examples=2000, pid=1))
    harness.answer("client-1", examples=2000)
    assert harness.published("update.rejected"), "the same incarnation cannot grow"
    harness.tell(ev.LinkUp("client-1", "client", 2))
    harness.say("client-1", m.Ready(examples=2000, pid=2))
    harness.answer("client-0")
    harness.answer("client-0", attempt=1)
    assert only(e.Fold, harness.answer("client-1", attempt=1, examples=2000))


def test_one_who_leaves_and_comes_back_is_asked_again(coordinator: Any) -> None:
    harness = coordinator(3, rounds=4).settle()
    harness.say("client-1", m.Goodbye(0, "maintenance"))
    harness.answer("client-0")
    harness.answer("client-2")
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.published("round.started")[-1]["asked"] == ["client-0", "client-2"]
    harness.tell(ev.LinkUp("client-1", "client", 2))
    harness.say("client-1", m.Ready(examples=1000, pid=2))
    harness.answer("client-0", 2)
    harness.answer("client-2", 2)
    harness.tell(ev.Folded(2, 0, "w2"))
    assert harness.published("round.started")[-1]["asked"] == list(harness.names)


def check_who_takes_a_name_from_one_that_answers_is_said(coordinator: Any) -> None:
    harness = coordinator(3, rounds=9).settle()
    harness.tell(ev.LinkUp("client-1", "client", 2))
    harness.say("client-1", m.Ready(examples=9_000, pid=77))
    (said,) = [one for one in harness.published("warning") if "another process" in one["reason"]]
    assert said["subject"] == "client-1"
    assert said["reason"].startswith(
        "client-1 is another process now (pid 1 -> 77, rows 1000 -> 9000): it took the name"
    )
    harness.tell(ev.LinkLost("client-2", "its connection has closed"))
    harness.tell(ev.LinkUp("client-2", "client", 2))
    harness.say("client-2", m.Ready(examples=1_000, pid=78))
    assert len([one for one in harness.published("warning") if "another process" in one["reason"]]) == 1, "it restarted"


def test_who_takes_a_name_from_one_that_answers_is_said(coordinator: Any) -> None:
    check_who_takes_a_name_from_one_that_answers_is_said(coordinator)


def test_who_takes_a_name_would_do_so_in_silence(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nervenet.nodes.federated.client_registry.ClientRegistry.taken_over", lambda self, name, examples, pid: None
    )
    with pytest.raises(ValueError, match="not enough values"):
        check_who_takes_a_name_from_one_that_answers_is_said(coordinator)
