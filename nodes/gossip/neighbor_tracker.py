"""Which neighbors are there, how far they are, and whose turn it is to hear from this peer."""

from __future__ import annotations

FAN = 2  # neighbors that each heartbeat goes to, in turn: a peer sends as few however many it is linked to


class NeighborTracker:
    """Keeps track of neighbors by what they say and by what membership finds out.

    `ring` are those that this peer tells of itself, in this order. By neighbor: `seen_in`, the round it last said it
    was in; `moving`, the rounds whose exchange it says is on its way; `departed`, the last round of one that has left.
    By peer: `incarnations`, which one its last connection was of.
    """

    def __init__(self, ring: tuple[str, ...]) -> None:
        self.ring = ring
        self.seen_in: dict[str, int] = {}
        self.moving: dict[str, tuple[int, ...]] = {}
        self.departed: dict[str, int] = {}
        self.incarnations: dict[str, int] = {}
        self._there: set[str] = set()
        self._suspects: set[str] = set()
        self._lost: set[str] = set()
        self._next = 0

    def connected(self, peer: str, incarnation: int) -> bool:
        """Take note of whose connection it is; return whether the one before was of another incarnation.

        Also of a peer that is not known yet: once it is, its models count, and they are of the incarnation that is
        connected already.
        """
        before = self.incarnations.get(peer, incarnation)
        self.incarnations[peer] = incarnation
        return before != incarnation

    def disconnected(self, peer: str) -> None:
        """Take note that one of whom nothing counted has gone."""
        self.incarnations.pop(peer, None)

    def welcome(self, peer: str, *, restarted: bool = False) -> None:
        self._expect(peer)
        self.departed.pop(peer, None)
        self.seen_in[peer] = 0 if restarted else self.seen_in.get(peer, 0)

    def expect_all(self) -> None:
        """Wait from here on for those, too, that have never shown up: until membership suspects them."""
        for peer in self.ring:
            if peer not in self.departed:
                self._expect(peer)

    def heard(self, peer: str) -> bool:
        """Take note of a sign of life; return whether the peer was suspected."""
        suspected = peer in self._suspects
        self._suspects.discard(peer)
        return suspected

    def suspect(self, peer: str) -> bool:
        """Wait for a peer no longer until it is heard again; return whether that is new."""
        if not self.living(peer):
            return False
        self._suspects.add(peer)
        return True

    def forget(self, peer: str) -> None:
        self._there.discard(peer)
        self._suspects.discard(peer)

    def lose(self, peer: str) -> None:
        self._lost.add(peer)
        self.forget(peer)

    def find(self, peer: str) -> bool:
        """Take note that a peer is there; return whether it was lost."""
        lost = peer in self._lost
        self._lost.discard(peer)
        return lost

    def leave(self, peer: str, number: int) -> None:
        self.departed[peer] = self.seen_in[peer] = number
        self.forget(peer)

    def seen(self, peer: str, number: int) -> None:
        self.seen_in[peer] = max(number, self.seen_in.get(peer, 0))

    def heartbeat(self, peer: str, number: int, sending: tuple[int, ...]) -> None:
        self.moving[peer] = sending
        self.seen_in[peer] = number

    def living(self, peer: str) -> bool:
        return peer in self._there and peer not in self._suspects

    def gone(self, peer: str) -> bool:
        """Whether a peer has left, or is lost: nothing more is to be expected of it."""
        return peer in self.departed or peer in self._lost

    @property
    def here(self) -> tuple[str, ...]:
        return tuple(peer for peer in self.ring if peer not in self.departed)

    @property
    def behind(self) -> tuple[str, ...]:
        return tuple(peer for peer in self.here if self.seen_in.get(peer) == 0 and self.living(peer))

    def turn(self) -> tuple[str, ...]:
        here = self.here
        if len(here) <= FAN:
            return here
        start = self._next % len(here)
        self._next = start + FAN
        return tuple(sorted((here + here)[start : start + FAN]))

    def _expect(self, peer: str) -> None:
        self._there.add(peer)
        self._suspects.discard(peer)
