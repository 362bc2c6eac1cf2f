"""A peer's place in a graph whose members come and go: what `Neighborhood` is where all are known from the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .edge_agreement import EdgeAgreement, row

LAG = 5  # rounds by which one may be behind a new neighbor and catch up by itself


class DynamicNeighborhood:
    """Whom a peer sends to and hears, by the edges that both ends have announced.

    Parameters
    ----------
    me
        This peer's name.
    edges
        What is announced and counts.
    doubly
        Whether the algorithm needs a doubly stochastic matrix; else all that is there counts alike.
    """

    spread: Mapping[str, int] = {}

    def __init__(self, me: str, edges: EdgeAgreement, *, doubly: bool) -> None:
        self.me = me
        self.edges = edges
        self.doubly = doubly

    @property
    def ever(self) -> tuple[str, ...]:
        """Those to whom there is an edge now, or will be in the next round."""
        return tuple(sorted({*self.edges.wanted, *self.edges.neighbors}))

    @property
    def degree(self) -> int:
        """With how many edges this peer weighs its neighbors; it goes with the model."""
        return self.edges.degree

    def to(self, number: int) -> tuple[str, ...]:
        """Whom this peer sends to in a round: exactly in the open one, as far as can be known in a later one."""
        return tuple(sorted(self.edges.neighbors)) if number == self.edges.round else tuple(self.edges.wanted)

    def sources(self, number: int) -> tuple[str, ...]:
        """Who sends to this peer in a round: edges go both ways."""
        return self.to(number)

    def before(self, peer: str, number: int) -> int:  # noqa: ARG002
        """The round before: a fixed graph has the same edges in each."""
        return number - 1

    def weights(self, number: int, present: Iterable[str]) -> dict[str, float]:  # noqa: ARG002
        """Give the weights of those who have sent, with the degrees that they say they have, and of this peer."""
        if not self.doubly:
            names = sorted({*present, self.me})
            return dict.fromkeys(names, 1.0 / len(names))
        degrees = present if isinstance(present, Mapping) else dict.fromkeys(present, self.degree)
        return row(self.me, self.degree, degrees)

    def overtaken(self, peer: str, by: int, first: int) -> bool:
        """Whether `peer` is in round `by` without this one, which has sent nothing of round `first` yet.

        Where the edge counts in round `first` already, it has not waited. Where it counts later only, it waits there
        for this one: worth while for a few rounds, but not for all that a run has done while it was cut in two. Where
        it counts at no end in round `by`, the round that is named says nothing.
        """
        return by > first and self.edges.counted(peer, first if by <= first + LAG else by)
