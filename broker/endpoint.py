"""What both sides of a transport share: who one is, what one counts, and how everything reaches the one receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import zmq
from numpy.typing import NDArray

from .channel import Channel, Letter
from .codec import Limits, decode, encode
from .errors import ProtocolError
from .messages import VERSION, Hello, Lane, Message, Refused, tag_of
from .sockets import BULK_QUEUE, CONTROL_QUEUE
from .transport_events import Arrival, Counters, MalformedMessage, SendFailed, TransportEvent
from .transport_protocol import Failed, Receiver

__all__ = ["LANES", "Mailroom", "Parcel"]

LANES = (Lane.CONTROL, Lane.BULK)
_QUEUE = {Lane.CONTROL: CONTROL_QUEUE, Lane.BULK: BULK_QUEUE}

Parcel = tuple[Message, NDArray[Any] | None, int]
"""A message, its array, and the size of its frames."""


class Mailroom:
    """One node's receiver, counters and limits; nothing is delivered unless it is ``open``."""

    def __init__(self, node: str, role: str, run: str, incarnation: int, limits: Limits) -> None:
        self.node = node
        self.run = run
        self.limits = limits
        self.counters = Counters()
        self.open = False
        hello = encode(Hello(node, role, run, incarnation, VERSION))
        self.hello = Letter(hello, "hello", 0, len(hello[0]), 0)

    def start(self, receiver: Receiver, failed: Failed) -> None:
        """Deliver from now on."""
        self.loop = asyncio.get_running_loop()
        self.open = True
        self._receiver = receiver
        self._failed = failed

    def channel(
        self,
        socket: zmq.Socket[bytes],
        lane: Lane,
        take: Callable[[bytes, list[Any]], None],
        peer_of: Callable[[bytes], tuple[str, bool]],
        *,
        addressed: bool,
    ) -> Channel:
        """A socket of a lane, on the loop.

        ``take`` gets identity and frames of what comes; ``peer_of`` says of an identity which peer it is, and whether
        that peer is there.
        """

        def deliver(_: Channel, identity: bytes, frames: list[Any]) -> None:
            if not self.open:
                return
            try:
                take(identity, frames)
            except BaseException as error:  # noqa: BLE001  it goes to the owner, who decides
                self._failed(error)

        def dropped(_: Channel, identity: bytes, letter: Letter, full: bool) -> None:
            if letter.kind in {"hello", "refused"}:
                return  # those are said again when they are needed
            peer, there = peer_of(identity)
            if full and there:
                self.undelivered(peer, letter, f"slow: {_QUEUE[lane]} messages wait for {peer} already")
            else:
                self.undelivered(peer, letter, f"unreachable: no connection to {peer}")

        return Channel(
            socket,
            deliver=deliver,
            dropped=dropped,
            counters=self.counters,
            queue=_QUEUE[lane],
            addressed=addressed,
            large=lane is Lane.BULK,
        )

    def read(self, sender: str, frames: list[Any]) -> Parcel | ProtocolError:
        """What frames say; where that is nothing, the receiver has been told already."""
        nbytes = sum(map(len, frames))
        self.counters.bytes_received += nbytes
        try:
            return *decode(frames, self.limits), nbytes
        except ProtocolError as error:
            self.spoiled(sender, str(error), nbytes)
            return error

    def hand_over(self, sender: str, lane: Lane, parcel: Parcel) -> None:
        """Give the receiver a message of somebody who is introduced."""
        message, array, nbytes = parcel
        if message.lane is not lane and not isinstance(message, Refused):
            self.spoiled(sender, f"lane: {tag_of(message)} belongs on {message.lane} and came on {lane}", nbytes)
            return
        self._receiver(Arrival(sender, message, array, nbytes))

    def tell(self, notice: TransportEvent) -> None:
        """Give the receiver a notice."""
        if not self.open:
            return
        try:
            self._receiver(notice)
        except BaseException as error:  # noqa: BLE001  it goes to the owner, who decides
            self._failed(error)

    def spoiled(self, sender: str, reason: str, nbytes: int) -> None:
        """Count and tell what was dropped on its way in."""
        self.counters.spoiled += 1
        self.tell(MalformedMessage(sender, reason, nbytes))

    def undelivered(self, peer: str, letter: Letter, reason: str) -> None:
        """Count what will not go out, and tell it later: the owner is in the middle of sending."""
        self.counters.undelivered += 1
        self.loop.call_soon(self.tell, SendFailed(peer, letter.kind, letter.round, reason))
