"""The `Transport` contract within one process: no sockets, a clock of one's own, and any fault one asks for.

Messages pass through the codec, so what cannot be sent cannot be sent here either, and an array arrives as a read-only
copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from numpy.typing import NDArray

from ..codec import DEFAULT_LIMITS, Frame, Limits, check_size, decode, encode
from ..errors import BadAddress
from ..messages import VERSION, Hello, Lane, Message, Refused, tag_of
from ..transport_events import Arrival, Counters, LinkLost, LinkUp, SendFailed, TransportEvent
from ..transport_protocol import Failed, Receiver, new_incarnation
from .faults import Faults, Partition

__all__ = ["Clock", "Faults", "MemoryTransport", "Network", "Partition"]

_SCHEME = "memory://"
_QUEUE = {Lane.CONTROL: 256, Lane.BULK: 4}


class Clock(Protocol):
    """What a network needs of a clock; an asyncio event loop is one."""

    def time(self) -> float:
        """Now, in seconds."""

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call ``callback(*args)`` at a time."""


class Network:
    """Where memory transports meet.

    Parameters
    ----------
    faults : callable (sender, receiver, lane, now) -> delays, optional
        Such as `Faults`; by default each message arrives once, at once, in order.
    clock : Clock, optional
        By default the event loop that opens the first transport.
    """

    def __init__(
        self, faults: Callable[[str, str, Lane, float], list[float]] | None = None, clock: Clock | None = None
    ) -> None:
        self.faults = faults
        self.clock = clock
        self._there: dict[str, MemoryTransport] = {}
        self._asleep: dict[str, list[Callable[[], None]]] = {}

    def stop(self, node: str) -> None:
        """Let a node read nothing until `resume`, as a stopped process does; its senders are not told."""
        self._asleep.setdefault(node, [])

    def resume(self, node: str) -> None:
        """Let a stopped node read on."""
        for deliver in self._asleep.pop(node, ()):
            self._clock().call_at(self._clock().time(), deliver)

    def find(self, name: str) -> MemoryTransport | None:
        """The open transport of a name."""
        return self._there.get(name)

    def enter(self, transport: MemoryTransport) -> None:
        """Let others reach a transport; a newer incarnation takes the name over."""
        known = self._there.get(transport.node)
        if known is not None and known.incarnation > transport.incarnation:
            return
        self._there[transport.node] = transport
        for other in self._there.values():
            other.redial(transport.node)

    def leave(self, transport: MemoryTransport) -> None:
        """Let nobody reach it any more, and tell those who were linked."""
        if self._there.get(transport.node) is transport:
            del self._there[transport.node]
            for other in list(self._there.values()):
                self.later(other.node, partial(other.lost, transport.node, transport.incarnation))

    def later(self, node: str, action: Callable[[], None], delay_s: float = 0.0) -> None:
        """Do something at a node, after a delay, and not while it is stopped."""

        def act() -> None:
            if node in self._asleep:
                self._asleep[node].append(act)
            else:
                action()

        self._clock().call_at(self._clock().time() + delay_s, act)

    def delays(self, sender: str, receiver: str, lane: Lane) -> list[float]:
        """Fate of the next message."""
        return [0.0] if self.faults is None else self.faults(sender, receiver, lane, self._clock().time())

    def asleep(self, node: str) -> bool:
        """Whether a node is stopped."""
        return node in self._asleep

    def _clock(self) -> Clock:
        if self.clock is None:
            self.clock = asyncio.get_running_loop()
        return self.clock


