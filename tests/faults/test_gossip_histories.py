"""Histories drawn from seeds, of gossip by rounds among members that come and go: each keeps every promise."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from gossip_drawn import History, Weather, draw
from gossip_histories import Played
from gossip_kept import KEPT
from gossip_promises import breaches, pairs, rows, waits
from gossip_run import Run
from msgspec import structs
from nervenet.broker import messages as m
from nervenet.nodes.gossip import survey_flood
from nervenet.nodes.gossip.isolation import Isolation
from nervenet.nodes.gossip.membership.edge_agreement import EdgeAgreement
from nervenet.nodes.gossip.membership.service import MembershipService
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.gossip.rounds import GossipRounds
from nervenet.nodes.gossip.survey_tree import SpanningTree, TreeRelay
from nervenet.nodes.gossip.waiting import WaitPolicy
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from vocabulary import Kill

Arrived: TypeAlias = Callable[[], list[e.Effect]]

SEEDS = 20  # benchmarks/histories.py plays a thousand


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_history_keeps_every_promise(seed: int) -> None:
    assert breaches(Played(draw(seed)).play()) == []


@pytest.mark.parametrize("what", KEPT)
def test_a_history_that_broke_a_promise_keeps_it_now(what: str) -> None:
    assert breaches(Played(KEPT[what]).play()) == []


@pytest.mark.parametrize("seed", [1899, 1994, 2097, 2171, 4161])
def test_a_seed_whose_history_broke_a_promise_keeps_it_now(seed: int) -> None:
    assert breaches(Played(draw(seed)).play()) == []


CHANGING = 986  # the seed of a history over a graph that changes each round
MISSED = 1356  # and of another, in which a peer misses a round


@pytest.mark.parametrize("seed", [474, CHANGING])
def test_a_changing_graph_mends_within_twenty_seconds(seed: int) -> None:
    assert breaches(Played(draw(seed)).play()) == []


def test_who_missed_a_round_would_be_left_behind_the_next_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two meet every fourth round it is waited for again only by whom a model of its has reached since."""
    assert breaches(Played(draw(MISSED)).play()) == []
    monkeypatch.setattr(WaitPolicy, "leave_out", lambda *_: [])  # as it was when that came to light
    assert breaches(Played(draw(MISSED)).play()) == []
    monkeypatch.setattr(WaitPolicy, "seen", lambda *_: None)
    found = breaches(Played(draw(MISSED)).play())
    assert found
    assert all(breach.startswith("mends: ") for breach in found)


MET = 12137  # of a history in which two die soon after they have answered, over a network that loses a third


def test_what_the_tree_loses_is_repeated_as_soon_as_a_flood_would_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that die two seconds later have told others of themselves by then."""
    monkeypatch.setattr(survey_flood, "OFTEN", 0)
    history = dataclasses.replace(draw(MET), by_tree=True)
    assert breaches(Played(history).play()) == []
    relay = TreeRelay.__init__

    def patient(self: TreeRelay, tree: SpanningTree, me: str) -> None:
        relay(self, tree, me)
        self.patience = 3

    monkeypatch.setattr(TreeRelay, "__init__", patient)
    found = breaches(Played(history).play())
    assert found
    assert all(breach.startswith("ends: ") for breach in found)


@pytest.mark.parametrize("seed", [3171, 7469])
def test_who_dies_in_round_0_has_told_others_of_itself(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Though a third of what it says is lost: little is said again with each heartbeat."""
    assert breaches(Played(draw(seed)).play()) == []
    monkeypatch.setattr(survey_flood, "OFTEN", 0)
    found = breaches(Played(draw(seed)).play())
    assert found
    assert all(breach.startswith("ends: ") for breach in found)


SENT = 6725  # of a history in which one that is alone is heard, sends some models, and goes back
WENT_BACK = 5371  # and of one in which a neighbor is not told that another has gone back


def test_what_one_that_was_alone_has_sent_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_flood, "OFTEN", 0)  # as it was when that came to light
    assert breaches(Played(draw(SENT)).play()) == []
    way_back = Isolation.way_back
    monkeypatch.setattr(Isolation, "way_back", lambda self, completed, there, _: way_back(self, completed, there, 0))
    assert any("went back from round" in breach for breach in breaches(Played(draw(SENT)).play()))


