"""Mail between nodes that have introduced themselves, over ZeroMQ.

A node binds an inbox (a ROUTER a lane), or only dials out (a DEALER a peer and lane), or both. HELLO binds the lanes
of a connection to (node, incarnation); docs/protocol.md, section 4, is what `Inbox` and `Links` carry out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import zmq
from numpy.typing import NDArray

from .channel import Letter
from .codec import DEFAULT_LIMITS, Limits, check_size, encode
from .endpoint import Mailroom
from .inbound import Inbox
from .messages import Message, tag_of
from .outbound import Links
from .transport_events import (
    Arrival,
    ConnectionClosed,
    Counters,
    LinkLost,
    LinkUp,
    MalformedMessage,
    SendFailed,
    TransportEvent,
)
from .transport_protocol import Failed, Receiver, Transport, new_incarnation

__all__ = [
    "Arrival",
    "ConnectionClosed",
    "Counters",
    "LinkLost",
    "LinkUp",
    "MalformedMessage",
    "Receiver",
    "SendFailed",
    "Transport",
    "TransportEvent",
    "ZmqTransport",
    "new_incarnation",
]


class ZmqTransport:
    """`Transport` over ZeroMQ sockets.

    Parameters
    ----------
    node, role, run : str
    bind : str or None
        ``tcp://HOST:PORT`` (bulk is on PORT+1; ``*`` picks free ones), ``ipc://PATH`` or ``inproc://NAME``; None: this
        node only dials out.
    advertise : str, optional
        Host by which others reach this one; needed where ``bind`` is a wildcard.
    limits : Limits, optional
    incarnation : int, optional
        Larger at each start of the node of this name.
    context : zmq.Context, optional
        Its owner terminates it. inproc works within one context only. By default the transport has its own.
    """

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        *,
        bind: str | None,
        advertise: str | None = None,
        limits: Limits = DEFAULT_LIMITS,
        incarnation: int | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.node = node
        self.role = role
        self.run = run
        self.incarnation = new_incarnation() if incarnation is None else incarnation
        self._room = Mailroom(node, role, run, self.incarnation, limits)
        self.counters = self._room.counters
        self._bind = bind
        self._advertise = advertise
        self._own_context = context is None
        self._context = context
        self._links = Links(self._room, self.incarnation, watched=bind is None)
        self._inbox = Inbox(self._room, lost=self._links.doubt)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where others reach this node, a lane each; empty if it only dials out."""
        return self._inbox.addresses

    async def open(self, receiver: Receiver, failed: Failed) -> None:
        """Bind, and deliver from now on.

        Raises
        ------
        AddressInUse, BadAddress
        """
        if self._context is None:
            self._context = zmq.Context()
        self._room.start(receiver, failed)
        if self._bind is None:
            return
        try:
            self._inbox.open(self._context, self._bind, self._advertise)
        except BaseException:
            await self.close(0.0)
            raise

    def link(self, peer: str, addresses: Mapping[str, str]) -> None:
        """Dial a peer on both lanes and say HELLO, until it answers; idempotent for the same addresses.

        Raises
        ------
        BadAddress
        """
        if self._context is None or not self._room.open:
            raise RuntimeError("a transport dials after it has been opened, and before it is closed")
        self._links.dial(self._context, peer, addresses)

    def unlink(self, peer: str) -> None:
        """Hang up, and drop what waits for the peer; no error where there is no link."""
        self._links.hang_up(peer)

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        """Send to one or several, encoded once; never waits, never raises for a peer's fault.

        Raises
        ------
        MessageTooLarge
        """
        frames = encode(message, array)
        size = check_size(message, frames, self._room.limits)
        header = len(frames[0])
        letter = Letter(frames, tag_of(message), getattr(message, "round", 0), header, size - header)
        lane = message.lane
        for peer in (to,) if isinstance(to, str) else to:
            # Whoever was started again elsewhere is answered where it asks: the link still leads to its former life.
            up = self._links.life(peer)
            if up and self._inbox.life(peer) > up and self._inbox.send(peer, lane, letter):
                continue
            if not self._links.send(peer, lane, letter) and not self._inbox.send(peer, lane, letter):
                self._room.undelivered(peer, letter, f"unreachable: {peer} has not introduced itself on {lane}")

    def sending(self, to: str) -> tuple[int, ...]:
        """Rounds of the bulk messages to ``to`` that have not left this process yet."""
        rounds = self._links.sending(to)
        return tuple(self._inbox.sending(to) if rounds is None else rounds)

    async def close(self, drain_s: float) -> None:
        """Close; what is queued may leave within ``drain_s`` seconds. Twice is once."""
        if not self._room.open:
            return
        self._room.open = False  # nothing is delivered any more
        loop = self._room.loop
        until = loop.time() + drain_s
        self._links.stop_greeting()
        while (self._links.waiting or self._inbox.waiting) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        linger_s = max(0.0, until - loop.time())
        self._links.close(linger_s)
        self._inbox.close(linger_s)
        if self._own_context and self._context is not None:
            await asyncio.to_thread(self._context.term)  # returns when the lingering sockets have, at the latest
