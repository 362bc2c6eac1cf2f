"""Models larger than a message where peers go by rounds: deadlines wait for what comes, and a late peer's first model
comes so, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from nervenet.broker import messages as m

from ...large.sizes import Sizes
from ...runtime import effects as e
from ...runtime import events as ev
from ..all_reduce.rounds import AllReduceRounds
from ..lifecycle import PATIENCE
from ..round_machine import PeerMachine
from .fetches import Fetch
from .peer import LargePeer

_OF_ROUNDS = (m.Exchange, m.ReducePart, m.ReducedPart)
_CLOSED = ("mixing", "resting", "short")


class LargeRounds(LargePeer):
    """Wraps a `PeerMachine`.

    A late peer takes over the agreement that goes with a neighbor's model first: by that it knows how large its own
    is, before it makes room for the weights.
    """

    kinds: ClassVar = (*_OF_ROUNDS, m.Model)

    def __init__(self, machine: PeerMachine, sizes: Sizes) -> None:
        super().__init__(machine, sizes)
        self.machine = machine
        self._giver: str | None = None  # whose model this late peer fetches
        self._agreement: Mapping[str, Any] | None = None  # that was applied
        self._ready: ev.ModelReady | None = None  # what that led to
        self._extended: tuple[ev.Key, float] = (), 0.0  # the timer that was set again last, and of a round begun when
        self._due = 0.0  # when it fired first

    # ---------------------------------------------------------------------------------------------- of all messages

    def _knows(self, peer: str) -> bool:
        return self.machine.knows(peer)

    def _gone(self, peer: str) -> bool:
        return self.machine.tracker.gone(peer)

    def _is_over(self, message: m.Announced) -> bool:
        if isinstance(message, m.Model):
            return self.machine.status != "joining" or self.machine.late_join.model is not None
        number, own = int(getattr(message, "round", 0)), self.machine.round
        return number < own or (number == own and self.machine.status in _CLOSED)

    def _arrives(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        if isinstance(event.message, m.Model):
            return self._given(event, now)
        if event.body is None and event.flaw is None and not isinstance(event.message, m.Exchange):
            return []  # only of an exchange that is late it is noted whose it is
        return self.machine.handle(event, now)

    def _timer(self, event: ev.TimerFired, now: float) -> list[e.Effect]:
        """Wait on while what would be done without is coming in: what is announced anew meanwhile buys no more time."""
        match event.key:
            case ("deadline", int(number)):
                coming = [each for peer in self._awaited(number) for each in self.fetches.of(peer)]
                coming = [each for each in coming if each.round == number]
            case ("join",) if self.machine.status == "joining" and self._giver is not None:
                coming = self.fetches.of(self._giver)
            case _:
                coming = []
        timing = self.machine.rules.timing
        if any(self.fetches.moving(each, now, timing.deadline_s, PATIENCE * timing.deadline_s) for each in coming):
            timer = event.key, self.machine.lifecycle.opened_at
            if timer != self._extended:
                self._extended, self._due = timer, now
            if now - self._due < PATIENCE * timing.deadline_s:
                return [e.SetTimer(event.key, now + 2 * timing.heartbeat_s)]
        return self.machine.handle(event, now)

    def _awaited(self, number: int) -> Collection[str]:
        """Return of whom something of a round may still come."""
        rounds = self.machine.rounds
        if not isinstance(rounds, AllReduceRounds):
            return rounds.waits.awaited(number)
        return () if rounds.exchange is None else rounds.exchange.others

    # ------------------------------------------------------------------------------------------------ of a late peer

    @property
    def _model(self) -> m.Payload | None:
        return self._ready.payload if self.machine.settled is None and self._ready is not None else super()._model

    def _performed(self, effects: list[e.Effect], now: float) -> list[e.Effect]:
        if self._giver is not None:  # nobody else need give it one meanwhile
            effects = [
                each for each in effects if not (isinstance(each, e.Send) and isinstance(each.message, m.GetModel))
            ]
        return super()._performed(effects, now)

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        if isinstance(event, ev.ModelReady) and self._agreement is not None and self.machine.late_join.model is None:
            self._ready = event  # whoever has given the agreement may be gone by now: the next one's model fits it, too
            return []
        return super()._handle(event, now)

    def _announced(self, sender: str, announcement: m.Announcement, now: float) -> list[e.Effect]:
        if isinstance(announcement.message, m.Model) and self._giver not in (None, sender):
            return [e.Send((sender,), m.Fetched(announcement.generation))]
        return super()._announced(sender, announcement, now)

    def _awaits(self, fetch: Fetch) -> list[e.Effect] | None:
        message = fetch.message
        if not isinstance(message, m.Model):
            return [] if self.machine.settled is None else None
        self._giver = fetch.sender
        if message.agreement == self._agreement:
            return None if self._ready is not None else []
        self._agreement, self._ready = dict(message.agreement), None
        return [e.ApplyAgreement(agreement=self._agreement)]

    def _given_up(self, fetch: Fetch) -> None:
        if isinstance(fetch.message, m.Model) and fetch.sender == self._giver:
            self._giver = None

    def _given(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Hand a late peer the model to start from, and what the agreement that came with it has led to."""
        if self.machine.status != "joining" or (event.body is None and event.flaw is None):
            return []
        self._giver = None
        effects = self.machine.handle(event, now)
        others = [each for each in effects if not isinstance(each, e.ApplyAgreement)]
        if self._ready is None or len(others) == len(effects):
            return effects
        ready, self._ready = self._ready, None
        return others + self.machine.handle(ready, now)