class MemoryTransport:
    """`Transport` over a `Network`.

    Introductions are made at once and are never lost: faults befall what nodes say, not how they met.
    """

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        *,
        network: Network,
        binds: bool = True,
        limits: Limits = DEFAULT_LIMITS,
        incarnation: int | None = None,
    ) -> None:
        self.node = node
        self.role = role
        self.run = run
        self.incarnation = new_incarnation() if incarnation is None else incarnation
        self.counters = Counters()
        self._network = network
        self._binds = binds
        self._limits = limits
        self._peers: dict[str, int] = {}  # incarnation of whoever is introduced, in either direction
        self._links: dict[str, str] = {}
        self._unread: dict[tuple[str, Lane], int] = {}
        self._open = False

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where others reach this node, a lane each; empty if it only dials out."""
        if not self._binds:
            return {}
        return {lane.value: f"{_SCHEME}{self.node}" for lane in (Lane.CONTROL, Lane.BULK)}

    async def open(self, receiver: Receiver, failed: Failed) -> None:
        """Deliver from now on."""
        self._receiver = receiver
        self._failed = failed
        self._open = True
        self._network.enter(self)

    def link(self, peer: str, addresses: Mapping[str, str]) -> None:
        """Dial a peer; idempotent."""
        if not self._open:
            raise RuntimeError("a transport dials after it has been opened, and before it is closed")
        address = addresses[Lane.CONTROL.value]
        if not address.startswith(_SCHEME):
            raise BadAddress(address, f"within a process an address is {_SCHEME}NAME")
        if peer not in self._links:
            self._links[peer] = address.removeprefix(_SCHEME)
            self.redial(peer)

    def unlink(self, peer: str) -> None:
        """Hang up; no error where there is no link."""
        if self._links.pop(peer, None) is not None:
            self._peers.pop(peer, None)

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        """Send to one or several, encoded once; never waits, never raises for a peer's fault.

        Raises
        ------
        MessageTooLarge
        """
        frames = encode(message, array)
        size = check_size(message, frames, self._limits)
        # A copy, as the wire makes one: whoever sends may change the array once this has returned.
        parts: list[Frame] = [bytes(frame) for frame in frames]
        for peer in (to,) if isinstance(to, str) else to:
            self._send(peer, message, parts, size)

    def sending(self, to: str) -> tuple[int, ...]:  # noqa: ARG002  (the contract's)
        """Nothing is ever on its way out: what is sent has left."""
        return ()

    async def close(self, drain_s: float) -> None:  # noqa: ARG002  (nothing waits here)
        """Close."""
        if self._open:
            self._open = False
            self._network.leave(self)

    # Called by the network and by the other side

    def redial(self, peer: str) -> None:
        """Introduce this node to a peer that it links to, if the peer is there and does not know it yet."""
        other = self._network.find(self._links.get(peer, ""))
        if other is not None and other.node == peer and self._peers.get(peer) != other.incarnation:
            self._network.later(peer, lambda: other.welcome(self))

    def welcome(self, dialer: MemoryTransport) -> None:
        """Take or refuse an introduction."""
        if not self._open:
            return
        known = self._peers.get(dialer.node)
        if dialer.run != self.run:
            self._refuse(dialer, "run", f"run '{dialer.run}'; this node belongs to run '{self.run}'")
        elif known is not None and known > dialer.incarnation:
            self._refuse(dialer, "stale", f"{dialer.node} has been started again since (incarnation {known})")
        else:
            self._introduced(dialer, False)
            self._network.later(dialer.node, lambda: dialer.answered(self))

    def answered(self, other: MemoryTransport) -> None:
        """Hear that an introduction was taken."""
        if self._open and other.node in self._links:
            self._introduced(other, True)

    def lost(self, peer: str, incarnation: int) -> None:
        """Hear that a peer is gone."""
        if self._open and self._peers.get(peer) == incarnation:
            del self._peers[peer]
            self._tell(LinkLost(peer, incarnation, f"the connection of {peer} has ended"))

    def _introduced(self, other: MemoryTransport, dialed: bool) -> None:
        hello = Hello(other.node, other.role, other.run, other.incarnation, VERSION)
        size = sum(map(len, encode(hello)))
        for counters, way in ((other.counters, "sent"), (self.counters, "received")):
            setattr(counters, f"bytes_{way}", getattr(counters, f"bytes_{way}") + 2 * size)
            setattr(counters, f"messages_{way}", getattr(counters, f"messages_{way}") + 2)
        other.counters.sent_by_kind["control"] += 2 * size
        self._peers[other.node] = other.incarnation
        self._tell(LinkUp(other.node, other.role, other.incarnation, dialed))

    def _refuse(self, dialer: MemoryTransport, code: str, reason: str) -> None:
        self.counters.refused += 1
        refusal = Arrival(self.node, Refused("hello", 0, code, reason), None, 0)
        self._network.later(dialer.node, lambda: dialer._tell(refusal))

    # Mail

    def _send(self, peer: str, message: Message, frames: list[Frame], size: int) -> None:
        other = self._network.find(peer)
        if other is None or peer not in self._peers:
            self._undelivered(peer, message, f"unreachable: no connection to {peer}")
            return
        lane = message.lane
        unread = self._unread.get((peer, lane), 0)
        if self._network.asleep(peer) and unread >= 2 * _QUEUE[lane]:
            self._undelivered(peer, message, f"slow: {unread} messages wait for {peer} already")
            return
        self.counters.messages_sent += 1
        self.counters.bytes_sent += size
        self.counters.sent_by_kind["control"] += len(frames[0])
        self.counters.sent_by_kind["weights"] += size - len(frames[0])
        for delay_s in self._network.delays(self.node, peer, lane):
            self._unread[peer, lane] = self._unread.get((peer, lane), 0) + 1
            self._network.later(peer, lambda: self._deliver(other, lane, frames, size), delay_s)

    def _deliver(self, other: MemoryTransport, lane: Lane, frames: list[Frame], size: int) -> None:
        self._unread[other.node, lane] -= 1
        if not other._open:
            return
        if self.node not in other._peers:
            other.counters.refused += 1
            return
        other.counters.messages_received += 1
        other.counters.bytes_received += size
        message, array = decode(frames, other._limits)
        other._tell(Arrival(self.node, message, array, size))

    def _undelivered(self, peer: str, message: Message, reason: str) -> None:
        self.counters.undelivered += 1
        notice = SendFailed(peer, tag_of(message), getattr(message, "round", 0), reason)
        self._network.later(self.node, lambda: self._tell(notice))

    def _tell(self, item: Arrival | TransportEvent) -> None:
        if not self._open:
            return
        try:
            self._receiver(item)
        except BaseException as error:  # noqa: BLE001  it goes to the owner, who decides
            self._failed(error)
