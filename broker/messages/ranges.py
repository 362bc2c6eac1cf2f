"""Messages about arrays that no message could carry: announced, and asked for range by range."""

from __future__ import annotations

from msgspec import Struct

from .base import Base, Bulk, Count, Payload
from .gossip import Accept, Exchange, Model, Propose, ReducedPart, ReducePart, Walk

__all__ = ["Announced", "Announcement", "Chunk", "Fetched", "GetChunk", "Manifest"]

Announced = Exchange | Propose | Accept | Walk | Model | ReducePart | ReducedPart
"""What a peer may announce in place of sending it."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """Describes an array that no message could carry: its receiver asks for it, range by range (`GetChunk`).

    ``generation`` names the array among those of its sender's incarnation: two manifests with the same one are of the
    same numbers.
    """

    payload: Payload
    generation: Count


class Announcement(Bulk, frozen=True):
    """A ``message`` whose array stays with its sender: the receiver asks for that, range by range (`GetChunk`).

    ``generation`` names the array among those of its sender's incarnation, the message with it.
    """

    generation: Count
    message: Announced

    @property
    def round(self) -> int:
        """That of the message; 0 if it has none."""
        return int(getattr(self.message, "round", 0))


class GetChunk(Base, frozen=True):
    """Asks for ``length`` numbers from ``start`` on of the array of a generation, which a message of a round named."""

    round: Count
    generation: Count
    start: Count
    length: Count


class Chunk(Bulk, frozen=True):
    """The numbers from ``start`` on of the array of a generation, as many as its ``payload`` says."""

    round: Count
    generation: Count
    start: Count
    payload: Payload


class Fetched(Base, frozen=True):
    """The sender needs no more of the announced array of a generation: it has all of it, or gives it up."""

    generation: Count
