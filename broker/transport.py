"""Messages between nodes over ZeroMQ.

A node binds (a ROUTER per lane), or only dials (a DEALER per peer and lane), or both. HELLO binds the lanes of a
connection to (node, incarnation); `Inbound` and `Outbound` implement section 4 of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from .codec import DEFAULT_LIMITS, Limits, check_size
from .ending import end_in_thread
from .endpoint import Endpoint
from .errors import TransportClosed
from .inbound import Inbound
from .messages import Message, SharedMemoryOffer
from .outbound import Outbound
from .security.plain import LOCAL
from .sockets import Security
from .transport_events import *  # noqa: F403  node code finds all that a transport delivers here
from .transport_protocol import *  # noqa: F403
from .transport_protocol import OnError, Receiver, new_incarnation


class ZmqTransport:
    """`Transport` over ZeroMQ sockets; its methods are documented there.

    Parameters
    ----------
    node, role, run : str
    bind : str or None
        ``tcp://HOST:PORT`` (bulk is on PORT+1; ``*`` picks free ones), ``ipc://PATH`` or ``inproc://NAME``; None: this
        node only dials.
    advertise : str, optional
        Host by which others reach this node; needed where ``bind`` is a wildcard.
    limits : Limits, optional
    incarnation : int, optional
        Larger at each start of the node of this name.
    speaks_for : int
        How many nodes' messages it carries: of a process that hosts several.
    context : zmq.Context, optional
        Its owner terminates it. inproc works within one context only. By default the transport has its own; a port that
        it has bound in another's is free a moment after `close`, and not at once.
    shared_memory : bool, optional
        Vectors go to other nodes of this host by shared memory, where both sides want that, and come so.
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
        security: Security = LOCAL,
        shared_memory: bool = False,
        speaks_for: int = 1,
    ) -> None:
        self.node = node
        self.role = role
        self.run = run
        self.incarnation = new_incarnation() if incarnation is None else incarnation
        shared_memory = shared_memory and not (bind or "").startswith("inproc")  # where nothing is copied anyway
        self._endpoint = Endpoint(
            node,
            role,
            run,
            self.incarnation,
            limits,
            security,
            shared_memory=shared_memory,
            speaks_for=speaks_for,
        )
        self.counters = self._endpoint.counters
        self._bind = bind
        self._advertise = advertise
        self._own_context = context is None
        self._context = context
        self._outbound = Outbound(self._endpoint, self.incarnation, monitored=bind is None)
        self._inbound = Inbound(self._endpoint, lost=self._outbound.greet_again)

    @property
    def addresses(self) -> Mapping[str, str]:
        return self._inbound.addresses

    async def open(self, receiver: Receiver, on_error: OnError) -> None:
        if self._context is None:
            self._context = zmq.Context()
        self._endpoint.start(receiver, on_error)
        self._endpoint.shared.start(self._endpoint.loop, self._offer)
        if self._bind is None:
            return
        try:
            self._inbound.open(self._context, self._bind, self._advertise)
        except BaseException:
            await self.close(0.0)
            raise

    def link(self, peer: str, addresses: Mapping[str, str], *, watched: bool = False) -> None:
        if self._context is None or not self._endpoint.open:
            raise TransportClosed(self.node, "dials")
        self._outbound.dial(self._context, peer, addresses, watched=watched)

    def unlink(self, peer: str) -> None:
        self._outbound.hang_up(peer)

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        if not self._endpoint.open:
            raise TransportClosed(self.node, "sends")
        peers = (to,) if isinstance(to, str) else to
        envelope = self._endpoint.numbered(message, array, len(peers))
        check_size(message, envelope.frames, self._endpoint.limits)
        lane = message.lane
        for peer in peers:
            # A peer that was restarted elsewhere is answered where it dialed: the link leads to its old address, though
            # it may have ended by now.
            known = self._outbound.incarnation_of(peer)
            if known and self._inbound.incarnation_of(peer) > known and self._inbound.send(peer, lane, envelope):
                continue
            if not self._outbound.send(peer, lane, envelope) and not self._inbound.send(peer, lane, envelope):
                reason = f"{peer} has not introduced itself on {lane}"
                self._endpoint.send_failed(peer, envelope, "unreachable", reason)

    def _offer(self, peer: str, offer: SharedMemoryOffer) -> None:
        if self._endpoint.open:  # or it was closed since what was to be sent next was to go by shared memory
            self.send(peer, offer)

    def share(self, array: NDArray[Any]) -> NDArray[Any]:
        return self._endpoint.shared.share(array)

    def lend(self, nbytes: int) -> NDArray[np.uint8] | None:
        return self._endpoint.shared.lend(nbytes)

    def sending(self, to: str) -> tuple[int, ...]:
        rounds = self._outbound.sending(to)
        return tuple(self._inbound.sending(to) if rounds is None else rounds)

    def moved(self, to: str) -> int:
        nbytes = self._outbound.moved(to)
        return self._inbound.moved(to) if nbytes is None else nbytes

    async def close(self, drain_s: float) -> None:
        if not self._endpoint.open:
            return
        self._endpoint.open = False  # nothing is delivered any more
        loop = self._endpoint.loop
        until = loop.time() + drain_s
        self._outbound.stop_greeting()
        try:
            while (self._outbound.waiting or self._inbound.waiting) and loop.time() < until:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        finally:  # cancelled, too: for a socket that stays open the end of its context would wait for ever
            linger_s = max(0.0, until - loop.time())
            self._outbound.close(linger_s)
            self._inbound.close(linger_s)
            self._endpoint.shared.close()
            if self._own_context and self._context is not None:
                await end_in_thread(self._context.term)  # returns when the lingering sockets have, at the latest
