"""What can go wrong between nodes: a shallow tree whose members carry the facts, so that nobody parses a sentence."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AddressInUse",
    "BadAddress",
    "BrokerError",
    "BrokerUnreachable",
    "JoinRefused",
    "MessageTooLarge",
    "PeerSlow",
    "PeerUnreachable",
    "ProtocolError",
    "RosterIncomplete",
]


class BrokerError(Exception):
    """Anything that went wrong in moving a message."""


class ProtocolError(BrokerError):
    """Bytes that are not a message of this protocol.

    Attributes
    ----------
    code : str
        One of the error codes listed in docs/protocol.md, such as ``malformed`` or ``version``.
    reason : str
        What was found and what is allowed, in one line.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class MessageTooLarge(BrokerError, ValueError):
    """A message of one's own that its lane does not carry; nothing was sent.

    Attributes
    ----------
    what : str
        Tag of the message.
    size, limit : int
        In bytes.
    """

    def __init__(self, what: str, size: int, limit: int, setting: str) -> None:
        super().__init__(f"{what} is {size:,} bytes, and {setting} allows {limit:,}")
        self.what = what
        self.size = size
        self.limit = limit


class PeerUnreachable(BrokerError):
    """There is no way to a peer at the moment."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"{peer} cannot be reached: {reason}")
        self.peer = peer
        self.reason = reason


class PeerSlow(BrokerError):
    """A peer takes messages in more slowly than they are made, and its queue is full."""

    def __init__(self, peer: str, waiting: int) -> None:
        super().__init__(f"{peer} is slow: {waiting} messages wait for it already")
        self.peer = peer
        self.waiting = waiting


class BrokerUnreachable(BrokerError):
    """No broker answered at an address within a deadline (seconds)."""

    def __init__(self, address: str, within_s: float) -> None:
        super().__init__(f"no broker answered at {address} within {within_s:g} s")
        self.address = address
        self.within_s = within_s


class JoinRefused(BrokerError):
    """The broker will not have this node in this run; ``code`` as in docs/protocol.md."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RosterIncomplete(BrokerError):
    """Too few nodes joined in time; ``present`` are the names of those that did, where known."""

    def __init__(self, reason: str, present: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.present = tuple(present)


class AddressInUse(BrokerError):
    """Somebody else is bound to an address."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is in use by another program; choose another port, or port 0 for a free one")
        self.address = address


class BadAddress(BrokerError, ValueError):
    """An address that nobody could bind or dial as it is written."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason
