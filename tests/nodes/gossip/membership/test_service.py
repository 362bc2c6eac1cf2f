"""The membership service: whom it dials, whom it probes, whom it lets in, and what becomes of the graph."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.broker.codec import Limits, encode
from nervenet.nodes.gossip.membership.member_list import Change
from nervenet.nodes.gossip.membership.service import MembershipRules, MembershipService
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import schedule


def news(name: str, state: Any = "alive", incarnation: int = 1, last: int = 0) -> m.MemberState:
    return m.MemberState(name, incarnation, state, addresses={"control": f"tcp://{name}:{incarnation}"}, last=last)


def service(n: int = 4, topology: str = "ring", me: str = "p00", **more: Any) -> MembershipService:
    names = [f"p{i:02d}" for i in range(n)]
    others = tuple(news(name) for name in names if name != me)
    given = {"relaid": True, "shared_config": {"nodes": n, "seed": 0}} | more
    return MembershipService(MembershipRules(news(me), tuple(names), others, partial(schedule, topology), **given))


def only(kind: type[Any], reported: Any) -> list[Any]:
    return [each for each in reported if isinstance(each, kind)]


def dies(members: MembershipService, name: str, sender: str, now: float) -> Any:
    """Have another say that a member is dead, which then does not answer; return what comes of that."""
    members.gathering = False
    members.handle(ev.Arrived(sender, m.Gossip((news(name, "dead"),))), now)
    assert name in members.members.in_state("suspect"), "it may answer first"
    return members.handle(ev.TimerFired(("probe",), now + 2.0), now + 2.0)


def test_at_first_it_dials_its_neighbors_and_nobody_else() -> None:
    members = service(8)
    assert [link.peer for link in only(e.Link, members.handle(ev.Started(), 0.0))] == ["p01", "p07"]
    assert members.neighborhood.ever == ("p01", "p07")


def test_few_are_all_probed_and_of_many_the_neighbors_and_the_view() -> None:
    assert service(17).detector.contacts is None
    many = service(40)
    assert many.detector.contacts is not None
    assert {"p01", "p39"} <= many.detector.contacts
    assert len(many.detector.contacts) <= 2 + 8


def test_a_dead_member_leaves_no_gap_and_the_edge_that_closes_it_is_announced() -> None:
    members = service(6)
    members.handle(ev.Started(), 0.0)
    members.open(1)
    reported = dies(members, "p01", "p05", 1.0)
    assert [change.peer for change in only(Change, reported)] == ["p01"]
    said = {(send.to, send.message) for send in only(e.Send, reported) if isinstance(send.message, m.Edge)}
    assert said == {(("p02",), m.Edge(2, 2))}
    assert members.neighborhood.to(1) == ("p05",), "of this round"
    assert "p02" in members.linked


def test_what_the_worker_has_done_concerns_it_only_after_an_edge_has_changed() -> None:
    members = service(6)
    members.handle(ev.Started(), 0.0)
    members.gathering = False
    members.open(1)
    trained = ev.Trained(1, 0, None, 1, {})
    assert members.only_heard(trained, 1.0)
    dies(members, "p01", "p05", 1.0)
    members.handle(ev.Arrived("p02", m.Edge(2, 2)), 4.0)
    assert members.only_heard(trained, 4.0), "p02 is dialed already"
    members.open(2)
    assert members.neighborhood.to(2) == ("p02", "p05")
    members.open(3)
    assert members.only_heard(trained, 5.0), "nothing has changed since"
    members.neighborhood.edges.forget("p02")  # type: ignore[union-attr]
    members.open(4)
    assert not members.only_heard(trained, 5.0)


def test_one_that_is_done_leaves_no_gap_to_close() -> None:
    members = service(6)
    members.until = 9
    members.handle(ev.Started(), 0.0)
    members.open(9)
    reported = members.handle(ev.Arrived("p01", m.Goodbye(9, "done")), 1.0)
    assert not [send for send in only(e.Send, reported) if isinstance(send.message, (m.Edge, m.Gossip))]
    assert members.neighborhood.to(9) == ("p01", "p05"), "its model of the last round may still be read"
    earlier = members.handle(ev.Arrived("p05", m.Goodbye(8, "no more")), 1.0)
    assert [send for send in only(e.Send, earlier) if isinstance(send.message, m.Gossip)]


def test_a_peer_is_cut_off_once_nobody_else_is_there() -> None:
    me = service(3)
    me.handle(ev.Started(), 0.0)
    me.open(1)
    assert not me.cut_off(1)
    me.until = 9
    dies(me, "p02", "p01", 1.0)
    me.open(2)
    assert me.missing == ("p02",)
    assert (me.count, me.absent) == (2, ("p02",))
    me.handle(ev.Arrived("p02", m.Gossip((news("p02", "alive", 2),))), 3.1)
    assert (me.count, me.absent) == (3, ())
    me.handle(ev.Arrived("p01", m.Gossip((news("p02", "suspect", 2),))), 3.1)
    assert (me.count, me.absent) == (2, ("p02",))
    me.handle(ev.TimerFired(("probe",), 5.2), 5.2)
    assert not me.cut_off(2)
    me.handle(ev.Arrived("p01", m.Goodbye(2, "no more")), 6.0)
    for number in range(3, 9):
        me.open(number)
    assert (me.neighborhood.sources(8), me.missing) == ((), ("p01", "p02"))
    assert me.cut_off(8)


def test_a_stranger_with_the_runs_terms_learns_who_is_there_and_another_what_differs() -> None:
    members = service(4, events_in="tcp://b:1")
    (reported,) = members.handle(ev.Arrived("zoe", m.GetPeers({"nodes": 4, "seed": 0})), 0.0)
    assert reported.to == ("zoe",)
    assert [each.node for each in reported.message.members] == ["p00", "p01", "p02", "p03"]
    assert (reported.message.founders, reported.message.events_in) == (("p00", "p01", "p02", "p03"), "tcp://b:1")
    (reported,) = members.handle(ev.Arrived("zoe", m.GetPeers({"nodes": 4, "seed": 1})), 0.0)
    assert (reported.message.about, reported.message.code) == ("get_peers", "config")
    assert reported.message.reason == ("this run was opened with other terms: seed=1; who opened it has the experiment")


def test_what_a_stranger_brings_is_quoted_no_further_than_a_message_may_go() -> None:
    (reported,) = service(4).handle(ev.Arrived("zoe", m.GetPeers({"nodes": 4, "seed": "\0" * 60_000})), 0.0)
    assert len(encode(reported.message)[0]) < 2_000


def test_among_many_members_a_stranger_gets_some_and_asks_those_for_the_rest() -> None:
    (reported,) = service(600).handle(ev.Arrived("zoe", m.GetPeers({"nodes": 600, "seed": 0})), 0.0)
    assert reported.message.members[0].node == "p00"
    assert len(reported.message.members) == 16
    assert len(encode(reported.message)[0]) < Limits().control_bytes


def test_the_dead_do_not_make_many_of_few() -> None:
    members = service(6)
    old = tuple(news(f"x{i:02d}", "dead") for i in range(40))
    reported = members.handle(ev.Arrived("p01", m.Gossip(old)), 0.0)
    assert members.detector.contacts is None
    assert not only(Change, reported), "nobody is lost who was never here"


def test_who_was_taken_for_one_that_has_left_is_readmitted_too() -> None:
    reported = service(6).handle(ev.Arrived("p01", m.Gossip((news("p00", "left"),))), 0.0)
    assert [change.state for change in only(Change, reported)] == ["readmitted"]


def test_no_saying_is_so_large_that_it_cannot_be_refuted() -> None:
    worst = m.MemberState("p00", 1, "suspect", refutations=2**53)
    reported = service(6).handle(ev.Arrived("p01", m.Gossip((worst,))), 0.0)
    assert all(encode(send.message) for send in only(e.Send, reported))


def test_all_that_is_known_fits_into_messages_however_long_names_and_addresses_are() -> None:
    members = service(4)
    long = {"control": "c" * 256, "bulk": "b" * 256}
    known = tuple(m.MemberState(f"{i:03d}".ljust(64, "x"), 2**60, "alive", 2**53, long, 2**60) for i in range(200))
    members.handle(ev.Arrived("p01", m.Gossip(known)), 0.0)
    reported = members.handle(ev.Arrived("p01", m.Gossip((), "ask")), 0.0)
    sizes = [len(encode(send.message)[0]) for send in only(e.Send, reported)]
    assert 0 < max(sizes) < Limits().control_bytes


def test_others_are_probed_on_behalf_of_somebody_a_few_at_a_time() -> None:
    members = service(40)
    asked = [only(e.Link, members.handle(ev.Arrived("p01", m.Ping(i, f"p{i:02d}", ())), 0.0)) for i in range(2, 39)]
    assert sum(map(bool, asked)) == 16


def test_one_that_is_started_again_elsewhere_is_dialed_there() -> None:
    members = service(4)
    members.handle(ev.Started(), 0.0)
    reported = members.handle(ev.Arrived("p03", m.Gossip((news("p01", incarnation=2),))), 1.0)
    assert only(Change, reported) == [], "it has not said so itself"
    assert ("p01", "tcp://p01:2") in [(link.peer, link.addresses["control"]) for link in only(e.Link, reported)]
    answered = members.handle(ev.Arrived("p01", m.Gossip((news("p01", incarnation=2),))), 1.1)
    assert [change.state for change in only(Change, answered)] == ["restarted"]


def test_a_late_one_announces_nothing_before_it_has_a_round() -> None:
    members = service(6, me="zoe", late=True)
    reported = members.handle(ev.Started(), 0.0)
    assert not [send for send in only(e.Send, reported) if isinstance(send.message, m.Edge)]
    assert [send for send in only(e.Send, reported) if isinstance(send.message, m.Gossip)], "but makes itself known"
    said = [send for send in only(e.Send, members.begin(7)) if isinstance(send.message, m.Edge)]
    assert {send.to[0] for send in said} == {"p00", "p05"}
    assert {send.message.round for send in said} == {8}


@pytest.mark.parametrize("topology", ["one-peer-exponential", "epidemic-local"])
def test_a_graph_that_changes_by_itself_is_laid_anew_for_the_next_round(topology: str) -> None:
    members = service(6, topology, doubly=False)
    members.handle(ev.Started(), 0.0)
    members.open(1)
    before = members.neighborhood
    dies(members, "p01", "p05", 1.0)
    assert members.neighborhood is before
    members.open(2)
    assert "p01" not in members.neighborhood.ever
    assert "p02" in members.neighborhood.ever
