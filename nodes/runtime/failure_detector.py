"""A failure detector: who is alive, by when each was last heard; pure, and tolerant of its own node's delays."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a review has changed: each peer with the seconds it has been silent."""

    suspected: dict[str, float] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)


class FailureDetector:
    """Suspects whoever has been silent for `suspect_after_s`, and gives up after `lost_after_s`.

    Any traffic counts. A node whose own timers fire late extends all deadlines by as much (`extend_deadlines`): a busy
    machine hears late what was sent in time (the awareness of memberlist).

    Parameters
    ----------
    suspect_after_s
        Silence, in seconds, after which a peer is no longer waited for; undone by its next message.
    lost_after_s
        Silence, in seconds, after which a peer counts as lost.
    """

    def __init__(self, suspect_after_s: float, lost_after_s: float) -> None:
        self.suspect_after_s = suspect_after_s
        self.lost_after_s = max(lost_after_s, suspect_after_s)
        self.suspects: set[str] = set()
        self.lost: set[str] = set()
        self._heard: dict[str, float] = {}
        self._grace_s: dict[str, float] = {}

    def watch(self, peer: str, now: float, grace_s: float = 0.0) -> None:
        """Begin (again) to expect messages of `peer`; one that sends seldom is given `grace_s` seconds more."""
        self._heard[peer] = now
        self._grace_s[peer] = grace_s
        self.suspects.discard(peer)
        self.lost.discard(peer)

    def forget(self, peer: str) -> None:
        self._heard.pop(peer, None)
        self._grace_s.pop(peer, None)
        self.suspects.discard(peer)
        self.lost.discard(peer)

    def heard(self, peer: str, now: float) -> bool:
        """Note a message; true if `peer` had been suspected or lost."""
        if peer not in self._heard:
            return False
        self._heard[peer] = now
        back = peer in self.suspects or peer in self.lost
        self.suspects.discard(peer)
        self.lost.discard(peer)
        return back

    def suspect(self, peer: str) -> bool:
        """Suspect `peer` at once, because its connection has closed; true if that is news."""
        if not self.living(peer):
            return False
        self.suspects.add(peer)
        return True

    def extend_deadlines(self, lateness_s: float, now: float) -> None:
        """Extend all deadlines by the time by which a timer of this node was late, up to having been heard now.

        Two timers that were late together are of one delay; without the limit they would count it twice.
        """
        for peer, at in self._heard.items():
            self._heard[peer] = min(now, at + lateness_s)

    def silence(self, peer: str, now: float) -> float:
        """Seconds since `peer` was last heard; 0 for one that is not watched."""
        return max(0.0, now - self._heard.get(peer, now))

    def living(self, peer: str) -> bool:
        return peer in self._heard and peer not in self.suspects and peer not in self.lost

    def those_living(self) -> AbstractSet[str]:
        """Return all of whom `living` is true."""
        return self._heard.keys() - self.suspects - self.lost if self.suspects or self.lost else self._heard.keys()

    def review(self, now: float) -> Verdicts:
        verdicts = Verdicts()
        for peer, heard in sorted(self._heard.items()):
            at = heard + self._grace_s[peer]
            # The very sums of `next_review`: with differences, rounding leaves a peer that is due at `now` unjudged,
            # and the review that it asked for asks for itself again.
            if now >= at + self.lost_after_s and peer not in self.lost:
                self.lost.add(peer)
                self.suspects.discard(peer)
                verdicts.lost[peer] = now - heard
            elif now >= at + self.suspect_after_s and peer not in self.suspects and peer not in self.lost:
                self.suspects.add(peer)
                verdicts.suspected[peer] = now - heard
        return verdicts

    def next_review(self) -> float | None:
        """Return when the next verdict can fall, in the clock's seconds; None if nobody is watched."""
        due = [
            at + self._grace_s[peer] + (self.lost_after_s if peer in self.suspects else self.suspect_after_s)
            for peer, at in self._heard.items()
            if peer not in self.lost
        ]
        return min(due, default=None)
