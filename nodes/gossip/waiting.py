"""Whose model of the open round is waited for, and who has left whom behind."""

from __future__ import annotations

from collections.abc import Collection

from nervenet.broker import messages as m

from ..runtime import effects as e
from .inbox import Inbox
from .isolation import LEAP, Isolation
from .membership.service import MembershipService
from .neighbor_tracker import NeighborTracker

ALONE = 3  # rounds without anybody, after which a peer waits again: others may be running after it
BEHIND = 3  # rounds by which a model may be late and its sender still be waited for again


class WaitPolicy:
    """Decides for whom a round is kept open.

    A neighbor that missed a round is `absent`: sent to, but not waited for, until a model of its arrives that is
    current, or late by `BEHIND` rounds at the most, or it is `seen` in this peer's round, or has `announced` its edge.
    Of the `disconnected`, which have left, nothing more will come.

    Who joins a later round sends nothing of those that it leaves out. Over a graph that does not change its next model
    says so. Over one that does, that goes to others than those which wait: they are told by `edge`.
    """

    def __init__(
        self, membership: MembershipService, tracker: NeighborTracker, inbox: Inbox, isolation: Isolation
    ) -> None:
        self.absent: set[str] = set()
        self.disconnected: set[str] = set()
        self._membership = membership
        self._tracker = tracker
        self._inbox = inbox
        self._isolation = isolation
        self._alone = 0  # rounds closed without anybody's model
        self._closed = 0  # the last round closed
        self._joins: dict[str, int] = {}  # by neighbor that leaves out rounds, the one it joins

    def awaited(self, number: int) -> list[str]:
        """Return whose model of a round may still come: not of one too far ahead, for it closed this one alone."""
        tracker = self._tracker
        return [
            peer
            for peer in self._membership.neighborhood.sources(number)
            if peer not in self._inbox.received
            and peer not in self.absent
            and tracker.departed.get(peer, number) >= number
            and not self._ahead(peer, number)
            and not self._isolation.apart_from(peer, number)
            and peer not in self.disconnected
            and (tracker.living(peer) or peer in tracker.departed)
        ]

    def complete(self, number: int) -> bool:
        return all(peer in self._inbox.received for peer in self._membership.neighborhood.sources(number))

    def joined(self, number: int, until: int) -> int:
        """Return the round to join after the training of round `number`: neighbors may have closed that without it.

        Further than `LEAP` rounds it is one that two of the living members have come to, where this peer has two
        neighbors: one alone cannot make it leave out a run by sending a model of a round that nobody is in. One counts,
        too, whose edge is of a later round, as of one that was away.
        """
        neighborhood, tracker = self._membership.neighborhood, self._tracker
        ahead = [
            later
            for peer, held in self._inbox.early.items()
            for later in held
            if neighborhood.overtaken(peer, later, number)
        ]
        furthest = max(ahead, default=number)
        if sum(map(tracker.living, neighborhood.ever)) > 1:
            known = {*neighborhood.ever, *tracker.seen_in}
            there = sorted(self._round_of(peer) for peer in known if tracker.living(peer))
            furthest = min(furthest, max(there[-2], number + LEAP))
        return min(furthest, until)

    def _round_of(self, peer: str) -> int:
        return max(self._tracker.seen_in.get(peer, 0), *self._inbox.early.get(peer, ()), 0)

    def late(self, sender: str, number: int) -> None:
        """Take note of a model that came too late: if only a little, its sender is waited for again."""
        if number >= self._closed - BEHIND:
            self.absent.discard(sender)

    def seen(self, peer: str, number: int) -> None:
        """Take note of the round that a neighbor says it is in.

        Over a graph that changes two peers meet every few rounds: what was missed the last time says little of one
        that is no longer behind. Over one that does not change, its next model will tell.
        """
        if number >= self._closed and not self._membership.fixed:
            self.absent.discard(peer)
        if number < self._joins.get(peer, 0):  # started again since, or back from rounds that it did alone
            del self._joins[peer]

    def announced(self, peer: str, number: int) -> None:
        """Take note of the round from which a neighbor holds its edge, 0 if never: what was missed was not to come."""
        if number > self._closed + 1:
            self.absent.discard(peer)
        if not self._membership.fixed:
            self._joins[peer] = number

    def leave_out(self, number: int, joined: int) -> list[e.Effect]:
        """Tell those that would wait for this peer in round `number`, or in another one before `joined`."""
        if self._membership.fixed:
            return []
        neighborhood = self._membership.neighborhood
        sent = neighborhood.to(joined)
        last = range(number, joined)[-LEAP:]  # those who are further behind leave out rounds themselves
        waiting = {peer for n in last for peer in neighborhood.to(n) if self._tracker.living(peer)}.difference(sent)
        return [e.Send(tuple(sorted(waiting)), m.Edge(joined, max(1, len(sent))))] if waiting else []

    def close(self, number: int, *, overtaken: bool, present: Collection[str]) -> dict[str, str]:
        """Close a round; return for each neighbor whose model is missing the reason."""
        self._closed = number
        sources = self._membership.neighborhood.sources(number)
        missing = {peer: self._reason(peer) for peer in sources if peer not in present}
        if not overtaken:  # then it is this peer that was late
            # Nor those that this peer is behind of: it would leave the others behind in turn.
            self.absent |= {peer for peer in missing if not self._ahead(peer, number)}
        self._alone = 0 if present or not missing else self._alone + 1
        if self._alone >= ALONE:
            self.absent.clear()
        return missing

    def _ahead(self, peer: str, number: int) -> bool:
        """Return whether a neighbor has gone on without this peer.

        It has sent a later model, or joins a later round, or is in one than it could be with a model of this peer.
        """
        if max(*self._inbox.early.get(peer, ()), self._joins.get(peer, 0), 0) > number:
            return True
        seen_in = self._tracker.seen_in.get(peer, 0)
        return seen_in > number + 1 and self._membership.neighborhood.overtaken(peer, seen_in, number + 1)

    def _reason(self, peer: str) -> str:
        if peer in self._tracker.departed:
            return f"left after round {self._tracker.departed[peer]}"
        if not self._tracker.living(peer):
            return "silent"
        return "missed a round and has not caught up" if peer in self.absent else "no answer in time"
