"""A member speaks for itself: what others say of it is a reason to ask it, whoever they are, however much they say."""

from __future__ import annotations

from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.broker.codec import decode, encode
from nervenet.broker.errors import ProtocolError
from nervenet.nodes.gossip.membership.hearsay import AGAIN_S, OF_ONE, OPEN, QUEUED, WRONG, Hearsay
from nervenet.nodes.gossip.membership.member_list import Change
from nervenet.nodes.gossip.membership.service import MembershipService
from nervenet.nodes.gossip.membership.statements import Statements
from nervenet.nodes.gossip.membership.twin import Twin
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

from .test_service import news, only, service

TICK = ("probe",)


def running(n: int = 6) -> MembershipService:
    members = service(n)
    members.gathering = False
    members.handle(ev.Started(), 0.0)
    members.open(1)
    return members


def says(members: MembershipService, sender: str, *states: m.MemberState, now: float = 1.0) -> Any:
    return members.handle(ev.Arrived(sender, m.Gossip(states)), now)


def believed(self: Statements, state: m.MemberState, sender: str, now: float, **_: Any) -> Any:
    """Take any member's word for any other, as it once was."""
    return self._detector.changed(state, self._members.take(state, f"{sender} says so"), now)


def check_invented_members_are_asked_a_few_at_a_time_and_are_none() -> None:
    members = running()
    invented = [news(f"invented-{i:03d}") for i in range(400)]
    reported: list[Any] = []
    for tenth in range(200):
        now = 1.0 + tenth / 10
        reported += says(members, "p05", *invented, now=now)
        reported += members.handle(ev.TimerFired(TICK, now), now)
        others = [news(name) for name in ("p01", "p02", "p03", "p04", "p05")]
        for other in others:
            members.handle(ev.Arrived(other.node, m.Gossip((other,))), now)
    assert only(Change, reported) == []
    assert members.members.present() == [f"p{i:02d}" for i in range(6)]
    assert members.neighborhood.ever == ("p01", "p05"), "no edge is drawn to them"
    dialed = [link.peer for link in only(e.Link, reported) if link.peer.startswith("invented")]
    given_up = [unlink.peer for unlink in only(e.Unlink, reported)]
    assert len(dialed) <= WRONG + OPEN
    assert dialed == given_up
    (warning,) = only(e.Publish, reported)
    assert warning.fields["subject"] == "p05"
    assert "tells of members that do not answer" in warning.fields["reason"]


def test_invented_members_are_asked_a_few_at_a_time_and_are_none() -> None:
    check_invented_members_are_asked_a_few_at_a_time_and_are_none()


def test_by_hearsay_everybody_invented_was_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Statements, "_of_another", believed)
    with pytest.raises(AssertionError):
        check_invented_members_are_asked_a_few_at_a_time_and_are_none()


def test_more_states_than_a_message_may_hold_are_no_message() -> None:
    with pytest.raises(ProtocolError, match="length <= 100"):
        decode(encode(m.Gossip(tuple(news(f"x{i}") for i in range(101)))))


def test_one_that_is_told_of_is_a_member_once_it_has_spoken() -> None:
    members = running()
    reported = says(members, "p05", news("zoe"))
    assert [link.peer for link in only(e.Link, reported)] == ["zoe"]
    (ping,) = [s.message for s in only(e.Send, reported) if isinstance(s.message, m.Ping)]
    assert (ping.subject, ping.members[0].incarnation) == ("zoe", 0), "which makes it say who it is"
    answered = says(members, "zoe", news("zoe"), now=1.1)
    assert [(c.peer, c.state) for c in only(Change, answered)] == [("zoe", "alive")]


def test_who_is_asked_who_it_is_says_so_to_the_one_who_asks() -> None:
    members = running()
    ask = m.Ping(7, "p00", (m.MemberState("p00", 0, "suspect"),))
    reported = members.handle(ev.Arrived("p03", ask), 1.0)
    assert [(s.to, s.message) for s in only(e.Send, reported) if isinstance(s.message, m.Gossip)] == [
        (("p03",), m.Gossip((members.members.me,)))
    ]


def check_only_the_suspect_itself_refutes() -> None:
    members = running()
    says(members, "p05", news("p02", "suspect"))
    forged = m.MemberState("p02", 1, "alive", 7, news("p02").addresses)
    assert only(Change, says(members, "p05", forged, now=1.2)) == []
    assert members.members.in_state("suspect") == ["p02"]
    own = m.MemberState("p02", 1, "alive", 1, news("p02").addresses)
    assert [c.state for c in only(Change, says(members, "p02", own, now=1.3))] == ["alive"]


