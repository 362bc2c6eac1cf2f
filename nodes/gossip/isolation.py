"""A peer that has lost all others: since when it goes on alone, and to which round it comes back."""

from __future__ import annotations

from collections.abc import Collection, Mapping

LEAP = 5  # rounds that are left out for a neighbor that may be the only one to have done them


class Isolation:
    """Follows the rounds that a peer mixes with nobody since no neighbor is believed to live.

    Who waits for nobody goes at its own pace, and may be far ahead when it finds the others again. They have mixed with
    each other meanwhile, so it is this peer that moves, to the round they are in, as if one round had taken it long: no
    other leaves out a round for what one did alone. As long as they were last known in a round that is far behind, it
    sends them nothing, for they would join a model of a later round, and does not wait for them.

    One that mixes with nobody because all others are slower than the deadline has not lost them: they join its round.
    """

    def __init__(self, seen_in: Mapping[str, int]) -> None:
        self._seen_in = seen_in  # the round that others were last known to be in, however long ago
        self.alone_since = 0  # the first of the last rounds, all of which were mixed with nobody; 0: with somebody
        self._apart = False  # they have not been found again
        self._heard: dict[str, int] = {}  # the round that others are in, as they have said since

    def closed(self, number: int, *, mixed: bool, there: bool) -> bool | None:
        """Take note of who was mixed in a round; return whether this peer is alone from here on, None if as before.

        `there`: a neighbor is believed to live.
        """
        was = bool(self.alone_since)
        if mixed:
            self.alone_since, self._apart = 0, False
        elif not there:
            self.alone_since = self.alone_since or number
            if not self._apart:
                self._apart, self._heard = True, {}
        alone = bool(self.alone_since)
        return None if was == alone else alone

    def hears(self, peer: str, number: int) -> None:
        """Take note of the round that another is in; in round 0 it is about to join."""
        if self._apart and number:
            self._heard[peer] = number

    def apart_from(self, peer: str, number: int) -> bool:
        """Return whether a neighbor may be so far behind a round of this peer that they have nothing to do in it."""
        return self._apart and number - max(self._heard.get(peer, 0), self._seen_in.get(peer, 0)) > LEAP

    def way_back(self, completed: int, there: Collection[str], last_sent: int) -> int | None:
        """Return the round after which to go on, where all that are there are far behind; None: the next one.

        Never to one from before it was alone, nor before the last one of which it has sent a model: no neighbor's word
        takes back what was mixed with others, or what they may still mix.
        """
        rounds = [self._heard[peer] for peer in there if peer in self._heard]
        if not self._apart or not rounds:
            return None
        self._apart = False
        back = max(*rounds, self.alone_since, last_sent)
        return back if completed - back > LEAP else None
