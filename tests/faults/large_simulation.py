"""Machines on virtual time whose arrays travel in ranges: what a node does of that, and connections that are cut."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nervenet.nodes.large.vectors import Received, Room
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Network, Simulated, Simulation


class LargeSimulation(Simulation):
    """Performs the effects of large models.

    `sent` counts chunks by (sender, receiver); `longest` is the largest array of a message, in numbers.
    """

    def __init__(self, network: Network | None = None) -> None:
        super().__init__(network)
        self.sent: Counter[tuple[str, str]] = Counter()
        self.longest = 0
        self.received: dict[int, Received] = {}  # by node, of which there may be several of a name in turn
        self._cuts: Counter[frozenset[str]] = Counter()

    def cut(self, one: str, other: str, when: float) -> None:
        """End a connection, with all that is on its way over it, and make it again."""

        def end() -> None:
            self._cuts[frozenset({one, other})] += 1
            self.connect(one, other)

        self.at(when, end)

    def _perform(self, node: Simulated, effect: e.Effect) -> None:
        match effect:
            case e.Announce(to, message):
                for peer in to:
                    self._deliver(node.name, peer, message, None)
            case e.SendRange(to, message, body):
                self.sent[node.name, to] += 1
                self._deliver(node.name, to, message, body[message.start : message.start + message.payload.length])
            case e.KeepRange():
                received = self._received_by(node)
                self._then(node, received.keep(effect))
            case e.DropVector(number):
                self._received_by(node).drop(number)
            case e.Record():
                pass
            case _:
                super()._perform(node, effect)

    def _then(self, node: Simulated, event: ev.Event) -> None:
        self.at(self.now, lambda: self._post(node, event))

    def _deliver(self, sender: str, receiver: str, message: Any, body: ev.Body) -> None:
        if body is not None and not isinstance(body, tuple):
            self.longest = max(self.longest, len(body))
        pair = frozenset({sender, receiver})
        target, cuts = self.nodes.get(receiver), self._cuts[pair]

        def arrive() -> None:
            if target is not None and self._cuts[pair] == cuts:
                self._post(target, ev.Arrived(sender, message, body))

        for delay in self._network(sender, receiver, message.lane, self.now):
            self.at(self.now + delay, arrive)

    def _received_by(self, node: Simulated) -> Received:
        return self.received.setdefault(id(node), Received(Room(), several=True))

    def held(self, name: str) -> int:
        """Return how many vectors a node holds that are not all there."""
        return len(self._received_by(self.nodes[name])._vectors)
