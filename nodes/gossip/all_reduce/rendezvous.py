"""Who has trained and waits for the next all-reduce, who calls them to it, and when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..isolation import LEAP

FRESH = 3.5  # heartbeats for which one is believed to wait that has not said so again


@dataclass(slots=True)
class Waiting:
    """That a peer is ready, in which round, since when, and when it was last heard of."""

    number: int
    since: float
    heard: float


class Rendezvous:
    """Keeps those that are ready; the first of them by name calls all of them.

    It calls as soon as all are ready that were called together last and are there, or after a while those that are.
    Who has never been called expects everybody.
    """

    def __init__(self, me: str, founders: Collection[str], heartbeat_s: float) -> None:
        self.group = frozenset(founders)  # that was called last, as far as is known here
        self._me = me
        self._fresh_s = FRESH * heartbeat_s
        self._ready: dict[str, Waiting] = {}
        self._called: dict[str, tuple[int, float]] = {}  # of the last group: to which round, and when
        self._refused: dict[str, int] = {}  # who has refused a call since it was last ready, and to which round

    def add(self, peer: str, number: int, now: float) -> None:
        """Take note that a peer waits in a round; in round 0, that it waits no more.

        What one that has been called had said before may come after that, and is not believed for a while.
        """
        known = self._ready.pop(peer, None)
        called, at = self._called.get(peer, (0, 0.0))
        if number and (number > called or now >= at + self._fresh_s):
            self._refused.pop(peer, None)
            again = known is not None and known.number == number and now < known.heard + self._fresh_s
            since = known.since if known is not None and again else now
            self._ready[peer] = Waiting(number, since, now)

    def due(self, present: Collection[str], now: float, patience_s: float) -> dict[str, int]:
        """Return whom this peer is to call now, and their rounds; `present` are those others that are there."""
        there = {peer: its for peer, its in self._ready.items() if self._waits(peer, its, present, now)}
        if self._me != min(there, default=""):
            return {}
        expected = self.group if self._me in self.group else {*present, self._me}
        all_there = all(peer in there for peer in expected if peer == self._me or peer in present)
        if all_there or now >= min(its.since for its in there.values()) + patience_s:
            return {peer: its.number for peer, its in there.items()}
        return {}

    def _waits(self, peer: str, its: Waiting, present: Collection[str], now: float) -> bool:
        return peer == self._me or (peer in present and now < its.heard + self._fresh_s)

    def called(self, group: Collection[str], number: int, now: float) -> None:
        self.group = frozenset(group)
        self._called = dict.fromkeys(group, (number, now))
        for peer in group:
            self._ready.pop(peer, None)

    def refused(self, peer: str, number: int) -> None:
        """Take note that a peer was called to a round, and had not been ready."""
        self._refused[peer] = number
        self._ready.pop(peer, None)

    def stands(self, group: Collection[str], number: int) -> bool:
        """Whether none of a group is known to have refused the call to a round."""
        return all(self._refused.get(peer) != number for peer in group)

    def abandoned(self) -> None:
        """Take note that the last call has come to nothing: all but those that refused it will be ready again."""
        self._called = {peer: call for peer, call in self._called.items() if peer in self._refused}


def round_of(waiting: Mapping[str, int]) -> int:
    """Return the round to call them to: the latest that one of them is in.

    Of more than two, one alone cannot make the others leave out more than `LEAP` rounds.
    """
    numbers = sorted(waiting.values())
    if len(numbers) <= 2:
        return numbers[-1]
    return min(numbers[-1], max(numbers[-2], numbers[0] + LEAP))
