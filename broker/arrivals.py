"""Which numbered messages of a sender have come over one lane: a number comes once. Pure."""

from __future__ import annotations

from array import array

WINDOW = 256  # numbers that are remembered; ZeroMQ keeps the order of a lane, but where it connects again


class Arrivals:
    """The numbers that have arrived from one incarnation of a node, over one lane, across its connections.

    An encrypted connection repeats and reorders nothing (CurveZMQ counts its own frames), and none can be replayed into
    another. What is left is a message that its sender, or what lies between in a plain run, sends again.
    """

    def __init__(self) -> None:
        self._order = array("Q")  # the last ones, as they came: 2 KiB for each lane of each peer
        self._newest = 0
        self._floor = 0  # the greatest number that is forgotten

    def fresh(self, number: int) -> bool:
        """Return whether a message of this number has not come before, and note that it has; 0: it has no number.

        A lane counts from its first message on, or never.
        """
        if not number:
            return not self._order
        if number <= self._newest and (number <= self._floor or number in self._order):
            return False
        if number > self._newest:
            self._newest = number
        self._order.append(number)
        if len(self._order) > WINDOW and (oldest := self._order.pop(0)) > self._floor:
            self._floor = oldest
        return True
