"""Mail between nodes that have introduced themselves: the `Transport` contract, and its form over ZeroMQ.

A node binds an inbox (a ROUTER a lane), or only dials out (a DEALER a peer and lane), or both. HELLO binds the lanes
of a connection to (node, incarnation); docs/protocol.md, section 4, is what is carried out here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import zmq
from numpy.typing import NDArray

from .channel import Channel, Letter
from .codec import DEFAULT_LIMITS, Limits, check_size, decode, encode
from .errors import BadAddress, ProtocolError
from .introductions import Guest, Guests, Link, identity_of
from .messages import VERSION, Hello, Lane, Message, Refused, tag_of
from .notices import Arrival, Counters, Cut, LinkLost, LinkUp, Notice, Spoiled, Undelivered
from .sockets import BULK_QUEUE, CONTROL_QUEUE, bind, make, split_bind
from .watch import Watch

__all__ = [
    "Arrival",
    "Counters",
    "Cut",
    "LinkLost",
    "LinkUp",
    "Notice",
    "Receiver",
    "Spoiled",
    "Transport",
    "Undelivered",
    "ZmqTransport",
    "new_incarnation",
]

Receiver = Callable[[Arrival | Notice], None]
Failed = Callable[[BaseException], None]
LANES = (Lane.CONTROL, Lane.BULK)
_QUEUE = {Lane.CONTROL: CONTROL_QUEUE, Lane.BULK: BULK_QUEUE}
_CUT_S = 0.1  # a bulk connection that ends this much before its control connection has ended with it
_HELLO_S = (0.5, 5.0)  # first and longest pause before an unanswered HELLO is said again


def new_incarnation() -> int:
    """A number that is larger at each start of a node: microseconds since 1970, exact in a JSON number."""
    return time.time_ns() // 1000


class Transport(Protocol):
    """Carries messages between named nodes; the same contract over tcp, ipc, inproc and in memory.

    Everything that comes is handed to one receiver, synchronously, on the event loop that called `open`. An exception
    of the receiver goes to ``failed`` and never disturbs the transport.
    """

    node: str
    role: str
    run: str
    incarnation: int
    counters: Counters

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where others reach this node, a lane each (``control``, ``bulk``); empty if it only dials out."""

    async def open(self, receiver: Receiver, failed: Failed) -> None:
        """Bind, and deliver from now on."""

    def link(self, peer: str, addresses: Mapping[str, str]) -> None:
        """Dial a peer on both lanes and say HELLO, until it answers; idempotent for the same addresses."""

    def unlink(self, peer: str) -> None:
        """Hang up, and drop what waits for the peer; no error where there is no link."""

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        """Send to one or several, encoded once; never waits, never raises for a peer's fault.

        The array must not change any more. What cannot be delivered comes back as `Undelivered`, later.

        Raises
        ------
        MessageTooLarge
        """

    def sending(self, to: str) -> tuple[int, ...]:
        """Rounds of the bulk messages to ``to`` that have not left this process yet."""

    async def close(self, drain_s: float) -> None:
        """Close; what is queued may leave within ``drain_s`` seconds."""


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
        self.counters = Counters()
        self._bind = bind
        self._advertise = advertise
        self._limits = limits
        self._own_context = context is None
        self._context = context
        self._addresses: dict[str, str] = {}
        self._inbox: dict[Lane, Channel] = {}
        self._watches: dict[Lane, Watch] = {}
        self._guests = Guests()
        self._links: dict[str, Link] = {}
        hello = encode(Hello(node, role, run, self.incarnation, VERSION))
        self._hello = Letter(hello, "hello", 0, len(hello[0]), 0)
        self._open = False

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where others reach this node, a lane each; empty if it only dials out."""
        return self._addresses

    async def open(self, receiver: Receiver, failed: Failed) -> None:
        """Bind, and deliver from now on.

        Raises
        ------
        AddressInUse, BadAddress
        """
        self._receiver = receiver
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        if self._context is None:
            self._context = zmq.Context()
        self._open = True
        if self._bind is None:
            return
        try:
            for lane, address in zip(LANES, split_bind(self._bind, LANES), strict=True):
                socket = make(self._context, f"inbox.{lane}", self._limits)
                try:
                    self._addresses[lane.value] = self._reachable(bind(socket, address))
                except BaseException:
                    socket.close()
                    raise
                self._inbox[lane] = self._channel(socket, lane, None)
                if not address.startswith("inproc"):
                    self._watches[lane] = Watch(socket, partial(self._guest_gone, lane))
        except BaseException:
            await self.close(0.0)
            raise

    def link(self, peer: str, addresses: Mapping[str, str]) -> None:
        """Dial a peer on both lanes and say HELLO, until it answers; idempotent for the same addresses."""
        old = self._links.get(peer)
        if old is not None and old.addresses == dict(addresses):
            return
        self.unlink(peer)
        if self._context is None or not self._open:
            raise RuntimeError("a transport dials after it has been opened, and before it is closed")
        link = Link(peer, dict(addresses))
        for lane in LANES:
            socket = make(self._context, f"link.{lane}", self._limits)
            socket.setsockopt(zmq.IDENTITY, identity_of(self.node, self.incarnation))
            try:
                socket.connect(addresses[lane])
            except (zmq.ZMQError, KeyError) as error:
                socket.close()
                link.close()
                raise BadAddress(str(addresses.get(lane)), f"cannot be dialled ({error})") from None
            link.channels[lane] = self._channel(socket, lane, link)
            link.channels[lane].hold()  # until HELLO is answered
            if lane is Lane.CONTROL and self._bind is None and not addresses[lane].startswith("inproc"):
                # Whoever binds learns of a lost neighbour by its inbox; whoever only dials has nothing but this.
                link.watch = Watch(socket, lambda _: self._link_gone(link))
        self._links[peer] = link
        self._greet(link, _HELLO_S[0])

    def unlink(self, peer: str) -> None:
        """Hang up, and drop what waits for the peer; no error where there is no link."""
        link = self._links.pop(peer, None)
        if link is not None:
            link.close()

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        """Send to one or several, encoded once; never waits, never raises for a peer's fault.

        Raises
        ------
        MessageTooLarge
        """
        frames = encode(message, array)
        size = check_size(message, frames, self._limits)
        header = len(frames[0])
        letter = Letter(frames, tag_of(message), getattr(message, "round", 0), header, size - header)
        lane = message.lane
        for peer in (to,) if isinstance(to, str) else to:
            link = self._links.get(peer)
            if link is not None:
                link.channels[lane].send(b"", letter)
                continue
            guest = self._guests.by_name.get(peer)
            if guest is not None and lane in guest.lanes:
                self._inbox[lane].send(guest.identity, letter)
            else:
                self._undelivered(peer, letter, f"unreachable: {peer} has not introduced itself on {lane}")

    def sending(self, to: str) -> tuple[int, ...]:
        """Rounds of the bulk messages to ``to`` that have not left this process yet."""
        link = self._links.get(to)
        if link is not None:
            return tuple(link.channels[Lane.BULK].sending(b""))
        guest = self._guests.by_name.get(to)
        if guest is None or Lane.BULK not in self._inbox:
            return ()
        return tuple(self._inbox[Lane.BULK].sending(guest.identity))

    async def close(self, drain_s: float) -> None:
        """Close; what is queued may leave within ``drain_s`` seconds. Twice is once."""
        if not self._open:
            return
        self._open = False  # nothing is delivered any more
        until = self._loop.time() + drain_s
        for link in self._links.values():
            link.stop_timer()
        while self._waiting() and self._loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        linger_s = max(0.0, until - self._loop.time())
        for link in self._links.values():
            # ZeroMQ would wait all that time for one who has gone before and is dialled again.
            link.close(linger_s if link.up is not None else 0.0)
        for watch in self._watches.values():
            watch.close()
        for channel in self._inbox.values():
            channel.close(linger_s)
        self._watches.clear()
        self._links.clear()
        self._inbox.clear()
        if self._own_context and self._context is not None:
            await asyncio.to_thread(self._context.term)  # returns when the lingering sockets have, at the latest

    # Sockets

    def _waiting(self) -> bool:
        """Whether anything waits for somebody who is there."""
        channels = [*self._inbox.values()]
        for link in self._links.values():
            if link.up is not None:
                channels += link.channels.values()
        return any(channel.waiting for channel in channels)

    def _channel(self, socket: zmq.Socket[bytes], lane: Lane, link: Link | None) -> Channel:
        def deliver(_: Channel, identity: bytes, frames: list[Any]) -> None:
            if not self._open:
                return
            try:
                if link is None:
                    self._from_guest(lane, identity, frames)
                else:
                    self._from_link(link, lane, frames)
            except BaseException as error:  # noqa: BLE001  it goes to the owner, who decides
                self._failed(error)

        def dropped(_: Channel, identity: bytes, letter: Letter, full: bool) -> None:
            peer = link.peer if link is not None else self._guests.name_of(identity)
            if letter.kind in {"hello", "refused"}:
                return  # those are said again when they are needed
            if not full or (link is not None and link.up is None):
                self._undelivered(peer, letter, f"unreachable: no connection to {peer}")
            else:
                self._undelivered(peer, letter, f"slow: {_QUEUE[lane]} messages wait for {peer} already")

        return Channel(
            socket,
            deliver=deliver,
            dropped=dropped,
            counters=self.counters,
            queue=_QUEUE[lane],
            addressed=link is None,
            large=lane is Lane.BULK,
        )

    def _reachable(self, endpoint: str) -> str:
        scheme, _, rest = endpoint.partition("://")
        if scheme != "tcp":
            return endpoint
        host, _, port = rest.rpartition(":")
        if self._advertise is not None:
            return f"tcp://{self._advertise}:{port}"
        if host in {"0.0.0.0", "[::]", "*"}:
            raise BadAddress(str(self._bind), "bound on every interface: say by which host others reach it (advertise)")
        return endpoint

    # Introductions

    def _greet(self, link: Link, pause: float) -> None:
        """Say HELLO on the lanes that have not had an answer, and again after ``pause`` seconds, until all have."""
        link.timer = None
        silent = [lane for lane in LANES if lane not in link.answered]
        if not silent or link.refused:
            return
        for lane in silent:
            link.channels[lane].say(self._hello)
        link.timer = self._loop.call_later(pause, self._greet, link, min(2 * pause, _HELLO_S[1]))

    def _greet_anew(self, link: Link, lane: Lane) -> None:
        link.answered.pop(lane, None)
        link.channels[lane].hold()
        link.up = None
        link.stop_timer()
        self._greet(link, _HELLO_S[0])

    def _from_link(self, link: Link, lane: Lane, frames: list[Any]) -> None:
        """A message over a connection that this node dialled."""
        message, array, nbytes = self._decode(link.peer, frames)
        if message is None:
            return
        if isinstance(message, Hello):
            if message.node != link.peer or message.run != self.run or message.version != VERSION:
                found = f"{message.node} of run '{message.run}', version {message.version}"
                self._spoiled(link.peer, f"{found} answered in place of {link.peer} of run '{self.run}'", nbytes)
                return
            link.answered[lane] = message.incarnation
            link.channels[lane].release()
            for other, incarnation in list(link.answered.items()):
                if incarnation < message.incarnation:  # started anew, and that lane has not noticed yet
                    self._greet_anew(link, other)
            whole = [link.answered.get(each) for each in LANES] == [message.incarnation] * len(LANES)
            if whole and link.up != message.incarnation:
                link.up = message.incarnation
                self._receiver(LinkUp(link.peer, message.role, message.incarnation, True))
            return
        if isinstance(message, Refused):
            if message.code == "stranger":  # the other side has started anew and knows nobody
                if lane in link.answered:
                    self._greet_anew(link, lane)
            elif message.about == "hello":
                link.refused = True
        elif lane not in link.answered:
            self._spoiled(link.peer, f"{tag_of(message)} before HELLO", nbytes)
            return
        self._arrived(link.peer, lane, message, array, nbytes)

    def _from_guest(self, lane: Lane, identity: bytes, frames: list[Any]) -> None:
        """A message over a connection that somebody else dialled."""
        guest = self._guests.by_identity.get(identity)
        sender = self._guests.name_of(identity)
        try:
            message, array, nbytes = self._decode(sender, frames)
        except ProtocolError as error:
            self._refuse(lane, identity, "", 0, error.code, error.reason)
            return
        if message is None:
            return
        if isinstance(message, Hello):
            self._welcome(lane, identity, message)
        elif guest is None or lane not in guest.lanes:
            if not isinstance(message, Refused):  # two that refuse each other would never end
                reason = f"{self.node} has not had your HELLO on {lane}"
                self._refuse(lane, identity, tag_of(message), getattr(message, "round", 0), "stranger", reason)
        else:
            if not guest.up and lane is Lane.CONTROL and len(guest.lanes) == len(LANES):
                self._guest_up(guest)
            self._arrived(guest.node, lane, message, array, nbytes)

    def _welcome(self, lane: Lane, identity: bytes, hello: Hello) -> None:
        refusal = self._guests.refusal(identity, hello, self.run)
        if refusal is not None:
            self._refuse(lane, identity, "hello", 0, *refusal)
            return
        guest, replaced = self._guests.admit(lane, identity, hello)
        if replaced is not None:
            for channel in self._inbox.values():
                channel.forget(replaced.identity)
        if lane in self._watches:
            self._watches[lane].drain()  # a descriptor may have had another owner a moment ago
            self._guests.connected(lane, guest, self._inbox[lane].descriptor())
        self._inbox[lane].send(identity, self._hello)
        if not guest.up and len(guest.lanes) == len(LANES):
            self._guest_up(guest)

    def _guest_up(self, guest: Guest) -> None:
        guest.up = True
        self._receiver(LinkUp(guest.node, guest.role, guest.incarnation, False))

    # Farewells

    def _guest_gone(self, lane: Lane, descriptor: int) -> None:
        """A connection that somebody dialled has ended."""
        if not self._open:
            return
        guest = self._guests.disconnected(lane, descriptor)
        if guest is None:
            self._notify(Cut(f"a connection on {lane}, from somebody who had not introduced himself, has ended"))
        elif lane is Lane.BULK:
            self._loop.call_later(_CUT_S, self._bulk_gone, guest)
        else:
            self._inbox[lane].drain()  # what it said before it went comes before the news that it went
            guest.lanes.discard(lane)  # it says HELLO again if it comes back
            link = self._links.get(guest.node)
            if link is not None and link.up == guest.incarnation:
                self._greet_anew(link, Lane.CONTROL)
            if guest.up:
                guest.up = False
                self._notify(LinkLost(guest.node, guest.incarnation, f"the connection of {guest.node} has ended"))

    def _bulk_gone(self, guest: Guest) -> None:
        if self._open and guest.up:
            limit = f"a frame over {self._limits.message_bytes:,} bytes does that"
            self._notify(
                Cut(f"the bulk connection of {guest.node} was cut while its control connection stands; {limit}")
            )

    def _link_gone(self, link: Link) -> None:
        """A connection that this node dialled has ended; ZeroMQ dials again by itself, and HELLO waits for it."""
        if not self._open or self._links.get(link.peer) is not link:
            return
        for channel in link.channels.values():
            channel.drain()
        incarnation = link.up
        self._greet_anew(link, Lane.CONTROL)  # bulk may still bring what was said before
        if incarnation is not None:
            self._notify(LinkLost(link.peer, incarnation, f"the connection to {link.peer} has ended"))

    # Mail

    def _decode(self, sender: str, frames: list[Any]) -> tuple[Message | None, NDArray[Any] | None, int]:
        nbytes = sum(map(len, frames))
        self.counters.bytes_received += nbytes
        try:
            return *decode(frames, self._limits), nbytes
        except ProtocolError as error:
            self._spoiled(sender, str(error), nbytes)
            if error.code == "version":
                raise
            return None, None, nbytes

    def _arrived(self, sender: str, lane: Lane, message: Message, array: NDArray[Any] | None, nbytes: int) -> None:
        if message.lane is not lane and not isinstance(message, Refused):
            self._spoiled(sender, f"lane: {tag_of(message)} belongs on {message.lane} and came on {lane}", nbytes)
            return
        self._receiver(Arrival(sender, message, array, nbytes))

    def _refuse(self, lane: Lane, identity: bytes, about: str, round_: int, code: str, reason: str) -> None:
        self.counters.refused += 1
        frames = encode(Refused(about, round_, code, reason))
        self._inbox[lane].send(identity, Letter(frames, "refused", round_, len(frames[0]), 0))

    def _spoiled(self, sender: str, reason: str, nbytes: int) -> None:
        self.counters.spoiled += 1
        self._receiver(Spoiled(sender, reason, nbytes))

    def _undelivered(self, peer: str, letter: Letter, reason: str) -> None:
        # Not at once: the owner is in the middle of sending.
        self.counters.undelivered += 1
        self._loop.call_soon(self._notify, Undelivered(peer, letter.kind, letter.round, reason))

    def _notify(self, notice: Notice) -> None:
        if not self._open:
            return
        try:
            self._receiver(notice)
        except BaseException as error:  # noqa: BLE001  it goes to the owner, who decides
            self._failed(error)
