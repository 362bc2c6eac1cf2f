"""Plays a history of a gossip run on virtual time, and writes down all that happens.

What must hold is in `gossip_promises`. Machine, membership, worker and algorithms are the deployed ones; only the
training is pretended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from gossip_drawn import DEADLINE_S, SIZE, TRAIN_S, History
from gossip_run import Run
from nervenet.broker import messages as m
from nervenet.broker.messages import Lane
from nervenet.broker.testing.faults import Faults
from nervenet.nodes.gossip.algorithms.averaging import DPSGD
from nervenet.nodes.gossip.algorithms.base import Algorithm
from nervenet.nodes.gossip.algorithms.push_sum import RECEIVED, SENT, SGP
from nervenet.nodes.gossip.all_reduce.algorithm import AllReduce
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.gossip.worker import GossipWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulated, Simulation
from nervenet.nodes.runtime.worker import Cancellation
from vocabulary import Cut, Kill

ALGORITHMS: dict[str, type[Algorithm]] = {"sgp": SGP, "d-psgd": DPSGD, "all-reduce": AllReduce}


@dataclass
class Incarnation:
    """One life of a peer, and all that it did. Rounds are keys throughout."""

    name: str
    number: int
    machine: PeerMachine
    work: GossipWorker
    start: float
    opened: dict[int, float] = field(default_factory=dict)
    closed: dict[int, float] = field(default_factory=dict)
    sent: dict[int, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    arrived: dict[tuple[str, int], float] = field(default_factory=dict)  # of (sender, round), first
    mixes: dict[int, e.Mix] = field(default_factory=dict)
    before: dict[int, Any] = field(default_factory=dict)
    after: dict[int, Any] = field(default_factory=dict)
    reported: list[tuple[float, str]] = field(
        default_factory=list
    )  # when something was heard about whom; "*" everybody
    links: dict[str, int] = field(default_factory=dict)  # by peer, which life of it it knows
    node: Simulated | None = None
    twice: list[int] = field(default_factory=list)
    moved: Any = 0.0  # what training moved, in sum
    forgotten: Any = 0.0  # what it has given to lives that are over, less what it has had of them
    left: bool = False  # has done all its rounds and gone
    undone: list[tuple[e.Mix, dict[str, Any]]] = field(default_factory=list)  # alone, with what was sent in each

    @property
    def living(self) -> bool:
        assert self.node is not None
        return self.left or (self.node.alive and not self.node.finished)

    def go_back(self, number: int) -> None:
        """Forget the rounds from this one on: they are done again."""
        self.undone += [(mix, self.sent.get(n, {})) for n, mix in self.mixes.items() if n >= number]
        for diary in (self.opened, self.closed, self.sent, self.mixes, self.before, self.after):
            for known in [n for n in diary if n >= number]:
                del diary[known]

    @property
    def failed(self) -> str:
        assert self.node is not None
        return self.node.finished.reason if self.node.finished else ""


class Pretended:
    """Stands in for a site model: a step towards a point of the site's own."""

    layout = SimpleNamespace(size=SIZE, dtype="float64", hash="a1b2")
    model = None
    common_weights = None
    clock = 0.0

    def __init__(self, name: str) -> None:
        self.x = np.zeros(SIZE)
        self.target = np.random.default_rng(sum(name.encode())).standard_normal(SIZE)
        self.steps = 0

    def set_weights(self, weights: Any) -> None:
        self.x = weights

    def get_weights(self) -> Any:
        return self.x

    trained_weights = get_weights

    def train(self, *_: Any) -> Any:
        self.steps += 1
        self.x = self.x + 0.3 / self.steps**0.5 * (self.target - self.x)
        return SimpleNamespace(cancelled=False, examples=1, fednova_normalizer=1.0, rate=0.1, loss=0.0, steps=1)


class Wires(Simulation):
    """A connection is between two lives: what was said to the one, or by it, never reaches or becomes the other's."""

    life_of: Callable[[str], Incarnation]

    def _deliver(self, sender: str, receiver: str, message: Any, body: ev.Body) -> None:
        if receiver not in self.nodes or receiver == sender:
            return
        speaker, target = self.life_of(sender), self.life_of(receiver)
        if speaker.links.get(receiver, target.number) != target.number:
            return
        node = self.nodes[receiver]

        def arrive() -> None:
            if target.links.get(sender) == speaker.number:
                self._post(node, ev.Arrived(sender, message, body))

        for delay in self._network(sender, receiver, message.lane, self.now):
            self.at(self.now + delay, arrive)


class Watched:
    """The deployed machine, and its life's diary."""

    def __init__(self, incarnation: Incarnation) -> None:
        self.incarnation = incarnation

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        incarnation, machine = self.incarnation, self.incarnation.machine
        match event:
            case ev.LinkUp(peer, _, number):
                incarnation.links[peer] = number
                incarnation.reported.append((now, peer))
            case ev.Arrived(sender, m.Edge()):
                incarnation.reported.append((now, sender))
            case ev.Arrived(sender, m.Exchange(round=number)):
                incarnation.arrived.setdefault((sender, number), now)
        refuted = machine.membership.members.me.refutations
        number = machine.round
        effects = machine.handle(event, now)
        if machine.round < number:
            incarnation.go_back(machine.round)
        if machine.membership.members.me.refutations != refuted:
            incarnation.reported.append((now, "*"))
        incarnation.opened.setdefault(machine.round, now)
        for effect in effects:
            match effect:
                case e.Publish(kind, {"subject": subject}) if kind.startswith("node."):
                    incarnation.reported.append((now, subject))
                case e.Send(to, m.Exchange(round=number), body):
                    incarnation.sent[number] |= dict.fromkeys(to, body)
                case e.Mix(number):
                    incarnation.closed[number] = now
                    if number in incarnation.mixes:
                        incarnation.twice.append(number)
                    incarnation.mixes[number] = effect
        return effects


