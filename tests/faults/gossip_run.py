"""A gossip run by rounds among members that come and go, on virtual time, with stand-in workers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from nervenet.broker import messages as m
from nervenet.broker.testing.faults import Faults
from nervenet.nodes.gossip.algorithms.base import Needs
from nervenet.nodes.gossip.membership.service import MembershipRules, MembershipService
from nervenet.nodes.gossip.membership.swim import SwimRules
from nervenet.nodes.gossip.round_machine import PeerMachine, PeerRules
from nervenet.nodes.gossip.survey_tree import SpanningTree
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.topology import every_neighbor, schedule
from static_membership import tables

MODEL = m.Payload(layout="a1b2", dtype="float64", length=4)
TRAIN_S = 0.5


class ScriptedWorker:
    """Trains towards a point of the site's own, and mixes what it is told to."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.run = run
        self.x = np.zeros(4)
        self.target = np.random.default_rng(sum(name.encode())).standard_normal(4)

    def __call__(self, job: e.Effect) -> tuple[float, ev.Event | None]:
        match job:
            case e.Survey():
                return 0.0, ev.Surveyed({"of": self.name}, (self.name,))
            case e.ApplyAgreement():
                return 0.0, ev.ModelReady({"columns": ["x"]}, MODEL, self.x)
            case e.LoadWeights(body):
                self.x = body
                return 0.0, None
            case e.Train(number):
                self.x = self.x + self.run.rate / number**0.5 * (self.target - self.x)
                self.run.before.setdefault(number, {})[self.name] = self.x
                return TRAIN_S * self.run.pace.get(self.name, 1.0), ev.Trained(number, 0, self.x, 1, {})
            case e.Mix(number, bodies, coefficients, names):
                self.run.rows.setdefault(number, {})[self.name] = dict(zip(names, coefficients, strict=True))
                self.x = sum(c * body for c, body in zip(coefficients, bodies, strict=True))
                self.run.after.setdefault(number, {})[self.name] = self.x
                return 0.0, ev.Mixed(number, self.x)
            case e.Evaluate(number, which):
                return 0.0, ev.Evaluated(number, which, {})
        return 0.0, None


class Run:
    mixing = "metropolis-hastings"
    needs = Needs()
    by_tree = False  # whether peers meet as many do

    def __init__(
        self, n: int, topology: str = "ring", rounds: int = 20, faults: Any = None, rate: float = 0.2, **rules: Any
    ) -> None:
        self.sim = self._simulation(faults or Faults(delay_s=(0.001, 0.003), ordered=True))
        self.names = [f"peer-{i}" for i in range(n)]
        self.topology, self.rounds, self.rate = topology, rounds, rate
        self.rules = {"deadline_s": 30.0, "evaluate_every": 10**6} | rules
        self.pace: dict[str, float] = {}
        self.before: dict[int, dict[str, Any]] = {}
        self.after: dict[int, dict[str, Any]] = {}
        self.rows: dict[int, dict[str, dict[str, float]]] = {}
        self.states: dict[str, PeerMachine] = {}
        for name in self.names:
            self.enter(name, self.alive(self.names))
        for i, name in enumerate(self.names):
            for other in self.names[i + 1 :]:
                self.sim.connect(name, other)

    def _simulation(self, faults: Any) -> Simulation:
        return Simulation(faults)

    @staticmethod
    def alive(names: Iterable[str]) -> list[m.MemberState]:
        return [m.MemberState(name, 1, "alive") for name in names]

    def enter(
        self, name: str, known: Iterable[m.MemberState], *, incarnation: int = 1, late: bool = False, asked: bool = True
    ) -> None:
        layout = self._layout
        membership = MembershipService(
            MembershipRules(
                m.MemberState(name, incarnation, "alive"),
                tuple(self.names),
                tuple(news for news in known if news.node != name),
                layout,
                relaid=self.topology in ("ring", "complete"),
                mixing=self.mixing,
                doubly=self.needs.doubly,
                late=late,
                shared_config={"nodes": len(self.names)},
                swim=SwimRules(seed=7),
            )
        )
        founded = every_neighbor(layout(self.names)) if self.by_tree and not late else {}
        rules = PeerRules(
            name=name,
            members=tuple(self.names),
            tree=SpanningTree.over(founded) if founded else None,
            needs=self.needs,
            **tables(self.rules),
        )
        self.states[name] = state = PeerMachine(rules, membership)
        self._add(name, incarnation, state)
        if asked:
            self.sim.post(name, ev.Proceed(self.rounds))

    def _add(self, name: str, incarnation: int, state: PeerMachine) -> None:
        self.sim.add(name, state, ScriptedWorker(name, self))

    def _layout(self, members: Any) -> Any:
        degree = {"degree": 4} if self.topology == "random-regular" else {}
        return schedule(self.topology, members, seed=7, **degree)

    def late(self, name: str, seed_peer: str, at: float, incarnation: int = 1, *, asked: bool = True) -> None:
        def come() -> None:
            self.enter(name, self.alive([seed_peer]), incarnation=incarnation, late=True, asked=asked)
            for other in self.states:
                if other != name:
                    self.sim.at(self.sim.now, partial(self._meet, name, other, incarnation))

        self.sim.at(at, come)

    def _meet(self, name: str, other: str, incarnation: int) -> None:
        self.sim._post(self.sim.nodes[name], ev.LinkUp(other, "peer", 1))
        self.sim._post(self.sim.nodes[other], ev.LinkUp(name, "peer", incarnation))

    def crash(self, name: str, at: float, *, noticed: bool = True) -> None:
        self.sim.crash(name, at)
        for other in self.names:
            if noticed and other != name:
                self.sim.at(at + 0.01, partial(self.sim.post, other, ev.LinkLost(name, "the connection has ended")))

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
