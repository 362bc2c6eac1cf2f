"""Plays histories of a gossip run in which no message holds a model: each is announced, and fetched in ranges.

The promises are those of `gossip_promises`, of the machines inside, which are told nothing of ranges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from all_reduce_histories import Closed, PlayedAllReduce
from gossip_histories import Incarnation, Played, Wires
from large_simulation import LargeSimulation
from nervenet.broker import messages as m
from nervenet.nodes.gossip.large.rounds import LargeRounds
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulated, Simulation

SIZES = Sizes(message_bytes=4_096 + 8, chunk_bytes=8)  # a number of float64, of a model of four, or of parts


class LargeWires(LargeSimulation, Wires):
    """What is put together of ranges is shown to be the very vector that was announced, and stands for it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.bodies: dict[tuple[str, int, int], Any] = {}  # by sender, its incarnation and the generation

    def _perform(self, node: Simulated, effect: e.Effect) -> None:
        if isinstance(effect, e.Announce) and isinstance(effect.message, m.Announcement):
            life = self.life_of(node.name)
            self.bodies[node.name, life.number, effect.message.generation] = effect.body
        super()._perform(node, effect)

    def _deliver(self, sender: str, receiver: str, message: Any, body: ev.Body) -> None:
        Wires._deliver(self, sender, receiver, message, body)

    def _then(self, node: Simulated, event: ev.Event) -> None:
        machine = node.machine
        assert isinstance(machine, LargeRounds)
        fetch = machine.fetches.numbered(event.number) if isinstance(event, ev.RangeKept) else None
        if fetch is not None and event.number not in self._received_by(node)._vectors:  # it is all there
            sender = self.life_of(node.name).links[fetch.sender]
            body = self.bodies[fetch.sender, sender, fetch.generation]
            assert np.array_equal(body, event.body)
            event = ev.RangeKept(event.number, event.start, body)
        super()._then(node, event)


class Through:
    """A machine whose events pass somebody first."""

    def __init__(self, machine: PeerMachine, watched: e.Machine) -> None:
        self._machine = machine
        self.handle = watched.handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)


def large(incarnation: Incarnation, watched: e.Machine) -> LargeRounds:
    """Return what stands around the machine and its diary."""
    found = LargeRounds(incarnation.machine, SIZES)
    found.inner = found.machine = Through(incarnation.machine, watched)  # type: ignore[assignment]
    return found


class LargePlayed(Played):
    def _simulation(self, faults: Any) -> Simulation:
        return wires_of(self)

    def _wrapped(self, incarnation: Incarnation) -> e.Machine:
        return large(incarnation, super()._wrapped(incarnation))


class LargePlayedAllReduce(PlayedAllReduce):
    def _simulation(self, faults: Any) -> Simulation:
        return wires_of(self)

    def _watched(self, incarnation: Incarnation, diary: list[Closed]) -> e.Machine:
        return large(incarnation, super()._watched(incarnation, diary))


def wires_of(run: Played) -> LargeWires:
    sim = LargeWires(run._network)
    sim.life_of = run.current.__getitem__
    return sim


def chunks_of(run: Played) -> int:
    assert isinstance(run.sim, LargeWires)
    return run.sim.sent.total()
