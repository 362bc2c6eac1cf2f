"""What a bad network does to messages, decided by a seed and the message's place in the traffic; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from ..messages import Lane

__all__ = ["Faults", "Partition"]


@dataclass(frozen=True, slots=True)
class Partition:
    """Between ``start`` and ``end`` (seconds), nothing passes between ``side`` and everybody else."""

    side: frozenset[str]
    start: float
    end: float

    def cuts(self, one: str, other: str, now: float) -> bool:
        """Whether it stands between two nodes now."""
        return self.start <= now < self.end and (one in self.side) != (other in self.side)


@dataclass(slots=True)
class Faults:
    """For each message, after which delays its copies arrive: none, it is lost; two, it is duplicated.

    The n-th message from one node to another on a lane fares alike whatever the others do, so a smaller change in a
    run leaves the rest of its fate alone.

    Parameters
    ----------
    seed : int
    delay_s : (least, most)
        Delays are drawn uniformly; unequal ones let a message overtake another.
    drop, duplicate : float
        Probabilities, per message.
    ordered : bool
        No message overtakes an earlier one of the same sender, receiver and lane, as on a connection.
    partitions : sequence of Partition
    lanes : collection of Lane
        Which lanes suffer from drop and duplicate; all suffer delay and partition.
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
        """Delays in seconds, one for each copy that arrives."""
        way = (sender, receiver, str(lane))
        nth = self._count[way] = self._count.get(way, -1) + 1
        if any(partition.cuts(sender, receiver, now) for partition in self.partitions):
            return []
        suffers = lane in self.lanes
        if suffers and self._draw(way, nth, "drop") < self.drop:
            return []
        copies = 2 if suffers and self._draw(way, nth, "duplicate") < self.duplicate else 1
        least, most = self.delay_s
        delays = [least + (most - least) * self._draw(way, nth, f"delay {copy}") for copy in range(copies)]
        if self.ordered:
            latest = self._latest.get(way, 0.0)
            delays = [max(delay, latest - now) for delay in delays]
            self._latest[way] = now + max(delays)
        return delays

    def _draw(self, way: tuple[str, str, str], nth: int, purpose: str) -> float:
        """A number in [0, 1) that belongs to this message and purpose alone."""
        name = "\0".join((str(self.seed), *way, str(nth), purpose))
        return int.from_bytes(blake2b(name.encode(), digest_size=7).digest()) / 2**56
