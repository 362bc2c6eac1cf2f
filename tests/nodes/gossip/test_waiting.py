"""For whom a round is kept open over a graph that changes each round: not for one that leaves it out."""

from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.gossip.waiting import WaitPolicy
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import schedule
from static_membership import static_peer

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
NAMES = "abcdefgh"
GRAPH = schedule("one-peer-exponential", NAMES)


def settled(name: str) -> PeerMachine:
    """Return the machine of a peer that trains in round 1."""
    peer = static_peer(name, NAMES, GRAPH)
    peer.handle(ev.Started(), 0.0)
    peer.handle(ev.Proceed(40), 0.0)
    for other in NAMES.replace(name, ""):
        peer.handle(ev.LinkUp(other, "peer", 1), 0.0)
    peer.handle(ev.Surveyed({"of": name}, (name,)), 0.0)
    for origin in NAMES.replace(name, ""):
        survey = m.PeerSurvey(origin, {"of": origin}, m.Payload("survey", "float64", 1))
        peer.handle(ev.Arrived(peer.membership.neighborhood.ever[0], survey, (origin,)), 0.0)
    peer.handle(ev.ModelReady({}, MODEL, "w0"), 0.0)
    assert (peer.status, peer.round) == ("training", 1)
    return peer


def source(name: str, number: int) -> str:
    return next(peer for peer in NAMES if name in GRAPH.out(number)[peer])


def leap(name: str) -> tuple[int, list[e.Send]]:
    """Return the round that a peer joins which has been left behind, as a later model shows, and what it says of it."""
    peer = settled(name)
    later = next(n for n in range(4, 20) if peer.membership.neighborhood.overtaken(source(name, n), n, 1))
    peer.handle(ev.Arrived(source(name, later), m.Exchange(later, MODEL), "x", None, 100), 0.0)
    peer.rounds.tracker.seen(source(name, 1), later)  # two that live have come to it
    effects = peer.handle(ev.Trained(1, 0, "t1", 10, {"loss": 0.5}), 1.0)
    assert peer.round == later
    return later, [each for each in effects if isinstance(each, e.Send) and isinstance(each.message, m.Edge)]


def test_one_that_joins_a_later_round_says_so_to_whom_it_would_have_sent_before_that() -> None:
    joined, (said,) = leap("b")
    skipped = {peer for number in range(1, joined) for peer in GRAPH.out(number)["b"]}
    assert set(said.to) == skipped - set(GRAPH.out(joined)["b"])
    assert said.message == m.Edge(joined, 1)


def mix_of_round_1(*, told: Any) -> list[e.Effect]:
    """What a peer asks for that waits in round 1 when it is told something by whom it waits for."""
    peer = settled("b")
    assert not [each for each in peer.handle(ev.Trained(1, 0, "t1", 10, {}), 1.0) if isinstance(each, e.Mix)]
    effects = peer.handle(ev.Arrived(source("b", 1), told), 1.1)
    assert source("b", 1) not in peer.rounds.waits.absent, "it is this peer that is late"
    return [each for each in effects if isinstance(each, e.Mix)]


def test_one_that_leaves_out_a_round_is_not_waited_for_in_it() -> None:
    (mix,) = mix_of_round_1(told=m.Edge(4, 1))
    assert mix.names == ("b",)
    assert not mix_of_round_1(told=m.Edge(1, 1))


def test_it_would_be_waited_for_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WaitPolicy, "announced", lambda *_: None)
    assert not mix_of_round_1(told=m.Edge(4, 1))


def test_one_that_has_come_back_to_an_earlier_round_is_waited_for_again() -> None:
    peer = settled("b")
    of = source("b", 1)
    peer.handle(ev.Arrived(of, m.Edge(4, 1)), 0.5)
    peer.handle(ev.Arrived(of, m.Heartbeat(1, "training", ())), 0.6)
    effects = peer.handle(ev.Trained(1, 0, "t1", 10, {}), 1.0)
    assert not [each for each in effects if isinstance(each, e.Mix)]
    assert peer.rounds.waits.awaited(1) == [of]
