"""An in-memory implementation of the `Transport` contract: no sockets, a replaceable clock, injected faults.

Messages pass through the codec, so what cannot be sent over a socket cannot be sent here either, and an array arrives
as a read-only copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from ..codec import DEFAULT_LIMITS, Frame, Limits, check_size, decode, encode
from ..errors import BadAddress, TransportClosed
from ..messages import Lane, Message, Refused, tag_of
from ..transport_events import Arrival, Counters, LinkLost, LinkUp, SendFailed, TransportEvent
from ..transport_protocol import OnError, Receiver, new_incarnation
from ..versions import hello

_SCHEME = "memory://"
_QUEUE = {Lane.CONTROL: 256, Lane.BULK: 4}


class Clock(Protocol):
    """What a network needs of a clock; an asyncio event loop is one."""

    def time(self) -> float:
        """Return the time in seconds."""

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call ``callback(*args)`` at a time."""


class MemoryNetwork:
    """Connects the memory transports that are given it.

    Parameters
    ----------
    faults : callable (sender, receiver, lane, now) -> list of float, optional
        Returns the delay in seconds of each copy of a message that arrives, such as `Faults`; by default each message
        arrives once, immediately, in order. May be replaced at any time.
    clock : Clock, optional
        By default the event loop that opens the first transport.
    """

    def __init__(
        self, faults: Callable[[str, str, Lane, float], list[float]] | None = None, clock: Clock | None = None
    ) -> None:
        self.faults = faults
        self._clock = clock
        self._open: dict[str, MemoryTransport] = {}
        self._stopped: dict[str, list[Callable[[], None]]] = {}

    def stop(self, node: str) -> None:
        """Deliver nothing to a node until `resume`, as if its process were stopped; its senders are not notified."""
        self._stopped.setdefault(node, [])

    def resume(self, node: str) -> None:
        for deliver in self._stopped.pop(node, ()):
            self.clock.call_at(self.clock.time(), deliver)

    def is_stopped(self, node: str) -> bool:
        return node in self._stopped

    @property
    def clock(self) -> Clock:
        if self._clock is None:
            self._clock = asyncio.get_running_loop()
        return self._clock

    # Called by the transports

    def find(self, name: str) -> MemoryTransport | None:
        return self._open.get(name)

    def enter(self, transport: MemoryTransport) -> None:
        known = self._open.get(transport.node)
        if known is not None and known.incarnation > transport.incarnation:
            return
        self._open[transport.node] = transport
        for other in self._open.values():
            other.redial(transport.node)

    def leave(self, transport: MemoryTransport) -> None:
        if self._open.get(transport.node) is transport:
            del self._open[transport.node]
            for other in list(self._open.values()):
                self.later(other.node, partial(other.lost, transport.node, transport.incarnation))

    def later(self, node: str, action: Callable[[], None], delay_s: float = 0.0) -> None:
        def act() -> None:
            if node in self._stopped:
                self._stopped[node].append(act)
            else:
                action()

        self.clock.call_at(self.clock.time() + delay_s, act)

    def delays(self, sender: str, receiver: str, lane: Lane) -> list[float]:
        return [0.0] if self.faults is None else self.faults(sender, receiver, lane, self.clock.time())


