"""Gossip without rounds on virtual time, through seeded histories of loss, duplication, reordering, stalls and crashes:
every history ends, no average is taken twice or by one side alone, and the sum of the models is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from graphs import neighbors
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.broker.messages import Lane
from nervenet.models.rng import generator
from nervenet.nodes.gossip.asynchronous.ad_psgd import AdPsgd, AdPsgdMachine
from nervenet.nodes.gossip.asynchronous.gossip_learning import GossipLearning, GossipLearningMachine
from nervenet.nodes.gossip.asynchronous.machine import AsyncPeerMachine
from nervenet.nodes.gossip.asynchronous.model_merge import merged, taken
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation
from static_membership import tables

SIZE = 6
LIVES = 10**6  # proposals of one incarnation


@dataclass(frozen=True)
class Weather:
    """What befalls the messages and the peers."""

    loss: float = 0.0
    twice: float = 0.0
    slowest_s: float = 0.02
    stalls: tuple[tuple[int, float, float], ...] = ()  # peer, when, how long
    crashes: tuple[tuple[int, float], ...] = ()


@dataclass
class Company:
    """Peers on virtual time with a worker whose arithmetic is real, and every half of every average written down."""

    make: Callable[[PeerRules, Company], AsyncPeerMachine]
    n: int = 5
    cycles: int = 12
    seed: int = 0
    graph: str = "ring"
    weather: Weather = field(default_factory=Weather)
    rules: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = [f"peer-{k}" for k in range(self.n)]
        self.halves: dict[int, list[tuple[str, Any]]] = defaultdict(list)
        self.moved = {name: np.zeros(SIZE) for name in self.names}
        self.rng = generator(self.seed, "weather")
        self.sim = self._simulation()
        self.machines: dict[str, Any] = {}
        graph = neighbors(self.graph, self.names)
        for k, name in enumerate(self.names):
            given = {"deadline_s": 10.0, "join_deadline_s": 60.0} | dict(self.rules)
            rules = PeerRules(
                name,
                tuple(self.names),
                neighbors=graph[name],
                seed=self.seed,
                incarnation=(k + 1) * LIVES,
                **tables(given),
            )
            self.machines[name] = machine = self.make(rules, self)
            self.sim.add(name, self._wrapped(machine), self._worker(name))
        for name in self.names:
            for other in graph[name]:
                if name < other:
                    self.sim.connect(name, other)
        for name in self.names:
            self.sim.post(name, ev.Proceed(self.cycles, last=True))
        for peer, when, how_long in self.weather.stalls:
            self.sim.stall(self.names[peer % self.n], when, how_long)
        for peer, when in self.weather.crashes:
            self.sim.crash(self.names[peer % self.n], when)

    def _simulation(self) -> Simulation:
        return Simulation(self._network)

    def _wrapped(self, machine: AsyncPeerMachine) -> e.Machine:
        return machine

    def _network(self, _sender: str, _receiver: str, _lane: Lane, _now: float) -> list[float]:
        lost, twice, first, second = self.rng.random(4)
        if lost < self.weather.loss:
            return []
        delays = [0.001 + first * self.weather.slowest_s]
        return [*delays, 0.001 + 5 * second * self.weather.slowest_s] if twice < self.weather.twice else delays

    def start_of(self, name: str) -> Any:
        return generator(self.seed, name, "start").normal(size=SIZE)

    def _worker(self, name: str) -> Callable[[e.Effect], tuple[float, ev.Event | None]]:
        pace = generator(self.seed, name, "pace")

        def work(job: e.Effect) -> tuple[float, ev.Event | None]:
            match job:
                case e.Survey():
                    return 0.001, ev.Surveyed({}, np.zeros(1))
                case e.ApplyAgreement():
                    payload = m.Payload("a1b2", "float64", SIZE)
                    return 0.001, ev.ModelReady({}, payload, self.start_of(name), None, (4, 2))
                case e.Train(number, attempt, body):
                    # A gradient step on half ||x - target||², whose minimum over all is the mean of the targets.
                    end = body - 0.2 * (body - generator(self.seed, name, "target").normal(size=SIZE))
                    self.moved[name] = self.moved[name] + (end - body)
                    return 0.05 + 0.2 * pace.random(), ev.Trained(number, attempt, end, 1, {"loss": 0.0, "steps": 1})
                case e.Combine(number, bodies, coefficients):
                    made = sum(c * b for c, b in zip(coefficients, bodies, strict=True))
                    return 0.002 * pace.random(), ev.Combined(number, made)
                case e.Merge(number, mine, theirs, shares, part):
                    return 0.001, ev.Combined(number, merged(mine, theirs, shares, part))
                case e.CopyPart(number, body, part):
                    return 0.001, ev.Combined(number, taken(body, part))
                case e.Evaluate(number, which):
                    return 0.001, ev.Evaluated(number, which, {})
            return 0.0, None

        return work

    def run(self, until: float = 300.0) -> Company:
        self.sim.run(until)
        return self

    @property
    def dead(self) -> set[str]:
        return {name for name, node in self.sim.nodes.items() if not node.alive}

    @property
    def given_up(self) -> bool:
        """Whether somebody died, or was stopped for as long as the others wait at the end."""
        return bool(self.dead) or sum(how_long for *_, how_long in self.weather.stalls) >= 10.0

    def check_ended(self) -> None:
        for name, node in self.sim.nodes.items():
            if node.alive:
                if self.dead and node.finished and node.finished.reason.startswith("round 0 was not complete within"):
                    continue  # who crashed was needed for it
                assert node.finished == e.Finish("completed"), f"{name} has not ended: {self.machines[name].status}"
                assert [done.round for done in node.completed] == list(range(1, self.cycles + 1))


class Ledger(AdPsgdMachine):
    """The deployed machine, whose halves are written down, and whose staleness is watched."""

    company: Company
    decided: int  # number of the proposal that is being decided on

    def _answered(self, event: ev.Arrived, accept: m.Accept, now: float) -> list[e.Effect]:
        self.decided = accept.number
        return super()._answered(event, accept, now)

    def _decided(self, sender: str, number: int, outcome: str, now: float) -> list[e.Effect]:
        self.decided = number
        return super()._decided(sender, number, outcome, now)

    def _average(self, peer: str, mine: ev.Body, theirs: ev.Body, apart: float) -> list[e.Effect]:
        self.company.halves[self.decided].append((self.rules.name, (theirs - mine) / 2))
        effects = super()._average(peer, mine, theirs, apart)
        assert self.status != "training" or self._averaged <= self.max_staleness
        return effects


def pairwise(max_staleness: int = 4, patience_s: float = 0.3) -> Callable[[PeerRules, Company], AsyncPeerMachine]:
    def make(rules: PeerRules, company: Company) -> AsyncPeerMachine:
        machine = Ledger(rules, AdPsgd(max_staleness=max_staleness, patience_s=patience_s))
        machine.company = company
        return machine

    return make


def walking(**walk: Any) -> Callable[[PeerRules, Company], AsyncPeerMachine]:
    return lambda rules, company: GossipLearningMachine(rules, GossipLearning(period_s=0.05, **walk))


def check_averages(company: Company) -> None:
    """Both halves or neither, once; without a crash the sum of the models is kept."""
    for number, halves in company.halves.items():
        sides = [name for name, _ in halves]
        assert len(set(sides)) == len(sides), f"proposal {number} was taken twice by one side: {sides}"
        if len(halves) == 2:
            np.testing.assert_array_equal(halves[0][1], -halves[1][1])
            continue
        name = sides[0]
        reported = [
            fields
            for node in company.sim.nodes.values()
            for _, kind, fields in node.published
            if kind == "warning" and f"proposal {number} is" in fields["reason"]
        ]
        assert company.given_up, f"proposal {number} was taken by {name} alone, and nobody was given up"
        assert reported or name in company.dead, f"proposal {number} was taken by {name} alone, and nobody says so"
    if company.given_up:
        return
    total = sum(company.machines[name].weights for name in company.names)
    expected = sum(company.start_of(name) + company.moved[name] for name in company.names)
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-12)


weathers = st.builds(
    Weather,
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    twice=st.sampled_from([0.0, 0.2]),
    slowest_s=st.sampled_from([0.0, 0.02, 0.2]),
    stalls=st.lists(st.tuples(st.integers(0, 7), st.floats(1, 3), st.floats(0.1, 8)), max_size=2).map(tuple),
    crashes=st.lists(st.tuples(st.integers(0, 7), st.floats(1, 3)), max_size=1).map(tuple),
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(weathers, st.integers(0, 10**6), st.sampled_from(["ring", "complete", "star"]), st.integers(2, 6))
def test_every_history_of_pairwise_averaging_ends_with_both_halves_or_none(
    weather: Weather, seed: int, graph: str, n: int
) -> None:
    company = Company(pairwise(), n=n, seed=seed, graph=graph, weather=weather).run()
    company.check_ended()
    check_averages(company)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    weathers,
    st.integers(0, 10**6),
    st.sampled_from(
        [
            {},
            {"variant": "rw"},
            {"variant": "um", "against": "last"},
            {"tokens": "simple", "capacity": 3},
            {"tokens": "generalized", "capacity": 6, "reactivity": 2, "parts": 3},
            {"tokens": "randomized", "capacity": 6, "reactivity": 2, "share": 0.5},
            {"layers": True},
        ]
    ),
)
def test_every_history_of_walking_models_ends_and_no_account_is_overdrawn(
    weather: Weather, seed: int, walk: Mapping[str, Any]
) -> None:
    company = Company(walking(**walk), seed=seed, weather=weather, rules={"deadline_s": 3.0}).run()
    company.check_ended()
    for machine in company.machines.values():
        account, sent = machine.token_account, machine._sends
        assert 0 <= account.balance <= account.strategy.capacity
        assert sent + account.balance <= machine._ticks, "every model but those sent in their period costs a token"


def test_without_trouble_peers_average_about_once_a_cycle_and_agree() -> None:
    company = Company(pairwise(max_staleness=16), n=8, cycles=60, graph="complete").run()
    company.check_ended()
    check_averages(company)
    assert sum(len(halves) == 2 for halves in company.halves.values()) > 0.5 * 8 * 60
    models = np.stack([machine.weights for machine in company.machines.values()])
    targets = np.stack([generator(0, name, "target").normal(size=SIZE) for name in company.names])
    assert np.abs(models - models.mean(axis=0)).max() < 0.5 * np.abs(targets - targets.mean(axis=0)).max()
    np.testing.assert_allclose(models.mean(axis=0), targets.mean(axis=0), atol=0.3)


@pytest.mark.parametrize("make", [pairwise(), walking(), walking(tokens="randomized", capacity=6, reactivity=2)])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(make: Any) -> None:
    def bits(seed: int) -> list[bytes]:
        weather = Weather(loss=0.1, twice=0.1)
        company = Company(make, seed=seed, weather=weather).run()
        return [machine.weights.tobytes() for machine in company.machines.values()]

    assert bits(3) == bits(3)
    assert bits(3) != bits(4)


def test_a_stopped_peer_costs_the_others_no_cycle() -> None:
    def when(stalls: tuple[tuple[int, float, float], ...]) -> dict[str, float]:
        company = Company(pairwise(), n=8, cycles=40, weather=Weather(stalls=stalls))
        done: dict[str, float] = {}
        for name in company.names:
            node = company.sim.nodes[name]
            machine = company.machines[name]
            handle = machine.handle

            def watched(event: Any, now: float, name: str = name, handle: Any = handle, node: Any = node) -> Any:
                effects = handle(event, now)
                if any(isinstance(effect, e.Completed) and effect.round == 40 for effect in effects):
                    done.setdefault(name, now)
                return effects

            machine.handle = watched
        company.run()
        company.check_ended()
        return done

    calm, stalled = when(()), when(((3, 0.5, 10.0),))
    # Over the others together: whom each of them happens to meet makes one a little faster and another slower.
    others = [name for name in calm if name != "peer-3"]
    assert sum(stalled[name] for name in others) <= 1.1 * sum(calm[name] for name in others)
    assert stalled["peer-3"] > 10
