"""State of introductions (HELLO) on both sides of a connection, without the sockets."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from .arrivals import Arrivals
from .channel import Channel
from .disconnects import DisconnectMonitor
from .limits import allowed
from .messages import Hello, Lane
from .security.roles import VISITOR, wrong_speaker
from .versions import common, mismatch, spoken_by

if TYPE_CHECKING:
    from .security.allow_list import Entry
    from .security.dialer import Dialer

PROVEN_S = 8.0
"""A bulk connection by which something has come so long before control ended is not one that went mute with it.

ZeroMQ takes two seconds more to find control dead.
"""


def identity_of(node: str, incarnation: int) -> bytes:
    """Return the routing identity of a node's connections; no incarnation receives the messages of another."""
    return f"{node}@{incarnation}".encode()


def secret_identity_of(node: str, incarnation: int) -> bytes:
    """Return one that nobody can guess, for connections that are encrypted.

    Whoever connects under another's identity takes over what is sent to it (ROUTER_HANDOVER), before anything is said.
    """
    return identity_of(node, incarnation) + f"@{secrets.token_hex(16)}".encode()


def new_arrivals() -> dict[Lane, Arrivals]:
    """Return what has arrived of an incarnation that has said nothing yet, by lane."""
    return {lane: Arrivals() for lane in (Lane.CONTROL, Lane.BULK)}


@dataclass(slots=True)
class InboundPeer:
    node: str
    role: str
    incarnation: int
    identity: bytes
    lanes: set[Lane] = field(default_factory=set)
    up: bool = False
    arrivals: dict[Lane, Arrivals] = field(default_factory=new_arrivals)
    descriptors: dict[Lane, int] = field(default_factory=dict)  # of its connections
    key: str = ""  # by which its connections are authenticated; empty: they are not
    bulk_at: float = 0.0  # when something has come by bulk, the last time
    bulk_doubted: bool = False  # nothing has come by it since, or shortly before, control was cut

    def bulk_came(self, now: float) -> bool:
        """Take note that something has come by bulk; return whether that is alive was in doubt."""
        doubted, self.bulk_doubted, self.bulk_at = self.bulk_doubted, False, now
        return doubted

    def doubt_bulk(self, now: float) -> None:
        """Take note that control was cut: what has done that may have muted bulk, of which nobody is told."""
        self.bulk_doubted = Lane.BULK in self.lanes and now - self.bulk_at > PROVEN_S


@dataclass(slots=True)
class Link:
    """A node that this one dialed; ``answered`` holds, by lane, the incarnation whose HELLO came back.

    ``again`` are lanes that were answered, and on which HELLO is sent again, because another one has been cut.
    ``up`` is the incarnation to which it leads, None while it leads to none; ``led_to`` the last one.
    ``monitored``: the end of its connection is reported from here.

    A bulk connection can be dead while control is alive, and nobody is told: a device on the way has forgotten it, or
    another one has taken its identity. ``probed``: HELLO was said on both lanes to find that out, when so many bytes
    had come and gone by bulk; ``heard`` are the lanes by which something has come since. ``alone_since``: since when
    HELLO on bulk alone has no answer, and how many bytes had come and gone by then.
    """

    peer: str
    addresses: dict[str, str]
    monitored: bool = False
    channels: dict[Lane, Channel] = field(default_factory=dict)
    answered: dict[Lane, int] = field(default_factory=dict)
    again: set[Lane] = field(default_factory=set)
    up: int | None = None
    led_to: int = 0
    role: str = ""  # of the node that has answered
    arrivals: dict[Lane, Arrivals] = field(default_factory=new_arrivals)
    counted_of: int = 0  # the incarnation whose messages those are
    refused: bool = False
    timer: asyncio.TimerHandle | None = None
    monitors: list[DisconnectMonitor | Dialer] = field(default_factory=list)
    dialers: dict[Lane, Dialer | None] = field(default_factory=dict)
    probed: tuple[int, int] | None = None
    heard: set[Lane] = field(default_factory=set)
    alone_since: tuple[float, tuple[int, int]] | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def close(self, linger_s: float = 0.0) -> None:
        self.stop_timer()
        for monitor in self.monitors:
            monitor.close()
        for channel in self.channels.values():
            channel.close(linger_s)


