"""Failures are found in seconds, by everybody, and seldom where there are none; all on virtual time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.broker.testing.faults import Faults, Partition
from nervenet.nodes.gossip.membership.member_list import Change, MemberList
from nervenet.nodes.gossip.membership.swim import SwimDetector, SwimRules
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation


class Watcher:
    """Probes and nothing else; keeps what it is told."""

    def __init__(self, detector: SwimDetector) -> None:
        self.detector = detector
        self.changes: list[tuple[float, Change]] = []
        self.sent: Counter[str] = Counter()
        self.tap: list[tuple[float, ev.Event]] = []

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = []
        for reported in self.detector.handle(event, now):
            if isinstance(reported, Change):
                self.changes.append((now, reported))
            else:
                effects.append(reported)
                if isinstance(reported, e.Send):
                    self.sent[m.tag_of(reported.message)] += len(reported.to)
        return effects

    def when(self, peer: str, state: str) -> float:
        return next((now for now, c in self.changes if c.peer == peer and c.state == state), float("inf"))


def test_who_shares_an_event_loop_with_many_is_given_more_time() -> None:
    rules = SwimRules(seed=3)
    assert rules.slower(1, 2.0) == rules.slower(16, 1.0) == rules
    assert rules.slower(64, 2.0).timeout_s == 4 * rules.timeout_s
    assert rules.slower(1, 20.0).suspicion_s == 10 * rules.suspicion_s
    assert rules.slower(64, 2.0).seed == 3


def idle(job: e.Effect) -> tuple[float, ev.Event | None]:
    return 0.0, None


def names(n: int) -> list[str]:
    return [f"p{i:02d}" for i in range(n)]


class Swarm:
    def __init__(self, n: int, network: Any = None, **rules: Any) -> None:
        self.sim = Simulation(network)
        self.rules = rules
        self.watchers: dict[str, Watcher] = {}
        for name in names(n):
            self.add(name, names(n))

    def add(self, name: str, known: list[str], incarnation: int = 1) -> Watcher:
        others = [m.MemberState(other, 1, "alive") for other in known if other != name]
        watcher = Watcher(
            SwimDetector(SwimRules(**self.rules), MemberList(m.MemberState(name, incarnation, "alive"), others))
        )
        self.watchers[name] = watcher
        self.sim.add(name, watcher, idle)
        return watcher

    def survivors(self, *dead: str) -> list[Watcher]:
        return [w for name, w in self.watchers.items() if name not in dead]

    def agree(self, *dead: str) -> bool:
        here = sorted(set(self.watchers) - set(dead))
        return all(w.detector.members.present() == here for w in self.survivors(*dead))


def test_sixteen_peers_all_know_of_a_death_within_three_seconds_at_the_median():
    suspected, gone = [], []
    for seed in range(20):
        swarm = Swarm(16, Faults(seed=seed, delay_s=(0.0005, 0.005)), seed=seed)
        at = 5.0 + 0.31 * seed
        swarm.sim.crash("p03", at)
        swarm.sim.run(at + 20)
        suspected.append(max(w.when("p03", "suspect") for w in swarm.survivors("p03")) - at)
        gone.append(max(w.when("p03", "dead") for w in swarm.survivors("p03")) - at)
        assert swarm.agree("p03")
    assert np.median(suspected) < 2.0, f"{sorted(suspected)}"
    assert max(suspected) < 3.0, f"{sorted(suspected)}"
    assert np.median(gone) < 4.0
    assert max(gone) < 5.0


def test_a_connection_that_breaks_is_looked_into_at_once():
    swarm = Swarm(16)
    swarm.sim.crash("p03", 5.0)
    swarm.sim.at(5.01, lambda: swarm.sim.post("p07", ev.LinkLost("p03", "the connection has ended")))
    swarm.sim.run(20.0)
    assert max(w.when("p03", "suspect") for w in swarm.survivors("p03")) < 6.3
    assert max(w.when("p03", "dead") for w in swarm.survivors("p03")) < 8.0


def test_a_connection_that_breaks_while_its_owner_lives_kills_nobody():
    swarm = Swarm(8)
    swarm.sim.at(5.0, lambda: swarm.sim.post("p07", ev.LinkLost("p03", "the connection has ended")))
    swarm.sim.run(20.0)
    assert not [c for w in swarm.watchers.values() for _, c in w.changes if c.state == "dead"]
    assert swarm.agree()
    assert not swarm.watchers["p07"].changes, "others are asked before anything is said"


def test_at_rest_a_node_sends_no_more_than_five_messages_a_second_whatever_their_number():
    rates = []
    for n in (8, 64):
        swarm = Swarm(n)
        swarm.sim.run(10.0)
        before = {name: sum(w.sent.values()) for name, w in swarm.watchers.items()}
        swarm.sim.run(40.0)
        rates.append([(sum(w.sent.values()) - before[name]) / 30 for name, w in swarm.watchers.items()])
    assert max(rates[1]) < 5.0
    assert np.mean(rates[1]) < 3.5
    assert np.mean(rates[1]) < 1.2 * np.mean(rates[0])


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_called_dead_where_messages_are_lost_and_nodes_stall_for_a_while(seed):
    swarm = Swarm(16, Faults(seed=seed, delay_s=(0.001, 0.05), drop=0.05), seed=seed)
    for i, name in enumerate(names(16)):  # each stands still for 0.4 s now and then: all cores are busy
        for k in range(12):
            swarm.sim.stall(name, 3.0 + 0.37 * i + 5.0 * k, 0.4)
    swarm.sim.run(65.0)
    assert not [(now, c) for w in swarm.watchers.values() for now, c in w.changes if c.state == "dead"]
    assert swarm.agree()


def test_a_node_that_was_stopped_suspects_nobody_when_it_wakes():
    swarm = Swarm(8)
    swarm.sim.stall("p02", 5.0, 10.0)
    swarm.sim.run(40.0)
    sleeper = swarm.watchers["p02"]
    assert sleeper.changes == [], "everybody was silent for it, and it suspects nobody"
    assert swarm.watchers["p05"].when("p02", "dead") < 12.0
    assert swarm.watchers["p05"].when("p02", "alive") < 15.5, "it is readmitted when it wakes"
    assert swarm.agree()


def test_a_partition_goes_on_as_two_and_heals_by_itself():
    side = frozenset(names(8)[:4])
    swarm = Swarm(8, Faults(partitions=[Partition(side, 5.0, 30.0)]))
    swarm.sim.run(29.0)
    for name, watcher in swarm.watchers.items():
        assert set(watcher.detector.members.present()) == {p for p in names(8) if (p in side) == (name in side)}
    swarm.sim.run(45.0)
    assert swarm.agree()
    again = [[now for now, c in w.changes if c.state == "alive"] for w in swarm.watchers.values()]
    assert max(max(times) for times in again) < 35.0
    for watcher in swarm.watchers.values():
        after = [c for now, c in watcher.changes if now > 30.0 and c.state == "dead"]
        assert after == [], "the halves do not call each other's members dead when they meet"


def test_one_that_joins_through_a_single_peer_is_soon_known_to_all_and_knows_all():
    swarm = Swarm(16)
    swarm.sim.at(5.0, lambda: swarm.add("p99", ["p05"]))
    swarm.sim.run(20.0)
    assert swarm.agree()
    assert max(w.when("p99", "alive") for name, w in swarm.watchers.items() if name != "p99") < 7.0


def test_one_that_leaves_is_not_suspected():
    swarm = Swarm(8)

    def leave() -> None:
        for name in ("p02", "p04"):  # its neighbors have its goodbye, and tell the others
            node, detector = swarm.sim.nodes[name], swarm.watchers[name].detector
            for reported in detector.left("p03", 4, "done", swarm.sim.now):
                if isinstance(reported, Change):
                    swarm.watchers[name].changes.append((swarm.sim.now, reported))
                else:
                    swarm.sim._perform(node, reported)
        swarm.sim.nodes["p03"].alive = False

    swarm.sim.at(5.0, leave)
    swarm.sim.run(20.0)
    assert swarm.agree("p03")
    assert {c.state for w in swarm.survivors("p03") for _, c in w.changes} == {"left"}


def test_a_member_that_crashes_comes_back_in_a_new_incarnation():
    swarm = Swarm(8)
    swarm.sim.crash("p03", 5.0)
    swarm.sim.at(20.0, lambda: swarm.add("p03", ["p05"], incarnation=2))
    swarm.sim.run(30.0)
    assert swarm.agree()
    for watcher in swarm.survivors("p03"):
        assert watcher.detector.members.known["p03"].incarnation == 2
        assert watcher.when("p03", "restarted") < 22.0


def test_of_two_with_one_identity_the_newer_incarnation_supersedes_the_older():
    swarm = Swarm(8)
    swarm.sim.run(5.0)
    older = swarm.watchers["p03"].detector
    at = {"control": "tcp://elsewhere:1"}
    news = m.Gossip((m.MemberState("p03", 2, "alive", addresses=at),))
    looks = older.handle(ev.Arrived("p05", news), 5.0)
    assert not [t for t in looks if isinstance(t, Change)], "what others say is a reason to look"
    assert e.Link("p03", at) in looks
    (ended,) = [t for t in older.handle(ev.LinkUp("p03", "peer", 2), 5.1) if isinstance(t, Change)]
    assert (ended.peer, ended.state, ended.incarnation) == ("p03", "superseded", 2)
    newer = MemberList(m.MemberState("p03", 2, "alive"))
    detector = SwimDetector(SwimRules(), newer)
    reported = detector.handle(ev.Arrived("p05", m.Gossip((m.MemberState("p03", 1, "dead"),))), 5.0)
    assert not [each for each in reported if isinstance(each, Change)]
    assert newer.me.refutations == 0


def test_a_helper_asks_for_another_and_passes_the_answer_on():
    detector = SwimDetector(
        SwimRules(), MemberList(m.MemberState("b", 1, "alive"), [m.MemberState(n, 1, "alive") for n in "ac"])
    )
    detector.handle(ev.Started(), 0.0)
    asked = detector.handle(ev.Arrived("a", m.Ping(7, "c", ())), 1.0)
    (send,) = [t for t in asked if isinstance(t, e.Send)]
    assert (send.to, send.message.subject) == (("c",), "c")
    answered = detector.handle(ev.Arrived("c", m.Ack(send.message.id, "c", ())), 1.1)
    (back,) = [t for t in answered if isinstance(t, e.Send)]
    assert (back.to, back.message.id, back.message.subject) == (("a",), 7, "c")


def after_a_probe_of_one_that_has_left() -> list[str]:
    """What a peer finds of another that it probes in vain, where the helper that it asks has had a goodbye."""
    peers = [m.MemberState(name, 1, "alive") for name in "abc"]
    asker = SwimDetector(SwimRules(), MemberList(peers[0], peers[1:]))
    helper = SwimDetector(SwimRules(), MemberList(peers[1], [peers[0], peers[2]]))
    helper.left("c", 3, "done", 0.5, spread=False)
    asker.handle(ev.Started(), 0.0)
    reported, now = asker.probe("c", 1.0), 1.0
    found: list[str] = []
    while now < 10.0:
        for each in reported:
            if isinstance(each, Change) and each.peer == "c":
                found.append(each.state)
            if isinstance(each, e.Send) and "b" in each.to:
                for answer in helper.handle(ev.Arrived("a", each.message), now):
                    if isinstance(answer, e.Send) and "a" in answer.to:
                        asker.handle(ev.Arrived("b", answer.message), now)
        now += 0.05
        reported = asker.handle(ev.TimerFired(("probe",), now), now)
    return found


def test_one_that_has_left_in_order_is_not_suspected() -> None:
    assert after_a_probe_of_one_that_has_left() == ["left"]


def test_it_would_be_where_helpers_keep_a_goodbye_to_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SwimDetector, "_gone", lambda *_: None)
    assert after_a_probe_of_one_that_has_left()[0] == "suspect"


def test_any_traffic_spares_a_probe():
    rules = SwimRules(period_s=1.0)
    detector = SwimDetector(rules, MemberList(m.MemberState("a", 1, "alive"), [m.MemberState("b", 1, "alive")]))
    detector.handle(ev.Started(), 0.0)
    sent = []
    for tenth in range(1, 60):
        now = tenth / 10
        reported = detector.handle(ev.Arrived("b", m.Heartbeat(1, "training", ())), now)
        reported += detector.handle(ev.TimerFired(("probe",), now), now)
        sent += [t for t in reported if isinstance(t, e.Send) and isinstance(t.message, m.Ping)]
    assert sent == []
