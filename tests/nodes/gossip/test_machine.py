"""The peer's machine where edges go one way, change from round to round, or carry more than a model."""

from __future__ import annotations

from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.gossip.algorithms.base import Needs
from nervenet.nodes.gossip.neighbor_tracker import FAN, NeighborTracker
from nervenet.nodes.gossip.neighborhood import Neighborhood
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import Schedule, schedule
from static_membership import static_peer

MODEL = m.Payload("a1b2", "float32", 5)
SURVEY = m.Payload("survey", "float64", 1)
TWO = m.Payload("a1b2", "float32", 10, parts=("weights", "gradients"))
BYTES = m.Payload("a1b2", "uint8", 3, "delta+int8")
PUSH = Needs(mass=True, directed=True, doubly=False)


def only(kind: type, effects: list[e.Effect]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


class Driver:
    """One peer, in round 1, whatever the others are."""

    def __init__(self, name: str, topology: Any, members: str = "abcd", **rules: Any) -> None:
        graph = schedule(topology, members) if isinstance(topology, str) else topology
        self.state = static_peer(name, members, graph, **({"mixing": "uniform"} | rules))
        self.now = 0.0
        self.tell(ev.Started())
        self.tell(ev.Proceed(20))
        for peer in self.state.membership.neighborhood.ever:
            self.tell(ev.LinkUp(peer, "peer", 1))
        first = self.state.membership.neighborhood.ever[0]
        for origin in members:
            if origin == name:
                self.tell(ev.Surveyed({}, (origin,)))
            else:
                self.tell(ev.Arrived(first, m.PeerSurvey(origin, {}, SURVEY), (origin,)))
        self.opened = self.tell(ev.ModelReady({}, MODEL, "w0"))

    def tell(self, event: ev.Event) -> list[e.Effect]:
        return self.state.handle(event, self.now)

    def exchange(self, sender: str, number: int, body: Any = None, **fields: Any) -> list[e.Effect]:
        message = m.Exchange(number, fields.pop("payload", MODEL), **fields)
        return self.tell(ev.Arrived(sender, message, body or f"{sender}{number}", None, 100))

    def trained(self, **fields: Any) -> list[e.Effect]:
        number = self.state.round
        return self.tell(ev.Trained(number, 0, f"mine{number}", 10, {}, **fields))

    def mixed(self, **fields: Any) -> list[e.Effect]:
        return self.tell(ev.Mixed(self.state.round, "mixed", **fields))


# ---------------------------------------------------------------------------------------------- one way, and in turn


def test_it_sends_along_the_edges_of_the_round_and_waits_for_those_who_send_to_it() -> None:
    driver = Driver("a", "one-peer-exponential")
    assert only(e.Train, driver.opened)[0].to == ("b",)
    effects = driver.trained()
    assert only(e.Send, effects)[0].to == ("b",)
    assert only(e.Mix, effects) == []
    (mix,) = only(e.Mix, driver.exchange("d", 1))
    assert mix == e.Mix(1, ("mine1", "d1"), (0.5, 0.5), ("a", "d"))
    assert only(e.Train, driver.mixed())[0].to == ("c",), "two places on in the second round"
    assert only(e.Send, driver.trained())[0].to == ("c",)
    assert only(e.Mix, driver.exchange("c", 2))[0].names == ("a", "c")


def test_who_is_heard_may_be_rounds_ahead_where_nobody_has_left_anybody_behind() -> None:
    """On a directed ring the one before waits only for who is before it: news of us reaches it last."""
    neighborhood = Neighborhood("a", _directed_ring(), "uniform", doubly=False)
    assert not neighborhood.overtaken("d", by=4, first=2), "b, c and d are held up one after another"
    assert neighborhood.overtaken("d", by=5, first=2)


def test_two_rounds_ahead_is_too_far_where_edges_go_both_ways() -> None:
    neighborhood = Neighborhood("a", schedule("ring", "abcd"), "metropolis-hastings", doubly=True)
    assert not neighborhood.overtaken("b", by=2, first=2)
    assert neighborhood.overtaken("b", by=3, first=2)
    assert not neighborhood.overtaken("c", by=3, first=2)
    assert neighborhood.overtaken("c", by=4, first=2)
    assert neighborhood.overtaken("b", by=10**12, first=2)


def test_several_early_messages_of_one_neighbor_wait_each_for_its_round() -> None:
    driver = Driver("a", _directed_ring(), needs=Needs(directed=True))
    for number in (3, 1, 2):
        driver.exchange("d", number)
    assert only(e.Mix, driver.trained())[0].bodies == ("mine1", "d1")
    driver.mixed()
    assert only(e.Mix, driver.trained())[0].bodies == ("mine2", "d2")
    driver.mixed()
    assert only(e.Mix, driver.trained())[0].bodies == ("mine3", "d3")


def test_one_way_round_a_ring_a_model_three_rounds_on_shows_that_a_peer_was_left_behind() -> None:
    driver = Driver("a", _directed_ring(), needs=Needs(directed=True))
    driver.exchange("d", 4)
    driver.trained()
    assert driver.state.round == 4


def test_a_round_in_which_nobody_sends_to_a_peer_closes_at_once() -> None:
    graph = schedule("base-k", "abcde")
    idle = next(
        (n, name)
        for n in range(1, 6)
        for name in "abcde"
        if not graph.out(n)[name] and not any(name in out for out in graph.out(n).values())
    )
    driver = Driver(idle[1], "base-k", "abcde")
    for number in range(1, idle[0] + 1):
        for sender in driver.state.membership.neighborhood.sources(number):
            driver.exchange(sender, number)
        effects = driver.trained()
        if number < idle[0]:
            driver.mixed()
    assert only(e.Mix, effects)[0].bodies == (f"mine{idle[0]}",)
    assert only(e.Send, effects) == []


def test_all_that_came_counts_alike_where_columns_need_not_sum_to_one() -> None:
    driver = Driver("a", "complete", needs=Needs(directed=True, doubly=False))
    driver.exchange("b", 1)
    driver.exchange("c", 1)
    driver.trained()
    (mix,) = only(e.Mix, driver.tell(ev.LinkLost("d", "cut")))
    assert mix.coefficients == (1 / 3, 1 / 3, 1 / 3)


def _directed_ring() -> Any:
    return Schedule.of({"a": ("b",), "b": ("c",), "c": ("d",), "d": ("a",)}, directed=True)


# ------------------------------------------------------------------------------------------- masses, parts, encodings


def test_masses_go_out_and_come_in() -> None:
    driver = Driver("a", "ring", needs=PUSH, mixing="push-sum")
    apart = {peer: ev.OutgoingModel(f"for {peer}", MODEL, 0.25) for peer in "bd"}
    sent = only(e.Send, driver.trained(apart=apart))
    assert [(s.to, s.message.mass, s.body) for s in sent] == [(("b",), 0.25, "for b"), (("d",), 0.25, "for d")]
    driver.exchange("b", 1, mass=0.5)
    (mix,) = only(e.Mix, driver.exchange("d", 1, mass=0.125))
    assert (mix.names, mix.masses) == (("a", "b", "d"), (1.0, 0.5, 0.125))
    reported = only(e.Publish, driver.mixed(metrics={"mass": 0.75, "mass_out": {"b": 0.5}}))[0]
    assert (reported.fields["mass"], reported.fields["mass_out"]) == (0.75, {"b": 0.5})


def test_what_is_the_same_for_several_is_sent_once() -> None:
    driver = Driver("a", "ring", needs=PUSH, mixing="push-sum")
    model = ev.OutgoingModel("for all", MODEL, 0.25)
    (sent,) = only(e.Send, driver.trained(apart={"b": model, "d": model}))
    assert sent.to == ("b", "d")


@pytest.mark.parametrize(
    ("rules", "fields", "code", "words"),
    [
        ({}, {"mass": 0.5}, "values", "mass must be 1, found 0.5"),
        ({}, {"payload": TWO}, "payload", "parts must be weights, found weights, gradients"),
        ({}, {"payload": BYTES}, "payload", "no encoding was agreed, found delta+int8"),
        ({"encoding": "delta+int4"}, {"payload": BYTES}, "payload", "encoding must be delta+int4 or none"),
        ({"needs": Needs(parts=TWO.parts)}, {}, "payload", "parts must be weights, gradients, found weights"),
    ],
)
def test_what_does_not_belong_to_the_algorithm_is_refused(
    rules: dict[str, Any], fields: dict[str, Any], code: str, words: str
) -> None:
    driver = Driver("a", "ring", **rules)
    (refusal,) = only(e.Send, driver.exchange("b", 1, **fields))
    assert refusal.message.code == code
    assert words in refusal.message.reason


def test_parts_are_expected_where_the_algorithm_has_them() -> None:
    driver = Driver("a", "ring", needs=Needs(parts=TWO.parts))
    (sent,) = only(e.Send, driver.trained())
    assert sent.message.payload == TWO
    assert only(e.Send, driver.exchange("b", 1, payload=TWO)) == []


def test_who_cannot_read_a_difference_asks_for_the_whole_and_gets_it() -> None:
    driver = Driver("a", "ring", encoding="delta+int8")
    driver.trained(payload=BYTES, base=0)
    driver.exchange("b", 1, payload=BYTES, base=0)
    (mix,) = only(e.Mix, driver.exchange("d", 1, payload=BYTES, base=4))
    assert (mix.bases, mix.differences) == ((None, 0, 4), frozenset("bd"))
    asked = only(e.Send, driver.mixed(wanted=("d",)))
    assert [(s.to, s.message.about, s.message.code) for s in asked] == [(("d",), "exchange", "base")]
    assert asked[0].message.code in m.CODES
    # And the other way round: b asks for ours while we train, so it is the round after this one that has it.
    driver.tell(ev.Arrived("b", m.Refused("exchange", 1, "base", "the whole is wanted")))
    driver.trained(payload=BYTES, base=1)
    driver.exchange("b", 2, payload=BYTES, base=1)
    driver.exchange("d", 2)
    (train,) = only(e.Train, driver.mixed())
    assert train.whole == ("b",)
    whole = ev.OutgoingModel("whole", MODEL, base=2)
    sent = only(e.Send, driver.trained(payload=BYTES, base=2, apart={"b": whole}))
    assert [(s.to, s.message.payload, s.message.base) for s in sent] == [(("b",), MODEL, 2), (("d",), BYTES, 2)]
    driver.exchange("b", 3)
    driver.exchange("d", 3)
    assert only(e.Train, driver.mixed())[0].whole == ()


def test_who_was_silent_when_a_difference_went_out_gets_the_whole_next() -> None:
    driver = Driver("a", "ring", encoding="delta+int8")
    driver.tell(ev.LinkLost("d", "cut"))
    driver.trained(payload=BYTES, base=0)
    driver.exchange("b", 1, payload=BYTES, base=0)
    assert only(e.Train, driver.mixed())[0].whole == ("d",)


def test_of_a_neighbor_in_a_new_incarnation_nothing_is_remembered_and_it_gets_nothing_old() -> None:
    driver = Driver("a", "ring", needs=PUSH, mixing="push-sum")
    driver.exchange("b", 1, mass=0.5)
    assert e.Forget("b") in driver.tell(ev.LinkUp("b", "peer", 2))
    apart = {peer: ev.OutgoingModel(f"for {peer}", MODEL, 0.25) for peer in "bd"}
    assert [s.to for s in only(e.Send, driver.trained(apart=apart)) if isinstance(s.message, m.Exchange)] == [("d",)]
    assert "b" not in driver.state.rounds.inbox.received
    assert e.Forget("b") not in driver.tell(ev.LinkUp("b", "peer", 2)), "the same incarnation again is no news"


# ------------------------------------------------------------------------------------------------------- heartbeats


def test_heartbeats_go_round_by_turns() -> None:
    peers = tuple(f"p{i:02d}" for i in range(9))
    tracker = NeighborTracker(peers)
    turns = [tracker.turn() for _ in range(5)]
    assert all(len(turn) == FAN for turn in turns)
    assert {peer for turn in turns for peer in turn} == set(peers)


def test_a_peer_of_sixty_four_that_are_all_linked_sends_four_heartbeats_a_second() -> None:
    members = [f"p{i:02d}" for i in range(64)]
    state = static_peer("p00", members, schedule("complete", members))
    state.handle(ev.Started(), 0.0)
    beats = 0
    for pulse in range(20):
        for effect in state.handle(ev.TimerFired(("pulse",), 0.5 * pulse), 0.5 * pulse):
            beats += len(effect.to) if isinstance(effect, e.SendHeartbeat) else 0
    assert beats <= 4 * 10
