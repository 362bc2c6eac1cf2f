"""Who has which answers of round 0, for all that a peer knows of its neighbors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Sets = dict[str, dict[int, int]]
"""By neighbor and question, a set of members whose answers are meant: a number with a bit for each, in name order.

Of hundreds of members it takes a few bytes.
"""


class Deliveries:
    """Which answers each neighbor has sent, and so holds, and which it was sent that it may have lost."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = numbers  # of each member, its bit
        self._held: Sets = {}
        self._sent: Sets = {}

    def __contains__(self, member: object) -> bool:
        return member in self._numbers

    def set_of(self, origins: Iterable[str]) -> int:
        found = 0
        for origin in origins:
            found |= 1 << self._numbers[origin]
        return found

    def names(self, origins: Iterable[str], wanted: int) -> list[str]:
        """Return those of some members that are in a set."""
        return [origin for origin in origins if wanted >> self._numbers[origin] & 1]

    def came(self, peer: str, step: int, origins: Iterable[str]) -> None:
        _add(self._held, peer, step, self.set_of(origins))

    def sent(self, peer: str, step: int, origins: Iterable[str]) -> None:
        _add(self._sent, peer, step, self.set_of(origins))

    def lacks(self, peer: str, step: int, there: int, *, unsent: bool = False) -> int:
        """Return which answers of those that are `there` a neighbor may lack; `unsent`: and was not sent, either."""
        found = there & ~self._held.get(peer, {}).get(step, 0)
        return found & ~self._sent.get(peer, {}).get(step, 0) if unsent else found

    def answered(self, peer: str) -> int:
        """Return the last question that a neighbor has answered: it has all answers to those before."""
        mine = self._numbers.get(peer)
        if mine is None:
            return 0
        return max((step for step, found in self._held.get(peer, {}).items() if found >> mine & 1), default=0)

    def relinked(self, peer: str) -> Mapping[int, int]:
        """Return what a neighbor was sent, by question, which may have been lost with its link; it counts no more."""
        return self._sent.pop(peer, {})

    def forgot(self, peer: str) -> None:
        """Take note that a neighbor holds nothing any more."""
        self._held.pop(peer, None)
        self._sent.pop(peer, None)

    def over(self, before: int) -> None:
        """Forget questions before one."""
        for of_peer in (*self._held.values(), *self._sent.values()):
            for step in [step for step in of_peer if step < before]:
                del of_peer[step]


def _add(sets: Sets, peer: str, step: int, found: int) -> None:
    of_peer = sets.setdefault(peer, {})
    of_peer[step] = of_peer.get(step, 0) | found
