"""Which neighbors are there, how far they are, and whose turn it is to hear that this peer is."""

from __future__ import annotations

from collections.abc import Mapping

from ..runtime import effects as e
from ..runtime.failure_detector import FailureDetector

FAN = 2  # neighbors that each heartbeat goes to, in turn: a peer sends as few however many it is linked to


class NeighborTracker:
    """Keeps track of neighbors by what they say, and by their silence.

    Attributes
    ----------
    seen_in
        The round in which a neighbor last said it was; 0: it was still meeting.
    moving
        The rounds whose exchange a neighbor says is on its way.
    departed
        Those that took their leave: the last round they answered.
    """

    def __init__(
        self, spread: Mapping[str, int], heartbeat_s: float, suspect_after_s: float, lost_after_s: float
    ) -> None:
        self.liveness = FailureDetector(suspect_after_s, lost_after_s)
        self.heartbeat_s = heartbeat_s
        self.seen_in: dict[str, int] = {}
        self.moving: dict[str, tuple[int, ...]] = {}
        self.departed: dict[str, int] = {}
        # Who has many to tell tells each seldom, and is given as much longer.
        self._grace_s = {peer: 2 * heartbeat_s * (turns(count) - 1) for peer, count in spread.items()}
        self.ring = tuple(spread)  # whom it tells of itself, in this order
        self._next = 0

    def welcome(self, peer: str, now: float) -> None:
        """A neighbor has come, or come back."""
        self.liveness.watch(peer, now, self._grace_s.get(peer, 0.0))
        self.departed.pop(peer, None)
        self.seen_in[peer] = 0

    def expect_all(self, now: float) -> None:
        """From here on who never showed up is waited for no longer than one that has gone silent."""
        for peer in self.ring:
            if not self.liveness.living(peer) and peer not in self.departed:
                self.liveness.watch(peer, now, self._grace_s.get(peer, 0.0))

    def seen(self, peer: str, number: int) -> None:
        """Something of that round has come."""
        self.seen_in[peer] = max(number, self.seen_in.get(peer, 0))

    def beaten(self, peer: str, number: int, sending: tuple[int, ...]) -> None:
        """A heartbeat has come."""
        self.moving[peer] = sending
        self.seen_in[peer] = number

    def leave(self, peer: str, number: int) -> None:
        """A neighbor takes its leave, after a round."""
        self.departed[peer] = self.seen_in[peer] = number
        self.liveness.forget(peer)

    def living(self, peer: str) -> bool:
        """Whether it is there as far as is known."""
        return self.liveness.living(peer)

    @property
    def here(self) -> tuple[str, ...]:
        """All that have not taken leave."""
        return tuple(peer for peer in self.ring if peer not in self.departed)

    @property
    def behind(self) -> tuple[str, ...]:
        """Those that are connected and were still meeting when they last spoke."""
        return tuple(peer for peer in self.here if self.seen_in.get(peer) == 0 and self.living(peer))

    def turn(self) -> tuple[str, ...]:
        """Give those whom the next heartbeat goes to."""
        here = self.here
        if len(here) <= FAN:
            return here
        start = self._next % len(here)
        self._next = start + FAN
        return tuple(sorted((here + here)[start : start + FAN]))

    def silent(self, now: float) -> list[e.Effect]:
        """Look at the clock: who has become suspect, who is lost."""
        verdicts = self.liveness.review(now)
        effects: list[e.Effect] = []
        for kind, found in (("node.suspect", verdicts.suspected), ("node.lost", verdicts.lost)):
            for peer, silent_s in found.items():
                effects.append(e.Publish(kind, {"subject": peer, "reason": f"silent for {silent_s:.1f} s"}))
        due = self.liveness.next_review()
        if due is not None and due < now + self.heartbeat_s:
            effects.append(e.SetTimer(("review",), due))
        return effects


def turns(count: int) -> int:
    """Heartbeats until everybody of so many has had one."""
    return max(1, -(-count // FAN))
