"""A peer's place in the graph of each round: whom it sends to, whom it hears, how much of whom it takes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ..topology import Schedule, every_neighbor, incoming
from ..topology.mixing import coefficients, weigh

KEPT = 8  # rounds that are remembered of a graph that changes


class Neighborhood:
    """What one peer has to know of a schedule of graphs.

    `ever` are those it may send to or hear from in any round, in name order. A `degree` of 0 says that the mixing
    weights follow from the schedule, and not from what goes with the models.
    """

    def __init__(self, me: str, schedule: Schedule, mixing: str, *, doubly: bool) -> None:
        self.me = me
        self.schedule = schedule
        self.doubly = doubly
        self.degree = 0
        self.ever = every_neighbor(schedule)[me]
        self._sources = lru_cache(KEPT)(lambda number: incoming(schedule.out(number))[me])
        self._row = lru_cache(KEPT)(lambda number: weigh(schedule, number, mixing, doubly=True)[me])

    def to(self, number: int) -> tuple[str, ...]:
        return self.schedule.out(number)[self.me] if number else ()

    def sources(self, number: int) -> tuple[str, ...]:
        return self._sources(self._key(number))

    def weights(self, number: int, present: Iterable[str]) -> dict[str, float]:
        """Return the weights of those who have sent in a round, and of this peer, in name order.

        With a doubly stochastic matrix the weight of who is missing goes to oneself; otherwise all that is there counts
        alike.
        """
        if not self.doubly:
            names = sorted({*present, self.me})
            return dict.fromkeys(names, 1.0 / len(names))
        return coefficients(self.me, self._row(self._key(number)), present)

    def overtaken(self, peer: str, by: int, first: int) -> bool:
        """Whether `peer` can be in round `by` only because another peer has closed a round without waiting.

        `first` is the first round in which this peer has sent nothing yet. Whoever should hear it in that round cannot
        complete it, nor those who should hear them in the next, and so on.
        """
        held = {self.me}
        for number in range(first, min(by, first + 2 * len(self.ever) + 2)):
            out = self.schedule.out(number)
            held |= {receiver for sender in held for receiver in out[sender]}
            if peer in held:
                return True
        return by > first + 2 * len(self.ever) + 2

    def _key(self, number: int) -> int:
        return 1 if self.schedule.fixed else number
