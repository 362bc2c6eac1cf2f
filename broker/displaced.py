"""Connections that others of the same identity have displaced; they stay open and mute, and ZeroMQ tells nobody.

It lets any connection take an identity over (ROUTER_HANDOVER), before anything is said. HELLO shows who may speak, and
so a peer speaks over the connection of its last HELLO alone; whose connection was displaced notices by its end.
"""

from __future__ import annotations

from collections.abc import Callable

from .guard.guard import Guard
from .handshake import InboundPeer
from .messages import Lane


def speaks_displaced(
    lane: Lane, peer: InboundPeer, descriptor: int, guard: Guard, look_for_ends: Callable[[], None]
) -> bool:
    """Return whether a message of a peer has come over another connection than its own, which is open still.

    Then its own is ended, and reported, and the lane awaits a HELLO. ``look_for_ends`` takes note of those that have
    closed: the peer may have closed it itself.
    """
    if descriptor < 0 or peer.descriptors.get(lane, descriptor) == descriptor:
        return False
    look_for_ends()
    own = peer.descriptors.get(lane)
    if own is None:
        return lane not in peer.lanes
    peer.lanes.discard(lane)
    guard.displaced(own, f"the connection of {peer.node} was displaced by one that has not said HELLO")
    return True


def end_displaced(lane: Lane, peer: InboundPeer, descriptor: int, guard: Guard) -> bool:
    """End the connection in whose place a peer has said HELLO over another, if it has; from elsewhere, that is told."""
    own = peer.descriptors.get(lane, descriptor)
    if own == descriptor:
        return False
    before, now = guard.address_of(own), guard.address_of(descriptor)
    elsewhere = f"{peer.node} has said HELLO from {now} over the identity of its connection from {before}"
    guard.displaced(own, elsewhere if before != now else "")
    return True
