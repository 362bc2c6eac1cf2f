"""The bound side of a transport: accepts the HELLO of dialing nodes and answers over the connections they opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import zmq

from .authority import wrong_caller
from .channel import Channel, Envelope
from .disconnects import DisconnectMonitor
from .displaced import end_displaced, speaks_displaced
from .endpoint import LANES, Endpoint
from .errors import ProtocolError
from .guard.guard import Guard
from .guard.services import accepted
from .guard.table import Policy
from .handshake import InboundPeer, InboundPeers
from .limits import allowed
from .messages import VERSION, GetPeers, Hello, Lane, Message, Refused, tag_of
from .security.plain import Plain
from .security.roles import VISITOR
from .shared_memory.reference import REFERENCE_BYTES
from .sockets import advertised, bind, discard, make, split_bind
from .transport_events import ConnectionClosed, ConnectionRefused, LinkLost, LinkUp

if TYPE_CHECKING:
    from .security.allow_list import AllowList, Entry
    from .security.gate import Listener

_DRAINED = 64  # messages, of those that wait, before a connection is ended for what it holds
_CUT_S = 1.0  # a bulk connection that closes this much before its control connection has closed with it


class Inbound:
    """One ROUTER per lane; ``lost(node, incarnation)`` is called before the receiver learns of a lost peer."""

    def __init__(self, endpoint: Endpoint, lost: Callable[[str, int], None]) -> None:
        self.addresses: dict[str, str] = {}
        self._endpoint = endpoint
        self._lost = lost
        self._peers = InboundPeers()
        self._channels: dict[Lane, Channel] = {}
        self._monitors: dict[Lane, DisconnectMonitor] = {}
        self._listeners: dict[Lane, Listener] = {}  # with keys
        self._guards: dict[Lane, Guard] = {}
        self._unwatch: Callable[[], None] = lambda: None
        self._cut: dict[bytes, asyncio.TimerHandle] = {}  # by identity, whose bulk connection alone has closed

    def open(self, context: zmq.Context[zmq.Socket[bytes]], address: str, advertise: str | None) -> None:
        for lane, place in zip(LANES, split_bind(address, LANES), strict=True):
            socket = make(context, f"inbox.{lane}", self._endpoint.limits)
            try:
                bound, listener, descriptor = bind(
                    socket,
                    place,
                    security=self._endpoint.security,
                    service=f"inbox.{self._endpoint.role}",
                    refused=self._endpoint.refused,
                    end=self._end,
                )
                if listener is not None:
                    self._listeners[lane] = listener
                self.addresses[lane.value] = advertised(bound, advertise)
            except BaseException:
                socket.close()
                raise
            guard = None
            if not place.startswith("inproc"):
                guard = self._guards[lane] = Guard(
                    _policy(self._endpoint, lane), self._endpoint.refused, listens=descriptor
                )
            receive = partial(self._receive, lane)
            channel = self._channels[lane] = self._endpoint.channel(
                socket,
                lane,
                receive,
                lambda identity: (self._peers.name_of(identity), True),
                addressed=True,
                heard=None if guard is None else guard.heard,
            )
            if guard is not None:  # after the channel, which closes the socket if there is none for a monitor
                guard.drain = partial(channel.drain, _DRAINED)
                failed = partial(self._failed, lane) if listener is not None else None
                closed = partial(self._disconnected, lane)
                self._monitors[lane] = DisconnectMonitor(socket, closed, failed, partial(accepted, guard, listener))
        security = self._endpoint.security
        if self._listeners and not isinstance(security, Plain):
            self._unwatch = security.gate.watch(self._list_changed)

    def send(self, to: str, lane: Lane, envelope: Envelope) -> bool:
        peer = self._peers.by_name.get(to)
        if peer is None or lane not in peer.lanes or lane not in self._channels:  # closed, if nobody authenticates
            return False
        self._channels[lane].send(peer.identity, envelope)
        return True

    def incarnation_of(self, name: str) -> int:
        peer = self._peers.by_name.get(name)
        return 0 if peer is None else peer.incarnation

    def sending(self, to: str) -> list[int]:
        peer = self._peers.by_name.get(to)
        channel = self._channels.get(Lane.BULK)
        return [] if peer is None or channel is None else channel.sending(peer.identity)

    def moved(self, to: str) -> int:
        peer = self._peers.by_name.get(to)
        channel = self._channels.get(Lane.BULK)
        return 0 if peer is None or channel is None else channel.moved(peer.identity)

    @property
    def waiting(self) -> bool:
        return any(channel.waiting for channel in self._channels.values())

    def close(self, linger_s: float) -> None:
        self._unwatch()
        for address in self.addresses.values():
            discard(address)
        for timer in self._cut.values():
            timer.cancel()
        for guard in self._guards.values():
            guard.close()
        for monitor in self._monitors.values():
            monitor.close()
        for channel in self._channels.values():
            channel.close(linger_s)
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        self._guards.clear()
        self._monitors.clear()
        self._channels.clear()

    def _end(self) -> None:
        """Close both lanes at once, because nobody can be authenticated any more; and say so to the owner."""
        ended = self._channels and self._endpoint.open
        self.close(0.0)
        security = self._endpoint.security
        if ended and not isinstance(security, Plain) and security.gate.failure is not None:
            self._endpoint.fail(security.gate.failure)

    def _receive(self, lane: Lane, identity: bytes, frames: list[Any]) -> None:
        peer, sender = self._peers.by_identity.get(identity), None
        if lane in self._listeners and (sender := self._sender(lane, peer, frames)) is None:
            return
        if peer is not None and _may_refer(frames) and not self._speaks(lane, peer):
            # Before it is read: that counts it as come, and its release would have the memory written again.
            self._not_greeted(lane, identity, "", 0)
            return
        received = self._endpoint.read(self._peers.name_of(identity), frames, known=peer is not None)
        if isinstance(received, ProtocolError):
            self._fault(lane)
            if peer is None:
                self._stranger(lane, f"sent what is no message, before its HELLO ({_what(received)})")
            if received.code == "version":  # a node of another version learns why nothing is answered
                self._refuse(lane, identity, "", 0, received.code, received.reason, received.version)
            return
        message = received[0]
        if isinstance(message, Hello):
            self._welcome(lane, identity, message, sender)
        elif peer is not None and sender is not None and _oversteps(peer, message):
            self._listeners[lane].refuse(sender, f"{sender.name} is no member yet, and sent {tag_of(message)}")
        elif peer is not None and self._speaks(lane, peer):
            if lane is Lane.BULK:
                channel, guard = self._channels[lane], self._guards.get(lane)
                descriptor = channel.descriptor()
                channel.carried(identity, descriptor)
                if guard is not None:  # it may have been cut off, and is back without another HELLO
                    guard.introduced(descriptor, identity)
                if lane in self._monitors and peer.descriptors.get(lane) != descriptor:
                    self._peers.connected(lane, peer, descriptor)
                if peer.bulk_came(self._endpoint.loop.time()):
                    self._established(peer)
            self._endpoint.deliver(peer.node, peer.role, lane, received, peer.arrivals[lane])
        elif not isinstance(message, Refused):  # two nodes that refuse each other would never stop
            self._not_greeted(lane, identity, tag_of(message), getattr(message, "round", 0))

    def _not_greeted(self, lane: Lane, identity: bytes, about: str, round_: int) -> None:
        self._fault(lane)
        reason = f"{self._endpoint.node} has not received your HELLO on {lane}"
        self._refuse(lane, identity, about, round_, "stranger", reason)

    def _speaks(self, lane: Lane, peer: InboundPeer) -> bool:
        """Return whether a peer has said HELLO on a lane, over the connection of the message being delivered."""
        descriptor = self._channels[lane].descriptor()
        if lane not in peer.lanes or lane not in self._guards or peer.descriptors.get(lane) == descriptor:
            return lane in peer.lanes
        return not speaks_displaced(lane, peer, descriptor, self._guards[lane], self._monitors[lane].drain)

    def _sender(self, lane: Lane, peer: InboundPeer | None, frames: list[Any]) -> Entry | None:
        """Return whose key a message came by; None if it was revoked, or is not that of the peer that it speaks for."""
        listener = self._listeners[lane]
        sender = listener.sender(self._channels[lane])
        if sender is None:
            return None
        if peer is not None and peer.key != sender.public:
            listener.refuse(sender, f"{sender.name} speaks over a connection of {peer.node}")
            self._endpoint.counters.bytes_received += sum(map(len, frames))
            return None
        return sender

    def _welcome(self, lane: Lane, identity: bytes, hello: Hello, sender: Entry | None) -> None:
        descriptor = self._channels[lane].descriptor()  # of this HELLO: draining may deliver other messages
        if lane in self._monitors:
            # First what has ended: the descriptor may have belonged to another connection a moment ago, and the end of
            # this peer's previous connection must not be taken for that of the one that is admitted now.
            self._monitors[lane].drain()
        endpoint = self._endpoint
        refusal = self._peers.refusal(identity, hello, endpoint.run, sender, endpoint.node) or self._not_of_run(hello)
        if refusal is not None:
            answers = lane not in self._guards or self._guards[lane].refuse(descriptor)
            if refusal[0] == "version":
                endpoint.counters.malformed += 1
                self._stranger(lane, refusal[1])
            elif refusal[0] == "identity" and sender is not None:
                self._listeners[lane].refuse(sender, refusal[1])
            elif refusal[0] == "identity":
                endpoint.refused(ConnectionRefused(f"inbox.{endpoint.role}", "", "", hello.node, refusal[1]))
            if answers:
                version = hello.oldest if refusal[0] == "version" else VERSION
                self._refuse(lane, identity, "hello", 0, *refusal, version)
            return
        peer, replaced = self._peers.admit(lane, identity, hello, "" if sender is None else sender.public)
        endpoint.shared.met(hello)
        if replaced is not None:
            for channel in self._channels.values():
                channel.forget(replaced.identity)
        if lane in self._guards and end_displaced(lane, peer, descriptor, self._guards[lane]):
            if lane is Lane.CONTROL:
                peer.doubt_bulk(endpoint.loop.time())
            if lane is Lane.BULK or peer.bulk_doubted:  # what was on its way by bulk is lost
                self._is_down(peer)
        if lane in self._monitors:
            self._peers.connected(lane, peer, descriptor)
        if lane is Lane.BULK:
            peer.bulk_came(endpoint.loop.time())
            self._channels[lane].carried(identity, descriptor)
        if lane in self._guards:
            self._guards[lane].introduced(descriptor, identity)
        self._channels[lane].send(identity, self._endpoint.hello_to(peer.node))
        self._established(peer)

    def _not_of_run(self, hello: Hello) -> tuple[str, str] | None:
        """Return code and reason why a node has no business here, whatever its connection; None if it has."""
        endpoint = self._endpoint
        reason = wrong_caller(hello.node, hello.role, endpoint.role) or endpoint.security.enrollment.refusal(
            hello.run, hello.node, hello.role, hello.incarnation, hello.proof, endpoint.node
        )
        return None if reason is None else ("identity", reason)

    def _established(self, peer: InboundPeer) -> None:
        # After an outage control is back first, and nothing could be sent to who has no bulk connection yet.
        reachable = Lane.BULK not in self._monitors or self._peers.is_connected(Lane.BULK, peer)
        if not peer.up and reachable and len(peer.lanes) == len(LANES) and not peer.bulk_doubted:
            peer.up = True
            self._endpoint.notify(LinkUp(peer.node, peer.role, peer.incarnation, False))

    def _refuse(
        self, lane: Lane, identity: bytes, about: str, round_: int, code: str, reason: str, version: int = VERSION
    ) -> None:
        self._endpoint.counters.refused += 1
        self._channels[lane].send(identity, Envelope.of(Refused(about, round_, code, reason), version=version))

    def _stranger(self, lane: Lane, reason: str) -> None:
        """Report a stranger; its owner is told of the first, and then now and then how many there were."""
        address = ""
        if lane in self._guards:
            address = self._guards[lane].address_of(self._channels[lane].descriptor())
        self._endpoint.refused(ConnectionRefused(f"inbox.{self._endpoint.role}", address, "", "", reason))

    def _fault(self, lane: Lane) -> None:
        if lane in self._guards:
            self._guards[lane].fault(self._channels[lane].descriptor())

    def _list_changed(self, allowed: AllowList) -> None:
        """Forget the peers whose keys were revoked; the gate ends their connections."""
        for peer in self._peers.not_of_keys(allowed.by_key):
            self._forget(peer)
            self._lost(peer.node, peer.incarnation)
            if peer.up:
                peer.up = False
                self._endpoint.notify(LinkLost(peer.node, peer.incarnation, f"the key of {peer.node} is not allowed"))

    def _forget(self, peer: InboundPeer) -> None:
        self._peers.forget(peer)
        for channel in self._channels.values():
            channel.forget(peer.identity)
        if peer.identity in self._cut:
            self._cut.pop(peer.identity).cancel()

    def _failed(self, lane: Lane, reason: str) -> None:
        if self._endpoint.open:
            self._endpoint.refused(ConnectionRefused(self._listeners[lane].service, "", "", "", reason))

    def _disconnected(self, lane: Lane, descriptor: int) -> None:
        was = self._guards[lane].closed(descriptor) if lane in self._guards else None
        silent = lane in self._listeners and not self._listeners[lane].closed(descriptor)
        if not self._endpoint.open:
            return
        peer = self._peers.disconnected(lane, descriptor)
        for departed in self._peers.long_departed():
            self._forget(departed)
        if peer is None and silent:
            return  # it was refused, which is reported as such
        if peer is None:
            if was is None or not (was.ended or was.known):  # else that has been reported, or it was no stranger
                self._guards[lane].left_early("" if was is None else was.address)
        elif lane is Lane.BULK:
            if peer.up:
                self._cut[peer.identity] = self._endpoint.loop.call_later(_CUT_S, self._bulk_disconnected, peer)
        else:
            if peer.identity in self._cut:
                self._cut.pop(peer.identity).cancel()
            self._channels[lane].drain()  # deliver what the peer sent before the connection closed
            if not self._peers.is_connected(lane, peer):  # or the HELLO of its next connection was among that
                peer.lanes.discard(lane)
            if Lane.BULK in self._monitors:
                peer.doubt_bulk(self._endpoint.loop.time())
            self._is_down(peer)
            self._established(peer)

    def _is_down(self, peer: InboundPeer) -> None:
        self._lost(peer.node, peer.incarnation)
        if peer.up:
            peer.up = False
            self._endpoint.notify(LinkLost(peer.node, peer.incarnation, f"the connection of {peer.node} has closed"))

    def _bulk_disconnected(self, peer: InboundPeer) -> None:
        self._cut.pop(peer.identity, None)
        if peer.up:
            limit = f"a frame over {self._endpoint.limits.message_bytes:,} bytes does that"
            reason = f"the bulk connection of {peer.node} closed while its control connection is open"
            self._endpoint.notify(ConnectionClosed(f"{reason}; {limit}"))


def _policy(endpoint: Endpoint, lane: Lane) -> Policy:
    limits = endpoint.limits
    return Policy(
        f"inbox.{endpoint.role}",
        allowed("held_bytes") if lane is Lane.CONTROL else limits.message_bytes + limits.header_bytes,
        strangers="unknown_at_inbox",
        proves=True,
        speaks_for=endpoint.speaks_for,
    )


def _what(error: ProtocolError) -> str:
    """Return what is wrong, in one of few ways: how a stranger puts it is none of them."""
    return error.reason if error.code == "version" else error.code


def _oversteps(peer: InboundPeer, message: Message) -> bool:
    """Return whether one who is no member yet, under a temporary name, does more than to ask who there is."""
    return peer.node.startswith(VISITOR) and not isinstance(message, GetPeers)


def _may_refer(frames: list[Any]) -> bool:
    """Return whether a message may have a reference to shared memory."""
    return len(frames) == 2 and len(frames[1]) == REFERENCE_BYTES