class MemoryTransport:
    """`Transport` over a `MemoryNetwork`; its methods are documented there.

    Introductions are immediate and never lost: faults affect messages, not handshakes. A node that ``binds`` is dialed
    at ``memory://NODE``; its ``incarnation`` is larger at each start of the node of this name.
    """

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        *,
        network: MemoryNetwork,
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
        self._peers: dict[str, int] = {}  # incarnations of introduced peers, in either direction
        self._links: dict[str, str] = {}
        self._unread: dict[tuple[str, Lane], int] = {}
        self._open = False

    @property
    def addresses(self) -> Mapping[str, str]:
        if not self._binds:
            return {}
        return {lane.value: f"{_SCHEME}{self.node}" for lane in (Lane.CONTROL, Lane.BULK)}

    async def open(self, receiver: Receiver, on_error: OnError) -> None:
        self._receiver = receiver
        self._on_error = on_error
        self._open = True
        self._network.enter(self)

    def link(self, peer: str, addresses: Mapping[str, str], *, watched: bool = False) -> None:  # noqa: ARG002
        if not self._open:
            raise TransportClosed(self.node, "dials")
        address = addresses[Lane.CONTROL.value]
        if not address.startswith(_SCHEME):
            raise BadAddress(address, f"within a process an address is {_SCHEME}NAME")
        if peer not in self._links:
            self._links[peer] = address.removeprefix(_SCHEME)
            self.redial(peer)

    def unlink(self, peer: str) -> None:
        if self._links.pop(peer, None) is not None:
            self._peers.pop(peer, None)

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        if not self._open:
            raise TransportClosed(self.node, "sends")
        frames = encode(message, array)
        size = check_size(message, frames, self._limits)
        # A copy, as over a socket: the sender may change the array afterwards.
        copies: list[Frame] = [bytes(frame) for frame in frames]
        for peer in (to,) if isinstance(to, str) else to:
            self._send(peer, message, copies, size)

    def share(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def lend(self, nbytes: int) -> None:  # noqa: ARG002  (the contract's)
        return None

    def sending(self, to: str) -> tuple[int, ...]:  # noqa: ARG002  (the contract's)
        return ()

    def moved(self, to: str) -> int:  # noqa: ARG002  (the contract's)
        return 0

    async def close(self, drain_s: float) -> None:  # noqa: ARG002  (nothing is queued here)
        if self._open:
            self._open = False
            self._network.leave(self)

    # Called by the network and by the other side

    def redial(self, peer: str) -> None:
        """Introduce this node to a linked peer that is open and does not know it yet."""
        other = self._network.find(self._links.get(peer, ""))
        if other is not None and other.node == peer and self._peers.get(peer) != other.incarnation:
            self._network.later(peer, lambda: other.welcome(self))

    def welcome(self, dialer: MemoryTransport) -> None:
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
        if self._open and other.node in self._links:
            self._introduced(other, True)

    def lost(self, peer: str, incarnation: int) -> None:
        if self._open and self._peers.get(peer) == incarnation:
            del self._peers[peer]
            self._notify(LinkLost(peer, incarnation, f"the connection of {peer} has closed"))

    def _introduced(self, other: MemoryTransport, dialed: bool) -> None:
        size = 2 * len(encode(hello(other.node, other.role, other.run, other.incarnation))[0])  # on two lanes
        other.counters.bytes_sent += size
        other.counters.messages_sent += 2
        other.counters.sent_by_kind["control"] += size
        self.counters.bytes_received += size
        self.counters.messages_received += 2
        self._peers[other.node] = other.incarnation
        self._notify(LinkUp(other.node, other.role, other.incarnation, dialed))

    def _refuse(self, dialer: MemoryTransport, code: str, reason: str) -> None:
        self.counters.refused += 1
        refusal = Arrival(self.node, Refused("hello", 0, code, reason), None, 0)
        self._network.later(dialer.node, lambda: dialer._notify(refusal))

    def _send(self, peer: str, message: Message, frames: list[Frame], size: int) -> None:
        other = self._network.find(peer)
        if other is None or peer not in self._peers:
            self._send_failed(peer, message, "unreachable", f"no connection to {peer}")
            return
        lane = message.lane
        unread = self._unread.get((peer, lane), 0)
        if self._network.is_stopped(peer) and unread >= 2 * _QUEUE[lane]:
            self._send_failed(peer, message, "slow", f"{unread} messages wait for {peer} already")
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
        other._notify(Arrival(self.node, message, array, size))

    def _send_failed(self, peer: str, message: Message, cause: Literal["slow", "unreachable"], reason: str) -> None:
        self.counters.send_failures += 1
        event = SendFailed(peer, tag_of(message), getattr(message, "round", 0), cause, reason)
        self._network.later(self.node, lambda: self._notify(event))

    def _notify(self, event: Arrival | TransportEvent) -> None:
        if not self._open:
            return
        try:
            self._receiver(event)
        except BaseException as error:  # noqa: BLE001  handed to the owner, who decides
            self._on_error(error)
