"""The deployed machines on virtual time: one process, no sockets, no sleeping, any fault.

Time jumps from event to event. The network is a function that returns, for each message, after which delays copies of
it arrive (none: lost, two: duplicated, unequal ones: reordered); `nervenet.broker.testing.Faults` is one. A worker
answers the heavy effects: the real `Worker`, or a scripted one.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nervenet.broker.messages import Heartbeat, Lane

from . import effects as e
from . import events as ev

Network: TypeAlias = Callable[[str, str, Lane, float], list[float]]
"""(sender, receiver, lane, now) -> delays in seconds, one for each copy that arrives."""


MINI_BATCH_S = 0.01  # how long a cancelled training goes on


Answer: TypeAlias = ev.Event | Callable[[], ev.Event | None] | None
"""What comes of an effect: an event, nothing, or what is called for it once that is due and has not been cancelled."""

SimulatedWorker: TypeAlias = Callable[[e.Effect], tuple[float, Answer]]
"""Performs a heavy effect; returns how many seconds that takes, and the answer if there is one."""


@dataclass
class Simulated:
    name: str
    machine: e.Machine
    worker: SimulatedWorker
    published: list[tuple[float, str, Mapping[str, Any]]] = field(default_factory=list)
    completed: list[e.Completed] = field(default_factory=list)
    finished: e.Finish | None = None
    alive: bool = True
    stalled_until: float = 0.0
    timers: dict[ev.Key, int] = field(default_factory=dict)
    free_at: float = 0.0
    concurrent_free_at: float = 0.0  # of what is done concurrently with training
    training: tuple[e.Train, int] | None = None  # the one that runs and could be cancelled, and the stamp of its answer


class Simulation:
    """Runs machines against each other until all have finished, nothing is left to happen, or the time is over.

    Attributes
    ----------
    now : float
        Virtual seconds since the start.
    nodes : dict
        The nodes by name.
    """

    def __init__(self, network: Network | None = None) -> None:
        self.now = 0.0
        self.nodes: dict[str, Simulated] = {}
        self._network = network or _perfect
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def add(self, name: str, machine: e.Machine, worker: SimulatedWorker) -> Simulated:
        node = self.nodes[name] = Simulated(name, machine, worker)
        self.at(self.now, lambda: self._post(node, ev.Started()))
        return node

    def connect(self, one: str, other: str, roles: tuple[str, str] = ("peer", "peer")) -> None:
        a, b = self.nodes[one], self.nodes[other]
        self.at(self.now, lambda: self._post(a, ev.LinkUp(other, roles[1], 1)))
        self.at(self.now, lambda: self._post(b, ev.LinkUp(one, roles[0], 1)))

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), action))

    def crash(self, name: str, when: float) -> None:
        def die() -> None:
            self.nodes[name].alive = False

        self.at(when, die)

    def stall(self, name: str, when: float, duration: float) -> None:
        """Stop a node for a while, as SIGSTOP does: what arrives waits, timers are late."""

        def freeze() -> None:
            self.nodes[name].stalled_until = max(self.nodes[name].stalled_until, self.now + duration)

        self.at(when, freeze)

    def post(self, name: str, event: ev.Event) -> None:
        node = self.nodes[name]
        self.at(self.now, lambda: self._post(node, event))

    def run(self, until: float) -> None:
        """Run until virtual time `until`, or until every living node has finished."""
        while self._heap and self._heap[0][0] <= until:
            when, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            action()
            if all(node.finished or not node.alive for node in self.nodes.values()):
                return
        self.now = max(self.now, until)

    def _post(self, node: Simulated, event: ev.Event) -> None:
        if not node.alive or node.finished:
            return
        if node.stalled_until > self.now:
            self._hold(node, lambda: self._post(node, event))
            return
        for effect in node.machine.handle(event, self.now):
            self._perform(node, effect)

    def _hold(self, node: Simulated, action: Callable[[], None], order: int | None = None) -> None:
        """Do something when a node goes on; if it is stopped again before that, in the same order."""
        place = next(self._order) if order is None else order

        def go_on() -> None:
            if node.stalled_until > self.now:
                self._hold(node, action, place)
            else:
                action()

        heapq.heappush(self._heap, (node.stalled_until, place, go_on))

    def _perform(self, node: Simulated, effect: e.Effect) -> None:
        match effect:
            case e.Send(to, message, body):
                for peer in to:
                    self._deliver(node.name, peer, message, body)
            case e.SendHeartbeat(to, number, state):
                for peer in to:
                    self._deliver(node.name, peer, Heartbeat(round=number, state=state, sending=()), None)
            case e.Publish(kind, fields):
                node.published.append((self.now, kind, fields))
            case e.SetTimer(key, at):
                stamp = next(self._order)
                node.timers[key] = stamp
                self.at(at, lambda: self._fire(node, key, at, stamp))
            case e.CancelTimer(key):
                node.timers.pop(key, None)
            case e.Completed():
                node.completed.append(effect)
            case e.Finish():
                node.finished = effect
            case e.CancelTraining():
                self._cancel(node)
            case e.Link() | e.Unlink():
                pass
            case e.Combine() | e.Merge() | e.CopyPart():
                self._concurrently(node, effect)
            case _:
                self._work(node, effect)

    def _work(self, node: Simulated, job: e.Effect) -> None:
        duration, answer = node.worker(job)
        # One thread: a job begins when the one before it has ended.
        node.free_at = max(node.free_at, self.now) + duration
        if answer is None:
            return
        stamp = next(self._order)
        if isinstance(job, e.Train):
            node.training = (job, stamp)

        def answered() -> None:
            if isinstance(job, e.Train):
                if node.training is None or node.training[1] != stamp:
                    return  # cancelled
                node.training = None
            self._answer(node, answer)

        self.at(node.free_at, answered)

    def _answer(self, node: Simulated, answer: Answer) -> None:
        event = answer() if callable(answer) else answer
        if event is not None:
            self._post(node, event)

    def _concurrently(self, node: Simulated, job: e.Effect) -> None:
        """Do what does not wait for the worker; one after another all the same."""
        duration, answer = node.worker(job)
        node.concurrent_free_at = max(node.concurrent_free_at, self.now) + duration
        if answer is not None:
            self.at(node.concurrent_free_at, lambda: self._answer(node, answer))

    def _cancel(self, node: Simulated) -> None:
        """End the training that runs at its next mini-batch; one that hangs has none."""
        if node.training is None:
            return
        job, node.training = node.training[0], None
        node.free_at = self.now + MINI_BATCH_S
        cancelled = ev.Trained(job.round, job.attempt, None, 0, {}, cancelled=True)
        self.at(node.free_at, lambda: self._post(node, cancelled))

    def _fire(self, node: Simulated, key: ev.Key, due: float, stamp: int) -> None:
        if node.timers.get(key) == stamp:
            if node.stalled_until > self.now:
                self._hold(node, lambda: self._fire(node, key, due, stamp))
                return
            del node.timers[key]
            self._post(node, ev.TimerFired(key, due))

    def _deliver(self, sender: str, receiver: str, message: Any, body: ev.Body) -> None:
        target = self.nodes.get(receiver)
        if target is None:
            return
        for delay in self._network(sender, receiver, message.lane, self.now):
            self.at(self.now + delay, lambda: self._post(target, ev.Arrived(sender, message, body)))


def _perfect(_sender: str, _receiver: str, _lane: Lane, _now: float) -> list[float]:
    return [0.001]