def test_only_the_suspect_itself_refutes() -> None:
    check_only_the_suspect_itself_refutes()


def test_by_hearsay_anybody_refuted_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Statements, "_of_another", believed)
    with pytest.raises(AssertionError):
        check_only_the_suspect_itself_refutes()


def check_one_that_speaks_has_not_left_whoever_says_so() -> None:
    members = running()
    says(members, "p02", news("p02"))
    assert only(Change, says(members, "p05", news("p02", "left", last=9))) == []
    says(members, "p02", news("p02"), now=1.7)
    assert only(Change, members.handle(ev.TimerFired(TICK, 2.0), 2.0)) == []
    assert "p02" in members.members.in_state("alive")


def test_one_that_speaks_has_not_left_whoever_says_so() -> None:
    check_one_that_speaks_has_not_left_whoever_says_so()


def test_by_hearsay_it_had_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Statements, "_of_another", believed)
    with pytest.raises(AssertionError):
        check_one_that_speaks_has_not_left_whoever_says_so()


def test_one_that_is_said_to_have_left_and_does_not_answer_has_left_and_keeps_no_place() -> None:
    members = running()
    members.until = 5
    says(members, "p05", news("p02", "left", last=5))
    reported = members.handle(ev.TimerFired(TICK, 3.0), 3.0)
    assert [(c.peer, c.state, c.last) for c in only(Change, reported)] == [("p02", "left", 0)]


def test_a_newer_incarnation_is_that_of_its_own_connection() -> None:
    members = running()
    members.handle(ev.LinkUp("p02", "peer", 1), 0.5)
    assert only(Change, says(members, "p02", news("p02", incarnation=2**60))) == []
    assert members.members.known["p02"].incarnation == 1


def test_a_wrong_address_of_a_living_member_costs_it_no_link() -> None:
    members = running()
    says(members, "p02", news("p02"))
    assert only(e.Link, says(members, "p05", news("p02", incarnation=2))) == [], "it has just spoken"


def check_no_word_of_another_ends_this_peer() -> None:
    members = running()
    for sender in ("p01", "p02", "p03"):
        assert only(Change, says(members, sender, news("p00", incarnation=2**60))) == []
    looks = says(members, "p04", news("p00", incarnation=2**60), now=20.0)
    assert [link.peer for link in only(e.Link, looks)] == ["p00"], "it looks whether it is there twice"
    assert [u.peer for u in only(e.Unlink, members.handle(ev.TimerFired(TICK, 24.0), 24.0))] == ["p00"]
    ended = members.handle(ev.LinkUp("p00", "peer", 2), 25.0)
    assert [(c.peer, c.state) for c in only(Change, ended)] == [("p00", "superseded")]


def test_no_word_of_another_ends_this_peer() -> None:
    check_no_word_of_another_ends_this_peer()


def test_one_word_of_another_ended_this_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    def superseded(self: Twin, state: m.MemberState, now: float) -> Any:
        return [Change(state.node, "superseded", state.incarnation, state.addresses)]

    monkeypatch.setattr(Twin, "claimed", superseded)
    with pytest.raises(AssertionError):
        check_no_word_of_another_ends_this_peer()


def test_one_that_refuses_this_peer_as_older_does_not_end_it_and_most_do() -> None:
    twin = running().detector.statements.twin
    assert [twin.refused_by(peer) for peer in ("p01", "p01", "p02", "p03")] == [False, False, False, True]
    assert not running(2).detector.statements.twin.refused_by("p01"), "nor does the only other one"


def test_refutations_that_are_made_up_do_not_use_up_those_of_this_peer() -> None:
    members = running()
    says(members, "p05", m.MemberState("p00", 1, "suspect", refutations=2**53))
    assert members.members.me.refutations == 1


def test_claims_that_wait_are_bounded_in_all_and_by_the_word_of_one() -> None:
    hearsay = Hearsay()
    for sender in range(20):
        for i in range(100):
            hearsay.hear(news(f"x{sender}-{i}"), f"s{sender}", 0.0)
    found = hearsay.next(0.0, lambda _: False)
    assert found == []
    assert sum(hearsay.concerns(f"x0-{i}") for i in range(100)) == OF_ONE
    assert sum(hearsay.concerns(f"x{s}-{i}") for s in range(20) for i in range(100)) == QUEUED
    assert len(hearsay.next(1.0, lambda _: True)) == OPEN
    hearsay.next(AGAIN_S + 1.0, lambda _: False)
    assert sum(hearsay.concerns(f"x{s}-{i}") for s in range(20) for i in range(100)) == OPEN, "they do not wait forever"
