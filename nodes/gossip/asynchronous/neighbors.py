"""What a peer without rounds knows of its neighbors: who is there, who has done its cycles, what is on its way."""

from __future__ import annotations

from nervenet.broker import messages as m

from ...config.schema import Timing
from ...runtime import effects as e
from ...runtime.failure_detector import FailureDetector


class AsyncNeighbors:
    """Keeps track of neighbors by what they say, and by their silence."""

    def __init__(self, names: tuple[str, ...], timing: Timing) -> None:
        self.names = names
        self.detector = FailureDetector(timing.suspect_after_s, timing.lost_after_s)
        self.departed: set[str] = set()
        self._resting: set[str] = set()  # have done their cycles
        self._meeting: set[str] = set(names)  # may still be in round 0
        self._incarnations: dict[str, int] = {}
        self._moving: dict[str, float] = {}  # when a transfer was last known to be under way

    @property
    def here(self) -> tuple[str, ...]:
        return tuple(peer for peer in self.names if peer not in self.departed)

    @property
    def living(self) -> list[str]:
        return [peer for peer in self.names if self.detector.living(peer)]

    @property
    def meeting(self) -> tuple[str, ...]:
        return tuple(peer for peer in self.here if peer in self._meeting and self.detector.living(peer))

    @property
    def resting(self) -> bool:
        return all(peer in self._resting for peer in self.living)

    def connected(self, peer: str, incarnation: int, now: float) -> bool:
        """A neighbor has come, or come back; return whether it has been started again."""
        before = self._incarnations.get(peer, incarnation)
        self._incarnations[peer] = incarnation
        self.detector.watch(peer, now)
        self.departed.discard(peer)
        self._meeting.add(peer)
        if before != incarnation:
            self._resting.discard(peer)
        return before != incarnation

    def expect_all(self, now: float) -> None:
        """Wait from here on for those, too, that have never shown up, until they have been silent for long."""
        for peer in self.here:
            if not self.detector.living(peer):
                self.detector.watch(peer, now)

    def heartbeat(self, peer: str, beat: m.Heartbeat, now: float) -> None:
        if beat.sending:
            self._moving[peer] = now
        if beat.state != "meeting":
            self._meeting.discard(peer)
        if beat.state == "resting":
            self._resting.add(peer)
        elif beat.round:
            self._resting.discard(peer)

    def sending(self, peer: str, now: float) -> None:
        self._moving[peer] = now

    def moving(self, peer: str, since: float) -> bool:
        return self._moving.get(peer, float("-inf")) >= since

    def leave(self, peer: str) -> None:
        self.departed.add(peer)
        self._meeting.discard(peer)
        self.detector.forget(peer)

    def review(self, now: float) -> list[e.Effect]:
        """Return the events of those that have become suspect, or lost, since the last look."""
        verdicts = self.detector.review(now)
        return [
            e.Publish(kind, {"subject": peer, "reason": f"silent for {silent:.1f} s"})
            for kind, found in (("node.suspect", verdicts.suspected), ("node.lost", verdicts.lost))
            for peer, silent in found.items()
        ]
