"""Models larger than a message where peers go without rounds: while an array moves, its exchange is under way."""

from __future__ import annotations

from typing import ClassVar

from nervenet.broker import messages as m

from ...large.sizes import Sizes
from ...runtime import effects as e
from ...runtime import events as ev
from ..asynchronous.machine import AsyncPeerMachine
from .peer import LargePeer


class LargeCycles(LargePeer):
    """Wraps an `AsyncPeerMachine`."""

    kinds: ClassVar = (m.Propose, m.Accept, m.Walk)

    def __init__(self, machine: AsyncPeerMachine, sizes: Sizes) -> None:
        super().__init__(machine, sizes)
        self.machine = machine

    def _knows(self, peer: str) -> bool:
        return peer in self.machine.rules.neighbors

    def _gone(self, peer: str) -> bool:
        neighbors = self.machine.neighbors
        return peer in neighbors.departed or peer in neighbors.detector.lost

    def _is_over(self, message: m.Announced) -> bool:
        """Return whether it is a walk to a peer that rests, and learns no more."""
        rests = self.machine.settled is not None and self.machine.status != "training"
        return isinstance(message, m.Walk) and rests

    def _moves(self, peer: str, now: float) -> list[e.Effect]:
        return self.machine.handle(ev.StillSending(peer, ()), now) if self._knows(peer) else []
