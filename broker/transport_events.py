"""What a transport delivers to its owner: messages, and what became of connections and of sent messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from numpy.typing import NDArray

from .messages import Message

__all__ = [
    "Arrival",
    "ConnectionClosed",
    "ConnectionRefused",
    "Counters",
    "LinkLost",
    "LinkUp",
    "MalformedMessage",
    "SendFailed",
    "TransportEvent",
    "VectorLost",
]


class Arrival(msgspec.Struct, frozen=True):
    """A message of a peer that has introduced itself; ``array`` is read-only, ``nbytes`` the size of all frames."""

    sender: str
    message: Message
    array: NDArray[Any] | None
    nbytes: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Both lanes to or from a peer are established; ``dialed`` is true if this node opened them."""

    peer: str
    role: str
    incarnation: int
    dialed: bool


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The control connection of a peer has closed; if it comes back there is another `LinkUp`.

    inproc cannot detect this, and a stopped process keeps its connections, so heartbeats are needed as well.
    """

    peer: str
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class MalformedMessage:
    """Frames that are no message, or came on the wrong lane, were dropped; ``code`` is one of docs/protocol.md."""

    sender: str
    code: str
    reason: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class VectorLost:
    """A message was dropped, because what it refers to is not in shared memory here; told once of each sender."""

    sender: str
    reason: str


@dataclass(frozen=True, slots=True)
class SendFailed:
    peer: str
    kind: str
    round: int
    cause: Literal["slow", "unreachable"]
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """ZeroMQ closed a connection by itself, as it does when a frame exceeds the limit."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """A connection was refused, by this node or by the one it dialed; or a message that is not its key's business.

    ``service`` is what was connected to, ``address`` from where or whereto, ``key`` the key of the one who is refused
    (empty: none was shown) and ``name`` its name, if it is known here.
    """

    service: str
    address: str
    key: str
    name: str
    reason: str


TransportEvent = LinkUp | LinkLost | MalformedMessage | VectorLost | SendFailed | ConnectionClosed | ConnectionRefused


@dataclass(slots=True)
class Counters:
    """Bytes of all frames, without the overhead of ZeroMQ and TCP, and messages, since the transport was opened.

    ``sent_by_kind`` splits ``bytes_sent`` into the arrays (``weights``) and everything else (``control``). What goes by
    shared memory counts as if it were sent; ``bytes_shared`` says how many of those bytes did.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    malformed: int = 0
    refused: int = 0
    send_failures: int = 0
    bytes_shared: int = 0
    sent_by_kind: dict[str, int] = field(default_factory=lambda: {"weights": 0, "control": 0})