class Played(Run):
    """Plays a history.

    Attributes
    ----------
    lives : list of Life
        All there were, in the order in which they began.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.incarnations: list[Incarnation] = []
        self.current: dict[str, Incarnation] = {}
        self.algorithm: Algorithm = ALGORITHMS[history.algorithm]()
        self.needs = self.algorithm.needs
        self.by_tree = history.by_tree
        self.mixing = "push-sum" if self.needs.mass else "metropolis-hastings"
        self.calm = Faults(delay_s=(0.001, 0.003), ordered=True)
        weather = history.weather
        self.rough = Faults(
            seed=history.seed,
            delay_s=(0.001, weather.slowest_s),
            drop=weather.loss,
            duplicate=weather.twice,
            ordered=weather.ordered,
        )
        super().__init__(history.n, history.topology, history.rounds, deadline_s=DEADLINE_S)
        self.paces = dict(zip([*history.names, "late-0", "late-1"], history.pace, strict=False))
        for kill in history.kills:
            self._kill(kill)
        for stop in history.stops:
            self.sim.stall(stop.node, stop.at, stop.for_s)
        for cut in history.cuts:
            self._cut(cut)
        for name, at in history.late:
            self.sim.at(at, lambda name=name: self._come(name, 1))

    # ------------------------------------------------------------------------------------------------ what Run asks for

    def _simulation(self, faults: Any) -> Simulation:
        sim = Wires(self._network)
        sim.life_of = self.current.__getitem__
        return sim

    def _network(self, sender: str, receiver: str, lane: Lane, now: float) -> list[float]:
        delays = (self.rough if now < self.history.weather.until else self.calm)(sender, receiver, lane, now)
        return [] if self._cut_now(sender, receiver) else delays

    def _add(self, name: str, incarnation: int, state: PeerMachine) -> None:
        work = GossipWorker(Pretended(name), self.algorithm, node=name, seed=self.history.seed)  # type: ignore[arg-type]
        self.current[name] = one = Incarnation(name, incarnation, state, work, self.sim.now)
        self.incarnations.append(one)
        one.node = self.sim.add(name, self._wrapped(one), self._worker(one))

    def _wrapped(self, incarnation: Incarnation) -> e.Machine:
        return Watched(incarnation)

    def _worker(self, incarnation: Incarnation) -> Callable[[e.Effect], tuple[float, ev.Event | None]]:
        work = incarnation.work

        def do(job: e.Effect) -> tuple[float, ev.Event | None]:
            match job:
                case e.Survey():
                    return 0.001, ev.Surveyed({"of": incarnation.name}, (incarnation.name,))
                case e.ApplyAgreement():
                    start = np.zeros(SIZE)
                    work.begin(start)
                    payload = m.Payload("a1b2", "float64", SIZE)
                    return 0.001, ev.ModelReady({"columns": ["x"]}, payload, start)
                case e.LoadWeights(body):
                    work.adopt(body)
                    incarnation.moved = np.array(body)
                    return 0.0, None
                case e.Train(number):
                    before = work.site_model.get_weights()
                    trained = work.train(job, lambda: False)
                    incarnation.moved = incarnation.moved + (work.site_model.get_weights() - before)
                    return TRAIN_S * self.paces.get(incarnation.name, 1.0), trained
                case e.Mix(number):
                    incarnation.before[number] = work._mine
                    mixed = work.mix(job)
                    incarnation.after[number] = mixed.body
                    return 0.001, mixed
                case e.Forget(peer):
                    for kind, sign in ((SENT, 1.0), (RECEIVED, -1.0)):
                        incarnation.forgotten = incarnation.forgotten + sign * np.asarray(
                            work.state.get(kind + peer, 0.0)
                        )
                    work.perform(job, Cancellation())
                case e.Evaluate(number, which):
                    if number == self.rounds:
                        self.sim.at(self.sim.now + 0.05, lambda: self._farewell(incarnation))
                    return 0.0, ev.Evaluated(number, which, {})
            return 0.0, None

        return do

    # -------------------------------------------------------------------------------------------------- what befalls it

    def _cut_now(self, one: str, other: str) -> bool:
        return any(cut.between(one, other, self.sim.now) for cut in self.history.cuts)

    def _link(self, one: Incarnation, other: Incarnation) -> None:
        """Connect two lives as soon as nothing stands between them."""
        if not (self._up(one) and self._up(other)):
            return
        for cut in self.history.cuts:
            if cut.between(one.name, other.name, self.sim.now):
                self.sim.at(cut.end + 0.001, lambda: self._link(one, other))
                return
        self.sim.post(one.name, ev.LinkUp(other.name, "peer", other.number))
        self.sim.post(other.name, ev.LinkUp(one.name, "peer", one.number))

    def _lost(self, one: Incarnation, other: Incarnation) -> None:
        if self._up(one):
            self.sim.post(one.name, ev.LinkLost(other.name, "the connection has ended"))

    def _up(self, incarnation: Incarnation) -> bool:
        return (
            self.current[incarnation.name] is incarnation
            and incarnation.node is not None
            and incarnation.node.alive
            and not incarnation.node.finished
        )

    def _others(self, incarnation: Incarnation) -> list[Incarnation]:
        return [other for other in self.current.values() if other.name != incarnation.name]

    def _kill(self, kill: Kill) -> None:
        def die() -> None:
            incarnation = self.current[kill.node]
            assert incarnation.node is not None
            incarnation.node.alive = False
            for other in self._others(incarnation) if kill.noticed else []:
                if not self._cut_now(incarnation.name, other.name):
                    self._lost(other, incarnation)
            if kill.down_s is not None:
                self.sim.at(self.sim.now + kill.down_s, lambda: self._come(kill.node, incarnation.number + 1))

        self.sim.at(kill.at, die)

    def _come(self, name: str, number: int) -> None:
        """Join through the first that can be reached, as often as it takes."""
        there = [
            incarnation
            for incarnation in self.current.values()
            if self._up(incarnation) and incarnation.machine.settled is not None
        ]
        reached = [
            incarnation
            for incarnation in there
            if incarnation.name != name and not self._cut_now(incarnation.name, name)
        ]
        if not reached:
            if self.sim.now < 300:
                self.sim.at(self.sim.now + 0.5, lambda: self._come(name, number))
            return
        through = reached[self.history.seed % len(reached)]
        (answer,) = through.machine.membership._introduce(name, {"nodes": len(self.names)})
        assert isinstance(answer, e.Send)
        assert isinstance(answer.message, m.Peers)
        self.enter(name, answer.message.members, incarnation=number, late=True)
        incarnation = self.current[name]
        for other in self._others(incarnation):
            self.sim.at(self.sim.now, lambda other=other: self._link(incarnation, other))

    def _cut(self, cut: Cut) -> None:
        def sever() -> None:
            for one in self.current.values():
                for other in self._others(one):
                    if cut.between(one.name, other.name, self.sim.now):
                        self._lost(one, other)
                        if one.name < other.name:
                            self.sim.at(cut.end + 0.001, lambda one=one, other=other: self._link(one, other))

        if cut.severed:
            self.sim.at(cut.at + min(0.5, cut.for_s / 2), sever)

    def _farewell(self, incarnation: Incarnation) -> None:
        """Say goodbye and go, as a peer does that has done all its rounds; it lingers for what it has sent."""
        if not self._up(incarnation):
            return
        for other in self._others(incarnation):
            self.sim._deliver(incarnation.name, other.name, m.Goodbye(round=self.rounds, reason="done"), None)

        def go() -> None:
            assert incarnation.node is not None
            if incarnation.node.alive:
                incarnation.left, incarnation.node.alive = True, False
                for other in self._others(incarnation):
                    self._lost(other, incarnation)

        self.sim.at(self.sim.now + 1.0, go)

    def play(self, until: float = 400.0) -> Played:
        """Run it until everybody has gone or time is over."""
        self.sim.run(until)
        return self
