"""Errors of moving messages: a shallow tree whose members carry their facts as fields, so that none is parsed."""

from __future__ import annotations

import errno

__all__ = [
    "AddressInUse",
    "AuthenticationFailed",
    "BadAddress",
    "BrokerError",
    "BrokerUnreachable",
    "JoinRefused",
    "KeysError",
    "MessageTooLarge",
    "NameTaken",
    "NoSocket",
    "NotEncrypted",
    "PeerUnreachable",
    "ProtocolError",
    "RosterIncomplete",
    "TransportClosed",
]


OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}
"""What the system says where a process, or the machine, may open no further file."""


SEE = "(docs/errors.md#"


def see(code: str) -> str:
    """Return the end of a message that has an entry in docs/errors.md; ``nervenet explain CODE`` prints that, too."""
    return f" {SEE}{code})"


class BrokerError(Exception):
    """Base of everything that goes wrong in moving a message; ``page`` is its code in docs/errors.md, if it has one."""

    page: str = ""


class ProtocolError(BrokerError):
    """Bytes that are not a message of this protocol.

    ``code`` is one of docs/protocol.md, such as ``malformed``; ``reason`` says in one line what was found and allowed.
    ``version`` is that of the message, where it is why; else 0.
    """

    def __init__(self, code: str, reason: str, version: int = 0) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.version = version


class MessageTooLarge(BrokerError, ValueError):
    """A message ``what`` of one's own is larger than its lane carries, in bytes; nothing was sent."""

    def __init__(self, what: str, size: int, limit: int, setting: str) -> None:
        super().__init__(f"{what} is {size:,} bytes, and {setting} allows {limit:,}")
        self.what = what
        self.size = size
        self.limit = limit


class PeerUnreachable(BrokerError):
    """A peer cannot be reached at the moment."""

    def __init__(self, peer: str, reason: str, problem: str = "") -> None:
        super().__init__(f"{peer} cannot be reached: {reason}")
        self.peer = peer
        self.reason = reason
        self.problem = problem or reason  # the reason without the time that was waited


class BrokerUnreachable(BrokerError):
    """No broker answered at an address within a deadline (seconds); ``refused`` is why it lets nobody in, if so."""

    page = "broker-unreachable"

    def __init__(self, address: str, within_s: float, key: str = "", refused: str = "") -> None:
        within = f"within {within_s:g} s" + (f" ({key})" if key else "")
        super().__init__(f"no broker answered at {address} {within}" + (f": {refused}" if refused else ""))
        self.address = address
        self.within_s = within_s
        self.refused = refused


class JoinRefused(BrokerError):
    """A node may not join a run; ``code`` is one of those in docs/protocol.md.

    ``newest`` is the incarnation that has its name, where that is why; else 0.
    """

    def __init__(self, code: str, reason: str, newest: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.newest = newest
        self.reason = reason
        self.page = _PAGES.get(code, "")


_PAGES = {
    "version": "version-mismatch",
    "config": "configuration-differs",
    "stale": "started-again",
    "incomplete": "too-few-nodes",
    "identity": "key-refused",
    "taken": "name-taken",
}


class NameTaken(JoinRefused):
    """Another node has the name in the run, and answers; the message says which, and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__("taken", reason)


class RosterIncomplete(BrokerError):
    """Too few nodes joined a run in time; the message counts and names those that did."""

    page = "too-few-nodes"


class AddressInUse(BrokerError):
    """An address is in use by another program."""

    page = "address-in-use"

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is in use by another program; choose another port, or port 0 for a free one")
        self.address = address


class NoSocket(BrokerError, OSError):
    """This machine, or this process, has no room for another socket; ``errno`` is what the system said."""

    page = "out-of-files"

    def __init__(self, errno: int, reason: str) -> None:
        super().__init__(errno, f"{reason}: no socket can be opened; see ulimit -n")


class BadAddress(BrokerError, ValueError):
    """An address that cannot be bound or dialed as it is written."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class KeysError(BrokerError, ValueError):
    """A key, or a folder of keys, that cannot be used as it is."""

    page = "keys-unusable"


class NotEncrypted(BadAddress):
    """An address beyond this machine, where there are no keys to encrypt with."""

    page = "not-encrypted"

    def __init__(self, address: str) -> None:
        super().__init__(
            address,
            "is beyond this machine, and without keys anybody on the way could read and forge what goes there: "
            'make one by "nervenet keys new NAME", let the others in by "nervenet keys allow FILE.pub --role ROLE", '
            "and give --keys keys (or say --insecure)",
        )


class TransportClosed(BrokerError, RuntimeError):
    """A node's transport is used before it has been opened, or after it has been closed."""

    def __init__(self, node: str, what: str) -> None:
        super().__init__(f"the transport of {node} {what} after it has been opened, and before it is closed")
        self.node = node


class AuthenticationFailed(BrokerError):
    """Connections can no longer be authenticated, so that every listening socket was closed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"connections can no longer be authenticated, so all listening sockets are closed: {reason}")
        self.reason = reason