def test_an_edge_of_one_that_went_back_counts_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    history = dataclasses.replace(draw(WENT_BACK), by_tree=False)
    assert breaches(Played(history).play()) == []
    monkeypatch.setattr(EdgeAgreement, "outdated", lambda *_: {})
    assert any(breach.startswith("mends: ") for breach in breaches(Played(history).play()))


UNKNOWN = 2099  # and of one in which a peer that was killed had been connected to one that did not know it yet


def test_who_comes_to_a_round_after_its_model_was_sent_is_sent_it_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was alone sends nothing to those that are far behind, and these may leap into its round."""
    assert breaches(Played(draw(11232)).play()) == []
    resend = GossipRounds.resend

    def of_heard(self: GossipRounds, peer: str) -> list[e.Effect]:
        return [] if peer in self.inbox.received else resend(self, peer)

    monkeypatch.setattr(GossipRounds, "resend", of_heard)
    found = breaches(Played(draw(11232)).play())
    assert found
    assert all(breach.startswith("pairs: ") for breach in found)


def test_what_it_had_of_a_previous_incarnation_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whom a peer is connected to before membership tells of that, too, it knows which incarnation it was."""
    monkeypatch.setattr(survey_flood, "OFTEN", 0)
    assert breaches(Played(draw(UNKNOWN)).play()) == []
    connected = PeerMachine._connected

    def of_known(self: PeerMachine, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        return connected(self, peer, incarnation, now) if self.knows(peer) else []

    monkeypatch.setattr(PeerMachine, "_connected", of_known)
    assert [breach.split(":", 1)[0] for breach in breaches(Played(draw(UNKNOWN)).play())] == ["mass"]


def test_the_same_history_gives_the_same_bits() -> None:
    def bits(seed: int) -> list[bytes]:
        history = dataclasses.replace(draw(seed), rounds=20)
        return [
            np.asarray(incarnation.machine.weights).tobytes() for incarnation in Played(history).play().incarnations
        ]

    assert bits(3) == bits(3)
    assert bits(3) != bits(4)


def test_an_edge_whose_announcement_is_lost_is_announced_again() -> None:
    run = Run(4, rounds=14)
    deliver, lost = run.sim._deliver, []

    def lose(sender: str, receiver: str, message: m.Message, body: ev.Body) -> None:
        if isinstance(message, m.Edge) and message.degree and len(lost) < 2:
            lost.append((sender, receiver))
            return
        deliver(sender, receiver, message, body)

    run.sim._deliver = lose  # type: ignore[method-assign]
    run.crash("peer-2", 2.2)
    run.run()
    assert lost == [("peer-1", "peer-3"), ("peer-3", "peer-1")] or lost == [("peer-3", "peer-1"), ("peer-1", "peer-3")]
    assert set(run.rows[14]["peer-1"]) == {"peer-0", "peer-1", "peer-3"}


def overtaken_by_declines() -> list[set[str]]:
    """With whom a peer mixes in each round, after both its neighbors' announcements were overtaken by declines.

    It was stopped for some rounds, and what each had said before it heard of it again comes after what it says then.
    """
    run = Run(5, rounds=40, deadline_s=4.0)
    run.sim.stall("peer-0", 3.2, 6.0)
    deliver, overtaken = run.sim._deliver, set()

    def reorder(sender: str, receiver: str, message: m.Message, body: ev.Body) -> None:
        deliver(sender, receiver, message, body)
        if receiver == "peer-0" and isinstance(message, m.Edge) and sender not in overtaken:
            overtaken.add(sender)
            decline = m.Edge(run.states["peer-0"].round + 1, 0, answer=True)
            run.sim.at(run.sim.now + 0.05, lambda: deliver(sender, receiver, decline, None))

    run.sim._deliver = reorder  # type: ignore[method-assign]
    run.run()
    assert overtaken == {"peer-1", "peer-4"}
    return [set(run.rows[number]["peer-0"]) for number in sorted(run.rows) if "peer-0" in run.rows[number]]


def test_an_edge_whose_decline_overtook_its_announcement_is_announced_again() -> None:
    mixed = overtaken_by_declines()
    alone = mixed.index({"peer-0"})
    assert len(mixed) - alone > 20
    assert all(around == {"peer-0", "peer-1", "peer-4"} for around in mixed[alone + 4 :])


def of_its_own_round(arrived: Arrived, self: GossipRounds, exchange: m.Exchange) -> list[e.Effect]:
    with pytest.MonkeyPatch.context() as patch:
        if exchange.round != self.number:
            patch.setattr(self.membership, "missed", lambda _: [])
        return arrived()


def without_a_word(arrived: Arrived, self: GossipRounds, exchange: m.Exchange) -> list[e.Effect]:
    early = exchange.round > self.number
    return [x for x in arrived() if not (early and isinstance(x, e.Send) and isinstance(x.message, m.Edge))]


@pytest.mark.parametrize("fault", [of_its_own_round, without_a_word])
def test_else_a_peer_that_is_behind_would_stay_alone(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    """Reminded by a model of its own round only, or without saying what a model of a later one makes it announce."""
    arrived = GossipRounds.arrived

    def of(self: GossipRounds, event: ev.Arrived, exchange: m.Exchange, now: float) -> list[e.Effect]:
        found: list[e.Effect] = fault(lambda: arrived(self, event, exchange, now), self, exchange)
        return found

    monkeypatch.setattr(GossipRounds, "arrived", of)
    assert overtaken_by_declines()[-1] == {"peer-0"}


LEAPT = 9351  # of a history over a graph that changes each round, in which many leave out rounds once it is calm


def test_who_leaves_out_rounds_tells_those_that_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert breaches(Played(draw(LEAPT)).play()) == []
    monkeypatch.setattr(WaitPolicy, "leave_out", lambda *_: [])
    found = breaches(Played(draw(LEAPT)).play())
    assert found
    assert all(breach.startswith("mends: ") for breach in found)


def test_one_that_has_come_late_takes_no_survey() -> None:
    run = Run(4, rounds=20)
    run.late("zoe", "peer-1", at=3.2)
    payload = m.Payload("survey", "float64", 1)
    for k, name in enumerate(run.names):
        reported = ev.Arrived("peer-0", m.PeerSurvey(origin=name, fields={"of": name}, payload=payload), (name,))
        run.sim.at(6.0 + k / 1000, lambda reported=reported: run.sim.post("zoe", reported))
    run.run()
    done = [fields["round"] for _, fields in run.published("zoe", "round.completed")]
    assert done == sorted(set(done))
    assert not [n for n in done if n == 0], "round 0 was over before it came"


@pytest.mark.parametrize("topology", ["static-exponential", "one-peer-exponential"])
def test_a_newcomer_finds_a_place_in_a_directed_graph(topology: str) -> None:
    run = Run(5, topology, rounds=20)
    run.late("zoe", "peer-1", at=3.2)
    run.run()
    assert run.states["zoe"].completed == 20
    out = run._layout([*run.names, "zoe"]).out(20)
    assert set(run.rows[20]["zoe"]) == {"zoe", *(name for name in out if "zoe" in out[name])}


class Forgetful(Played):
    """Whoever mixes weighs one neighbor a little too much."""

    def _worker(self, incarnation):
        work = super()._worker(incarnation)

        def do(job):
            if isinstance(job, e.Mix) and len(job.names) > 1:
                incarnation.mixes[job.round] = structs.replace(
                    job, coefficients=(job.coefficients[0] + 1e-9, *job.coefficients[1:])
                )
            return work(job)

        return do


def test_the_promises_can_be_broken() -> None:
    calm = History(seed=0, n=5, rounds=12)
    assert list(waits(Played(calm).play())) == []
    assert list(rows(Forgetful(calm).play()))
    assert list(pairs(Forgetful(calm).play()))
    hung = History(seed=0, n=5, rounds=44, kills=(Kill("peer-1", 3.0),), weather=Weather())
    assert not any(
        incarnation.name == "peer-1" and incarnation.left for incarnation in Played(hung).play().incarnations
    )


@pytest.mark.parametrize("seed", [12, 405, 3171])
def test_what_only_tells_that_a_peer_is_there_is_handled_as_all_else_is(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """By a shorter way, which changes nothing: the same models in the same rounds, and the same of each peer."""
    short = Played(draw(seed)).play()
    taken = []
    only_heard = MembershipService.only_heard

    def counted(service: MembershipService, *event: Any) -> bool:
        taken.append(only_heard(service, *event))
        return False

    monkeypatch.setattr(MembershipService, "only_heard", counted)
    long = Played(draw(seed)).play()
    assert sum(taken) > len(taken) // 20
    assert (long.before, long.after, long.rows) == (short.before, short.after, short.rows)
    for name in short.names:
        assert long.sim.nodes[name].published == short.sim.nodes[name].published