class InboundPeers:
    """The nodes that dialed this one, one incarnation per name.

    Of those without a connection, of whom there may be ever new ones, the last are remembered.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, InboundPeer] = {}
        self.by_identity: dict[bytes, InboundPeer] = {}
        self._departed: OrderedDict[str, InboundPeer] = OrderedDict()
        self._connections: dict[tuple[Lane, int], InboundPeer] = {}

    def name_of(self, identity: bytes) -> str:
        """Return the name of a peer, or the identity of an unknown sender, marked as such."""
        peer = self.by_identity.get(identity)
        return peer.node if peer is not None else f"stranger {identity[:48]!r}"

    def refusal(
        self, identity: bytes, hello: Hello, run: str, sender: Entry | None = None, node: str = "this node"
    ) -> tuple[str, str] | None:
        """Return code and reason why a HELLO is refused; None if not. ``sender`` has the connection's key."""
        if common(spoken_by(hello)) is None:
            return "version", mismatch(hello.node, spoken_by(hello), node)
        if hello.run != run:
            return "run", f"run '{hello.run}'; this node belongs to run '{run}'"
        if sender is not None:
            visits = hello.node.startswith(VISITOR) and "peer" in sender.roles
            reason = None if visits else wrong_speaker(sender.name, sender.roles, hello.node, hello.role)
            if reason is not None:
                return "identity", reason
        own = identity_of(hello.node, hello.incarnation)
        if identity != own and (sender is None or not identity.startswith(own + b"@")):
            return "identity", f"{hello.node}@{hello.incarnation} speaks through a connection of another name"
        known = self.by_name.get(hello.node)
        if known is not None and hello.incarnation < known.incarnation:
            return "stale", f"{hello.node} has been started again since (incarnation {known.incarnation})"
        return None

    def admit(self, lane: Lane, identity: bytes, hello: Hello, key: str = "") -> tuple[InboundPeer, InboundPeer | None]:
        """Record a HELLO that was not refused; return its peer, and the older incarnation it replaces, if any."""
        known = self.by_name.get(hello.node)
        replaced = None
        if known is None or known.incarnation != hello.incarnation:
            if known is not None:
                replaced = known
                known.up = False  # the end of its connection says nothing about its successor
                del self.by_identity[known.identity]
            known = InboundPeer(hello.node, hello.role, hello.incarnation, identity)
            self.by_name[hello.node] = known
        if known.identity != identity:
            self.by_identity.pop(known.identity, None)
            known.identity = identity
        known.key = key
        self.by_identity[identity] = known
        known.lanes.add(lane)
        return known, replaced

    def not_of_keys(self, allowed: Collection[str]) -> list[InboundPeer]:
        """Return the peers whose keys are not among those allowed."""
        return [peer for peer in self.by_name.values() if peer.key and peer.key not in allowed]

    def long_departed(self) -> list[InboundPeer]:
        """Return those who have been without a connection for the longest time, as far as they are too many."""
        return list(islice(self._departed.values(), max(0, len(self._departed) - allowed("departed"))))

    def forget(self, peer: InboundPeer) -> None:
        self._departed.pop(peer.node, None)
        self.by_name.pop(peer.node, None)
        self.by_identity.pop(peer.identity, None)
        for lane, descriptor in peer.descriptors.items():
            self._connections.pop((lane, descriptor), None)
        peer.descriptors.clear()

    def connected(self, lane: Lane, peer: InboundPeer, descriptor: int) -> None:
        self._connections.pop((lane, peer.descriptors.get(lane, -1)), None)
        displaced = self._connections.get((lane, descriptor))
        if displaced is not None:
            displaced.descriptors.pop(lane, None)
        peer.descriptors[lane] = descriptor
        self._connections[lane, descriptor] = peer
        self._departed.pop(peer.node, None)

    def is_connected(self, lane: Lane, peer: InboundPeer) -> bool:
        return lane in peer.descriptors

    def disconnected(self, lane: Lane, descriptor: int) -> InboundPeer | None:
        peer = self._connections.pop((lane, descriptor), None)
        if peer is not None:
            peer.descriptors.pop(lane, None)
            if not peer.descriptors and self.by_name.get(peer.node) is peer:
                self._departed[peer.node] = peer
        return peer
