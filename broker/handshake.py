"""Who has said HELLO: the book-keeping of both sides of a connection, apart from the sockets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from .channel import Channel
from .messages import VERSION, Hello, Lane
from .watch import Watch

__all__ = ["Guest", "Guests", "Link", "identity_of"]


def identity_of(node: str, incarnation: int) -> bytes:
    """Routing identity of a node's connections; incarnations differ in it, so neither takes the other's mail."""
    return f"{node}@{incarnation}".encode()


@dataclass(slots=True)
class Guest:
    """A node that dialled this one."""

    node: str
    role: str
    incarnation: int
    identity: bytes
    lanes: set[Lane] = field(default_factory=set)
    up: bool = False


@dataclass(slots=True)
class Link:
    """A node that this one dialled; ``answered`` holds, by lane, the incarnation whose HELLO came back."""

    peer: str
    addresses: dict[str, str]
    channels: dict[Lane, Channel] = field(default_factory=dict)
    answered: dict[Lane, int] = field(default_factory=dict)
    up: int | None = None
    refused: bool = False
    timer: asyncio.TimerHandle | None = None
    watch: Watch | None = None

    def stop_timer(self) -> None:
        """Say HELLO no more for now."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def close(self, linger_s: float = 0.0) -> None:
        """Hang up."""
        self.stop_timer()
        if self.watch is not None:
            self.watch.close()
        for channel in self.channels.values():
            channel.close(linger_s)


class Guests:
    """The nodes that dialled this one, one incarnation a name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Guest] = {}
        self.by_identity: dict[bytes, Guest] = {}
        self._connections: dict[tuple[Lane, int], Guest] = {}

    def name_of(self, identity: bytes) -> str:
        """Name of a guest, or what a stranger calls itself, marked as such."""
        guest = self.by_identity.get(identity)
        return guest.node if guest is not None else f"stranger {identity[:48]!r}"

    def refusal(self, identity: bytes, hello: Hello, run: str) -> tuple[str, str] | None:
        """Code and reason why a HELLO is not taken; None if it is."""
        if hello.version != VERSION:
            return "version", f"protocol version {hello.version}; this node speaks {VERSION}"
        if hello.run != run:
            return "run", f"run '{hello.run}'; this node belongs to run '{run}'"
        if identity != identity_of(hello.node, hello.incarnation):
            return "identity", f"{hello.node}@{hello.incarnation} speaks through a connection of another name"
        known = self.by_name.get(hello.node)
        if known is not None and hello.incarnation < known.incarnation:
            return "stale", f"{hello.node} has been started again since (incarnation {known.incarnation})"
        return None

    def admit(self, lane: Lane, identity: bytes, hello: Hello) -> tuple[Guest, Guest | None]:
        """Enter a HELLO that was not refused; also returns the older incarnation that it replaces, if there is one."""
        known = self.by_name.get(hello.node)
        replaced = None
        if known is None or known.incarnation != hello.incarnation:
            if known is not None:
                replaced = known
                known.up = False  # that its connection ends is no news of its successor
                del self.by_identity[known.identity]
            known = Guest(hello.node, hello.role, hello.incarnation, identity)
            self.by_name[hello.node] = self.by_identity[identity] = known
        known.lanes.add(lane)
        return known, replaced

    def connected(self, lane: Lane, guest: Guest, descriptor: int) -> None:
        """Remember over which connection a guest said HELLO."""
        old = [key for key, held in self._connections.items() if held is guest and key[0] is lane]
        for key in old:
            del self._connections[key]
        self._connections[lane, descriptor] = guest

    def disconnected(self, lane: Lane, descriptor: int) -> Guest | None:
        """Whose connection has ended; None for one over which nobody had said HELLO."""
        return self._connections.pop((lane, descriptor), None)
