"""How many peers meet in few messages: answers go up and down a spanning tree, many in one message.

A peer sends a neighbor in the tree the answers of its own side of their edge, as soon as it holds all of those: in all
2(n - 1) messages, in place of n or more a peer. Each answer is carried as it was given, with its origin, so that all
peers hold what a flood would have brought them. Every peer lays the same tree: along edges of the graph where these are
short ways, else over links of its own, as on a ring. It is only the quick way: what `SurveyFlood` repeats to those that
may lack it goes along every edge of the graph, and where the tree is cut the rest is spread over all edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Self

from ..topology import Schedule, every_neighbor

FEWEST = 17  # members from which a tree is worth it: few messages are quicker than long ways
FAN = 8  # members below one, where the graph allows it: who has all below it encodes for all
FAR = 2  # times log2(n): a way to the root along the graph that is longer takes the place of a link of the tree's own
QUIET = 2  # heartbeats without an answer after which the tree is taken for cut,
EACH = 32  # and one more for so many members: they start at once, and share the cores


@dataclass(frozen=True)
class SpanningTree:
    """A tree over all members: by member, the one `above` it; empty for the root, the first of them."""

    above: Mapping[str, str]

    @classmethod
    def over(cls, neighbors: Mapping[str, Sequence[str]]) -> Self | None:
        """Return the tree by which members meet whose graph has these edges; None where it is not connected."""
        tree = cls.along(neighbors)
        deep = tree is not None and tree.depth > FAR * math.ceil(math.log2(len(neighbors)))
        return cls.across(neighbors) if deep else tree

    @classmethod
    def across(cls, members: Iterable[str]) -> Self:
        """Return the tree whose edges are those of no graph: of all after the first, `FAN` runs of names are below it,
        and in each of these it is the same. Who is near by name, and so often by process, is near in the tree.
        """
        names = sorted(members)
        above = {names[0]: ""}
        open_ = [(0, 1, len(names))]
        for place, start, end in open_:  # which grows
            bounds = [start + (end - start) * part // FAN for part in range(FAN + 1)]
            for first, last in pairwise(bounds):
                if first < last:
                    above[names[first]] = names[place]
                    open_.append((first, first + 1, last))
        return cls(above)

    @classmethod
    def along(cls, neighbors: Mapping[str, Sequence[str]]) -> Self | None:
        """Return the tree of breadth first from the first member; None where the graph is not connected."""
        members = sorted(neighbors)
        above = {members[0]: ""}
        reached = [members[0]]
        for most in (FAN, len(members)):
            for name in reached:  # which grows
                for peer in [p for p in neighbors[name] if p not in above][:most]:
                    above[peer] = name
                    reached.append(peer)
        return cls(above) if len(above) == len(members) else None

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each member in name order: its bit in a set of them."""
        return {name: place for place, name in enumerate(sorted(self.above))}

    @cached_property
    def below(self) -> dict[str, int]:
        """By member, the set of those whose way to the root leads over it, and itself."""
        sets = {name: 1 << place for name, place in self.numbers.items()}
        for name in self._deepest_first:
            if self.above[name]:
                sets[self.above[name]] |= sets[name]
        return sets

    @property
    def patience(self) -> int:
        """How many heartbeats answers may take longer here than among few."""
        return len(self.above) // EACH

    @property
    def depth(self) -> int:
        """How many edges are between the root and the one that is furthest from it."""
        return max(self._depths.values())

    def shortcuts(self, me: str, neighbors: Iterable[str]) -> tuple[str, ...]:
        """Return whom a member links for the tree's sake alone: the one above it, if that is none of its neighbors."""
        above = self.above[me]
        return (above,) if above and above not in neighbors else ()

    @cached_property
    def _deepest_first(self) -> list[str]:
        return sorted(self.above, key=self._depths.__getitem__, reverse=True)

    @cached_property
    def _depths(self) -> dict[str, int]:
        depth = {"": -1}

        for name in self.above:
            way = []
            while name not in depth:
                way.append(name)
                name = self.above[name]
            for each in reversed(way):
                depth[each] = depth[self.above[each]] + 1
        return depth

    def sides(self, me: str) -> dict[str, int]:
        """Return, by neighbor in the tree, the set of members on this one's side of their edge."""
        everybody = (1 << len(self.above)) - 1
        sides = {peer: everybody & ~self.below[peer] for peer, above in self.above.items() if above == me}
        if self.above[me]:
            sides[self.above[me]] = self.below[me]
        return sides


@lru_cache(maxsize=8)
def tree_of(schedule: Schedule) -> SpanningTree | None:
    """Return the tree by which the members of a graph meet; None where they are few, or it is not connected.

    Peers of one process have the same one.
    """
    neighbors = every_neighbor(schedule)
    return SpanningTree.over(neighbors) if len(neighbors) >= FEWEST else None


def shortcuts_of(tree: SpanningTree | None, me: str, neighbors: Iterable[str]) -> tuple[str, ...]:
    """Return what `SpanningTree.shortcuts` does; nobody without a tree."""
    return () if tree is None else tree.shortcuts(me, neighbors)


class TreeRelay:
    """Decides when a peer passes answers on along the tree, and when the tree is taken for cut (`spreading`)."""

    def __init__(self, tree: SpanningTree, me: str) -> None:
        self.spreading = False
        self.patience = tree.patience
        self._sides = tree.sides(me)
        self.reached: set[str] = set()  # neighbors that were linked once
        self._lost: set[str] = set()  # and have lost that link
        self._done: set[tuple[int, str]] = set()  # questions of which a neighbor has been sent all of this side
        self._quiet = 0

    def __contains__(self, peer: str) -> bool:
        return peer in self._sides

    def linked(self, peer: str, *, anew: bool) -> bool:
        """Take note of a link; return whether what was sent before may be lost, and not just the other end's link come.

        To one that was started `anew` this side has to be told again.
        """
        lost = peer in self._lost
        self._lost.discard(peer)
        self.reached.add(peer)
        if anew:
            self._done = {key for key in self._done if key[1] != peer}
        return lost or anew

    def cut(self, peer: str) -> None:
        """Take note that a link has ended: what it was to carry goes other ways."""
        if peer in self.reached:
            self._lost.add(peer)
            self.spreading |= peer in self._sides

    def came(self, source: str, found: int) -> None:
        """Take note of who has brought a set of answers: not by the tree, and it is cut elsewhere."""
        self._quiet = 0
        if source not in self._sides or found & self._sides[source]:
            self.spreading = True

    def beat(self, *, waiting: bool) -> None:
        """Take note of a heartbeat, while more is `waiting` to be heard and nothing has come since the one before."""
        self._quiet = self._quiet + 1 if waiting else 0
        self.spreading |= self._quiet >= QUIET + self.patience

    def ready(self, step: int, there: int) -> dict[str, int]:
        """Return the neighbors that are to be sent this side's answers to a question, with its set; once.

        `there` is the set of those who have answered it.
        """
        found = {
            peer: side
            for peer, side in self._sides.items()
            if peer in self.reached and (step, peer) not in self._done and there & side == side
        }
        self._done.update((step, peer) for peer in found)
        return found

    def over(self, before: int) -> None:
        """Forget questions before one."""
        self._done = {key for key in self._done if key[0] >= before}
