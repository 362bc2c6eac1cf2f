"""What a transport tells its owner: arrivals, and what became of links and of messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .messages import Message

__all__ = [
    "Arrival",
    "ConnectionClosed",
    "Counters",
    "LinkLost",
    "LinkUp",
    "MalformedMessage",
    "SendFailed",
    "TransportEvent",
]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message of a peer that has introduced itself; ``array`` is read-only; ``nbytes`` is the size of all frames."""

    sender: str
    message: Message
    array: NDArray[Any] | None
    nbytes: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Both lanes to or from a peer stand.

    ``dialled`` tells the two directions apart: true where this node dialled the peer, false where it was dialled.
    """

    peer: str
    role: str
    incarnation: int
    dialed: bool


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The control connection of a peer is gone: its process has ended, or the way to it is cut.

    It may come back by itself; then there is another `LinkUp`. Not every transport can tell (inproc cannot), and a
    stopped process keeps its connections, so this comes on top of heartbeats and not in their place.
    """

    peer: str
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class MalformedMessage:
    """Frames that are no message, or on the wrong lane, were dropped; ``sender`` is a name, or describes a stranger."""

    sender: str
    reason: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class SendFailed:
    """A message of one's own that will not arrive; ``reason`` begins with ``slow`` or ``unreachable``."""

    peer: str
    kind: str
    round: int
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """ZeroMQ ended a connection of its own accord, as it does when a frame exceeds the limit."""

    reason: str


TransportEvent = LinkUp | LinkLost | MalformedMessage | SendFailed | ConnectionClosed


@dataclass(slots=True)
class Counters:
    """Traffic since the transport was opened; bytes are those of all frames, without what ZeroMQ and TCP add.

    ``sent_by_kind`` splits ``bytes_sent`` into the arrays (``weights``) and all the rest (``control``).
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    spoiled: int = 0
    refused: int = 0
    undelivered: int = 0
    sent_by_kind: dict[str, int] = field(default_factory=lambda: {"weights": 0, "control": 0})
