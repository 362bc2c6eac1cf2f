"""Peers that come, go, die, stall and split, on virtual time: the others go on, and the mean with them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.broker.faults import Faults, Partition
from nervenet.nodes import effects as e
from nervenet.nodes.gossip.exchange import PeerRules, PeerState
from nervenet.nodes.gossip.membership.fellows import FellowRules, Fellows
from nervenet.nodes.gossip.membership.probe import ProbeRules
from nervenet.nodes.gossip.topology import schedule
from nervenet.nodes.simulate import Simulation

MODEL = m.Payload(rule="mean", layout="a1b2", dtype="float64", length=4)
TRAIN_S = 0.5


class Worker:
    """Trains towards a point of the site's own, and mixes what it is told to."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.run = run
        self.x = np.zeros(4)
        self.target = np.random.default_rng(sum(name.encode())).standard_normal(4)

    def __call__(self, job: e.Effect) -> tuple[float, e.Event | None]:
        match job:
            case e.Survey():
                return 0.0, e.Surveyed({"of": self.name}, (self.name,))
            case e.Settle():
                return 0.0, e.Settled({"columns": ["x"]}, MODEL, self.x)
            case e.Adopt(body):
                self.x = body
                return 0.0, None
            case e.Train(number):
                self.x = self.x + self.run.rate / number**0.5 * (self.target - self.x)
                self.run.before.setdefault(number, {})[self.name] = self.x
                return TRAIN_S * self.run.pace.get(self.name, 1.0), e.Trained(number, 0, self.x, 1, {})
            case e.Mix(number, bodies, coefficients, names):
                self.run.rows.setdefault(number, {})[self.name] = dict(zip(names, coefficients, strict=True))
                self.x = sum(c * body for c, body in zip(coefficients, bodies, strict=True))
                self.run.after.setdefault(number, {})[self.name] = self.x
                return 0.0, e.Mixed(number, self.x)
            case e.Evaluate(number, which):
                return 0.0, e.Evaluated(number, which, {})
        return 0.0, None


class Run:
    def __init__(
        self, n: int, topology: str = "ring", rounds: int = 20, faults: Any = None, rate: float = 0.2, **rules: Any
    ) -> None:
        self.sim = Simulation(faults or Faults(delay_s=(0.001, 0.003), ordered=True))
        self.names = [f"peer-{i}" for i in range(n)]
        self.topology, self.rounds, self.rate = topology, rounds, rate
        self.rules = {"deadline_s": 30.0, "evaluate_every": 10**6} | rules
        self.pace: dict[str, float] = {}
        self.before: dict[int, dict[str, Any]] = {}
        self.after: dict[int, dict[str, Any]] = {}
        self.rows: dict[int, dict[str, dict[str, float]]] = {}
        self.states: dict[str, PeerState] = {}
        for name in self.names:
            self.enter(name, self.names)
        for i, name in enumerate(self.names):
            for other in self.names[i + 1 :]:
                self.sim.connect(name, other)

    def enter(self, name: str, known: list[str], *, life: int = 1, late: bool = False) -> None:
        lay = partial(self._lay)
        others = tuple(m.News(other, 1, "alive") for other in known if other != name)
        fellows = Fellows(
            FellowRules(
                m.News(name, life, "alive"),
                tuple(self.names),
                others,
                lay,
                anew=self.topology in ("ring", "complete"),
                late=late,
                terms={"nodes": len(self.names)},
                probe=ProbeRules(seed=7),
            )
        )
        rules = PeerRules(name=name, members=tuple(self.names), schedule=lay(self.names), **self.rules)
        self.states[name] = state = PeerState(rules, fellows)
        self.sim.add(name, state, Worker(name, self))
        self.sim.post(name, e.Proceed(self.rounds))

    def _lay(self, members: Any) -> Any:
        degree = {"degree": 4} if self.topology == "random-regular" else {}
        return schedule(self.topology, members, seed=7, **degree)

    def late(self, name: str, seed_peer: str, at: float, life: int = 1) -> None:
        def come() -> None:
            self.enter(name, [seed_peer], life=life, late=True)
            for other in self.states:
                if other != name:
                    self.sim.at(self.sim.now, partial(self._meet, name, other, life))

        self.sim.at(at, come)

    def _meet(self, name: str, other: str, life: int) -> None:
        self.sim._post(self.sim.nodes[name], e.LinkUp(other, "peer", 1))
        self.sim._post(self.sim.nodes[other], e.LinkUp(name, "peer", life))

    def crash(self, name: str, at: float, *, noticed: bool = True) -> None:
        self.sim.crash(name, at)
        for other in self.names:
            if noticed and other != name:
                self.sim.at(at + 0.01, partial(self.sim.post, other, e.LinkLost(name, "the connection has ended")))

    def run(self, until: float = 200.0) -> Run:
        def ended() -> bool:
            return all(s.completed >= self.rounds or not self.sim.nodes[n].alive for n, s in self.states.items())

        while self.sim.now < until and not ended():
            self.sim.run(min(until, self.sim.now + 0.25))
        return self

    def mean_error(self, number: int) -> float:
        """How far the mixing of a round moved the sum over those who took part in it."""
        before, after = self.before[number], self.after[number]
        return float(np.abs(sum(before[n] for n in after) - sum(after.values())).max())

    def distance(self, number: int) -> float:
        x = np.array(list(self.after[number].values()))
        return float(np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()))

    def published(self, name: str, kind: str) -> list[tuple[float, Any]]:
        return [(now, fields) for now, found, fields in self.sim.nodes[name].published if found == kind]


