"""State of introductions (HELLO) on both sides of a connection, without the sockets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from .channel import Channel
from .disconnects import DisconnectMonitor
from .messages import VERSION, Hello, Lane


def identity_of(node: str, incarnation: int) -> bytes:
    """Return the routing identity of a node's connections; no incarnation receives the messages of another."""
    return f"{node}@{incarnation}".encode()


@dataclass(slots=True)
class InboundPeer:
    node: str
    role: str
    incarnation: int
    identity: bytes
    lanes: set[Lane] = field(default_factory=set)
    up: bool = False


@dataclass(slots=True)
class Link:
    """A node that this one dialed; ``answered`` holds, by lane, the incarnation whose HELLO came back.

    ``up`` is the incarnation to which it leads, None while it leads to none; ``led_to`` the last one.
    """

    peer: str
    addresses: dict[str, str]
    channels: dict[Lane, Channel] = field(default_factory=dict)
    answered: dict[Lane, int] = field(default_factory=dict)
    up: int | None = None
    led_to: int = 0
    refused: bool = False
    timer: asyncio.TimerHandle | None = None
    monitor: DisconnectMonitor | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def close(self, linger_s: float = 0.0) -> None:
        self.stop_timer()
        if self.monitor is not None:
            self.monitor.close()
        for channel in self.channels.values():
            channel.close(linger_s)


class InboundPeers:
    """The nodes that dialed this one, one incarnation per name."""

    def __init__(self) -> None:
        self.by_name: dict[str, InboundPeer] = {}
        self.by_identity: dict[bytes, InboundPeer] = {}
        self._connections: dict[tuple[Lane, int], InboundPeer] = {}

    def name_of(self, identity: bytes) -> str:
        """Return the name of a peer, or the identity of an unknown sender, marked as such."""
        peer = self.by_identity.get(identity)
        return peer.node if peer is not None else f"stranger {identity[:48]!r}"

    def refusal(self, identity: bytes, hello: Hello, run: str) -> tuple[str, str] | None:
        """Return code and reason why a HELLO is refused; None if it is accepted."""
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

    def admit(self, lane: Lane, identity: bytes, hello: Hello) -> tuple[InboundPeer, InboundPeer | None]:
        """Record a HELLO that was not refused; return its peer, and the older incarnation it replaces, if any."""
        known = self.by_name.get(hello.node)
        replaced = None
        if known is None or known.incarnation != hello.incarnation:
            if known is not None:
                replaced = known
                known.up = False  # the end of its connection says nothing about its successor
                del self.by_identity[known.identity]
            known = InboundPeer(hello.node, hello.role, hello.incarnation, identity)
            self.by_name[hello.node] = self.by_identity[identity] = known
        known.lanes.add(lane)
        return known, replaced

    def connected(self, lane: Lane, peer: InboundPeer, descriptor: int) -> None:
        self._connections = {
            key: held for key, held in self._connections.items() if held is not peer or key[0] is not lane
        }
        self._connections[lane, descriptor] = peer

    def is_connected(self, lane: Lane, peer: InboundPeer) -> bool:
        return any(held is peer and of is lane for (of, _), held in self._connections.items())

    def disconnected(self, lane: Lane, descriptor: int) -> InboundPeer | None:
        return self._connections.pop((lane, descriptor), None)
