"""The dialling side: says HELLO to those whom this node dialled, until they answer, and holds its mail till then."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import zmq

from .channel import Letter
from .endpoint import LANES, Mailroom
from .errors import BadAddress, ProtocolError
from .handshake import Link, identity_of
from .messages import VERSION, Hello, Lane, Refused, tag_of
from .sockets import make
from .transport_events import LinkLost, LinkUp
from .watch import Watch

__all__ = ["Links"]

_HELLO_S = (0.5, 5.0)  # first and longest pause before an unanswered HELLO is said again


class Links:
    """A DEALER a peer and lane.

    Parameters
    ----------
    room : Mailroom
    incarnation : int
    watched : bool
        Whether to hear of connections that end. Whoever has an inbox learns of a lost neighbor there; whoever only
        dials has nothing but this.
    """

    def __init__(self, room: Mailroom, incarnation: int, *, watched: bool) -> None:
        self._room = room
        self._identity = identity_of(room.node, incarnation)
        self._watched = watched
        self._links: dict[str, Link] = {}

    def dial(self, context: zmq.Context[zmq.Socket[bytes]], peer: str, addresses: Mapping[str, str]) -> None:
        """Dial a peer on both lanes; the same addresses again change nothing."""
        old = self._links.get(peer)
        if old is not None and old.addresses == dict(addresses):
            return
        self.hang_up(peer)
        link = Link(peer, dict(addresses))
        for lane in LANES:
            socket = None
            try:
                socket = make(context, f"link.{lane}", self._room.limits)
                socket.setsockopt(zmq.IDENTITY, self._identity)
                socket.connect(addresses[lane])
            except (zmq.ZMQError, KeyError) as error:  # an address that is none, or as many sockets as there may be
                if socket is not None:
                    socket.close()
                link.close()
                raise BadAddress(str(addresses.get(lane)), f"cannot be dialled ({error})") from None
            take = partial(self._take, link, lane)
            link.channels[lane] = self._room.channel(socket, lane, take, partial(_peer_of, link), addressed=False)
            link.channels[lane].hold()  # until HELLO is answered
            if self._watched and lane is Lane.CONTROL and not addresses[lane].startswith("inproc"):
                link.watch = Watch(socket, partial(self._gone, link))
        self._links[peer] = link
        self._greet(link, _HELLO_S[0])

    def hang_up(self, peer: str) -> None:
        """Drop a link and what waits for it."""
        link = self._links.pop(peer, None)
        if link is not None:
            link.close()

    def send(self, to: str, lane: Lane, letter: Letter) -> bool:
        """Send over a link, or keep the letter until it stands; false if there is no link."""
        link = self._links.get(to)
        if link is None:
            return False
        link.channels[lane].send(b"", letter)
        return True

    def life(self, peer: str) -> int:
        """Incarnation of the peer to which there is a link that stands; 0: there is none."""
        link = self._links.get(peer)
        return 0 if link is None or link.up is None else link.up

    def sending(self, to: str) -> list[int] | None:
        """Rounds of the bulk letters to a peer that have not left this process yet; None if there is no link."""
        link = self._links.get(to)
        return None if link is None else link.channels[Lane.BULK].sending(b"")

    def doubt(self, peer: str, incarnation: int) -> None:
        """Say HELLO again to a peer whose own connection has ended, before anything else is sent to it."""
        link = self._links.get(peer)
        if link is not None and link.up == incarnation:
            self._greet_anew(link, Lane.CONTROL)

    def stop_greeting(self) -> None:
        """Dial nobody any more who is not there."""
        for link in self._links.values():
            link.stop_timer()

    @property
    def waiting(self) -> bool:
        """Whether any letter waits for somebody who is there."""
        return any(
            channel.waiting
            for link in self._links.values()
            if link.up is not None
            for channel in link.channels.values()
        )

    def close(self, linger_s: float) -> None:
        """Drop all links."""
        for link in self._links.values():
            # ZeroMQ would wait all that time for one who has gone before and is dialled again.
            link.close(linger_s if link.up is not None else 0.0)
        self._links.clear()

    def _greet(self, link: Link, pause: float) -> None:
        """Say HELLO on the lanes that have not had an answer, and again after ``pause`` seconds, until all have."""
        link.timer = None
        silent = [lane for lane in LANES if lane not in link.answered]
        if not silent or link.refused:
            return
        for lane in silent:
            link.channels[lane].say(self._room.hello)
        link.timer = self._room.loop.call_later(pause, self._greet, link, min(2 * pause, _HELLO_S[1]))

    def _greet_anew(self, link: Link, lane: Lane) -> None:
        link.answered.pop(lane, None)
        link.channels[lane].hold()
        link.up = None
        link.stop_timer()
        self._greet(link, _HELLO_S[0])

    def _take(self, link: Link, lane: Lane, _identity: bytes, frames: list[Any]) -> None:
        parcel = self._room.read(link.peer, frames)
        if isinstance(parcel, ProtocolError):
            return
        message, _, nbytes = parcel
        if isinstance(message, Hello):
            self._answered(link, lane, message, nbytes)
            return
        if isinstance(message, Refused):
            if message.code == "stranger":  # the other side has started anew and knows nobody
                if lane in link.answered:
                    self._greet_anew(link, lane)
            elif message.about == "hello":
                link.refused = True
        elif lane not in link.answered:
            self._room.spoiled(link.peer, f"{tag_of(message)} before HELLO", nbytes)
            return
        self._room.hand_over(link.peer, lane, parcel)

    def _answered(self, link: Link, lane: Lane, hello: Hello, nbytes: int) -> None:
        run = self._room.run
        if hello.node != link.peer or hello.run != run or hello.version != VERSION:
            found = f"{hello.node} of run '{hello.run}', version {hello.version}"
            self._room.spoiled(link.peer, f"{found} answered in place of {link.peer} of run '{run}'", nbytes)
            return
        link.answered[lane] = hello.incarnation
        link.channels[lane].release()
        for other, incarnation in list(link.answered.items()):
            if incarnation < hello.incarnation:  # started anew, and that lane has not noticed yet
                self._greet_anew(link, other)
        whole = [link.answered.get(each) for each in LANES] == [hello.incarnation] * len(LANES)
        if whole and link.up != hello.incarnation:
            link.up = hello.incarnation
            self._room.tell(LinkUp(link.peer, hello.role, hello.incarnation, True))

    def _gone(self, link: Link, _descriptor: int) -> None:
        """A connection has ended; ZeroMQ dials again by itself, and HELLO waits for it."""
        if not self._room.open or self._links.get(link.peer) is not link:
            return
        for channel in link.channels.values():
            channel.drain()
        incarnation = link.up
        self._greet_anew(link, Lane.CONTROL)  # bulk may still bring what was said before
        if incarnation is not None:
            self._room.tell(LinkLost(link.peer, incarnation, f"the connection to {link.peer} has ended"))


def _peer_of(link: Link, _identity: bytes) -> tuple[str, bool]:
    return link.peer, link.up is not None
