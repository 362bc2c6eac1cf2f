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
    """One exchange as it came."""

    message: m.Exchange
    body: ev.Body


class Inbox:
    """Sorts exchanges by the round that they are for.

    Of a later round one a neighbor is kept, for as many rounds as anybody can be ahead: where edges go one way, who is
    heard may be many rounds further without having left anybody behind.

    Attributes
    ----------
    inbox
        Those of the round that is open, by sender.
    early
        Those of later rounds, by sender and round.
    heard_in
        The latest round of which a sender's exchange has come.
    """

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.inbox: dict[str, ReceivedModel] = {}
        self.early: dict[str, dict[int, ReceivedModel]] = {}
        self.heard_in: dict[str, int] = {}
        self._unread: dict[tuple[str, int], ev.Arrived] = {}

    def leave(self, event: ev.Arrived, message: m.Exchange) -> None:
        """Keep one unread that came before round 0 was over here."""
        mine = [key for key in self._unread if key[0] == event.sender]
        if len(mine) >= self.ahead:
            del self._unread[min(mine)]
        self._unread[event.sender, message.round] = event

    def unread(self) -> list[ev.Arrived]:
        """Give what was left, in the order in which it came."""
        left, self._unread = list(self._unread.values()), {}
        return left

    def note(self, sender: str, number: int) -> int:
        """Note that an exchange has come; gives the latest round of that sender before."""
        before = self.heard_in.get(sender, 0)
        self.heard_in[sender] = max(number, before)
        return before

    def keep(self, sender: str, letter: ReceivedModel) -> None:
        """Keep an early one; of too many, the oldest goes."""
        held = self.early.setdefault(sender, {})
        held.setdefault(letter.message.round, letter)
        while len(held) > self.ahead:
            del held[min(held)]

    def open(self, number: int) -> None:
        """Begin a round with what came early for it."""
        self.inbox = {}
        for sender, held in self.early.items():
            for known in [n for n in held if n <= number]:
                letter = held.pop(known)
                if known == number:
                    self.inbox[sender] = letter

    def take(self) -> dict[str, ReceivedModel]:
        """Give what has come for the round that is open, and close it."""
        taken, self.inbox = self.inbox, {}
        return taken

    def forget(self, sender: str) -> None:
        """Drop what came from a life of a neighbor that is over."""
        self.inbox.pop(sender, None)
        self.early.pop(sender, None)
        self.heard_in.pop(sender, None)


def with_parts(payload: m.Payload, parts: tuple[str, ...]) -> m.Payload:
    """Describe what all send whole: so many parts of the size of the settled weights."""
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
    number: int, mine: ev.Body, inbox: Mapping[str, ReceivedModel], weights: Mapping[str, float], rules: PeerRules
) -> e.Mix:
    """Ask for the next model of what has come, in the order of the weights; who is not in the inbox is oneself."""
    came = [inbox.get(name) for name in weights]
    return e.Mix(
        number,
        tuple(mine if letter is None else letter.body for letter in came),
        tuple(weights.values()),
        tuple(weights),
        tuple(1.0 if letter is None else letter.message.mass for letter in came) if rules.needs.mass else (),
        tuple(None if letter is None else letter.message.base for letter in came) if rules.encoding else (),
        frozenset(name for name, letter in inbox.items() if letter.message.payload.encoding),
    )
