"""What both sides of a transport share: the node's identity, its counters, and delivery to the one receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import zmq
from numpy.typing import NDArray

from .arrivals import Arrivals
from .authority import wrong_pair
from .channel import Channel, Envelope, Heard
from .codec import Limits, decode_numbered
from .errors import ProtocolError
from .messages import Lane, Message, Refused, SharedMemoryOffer, tag_of
from .security.plain import LOCAL, Plain
from .shared_memory.reference import REFERENCE_BYTES, ReferenceLost
from .shared_memory.sharing import SharedMemory
from .sockets import BULK_QUEUE, CONTROL_QUEUE, Security
from .transport_events import (
    Arrival,
    ConnectionRefused,
    Counters,
    LinkLost,
    LinkUp,
    MalformedMessage,
    SendFailed,
    TransportEvent,
    VectorLost,
)
from .transport_protocol import OnError, Receiver
from .versions import hello

_NAMED = 64  # who oversteps, or of whom a vector was lost, and is remembered
LANES = (Lane.CONTROL, Lane.BULK)
_QUEUE = {Lane.CONTROL: CONTROL_QUEUE, Lane.BULK: BULK_QUEUE}

Received = tuple[Message, NDArray[Any] | None, int, int]
"""A message, its array, the size of its frames in bytes, and its number."""


class Endpoint:
    """One node's receiver, counters and limits; nothing is delivered unless it is ``open``."""

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        incarnation: int,
        limits: Limits,
        security: Security = LOCAL,
        *,
        shared_memory: bool = False,
        speaks_for: int = 1,
    ) -> None:
        self.node = node
        self.role = role
        self.security = security
        self.run = run
        self.limits = limits
        self.speaks_for = speaks_for  # nodes: so many times as much waits for one connection
        self.counters = Counters()
        self.shared = SharedMemory(run, wanted=shared_memory)
        self._number = 0  # of the last message that was sent
        self._overstepping: set[str] = set()  # who has said what is not its business
        self._lost_of: set[str] = set()  # of whom a vector in shared memory was lost
        self.open = False
        self._incarnation = incarnation

    def hello_to(self, peer: str) -> Envelope:
        """Return the introduction of this node to another."""
        proof = self.security.enrollment.proof(self.run, self.node, self._incarnation, peer)
        return Envelope.of(hello(self.node, self.role, self.run, self._incarnation, proof=proof, host=self.shared.host))

    def start(self, receiver: Receiver, on_error: OnError) -> None:
        self.loop = asyncio.get_running_loop()
        self.open = True
        self._receiver = receiver
        self._on_error = on_error

    def channel(
        self,
        socket: zmq.Socket[bytes],
        lane: Lane,
        receive: Callable[[bytes, list[Any]], None],
        peer_of: Callable[[bytes], tuple[str, bool]],
        *,
        addressed: bool,
        heard: Heard | None = None,
    ) -> Channel:
        """Return the channel of a lane's socket; ``peer_of(identity)`` is its peer, and whether it is connected."""

        def deliver(_: Channel, identity: bytes, frames: list[Any]) -> None:
            if self.open:
                try:
                    receive(identity, frames)
                except BaseException as error:  # noqa: BLE001  handed to the owner, who decides
                    self._on_error(error)

        def dropped(_: Channel, identity: bytes, envelope: Envelope, full: bool) -> None:
            if envelope.kind in {"hello", "refused"}:
                return  # repeated when they are needed
            peer, connected = peer_of(identity)
            if full and connected:
                self.send_failed(
                    peer, envelope, "slow", f"{_QUEUE[lane] * self.speaks_for} messages wait for {peer} already"
                )
            else:
                self.send_failed(peer, envelope, "unreachable", f"no connection to {peer}")

        return Channel(
            socket,
            deliver=deliver,
            dropped=dropped,
            counters=self.counters,
            queue=_QUEUE[lane],
            peers=self.speaks_for,
            addressed=addressed,
            large=lane is Lane.BULK,
            keyed=not isinstance(self.security, Plain),
            heard=heard,
            refer=lambda identity, array: self.shared.reference(peer_of(identity)[0], array),
        )

    def read(self, sender: str, frames: list[Any], *, known: bool = True) -> Received | ProtocolError:
        """Return a message; or why it is none, which is reported here, unless its sender is not ``known``."""
        nbytes = sum(map(len, frames))
        self.counters.bytes_received += nbytes
        # Only what is as long as a reference is looked at for one.
        shared = partial(self.shared.array, sender) if len(frames) == 2 and len(frames[1]) == REFERENCE_BYTES else None
        try:
            message, array, number = decode_numbered(frames, self.limits, shared)
        except ProtocolError as error:
            if known and not isinstance(error, ReferenceLost):
                self.malformed(sender, error.code, error.reason, nbytes)
                return error
            self.counters.malformed += 1
            if known and sender not in self._lost_of and len(self._lost_of) < _NAMED:
                self._lost_of.add(sender)
                self.notify(VectorLost(sender, error.reason))
            return error
        if shared is not None and array is not None and array.nbytes != len(frames[1]):  # it came by shared memory
            self.counters.bytes_received += array.nbytes - len(frames[1])
            nbytes += array.nbytes - len(frames[1])
        return message, array, nbytes, number

    def numbered(self, message: Message, array: NDArray[Any] | None, receivers: int = 1) -> Envelope:
        """Return the frames of a message with the next number of this node, for so many receivers."""
        self._number += 1
        return Envelope.of(message, array, number=self._number, receivers=receivers)

    def deliver(self, sender: str, role: str, lane: Lane, received: Received, arrivals: Arrivals) -> None:
        """Hand on what a peer of a role has sent, if it is its business to send that, and once."""
        message, array, nbytes, number = received
        refused = isinstance(message, Refused)
        if not refused and not arrivals.fresh(number):
            reason = "a message has come before, or has lost its number: it is replayed, and dropped"
            self.refused(ConnectionRefused(f"inbox.{self.role}", "", "", sender, reason))
            return
        if message.lane is not lane and not refused:
            self.malformed(sender, "lane", f"{tag_of(message)} belongs on {message.lane} and came on {lane}", nbytes)
            return
        wrong = wrong_pair(type(message), role, self.role)
        if wrong is not None and not refused:  # which may come before the other has said its role
            # The first by its kind, all further ones as one: who says everything is a line or two of the events.
            again = sender in self._overstepping
            wrong = f"a {role} says to a {self.role} more that is not its business" if again else wrong
            if len(self._overstepping) < _NAMED:
                self._overstepping.add(sender)
            self.refused(ConnectionRefused(f"inbox.{self.role}", "", "", sender, wrong))
            return
        if isinstance(message, SharedMemoryOffer):
            self.shared.offered(sender, message)
            return
        self._receiver(Arrival(sender, message, array, nbytes))

    def notify(self, event: TransportEvent) -> None:
        if isinstance(event, LinkLost) and not isinstance(self.security, Plain):
            self.shared.forget(event.peer)  # its key may have been revoked
        elif isinstance(event, LinkUp | LinkLost):
            self.shared.cut(event.peer)
        if self.open:
            try:
                self._receiver(event)
            except BaseException as error:  # noqa: BLE001  handed to the owner, who decides
                self._on_error(error)

    def malformed(self, sender: str, code: str, reason: str, nbytes: int) -> None:
        self.counters.malformed += 1
        self.notify(MalformedMessage(sender, code, reason, nbytes))

    def refused(self, refusal: ConnectionRefused) -> None:
        self.counters.refused += 1
        self.loop.call_soon(self.notify, refusal)

    def send_failed(self, peer: str, envelope: Envelope, cause: Literal["slow", "unreachable"], reason: str) -> None:
        """Count a message that will not leave, and report it later: the caller is in the middle of sending."""
        self.counters.send_failures += 1
        self.loop.call_soon(self.notify, SendFailed(peer, envelope.kind, envelope.round, cause, reason))

    def fail(self, error: BaseException) -> None:
        self._on_error(error)
