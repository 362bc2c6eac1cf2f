"""Which region of a node is free to be written again, and which is to be made or given up. Pure.

A region holds one vector at a time. It is **lent** as long as the array in it is alive in this process, and **claimed**
by each reader that has been sent a reference and has not released it. What is neither is free: it is written again,
under the next generation. A region that a lost reader may still be reading is **spoiled**: it is never written again,
and given up once it is not lent.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

_STEPS = 8  # sizes of regions in each doubling: at most an eighth of one is room to spare
_SLACK = 2  # a region is not used for what would fill less than one part in so many


@dataclass(slots=True)
class Region:
    """A region as the pool knows it; ``claims`` has, by reader, the references that are out, and how many to each."""

    id: int
    size: int
    generation: int = 0
    lent: bool = False
    spoiled: bool = False
    freed_at: int = 0  # in the order of all that became free
    claims: dict[int, int] = field(default_factory=dict)

    @property
    def free(self) -> bool:
        return not (self.lent or self.claims or self.spoiled)


class Loan(NamedTuple):
    """Where a vector may be written: a region and the generation of what is written now.

    ``new``: the region is still to be made, with so many bytes; ``given_up`` are regions that make room for it.
    """

    region: int
    generation: int
    size: int
    new: bool
    given_up: tuple[int, ...] = ()


class Pool:
    """The regions of one node: at most ``regions`` of together ``nbytes``."""

    def __init__(self, regions: int, nbytes: int) -> None:
        self._most, self._most_bytes = regions, nbytes
        self._regions: dict[int, Region] = {}
        self._last = 0  # the id given last; none is given again
        self._clock = 0

    def __len__(self) -> int:
        return len(self._regions)

    @property
    def nbytes(self) -> int:
        return sum(region.size for region in self._regions.values())

    def get(self, region: int) -> Region | None:
        return self._regions.get(region)

    def lend(self, nbytes: int) -> Loan | None:
        """Return where a vector of so many bytes may be written; None if there is no room."""
        size = size_for(nbytes)
        fitting = [r for r in self._regions.values() if r.free and nbytes <= r.size <= _SLACK * size]
        if fitting:  # what was used last is in the processor's caches yet
            region = max(fitting, key=lambda r: (-r.size, r.freed_at))
            region.generation += 1
            region.lent = True
            return Loan(region.id, region.generation, region.size, False)
        given_up = self._make_room(size)
        if given_up is None:
            return None
        self._last += 1
        self._regions[self._last] = Region(self._last, size, 1, lent=True)
        return Loan(self._last, 1, size, True, given_up)

    def _make_room(self, size: int) -> tuple[int, ...] | None:
        """Give up free regions, those unused for the longest time first, until one of this size has room."""
        free = sorted((r for r in self._regions.values() if r.free), key=lambda r: r.freed_at)
        count, nbytes, chosen = len(self._regions), self.nbytes, list[int]()
        while count + 1 > self._most or nbytes + size > self._most_bytes:
            if not free:
                return None
            region = free.pop(0)
            count, nbytes = count - 1, nbytes - region.size
            chosen.append(region.id)
        for each in chosen:
            del self._regions[each]
        return tuple(chosen)

    def unmade(self, region: int) -> None:
        """Forget a region that could not be made."""
        self._regions.pop(region, None)

    def returned(self, region: int, generation: int) -> bool:
        """Take note that the array of a loan is no more; return whether the region is given up with it."""
        found = self._regions.get(region)
        if found is None or found.generation != generation:
            return False
        found.lent = False
        return self._settle(found)

    def claim(self, region: int, reader: int) -> int | None:
        """Take note of a reference to what a region holds; return its generation, None if nothing is lent there."""
        found = self._regions.get(region)
        if found is None or not found.lent:
            return None
        found.claims[reader] = found.claims.get(reader, 0) + 1
        return found.generation

    def release(self, region: int, generation: int, reader: int) -> None:
        """Take note that a reader has released one reference; what it does not have it cannot release."""
        found = self._regions.get(region)
        if found is None or found.generation != generation or reader not in found.claims:
            return
        found.claims[reader] -= 1
        if not found.claims[reader]:
            del found.claims[reader]
        self._settle(found)

    def lose(self, reader: int, mapped: Collection[int] = ()) -> tuple[int, ...]:
        """Spoil all to which a reader has references, since nobody will release them; return what is given up.

        ``mapped``: and these, in which one that is gone is to see nothing that is written later.
        """
        given_up = []
        for region in list(self._regions.values()):
            if region.claims.pop(reader, 0) or region.id in mapped:
                region.spoiled = True
                if self._settle(region):
                    given_up.append(region.id)
        return tuple(given_up)

    def claimed_by(self, reader: int) -> int:
        """Return how many references a reader has not released."""
        return sum(region.claims.get(reader, 0) for region in self._regions.values())

    def _settle(self, region: Region) -> bool:
        if region.spoiled and not region.lent:
            del self._regions[region.id]
            return True
        if region.free:
            self._clock += 1
            region.freed_at = self._clock
        return False


def size_for(nbytes: int) -> int:
    """Return the size of a region for a vector: whole pages, and one of eight sizes in each doubling."""
    step = max(4096, 1 << max(0, (nbytes - 1).bit_length() - _STEPS.bit_length()))
    return -(-nbytes // step) * step
