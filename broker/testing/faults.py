"""Seeded network faults: loss, duplication, delay, reordering, partitions; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from ..messages import Lane


@dataclass(frozen=True, slots=True)
class Partition:
    """Between ``start`` and ``end`` (seconds), no message passes between ``side`` and all other nodes."""

    side: frozenset[str]
    start: float
    end: float

    def cuts(self, one: str, other: str, now: float) -> bool:
        return self.start <= now < self.end and (one in self.side) != (other in self.side)


@dataclass(slots=True)
class Faults:
    """Draws, for each message, the delay of each copy that arrives: none if it is lost, two if it is duplicated.

    What happens to the n-th message from one node to another on a lane does not depend on other traffic, so a small
    change in a run leaves the rest of its faults alone.

    Parameters
    ----------
    seed : int
    delay_s : (least, most)
        Delays are drawn uniformly; if they differ, a message may overtake another.
    drop, duplicate : float
        Probabilities, per message.
    ordered : bool
        No message overtakes an earlier one of the same sender, receiver and lane, as on a connection.
    partitions : sequence of Partition
    lanes : collection of Lane
        Lanes subject to drop and duplicate; all are subject to delay and partitions.
    """

    seed: int = 0
    delay_s: tuple[float, float] = (0.001, 0.001)
    drop: float = 0.0
    duplicate: float = 0.0
    ordered: bool = False
    partitions: Sequence[Partition] = ()
    lanes: Collection[Lane] = (Lane.CONTROL, Lane.BULK)
    _count: dict[tuple[str, str, str], int] = field(default_factory=dict, init=False, repr=False)
    _latest: dict[tuple[str, str, str], float] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, sender: str, receiver: str, lane: Lane, now: float) -> list[float]:
        """Return the delays in seconds, one for each copy that arrives."""
        route = (sender, receiver, str(lane))
        nth = self._count[route] = self._count.get(route, -1) + 1
        if any(partition.cuts(sender, receiver, now) for partition in self.partitions):
            return []
        lossy = lane in self.lanes
        if lossy and self._draw(route, nth, "drop") < self.drop:
            return []
        copies = 2 if lossy and self._draw(route, nth, "duplicate") < self.duplicate else 1
        least, most = self.delay_s
        delays = [least + (most - least) * self._draw(route, nth, f"delay {copy}") for copy in range(copies)]
        if self.ordered:
            latest = self._latest.get(route, 0.0)
            delays = [max(delay, latest - now) for delay in delays]
            self._latest[route] = now + max(delays)
        return delays

    def _draw(self, route: tuple[str, str, str], nth: int, purpose: str) -> float:
        """Return a number in [0, 1) that depends on the seed, this message and the purpose alone."""
        name = "\0".join((str(self.seed), *route, str(nth), purpose))
        return int.from_bytes(blake2b(name.encode(), digest_size=7).digest()) / 2**56
