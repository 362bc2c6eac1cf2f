"""From which addresses no connection is taken for now, because more came than may; pure.

A connection that is ended once it has been accepted has cost most of what it can cost. So an address from which one too
many has come is shut out, for a time in which its pace allows some again; whatever comes in spite of that lengthens it.
"""

from __future__ import annotations

from collections.abc import Collection

SHUT_S = 0.25
"""So short that who dials at any time, from an address that others flood from, gets in as often as its pace allows."""
_LONGEST_S = 5.0


class ShutOut:
    """The addresses, and until when; at most ``most`` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._until: dict[str, float] = {}

    @property
    def addresses(self) -> Collection[str]:
        return self._until.keys()

    def beyond(self, address: str, per_s: float, now: float) -> bool:
        """Take note of a connection beyond the pace of its address; return whether that is newly shut out."""
        until = self._until.get(address)
        if until is not None:
            self._until[address] = min(until + 1 / per_s, now + _LONGEST_S)
            return False
        if not address or len(self._until) >= self._most:
            return False
        self._until[address] = now + SHUT_S
        return True

    def over(self, now: float) -> bool:
        """Let in again those whose time is over; return whether there were any."""
        over = [address for address, until in self._until.items() if now >= until]
        for address in over:
            del self._until[address]
        return bool(over)

    def next(self) -> float | None:
        """Return when the next one is let in again; None: nobody is shut out."""
        return min(self._until.values(), default=None)
