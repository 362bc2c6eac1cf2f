"""What a peer's machine needs to know of membership."""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from ...runtime import effects as e
from ...runtime import events as ev
from ..neighborhood import Neighborhood
from .edge_agreement import DynamicNeighborhood
from .member_list import Change


class Membership(Protocol):
    """Who is there, and which edges count.

    Attributes
    ----------
    late
        Whether the run has begun without this peer.
    gathering
        Whether the run has not begun yet. Then nobody is probed: without all of them it does not begin, and many that
        meet at once are too busy to answer in time.
    until
        The last round that this peer will do: who has done it, too, and leaves, leaves no gap.
    """

    late: bool
    gathering: bool
    until: int

    @property
    def members(self) -> Container[str]:
        """Everybody that is known."""
        ...

    @property
    def neighborhood(self) -> Neighborhood | DynamicNeighborhood:
        """The peer's place in the graph."""
        ...

    def handle(self, event: ev.Event, now: float) -> list[e.Effect | Change]:
        """Take an event; return effects to perform and changes to act on."""
        ...

    def open(self, number: int) -> list[e.Effect]:
        """Open a round: what counts in it is settled."""
        ...

    def missed(self, peer: str) -> list[e.Effect]:
        """Answer a model that came over an edge that does not count here."""
        ...

    def begin(self, number: int) -> list[e.Effect]:
        """Take part from the round after `number` on."""
        ...
