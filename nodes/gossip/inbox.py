"""What has come of the neighbors: of this round, and early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import Fault, payload_fault
from .rules import PeerRules


@dataclass(frozen=True)
class ReceivedModel:
    message: m.Exchange
    body: ev.Body


class Inbox:
    """Sorts exchanges by the round that they are for: `received` those of the open one, by sender; `early` later ones.

    Of a later round one a neighbor is kept, for as many rounds as anybody can be ahead: where edges go one way, who is
    heard may be many rounds further without having left anybody behind.
    """

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.received: dict[str, ReceivedModel] = {}
        self.early: dict[str, dict[int, ReceivedModel]] = {}
        self._unread: dict[tuple[str, int], tuple[ev.Arrived, m.Exchange]] = {}

    def leave(self, event: ev.Arrived, exchange: m.Exchange) -> None:
        """Keep one unread that came before round 0 was over here."""
        held = [key for key in self._unread if key[0] == event.sender]
        if len(held) >= self.ahead:
            del self._unread[min(held)]
        self._unread[event.sender, exchange.round] = event, exchange

    def unread(self) -> list[tuple[ev.Arrived, m.Exchange]]:
        left, self._unread = list(self._unread.values()), {}
        return left

    def keep(self, sender: str, model: ReceivedModel) -> None:
        """Keep an early one; of too many, the oldest goes."""
        held = self.early.setdefault(sender, {})
        held.setdefault(model.message.round, model)
        while len(held) > self.ahead:
            del held[min(held)]

    def open(self, number: int) -> None:
        self.received = {}
        for sender, held in self.early.items():
            for known in [n for n in held if n <= number]:
                model = held.pop(known)
                if known == number:
                    self.received[sender] = model

    def take(self) -> dict[str, ReceivedModel]:
        """Return what has come for the round that is open, and close it."""
        taken, self.received = self.received, {}
        return taken

    def forget(self, sender: str) -> None:
        self.received.pop(sender, None)
        self.early.pop(sender, None)


def with_parts(payload: m.Payload, parts: tuple[str, ...]) -> m.Payload:
    """Return the description of what all send whole: so many parts of the size of the agreed weights."""
    return m.Payload(payload.layout, payload.dtype, len(parts) * payload.length, parts=parts)


def exchange_fault(exchange: m.Exchange, expected: m.Payload, rules: PeerRules) -> Fault | None:
    """Compare what an exchange says of itself with what the algorithm of all sends; None if it fits."""
    found, allowed = exchange.payload.encoding, rules.encoding
    if found and allowed and found != allowed:
        return "payload", f"encoding must be {allowed} or none, found {found}"
    fault = payload_fault(exchange.payload, expected, encodings=bool(allowed))
    if fault is None and not (isfinite(exchange.mass) and (rules.needs.mass or exchange.mass == 1.0)):
        return "values", f"mass must be {'finite' if rules.needs.mass else '1'}, found {exchange.mass}"
    return fault


def mix_of(
    number: int,
    mine: tuple[ev.Body, float],
    received: Mapping[str, ReceivedModel],
    weights: Mapping[str, float],
    rules: PeerRules,
) -> e.Mix:
    """Ask for the next model of what has come, in the order of the weights; who has sent nothing is oneself.

    `mine` is one's own model, and the clock of its learning-rate schedule.
    """
    body, clock = mine
    clocks = tuple(clock if name not in received else received[name].message.clock for name in weights)
    came = [received.get(name) for name in weights]
    return e.Mix(
        number,
        tuple(body if model is None else model.body for model in came),
        tuple(weights.values()),
        tuple(weights),
        tuple(1.0 if model is None else model.message.mass for model in came) if rules.needs.mass else (),
        tuple(None if model is None else model.message.base for model in came) if rules.encoding else (),
        frozenset(name for name, model in received.items() if model.message.payload.encoding),
        clocks if any(clocks) else (),
    )
