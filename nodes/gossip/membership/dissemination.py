"""How what is known of members reaches the others: on the probes themselves, at once, or all of it."""

from __future__ import annotations

from typing import Literal

from nervenet.broker import messages as m
from nervenet.models.rng import generator

from ...runtime import effects as e
from .member_list import BroadcastQueue, MemberList

SPREAD = 3  # to how many at once goes what cannot wait for the next probe
LIST = 64  # states in one message of all that is known: the longest fit into the 64 kB of the control lane
NOTIFY_BACKOFF_S = 0.2  # a peer that is believed dead and speaks hears of it no more often than this


class Dissemination:
    """Decides which states of members go to whom; `pressing`: something cannot wait for the next probe."""

    def __init__(self, members: MemberList, seed: int) -> None:
        self._members = members
        self._seed = seed
        self._queue = BroadcastQueue()
        self.pressing = False
        self._urgent: set[str] = set()  # who must hear of it, whoever else does
        self._spreads = 0
        self._notified: dict[str, float] = {}

    def put(self, state: m.MemberState, *, at_once: bool = False, urgent_to: str = "") -> None:
        self._queue.put(state)
        self.pressing |= at_once
        if urgent_to:
            self._urgent.add(urgent_to)

    def piggyback(self, *first: str) -> tuple[m.MemberState, ...]:
        return self._queue.take(len(self._members.known) + 1, first)

    def flush(self, others: list[str]) -> list[e.Effect]:
        """Return messages to a few of the others, and to whom it concerns, with what has changed."""
        self.pressing = False
        self._spreads += 1
        to = {*draw(self._seed, self._members.me.node, others, SPREAD, "spread", self._spreads), *self._urgent}
        self._urgent = set()
        states = self.piggyback()
        return [e.Send(tuple(sorted(to)), m.Gossip(states))] if to and states else []

    def everything(self, peer: str, extent: Literal["ask", "answer"]) -> list[e.Effect]:
        """Return messages with all that is known; ``ask``: they ask for all that the peer knows, too."""
        known = self._members.all()
        parts = [known[i : i + LIST] for i in range(0, len(known), LIST)]
        # Only the last part asks, so that one answer comes.
        return [e.Send((peer,), m.Gossip(part, extent if part is parts[-1] else "answer")) for part in parts]

    def notify(self, peer: str, now: float) -> bool:
        """Return whether a peer that speaks and is not believed alive may hear of that now, and note that it does."""
        if now < self._notified.get(peer, -NOTIFY_BACKOFF_S) + NOTIFY_BACKOFF_S:
            return False
        self._notified[peer] = now
        return True


def draw(seed: int, me: str, names: list[str], count: int, *address: str | int) -> list[str]:
    if not names or not count:
        return []
    chosen = generator(seed, me, "probe", *address).permutation(len(names))[:count]
    return [names[i] for i in chosen]
