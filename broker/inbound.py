"""The bound side: takes the HELLO of those who dial, hears them, and answers over the connections that they made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import zmq

from .channel import Channel, Letter
from .codec import encode
from .endpoint import LANES, Mailroom
from .errors import BadAddress, ProtocolError
from .handshake import Guest, Guests
from .messages import Hello, Lane, Refused, tag_of
from .sockets import bind, discard, make, split_bind
from .transport_events import ConnectionClosed, LinkLost, LinkUp
from .watch import Watch

__all__ = ["Inbox"]

_CUT_S = 0.1  # a bulk connection that ends this much before its control connection has ended with it


class Inbox:
    """A ROUTER a lane.

    Parameters
    ----------
    room : Mailroom
    lost : callable (node, incarnation) -> None
        Told when the control connection of a guest has ended, before the receiver is.
    """

    def __init__(self, room: Mailroom, lost: Callable[[str, int], None]) -> None:
        self.addresses: dict[str, str] = {}
        self._room = room
        self._lost = lost
        self._guests = Guests()
        self._channels: dict[Lane, Channel] = {}
        self._watches: dict[Lane, Watch] = {}

    def open(self, context: zmq.Context[zmq.Socket[bytes]], address: str, advertise: str | None) -> None:
        """Bind both lanes."""
        for lane, place in zip(LANES, split_bind(address, LANES), strict=True):
            socket = make(context, f"inbox.{lane}", self._room.limits)
            try:
                self.addresses[lane.value] = _reachable(bind(socket, place), advertise)
            except BaseException:
                socket.close()
                raise
            take = partial(self._take, lane)
            self._channels[lane] = self._room.channel(socket, lane, take, self._peer_of, addressed=True)
            if not place.startswith("inproc"):
                self._watches[lane] = Watch(socket, partial(self._gone, lane))

    def send(self, to: str, lane: Lane, letter: Letter) -> bool:
        """Send to a guest; false if nobody of that name is there."""
        guest = self._guests.by_name.get(to)
        if guest is None or lane not in guest.lanes:
            return False
        self._channels[lane].send(guest.identity, letter)
        return True

    def life(self, guest: str) -> int:
        """Incarnation of a guest; 0: nobody of that name has come."""
        known = self._guests.by_name.get(guest)
        return 0 if known is None else known.incarnation

    def sending(self, to: str) -> list[int]:
        """Rounds of the bulk letters to a guest that have not left this process yet."""
        guest = self._guests.by_name.get(to)
        return [] if guest is None else self._channels[Lane.BULK].sending(guest.identity)

    @property
    def waiting(self) -> bool:
        """Whether any letter waits for room."""
        return any(channel.waiting for channel in self._channels.values())

    def close(self, linger_s: float) -> None:
        """Close both lanes, and leave no file of theirs behind."""
        for address in self.addresses.values():
            discard(address)
        for watch in self._watches.values():
            watch.close()
        for channel in self._channels.values():
            channel.close(linger_s)
        self._watches.clear()
        self._channels.clear()

    def _peer_of(self, identity: bytes) -> tuple[str, bool]:
        return self._guests.name_of(identity), True

    def _take(self, lane: Lane, identity: bytes, frames: list[Any]) -> None:
        guest = self._guests.by_identity.get(identity)
        parcel = self._room.read(self._guests.name_of(identity), frames)
        if isinstance(parcel, ProtocolError):
            if parcel.code == "version":  # whoever speaks another version learns why nobody answers
                self._refuse(lane, identity, "", 0, parcel.code, parcel.reason)
            return
        message = parcel[0]
        if isinstance(message, Hello):
            self._welcome(lane, identity, message)
        elif guest is not None and lane in guest.lanes:
            self._room.hand_over(guest.node, lane, parcel)
        elif not isinstance(message, Refused):  # two that refuse each other would never end
            reason = f"{self._room.node} has not had your HELLO on {lane}"
            self._refuse(lane, identity, tag_of(message), getattr(message, "round", 0), "stranger", reason)

    def _welcome(self, lane: Lane, identity: bytes, hello: Hello) -> None:
        refusal = self._guests.refusal(identity, hello, self._room.run)
        if refusal is not None:
            self._refuse(lane, identity, "hello", 0, *refusal)
            return
        guest, replaced = self._guests.admit(lane, identity, hello)
        if replaced is not None:
            for channel in self._channels.values():
                channel.forget(replaced.identity)
        if lane in self._watches:
            self._watches[lane].drain()  # a descriptor may have had another owner a moment ago
            self._guests.connected(lane, guest, self._channels[lane].descriptor())
        self._channels[lane].send(identity, self._room.hello)
        if not guest.up and len(guest.lanes) == len(LANES):
            guest.up = True
            self._room.tell(LinkUp(guest.node, guest.role, guest.incarnation, False))

    def _refuse(self, lane: Lane, identity: bytes, about: str, round_: int, code: str, reason: str) -> None:
        self._room.counters.refused += 1
        frames = encode(Refused(about, round_, code, reason))
        self._channels[lane].send(identity, Letter(frames, "refused", round_, len(frames[0]), 0))

    def _gone(self, lane: Lane, descriptor: int) -> None:
        """A connection has ended."""
        if not self._room.open:
            return
        guest = self._guests.disconnected(lane, descriptor)
        if guest is None:
            self._room.tell(
                ConnectionClosed(f"a connection on {lane}, from somebody who had not introduced himself, has ended")
            )
        elif lane is Lane.BULK:
            self._room.loop.call_later(_CUT_S, self._bulk_gone, guest)
        else:
            self._channels[lane].drain()  # what it said before it went comes before the news that it went
            guest.lanes.discard(lane)  # it says HELLO again if it comes back
            self._lost(guest.node, guest.incarnation)
            if guest.up:
                guest.up = False
                reason = f"the connection of {guest.node} has ended"
                self._room.tell(LinkLost(guest.node, guest.incarnation, reason))

    def _bulk_gone(self, guest: Guest) -> None:
        if guest.up:
            limit = f"a frame over {self._room.limits.message_bytes:,} bytes does that"
            reason = f"the bulk connection of {guest.node} was cut while its control connection stands"
            self._room.tell(ConnectionClosed(f"{reason}; {limit}"))


def _reachable(endpoint: str, advertise: str | None) -> str:
    """Where others reach what is bound here."""
    scheme, _, rest = endpoint.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp":
        return endpoint
    if advertise is not None:
        return f"tcp://{advertise}:{port}"
    if host in {"0.0.0.0", "[::]", "*"}:
        raise BadAddress(endpoint, "bound on every interface: say by which host others reach it (advertise)")
    return endpoint
