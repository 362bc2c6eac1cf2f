"""Loss and score of each node by round, for a page that has not seen them; of many, the older ones are thinned."""

from __future__ import annotations

from array import array
from math import isnan, nan

MOST = 512  # rounds of a node; beyond, of the older half every second one goes
NAMES = ("round", "loss", "metric")

Curves = dict[str, list[float | None]]


class NodeCurves:
    """Three columns a node, which take 12 kB at most."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._of: dict[str, tuple[array[float], array[float], array[float]]] = {}

    def put(self, node: str, number: int, loss: float | None, metric: float | None) -> None:
        """Note what is known of a node in a round, in place of what was; it may be one to which it has gone back."""
        found = self._of.setdefault(node, (array("d"), array("d"), array("d")))
        rounds = found[0]
        while rounds and rounds[-1] >= number:
            for column in found:
                column.pop()
        for column, value in zip(found, (number, loss, metric), strict=True):
            column.append(nan if value is None else value)
        if len(rounds) > self._most:
            older = self._most // 2
            for column in found:
                del column[0:older:2]

    def of(self, node: str) -> Curves | None:
        """Return a node's columns; None for one of which nothing is known."""
        found = self._of.get(node)
        if found is None:
            return None
        columns = [[None if isnan(value) else value for value in column] for column in found]
        return dict(zip(NAMES, columns, strict=True))