@pytest.mark.parametrize("topology", ["ring", "random-regular", "complete"])
def test_undisturbed_the_edges_are_those_of_the_roster_and_nobody_is_told_anything(topology: str) -> None:
    run = Run(8, topology).run()
    assert all(state.completed == 20 for state in run.states.values())
    graph = run._lay(run.names).out(1)
    for rows in run.rows.values():
        assert {name: tuple(sorted(row.keys() - {name})) for name, row in rows.items()} == graph
    assert not [p for node in run.sim.nodes.values() for p in node.published if p[1].startswith("node.")]
    assert max(run.mean_error(r) for r in run.after) < 1e-12


def test_a_ring_closes_over_two_that_are_killed_and_the_mean_is_kept_again() -> None:
    run = Run(8, rounds=30)
    run.crash("peer-2", 4.2)
    run.crash("peer-5", 6.3)
    run.run()
    living = [name for name in run.names if name not in ("peer-2", "peer-5")]
    assert all(run.states[name].completed == 30 for name in living)
    last = run.rows[30]
    assert {name: len(row) for name, row in last.items()} == dict.fromkeys(living, 3)
    assert set(last["peer-1"]) == {"peer-0", "peer-1", "peer-3"}
    assert max(run.mean_error(r) for r in range(20, 31)) < 1e-12
    lost = {fields["subject"] for _, fields in run.published("peer-7", "node.lost")}
    assert lost == {"peer-2", "peer-5"}
    assert max(now for now, _ in run.published("peer-7", "node.lost")) < 6.3 + 3.0


def test_one_that_joins_through_a_peer_starts_from_its_model_and_takes_part() -> None:
    run = Run(6, rounds=30)
    run.late("zoe", "peer-3", at=5.2)
    run.run()
    assert run.states["zoe"].completed == 30
    first = min(number for number, who in run.before.items() if "zoe" in who)
    assert 9 <= first <= 12
    assert set(run.rows[30]["zoe"]) == {"peer-0", "peer-5", "zoe"}, "by name it stands behind peer-5"
    late = [number for number, rows in run.rows.items() if len(rows.get("zoe", ())) == 3]
    assert late == list(range(late[0], 31))
    assert late[0] <= first + 3
    assert max(run.mean_error(r) for r in run.after) < 1e-12, "nobody's edges counted before both ends had said so"


def test_one_that_came_late_does_not_begin_again_when_it_is_told_what_the_others_agreed_on() -> None:
    run = Run(4, rounds=30)
    run.late("zoe", "peer-2", at=5.2)
    adopted: list[float] = []
    adopt = Worker.__call__

    def watched(self: Worker, job: e.Effect) -> tuple[float, e.Event | None]:
        if isinstance(job, e.Adopt):
            adopted.append(run.sim.now)
        return adopt(self, job)

    survey = m.Payload("survey", "survey", "float64", 1)

    def tell() -> None:
        assert run.states["zoe"].round, "it has joined"
        for origin in run.names:
            run.sim.post("zoe", e.Arrived("peer-2", m.Testimony(origin, {}, survey), (1.0,)))

    run.sim.at(9.0, tell)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "__call__", watched)
        run.run()
    assert len(adopted) == 1
    assert run.states["zoe"].completed == 30


