"""A model that several hands change at once, each by adding something to it."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime import effects as e
from ...runtime import events as ev


class Accumulator:
    """The weights of the moment, a handle, and the sums that are still to be made of it.

    Everything that befalls the model is a sum: what training has changed, half the difference to another's model. Sums
    may be made in any order, so nothing has to wait for anything, and no change is ever lost or counted twice.
    """

    def __init__(self) -> None:
        self.body: ev.Body = None
        self._waiting: list[tuple[ev.Body, float]] = []
        self._making = False
        self._number = 0

    @property
    def settled(self) -> bool:
        return not self._making and not self._waiting

    def moved(self, start: ev.Body, end: ev.Body) -> list[e.Effect]:
        """Add what a training has changed that began at `start`: x <- x + (end - start)."""
        if self.settled and start is self.body:
            self.body = end
            return []
        return self.add([(end, 1.0), (start, -1.0)])

    def averaged(self, mine: ev.Body, theirs: ev.Body, *, first: bool) -> list[e.Effect]:
        """Go half of the way from `mine`, which the other side has, to `theirs`: x <- x + (theirs - mine) / 2.

        Where the model is still `mine`, that is the mean, summed in name order (`first`: this side's name is the
        smaller).
        """
        if self.settled and mine is self.body:
            pair = (mine, theirs) if first else (theirs, mine)
            self._making = True
            self._number += 1
            return [e.Combine(self._number, pair, (0.5, 0.5))]
        return self.add([(theirs, 0.5), (mine, -0.5)])

    def add(self, terms: Sequence[tuple[ev.Body, float]]) -> list[e.Effect]:
        """Add bodies, each times its coefficient, as soon as the sum that is being made is there."""
        self._waiting += terms
        return [] if self._making else self._sum()

    def combined(self, number: int, body: ev.Body) -> list[e.Effect]:
        if number != self._number or not self._making:
            return []
        self.body, self._making = body, False
        return self._sum() if self._waiting else []

    def _sum(self) -> list[e.Effect]:
        terms, self._waiting = [(self.body, 1.0), *self._waiting], []
        self._making = True
        self._number += 1
        return [e.Combine(self._number, tuple(b for b, _ in terms), tuple(c for _, c in terms))]
