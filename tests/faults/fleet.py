"""Whole federations and gossip runs on virtual time, with stand-in workers, watched at every step.

A `Watched` machine is the deployed one, looked over the shoulder: whatever it asks for is compared with what the
others have really sent. Nothing here knows how a machine decides; only what must hold whatever befalls the network.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.broker.testing.faults import Faults
from nervenet.nodes.config.schema import Timing
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.strategies.pipeline import by_examples
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulated, Simulation
from nervenet.nodes.topology import schedule
from nervenet.nodes.topology.mixing import metropolis_hastings
from static_membership import static_peer
from vocabulary import Kill, Stop, over_at, standing_s

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
STEP_S = 0.01  # a survey, a fold, a mix, an evaluation


@dataclass(frozen=True)
class Trouble:
    """What befalls the nodes, beside what `Faults` does to their messages. Times in seconds."""

    train_s: Mapping[str, float] = field(default_factory=dict)  # other than the usual
    hangs: Collection[tuple[str, int]] = ()  # trainings, by node and round, that never end
    fails: Collection[tuple[str, int]] = ()  # trainings that raise
    faults: Sequence[Kill | Stop] = ()
    bad: Collection[tuple[str, int]] = ()  # trainings whose update is of no examples
    screened: Collection[tuple[str, int]] = ()  # updates that the fold leaves out
    full: Collection[int] = ()  # rounds whose checkpoint cannot be written


class Watched:
    """A machine whose every step is recorded."""

    def __init__(self, name: str, machine: e.Machine, look: Callable[[str, ev.Event, e.Effect], None]) -> None:
        self.name = name
        self.machine = machine
        self._look = look

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        effects = self.machine.handle(event, now)
        for effect in effects:
            self._look(self.name, event, effect)
        return effects


class Clock:
    """A node that only waits, so that a simulation in which all others are done goes on until the last restart."""

    def __init__(self, until: float) -> None:
        self.until = until

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        return [e.SetTimer(("end",), self.until)] if isinstance(event, ev.Started) else [e.Finish("completed")]


class Fleet:
    """What federations and gossip runs have in common: a network, nodes, trouble."""

    usual_train_s = 0.5
    questions = 1  # of round 0

    def __init__(self, names: Sequence[str], faults: Faults | None, trouble: Trouble | None) -> None:
        self.names = tuple(names)
        self.trouble = trouble or Trouble()
        self.sim = Simulation(faults)
        self.training: Counter[str] = Counter()

    def worker(self, name: str) -> Callable[[e.Effect], tuple[float, ev.Event | None]]:
        """Pretend to work: the body of a training says whose it is, and of which round and attempt."""

        def work(job: e.Effect) -> tuple[float, ev.Event | None]:
            match job:
                case e.Survey(question, step):
                    return STEP_S, ev.Surveyed({"of": name, **question}, (f"survey of {name}",), step)
                case e.ApplyAgreement(surveys=surveys, step=step):
                    if surveys and step + 1 < self.questions:
                        return STEP_S, ev.NextQuestion(step + 1, {"ask": step + 1})
                    return STEP_S, ev.ModelReady({"agreed": True}, MODEL, "w0")
                case e.Train(number, attempt, _, _, _):
                    seconds = self.trouble.train_s.get(name, self.usual_train_s)
                    if (name, number) in self.trouble.hangs:
                        return seconds, None
                    if (name, number) in self.trouble.fails:
                        return seconds, ev.WorkFailed("train", number, attempt, "ValueError: no")
                    rows = 0 if (name, number) in self.trouble.bad else 10
                    return seconds, ev.Trained(number, attempt, f"{name} {number}.{attempt}", rows, {"loss": 1.0})
                case e.TrainAlone(number, attempt):
                    hung = (name, number) in self.trouble.hangs
                    return STEP_S, None if hung else ev.TrainedAlone(number, attempt, f"own of {name}")
                case e.Fold(number, attempt, contributions=contributions):
                    found = {c.client for c in contributions if (c.client, number) in self.trouble.screened}
                    return STEP_S, ev.Folded(
                        number, attempt, f"w{number}", rejected=dict.fromkeys(found, "too far away")
                    )
                case e.Checkpoint(number):
                    if number in self.trouble.full:
                        return STEP_S, ev.WorkFailed("checkpoint", number, 0, "no space left on device")
                    return STEP_S, ev.Saved(number)
                case e.Mix(number, _, _):
                    return STEP_S, ev.Mixed(number, f"{name} mixed {number}")
                case e.Evaluate(number, which, _):
                    return STEP_S, ev.Evaluated(number, which, {"accuracy": 0.5, "examples": 4})
                case _:
                    return 0.0, None

        return work

    def look(self, name: str, event: ev.Event, effect: e.Effect) -> None:
        """Check one step."""

    def put(self, name: str, machine: e.Machine) -> Simulated:
        """Add a node, or start it again."""
        self.training[name] = 0
        return self.sim.add(name, Watched(name, machine, self.look), self.worker(name))

    def befall(self, start: Callable[[str, int], None], others: Callable[[str], Sequence[str]]) -> None:
        """Put the trouble in the diary."""
        self.sim.add("clock", Clock(self.restarted_s()), lambda job: (0.0, None))
        for fault in self.trouble.faults:
            if isinstance(fault, Stop):
                self.sim.stall(fault.node, fault.at, fault.for_s)
            else:
                self._kill(fault, start, others(fault.node))

    def _kill(self, kill: Kill, start: Callable[[str, int], None], others: Sequence[str]) -> None:
        name = kill.node
        self.sim.crash(name, kill.at)
        if kill.noticed:
            for other in others:
                self.sim.at(kill.at + STEP_S, lambda other=other: self.sim.post(other, _cut(name)))
        if kill.down_s is not None:
            self.sim.at(kill.at + kill.down_s, lambda: start(name, 2))

    def published(self, name: str, kind: str) -> list[Mapping[str, Any]]:
        """What a node has published, of one kind."""
        return [fields for _, found, fields in self.sim.nodes[name].published if found == kind]

    def when(self, name: str, kind: str, **fields: Any) -> float:
        """Return when a node first published an event with these fields."""
        return next(
            at
            for at, found, reported in self.sim.nodes[name].published
            if found == kind and fields.items() <= dict(reported).items()
        )

    def stalled_s(self) -> float:
        """Seconds that stalls can add to any wait."""
        return standing_s(self.trouble.faults)

    def restarted_s(self) -> float:
        """When the last node is started again."""
        return over_at(f for f in self.trouble.faults if isinstance(f, Kill) and f.down_s is not None)


class Federation(Fleet):
    """A coordinator and its clients; see `Fleet`."""

    clock = Clock

    def __init__(
        self,
        clients: int = 4,
        *,
        faults: Faults | None = None,
        trouble: Trouble | None = None,
        late: Mapping[str, float] | None = None,
        client_lost_after_s: float = 20.0,
        questions: int = 1,
        **rules: Any,
    ) -> None:
        names = [f"client-{i}" for i in range(clients)]
        super().__init__(names, faults, trouble)
        given = {
            "rounds": 4,
            "deadline_s": 10.0,
            "join_deadline_s": 10.0,
            "lost_after_s": 10.0,
            "wait_deadline_s": 10.0,
        } | rules
        self.config = coordinator_config(names, **given)
        self.questions = questions
        self.client_lost_after_s = client_lost_after_s
        self.answers: dict[str, tuple[str, int, int]] = {}
        self.asked: dict[tuple[int, int], tuple[str, ...]] = {}
        self.sites: set[str] = set()
        self.folded: list[int] = []
        self.kept: list[int] = []
        self.keeping: set[int] = set()
        self.state = CoordinatorMachine(self.config)
        self.put("coordinator", self.state)
        self._last = {"name": ""}
        for name in names:
            self.start(name, 1)
        for name, when in (late or {}).items():
            self.sim.at(when, lambda name=name: self.start(name, 1))
        self.befall(self.start, lambda name: [*names, "coordinator"] if name == "coordinator" else ["coordinator"])

    def start(self, name: str, incarnation: int) -> None:
        """Start a client and connect it."""
        join_s = self.config.timing.join_deadline_s
        timing = Timing(join_deadline_s=join_s, rejoin_deadline_s=self.client_lost_after_s)
        self.put(name, ClientMachine(ClientConfig("coordinator", 10, timing=timing, sends_own=True)))
        self.sim.post("coordinator", ev.LinkUp(name, "client", incarnation))
        self.sim.post(name, ev.LinkUp("coordinator", "coordinator", 1))

    def look(self, name: str, event: ev.Event, effect: e.Effect) -> None:
        """What is folded was sent by those who were asked, for this very round and attempt, and counts once."""
        if isinstance(event, ev.Saved) or (isinstance(event, ev.WorkFailed) and event.kind == "checkpoint"):
            self.keeping.discard(event.round)
        match effect:
            case e.Publish("round.started", {"round": number, "attempt": attempt, "asked": asked}):
                self.asked[number, attempt] = tuple(asked)
            case e.Send(_, m.Update(round=number, attempt=attempt, payload=payload), body) if payload == MODEL:
                assert self.answers.setdefault(body, (name, number, attempt)) == (name, number, attempt)
            case e.ApplyAgreement(surveys=surveys, step=step) if surveys:
                for site, (fields, (body,)) in surveys.items():
                    assert fields == {"of": site, **({"ask": step} if step else {})}, "an answer to another question"
                    assert body == f"survey of {site}"
                    assert step or site in self.asked[0, self.state.run.round.attempt]  # type: ignore[union-attr]
                assert not step or set(surveys) == self.sites, "other sites than those that answered before"
                self.sites = set(surveys)
            case e.Fold(number, attempt, contributions=contributions):
                origins = [self.answers[c.body] for c in contributions]
                names = [origin[0] for origin in origins]
                assert names == sorted(set(names)), "a client counts twice, or out of order"
                assert {origin[1:] for origin in origins} == {(number, attempt)}, "an update of another round counts"
                assert set(names) <= set(self.asked[number, attempt])
                assert not any((name, number) in self.trouble.bad for name in names)
                assert math.isclose(sum(by_examples(contributions)), 1.0, abs_tol=1e-12)
                self.folded.append(number)
            case e.Checkpoint(number, body):
                assert body == f"w{number}"
                assert json.loads(json.dumps(effect.record))["completed"] == number
                assert not self.keeping, "two are written at once"
                self.keeping.add(number)
                self.kept.append(number)
            case e.Train():
                self.training[name] += 1
                assert self.training[name] == 1, f"{name} trains two at once"
        if isinstance(event, ev.Trained | ev.WorkFailed) and event is not self._last.get(name):
            self._last[name] = event  # type: ignore[assignment]
            self.training[name] = int(isinstance(effect, e.Train))

    @property
    def bound_s(self) -> float:
        """The longest that a coordinator may take: every attempt of every round lasts until its deadline."""
        config, timing = self.config, self.config.timing
        attempts = 3 * (config.rounds + self.questions) + 1
        each = timing.deadline_s + config.wait_deadline_s + 1.0
        if config.site_matrix:  # ten deadlines for the models; then each site can miss one of its own
            attempts += 11 + len(self.names)
        return timing.join_deadline_s + attempts * each + self.stalled_s() + self.restarted_s()

    def run(self) -> Federation:
        """Run it, and check what must hold in the end."""
        self.sim.run(self.bound_s)
        ended = self.sim.nodes["coordinator"].finished
        if self.sim.nodes["coordinator"].alive:
            assert ended is not None, f"the coordinator still waits after {self.bound_s:g} s: {self.state.run.round}"
            assert ended.status == "completed" or ended.reason
        self.sim.run(
            self.sim.now + self.client_lost_after_s + self.config.timing.join_deadline_s + 2.0 + self.stalled_s()
        )
        for name in self.names:
            node = self.sim.nodes[name]
            assert node.finished or not node.alive, f"{name} still waits"
        self._check_story()
        return self

    def _check_story(self) -> None:
        """Every round that was opened closes or fails by name, and no round is skipped or done twice."""
        story = [
            (kind, fields["round"], fields.get("attempt"))
            for _, kind, fields in self.sim.nodes["coordinator"].published
            if kind.startswith("round.") and kind != "round.progress"
        ]
        ended = self.sim.nodes["coordinator"].finished
        done = 0
        for (kind, number, attempt), after in zip(story, [*story, None][1:], strict=True):
            if kind == "round.started":
                assert number == done
                ends = [("round.completed", number, None), ("round.failed", number, attempt)]
                if ended is not None and (ended.status == "completed" or after is not None):
                    # Of round 0, each question is an attempt.
                    assert after in ends or (number == 0 and after and after[:2] == ends[1][:2])
            elif kind == "round.completed":
                done += 1
        if ended is not None and ended.status == "completed":
            assert done == self.config.rounds + 1
            assert self.kept[-1] == self.config.rounds, "the last round is not kept"
        once = sorted({*self.kept})
        assert self.kept in (once, [*once, *once[-1:]])  # the last once more, when the sites have judged it
        if not self.trouble.screened:
            assert len(self.folded) == len({*self.folded})


class Gossip(Fleet):
    """Peers on a graph; see `Fleet`."""

    def __init__(
        self,
        peers: int = 4,
        topology: str = "ring",
        *,
        rounds: int = 4,
        faults: Faults | None = None,
        trouble: Trouble | None = None,
        questions: int = 1,
        **rules: Any,
    ) -> None:
        names = [f"peer-{i}" for i in range(peers)]
        super().__init__(names, faults, trouble)
        self.questions = questions
        self.rounds = rounds
        self.given = {"deadline_s": 10.0, "join_deadline_s": 10.0, "suspect_after_s": 2.0} | rules
        self.schedule = schedule(topology, names)
        self.graph = self.schedule.out(1)
        self.rows = metropolis_hastings(self.graph)
        self.sent: dict[tuple[str, int], set[str]] = {}
        self.mixes: dict[str, list[e.Mix]] = {name: [] for name in names}
        self.states: dict[str, PeerMachine] = {}
        for name in names:
            self.start(name, 1)
        self.befall(self.start, lambda name: self.graph[name])

    def start(self, name: str, incarnation: int) -> None:
        """Start a peer and connect it to those neighbors that are there."""
        self.states[name] = static_peer(name, self.names, self.schedule, **self.given)
        self.mixes[name] = []
        self.put(name, self.states[name])
        for other in self.graph[name]:
            if other in self.sim.nodes:
                self.sim.post(name, ev.LinkUp(other, "peer", 1))
                self.sim.post(other, ev.LinkUp(name, "peer", incarnation))
        self.sim.post(name, ev.Proceed(self.rounds))

    def look(self, name: str, event: ev.Event, effect: e.Effect) -> None:
        """What is mixed was sent by neighbors for this very round, each counts once, and the weights sum to one."""
        match effect:
            case e.Send(_, m.Exchange(round=number), body):
                self.sent.setdefault((name, number), set()).add(body)
            case e.Mix(number, bodies, coefficients):
                assert math.isclose(sum(coefficients), 1.0, abs_tol=1e-12)
                assert all(c > 0 for c in coefficients)
                owners = [body.split(" ")[0] for body in bodies]
                assert owners == sorted(set(owners)), "a peer counts twice, or out of order"
                assert name in owners
                for owner, body, coefficient in zip(owners, bodies, coefficients, strict=True):
                    if owner != name:
                        assert body in self.sent.get((owner, number), ()), "a model of another round counts"
                        assert coefficient == self.rows[name][owner]
                assert all(mix.round < number for mix in self.mixes[name]), "a round is mixed twice"
                self.mixes[name].append(effect)
            case e.Train():
                self.training[name] += 1
                assert self.training[name] == 1, f"{name} trains two at once"
            case e.ApplyAgreement(surveys=surveys, agreement=None, step=step):
                asked = {"ask": step} if step else {}
                assert surveys == {site: ({"of": site, **asked}, (f"survey of {site}",)) for site in self.names}
        if isinstance(event, ev.Trained):
            self.training[name] = 0

    @property
    def bound_s(self) -> float:
        """The longest that a peer may take: it joins last, and every round lasts until its deadline."""
        trains = [*self.trouble.train_s.values(), self.usual_train_s]
        rounds = self.rounds * (max(trains) + self.given["deadline_s"] + 1.0)
        rounds += 10 * self.given["deadline_s"] if self.trouble.hangs else 0.0
        meeting = self.given["join_deadline_s"] * (1 + (self.questions - 1) * len(self.names))
        return meeting + rounds + self.stalled_s() + self.restarted_s()

    def done(self, name: str) -> bool:
        """Whether a peer has done its rounds, or failed, or is dead."""
        node, state = self.sim.nodes[name], self.states[name]
        return not node.alive or node.finished is not None or (state.settled and state.completed == self.rounds)

    def run(self) -> Gossip:
        """Run it, and check what must hold in the end."""
        for second in range(1, math.ceil(self.bound_s)):
            self.sim.run(float(second))
            if second > self.restarted_s() and all(self.done(name) for name in self.names):
                break
        self.sim.run(self.sim.now + 0.5)  # the last evaluations
        for name in self.names:
            node, state = self.sim.nodes[name], self.states[name]
            assert self.done(name), f"{name} still waits in round {state.round} after {self.bound_s:g} s"
            if node.finished is not None:
                assert node.finished.status == "failed"
                reasons = ("round 0 was not complete", "train failed", "did not end within 100 s")
                assert any(reason in node.finished.reason for reason in reasons)
            reported = [fields["round"] for fields in self.published(name, "round.completed")]
            assert reported == sorted(set(reported)), "a round is reported twice"
            for fields in self.published(name, "round.completed"):
                if fields["round"]:
                    here = {*fields["participants"], *fields.get("missing", {})}
                    assert here == set(self.graph[name]), "a neighbor is neither mixed in nor named as missing"
        return self


def _cut(name: str) -> ev.LinkLost:
    return ev.LinkLost(name, f"the connection of {name} has ended")