def test_one_that_is_killed_comes_back_in_a_new_life_and_joins_the_round_of_the_others() -> None:
    run = Run(6, rounds=40)
    run.crash("peer-1", 4.2)
    run.late("peer-1", "peer-4", at=10.0, life=2)
    run.run()
    assert run.states["peer-1"].completed == 40
    assert set(run.rows[40]["peer-1"]) == {"peer-0", "peer-1", "peer-2"}
    assert [f["reason"] for _, f in run.published("peer-3", "node.ready")]


def test_a_stopped_peer_costs_nothing_once_it_is_suspected_and_is_readmitted_when_it_wakes() -> None:
    run = Run(8, rounds=60)
    run.sim.stall("peer-3", 5.2, 12.0)
    run.run()
    assert all(state.completed == 60 for state in run.states.values())
    rounds = [now for now, f in run.published("peer-2", "round.completed")]
    gaps = np.diff(rounds)
    assert gaps.max() < 4.0
    assert sum(gaps > 2 * TRAIN_S) <= 3, "the others wait for it once, and once more for it to catch up"
    assert set(run.rows[60]["peer-3"]) == {"peer-2", "peer-3", "peer-4"}
    assert not run.published("peer-3", "node.lost"), "it blames nobody"
    assert max(run.mean_error(r) for r in range(50, 61)) < 1e-12


def test_eight_that_are_cut_into_four_and_four_go_on_as_two_and_heal_into_one() -> None:
    side = frozenset(f"peer-{i}" for i in range(4))
    cut, heal = 8.0, 25.0
    faults = Faults(delay_s=(0.001, 0.003), ordered=True, partitions=[Partition(side, cut, heal)])
    run = Run(8, rounds=100, faults=faults)
    run.run()
    at = {number: now for now, f in run.published("peer-0", "round.completed") if (number := f["round"])}
    before = run.distance(max(number for number, now in at.items() if now < cut))
    apart = [number for number, now in at.items() if cut + 8 < now < heal]
    assert apart, "both halves go on"
    for number in apart:
        for name, row in run.rows[number].items():
            assert {(p in side) for p in row} == {name in side}
    assert max(run.distance(n) for n in apart) > 1.5 * before, "and drift apart"
    whole = next(n for n in sorted(at) if at[n] > heal and _one_piece(run.rows[n]))
    assert at[whole] < heal + 8.0
    healed = min(n for n in at if at[n] > heal)
    back = [n for n in range(healed, 101) if run.distance(n) <= before]
    assert back, "consensus is reached again"
    assert back[0] - whole <= 10
    assert max(run.mean_error(r) for r in range(90, 101)) < 1e-12


def _one_piece(rows: dict[str, dict[str, float]]) -> bool:
    reached, edge = set(), {min(rows)}
    while edge:
        reached |= edge
        edge = {p for name in edge for p in rows.get(name, ()) if p in rows} - reached
    return reached == set(rows) and len(rows) == 8


def test_of_two_with_one_identity_the_older_is_told_and_stops() -> None:
    run = Run(6, rounds=60)
    news = m.Tidings((m.News("peer-2", 5, "alive"),))
    run.sim.at(5.0, lambda: run.sim.post("peer-4", e.Arrived("peer-2", news)))
    run.sim.run(15.0)
    ended = run.sim.nodes["peer-2"].finished
    assert ended is not None
    assert ended.status == "failed"
    assert "started again" in ended.reason


def test_a_late_peer_to_whom_nobody_gives_a_model_fails_by_name_within_its_deadline() -> None:
    run = Run(4, rounds=4, join_deadline_s=5.0)
    run.run()
    run.enter("zoe", ["nobody"], late=True)
    run.sim.run(run.sim.now + 20.0)
    ended = run.sim.nodes["zoe"].finished
    assert ended is not None
    assert "gave its model within 5 s" in ended.reason
