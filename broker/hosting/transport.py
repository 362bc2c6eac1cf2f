"""The transport of a node that shares its process with others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from ..authority import wrong_caller, wrong_pair
from ..codec import DEFAULT_LIMITS, Limits, check_size, decode, encode
from ..enrollment import Enrollment
from ..errors import BadAddress, ProtocolError, TransportClosed
from ..messages import Departed, Hello, Lane, Message, Refused, tag_of
from ..security.plain import LOCAL, Plain
from ..sockets import BULK_QUEUE, CONTROL_QUEUE
from ..transport_events import (
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
from ..transport_protocol import OnError, Receiver
from ..versions import common, hello, mismatch, spoken_by

HOST = "host"
"""Beside the addresses of a hosted node: the name of the process that hosts it."""


def hosted_addresses(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses of a hosted node as they stand beside those of its own sockets."""
    return {key if key == HOST else f"{HOST}.{key}": address for key, address in addresses.items()}


_HELD = {Lane.CONTROL: CONTROL_QUEUE, Lane.BULK: BULK_QUEUE}  # messages that wait for the answer to a HELLO
_EARLY = 64  # messages that have come before it


class Carrier(Protocol):
    """What a hosted node needs of its process."""

    name: str

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where other processes reach this one."""

    def enter(self, transport: HostedTransport) -> None: ...

    def leave(self, transport: HostedTransport) -> None: ...

    def here(self, name: str) -> HostedTransport | None: ...

    def reach(self, host: str, addresses: Mapping[str, str]) -> None:
        """Connect to another process, if that has not been done."""

    def reached(self, host: str) -> bool:
        """Whether there is a connection to a process, or it is this one; else `greet` is called when there is."""

    def carry(
        self,
        host: str,
        sender: str,
        to: Sequence[str],
        message: Message,
        nbytes: int,
        array: NDArray[Any] | None = None,
        *,
        answers: bool = False,
    ) -> None: ...

    def share(self, array: NDArray[Any]) -> NDArray[Any]: ...

    def lend(self, nbytes: int) -> NDArray[Any] | None: ...

    def sending(self, host: str) -> tuple[int, ...]: ...

    def moved(self, host: str) -> int: ...


@dataclass(slots=True)
class Peer:
    """A node that has introduced itself, and where it is."""

    incarnation: int
    role: str
    host: str
    dials: bool = False  # and has a link to this one


@dataclass(slots=True)
class Dialed:
    """A link from here: to which process, and what waits for its answer."""

    host: str
    addresses: Mapping[str, str]
    waiting: list[tuple[Message, NDArray[Any] | None]]
    early: list[tuple[Message, NDArray[Any] | None, int]]
    incarnation: int = 0  # that has answered; 0: none yet
    refused: bool = False


def refusal_of(
    said: Hello, sender: str, known: Peer | None, me: HostedTransport, enrollment: Enrollment, *, answers: bool
) -> tuple[str, str] | None:
    """Return code and reason why an introduction is not accepted, or None."""
    if said.node != sender:
        return "identity", f"{sender} introduces itself as {said.node}"
    if common(spoken_by(said)) is None:
        return "version", mismatch(said.node, spoken_by(said), me.node)
    if said.run != me.run:
        return "run", f"run '{said.run}'; this node belongs to run '{me.run}'"
    if known is not None and known.incarnation > said.incarnation:
        return "stale", f"{sender} has been started again since (incarnation {known.incarnation})"
    wrong = None if answers else wrong_caller(said.node, said.role, me.role)
    wrong = wrong or enrollment.refusal(said.run, said.node, said.role, said.incarnation, said.proof, me.node)
    return None if wrong is None else ("identity", wrong)


class HostedTransport:
    """`Transport` of a node in a `Host`; its methods are documented there.

    To a node of the same process a message goes through the codec, once for all that get it, and so is neither the
    sender's objects nor its array. Introductions are made over the control lane alone. Nodes that share a process and
    get the same message share what was decoded, which nobody may change.
    """

    def __init__(
        self,
        host: Carrier,
        node: str,
        role: str,
        run: str,
        *,
        incarnation: int,
        binds: bool = True,
        limits: Limits = DEFAULT_LIMITS,
        security: Plain = LOCAL,
    ) -> None:
        self.node = node
        self.role = role
        self.run = run
        self.incarnation = incarnation
        self.counters = Counters()
        self._host = host
        self._binds = binds
        self._limits = limits
        self._enrollment = security.enrollment
        self._peers: dict[str, Peer] = {}
        self._links: dict[str, Dialed] = {}
        self._open = False

    @property
    def addresses(self) -> Mapping[str, str]:
        return {**self._host.addresses, HOST: self._host.name} if self._binds else {}

    async def open(self, receiver: Receiver, on_error: OnError) -> None:
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        self._on_error = on_error
        self._open = True
        self._host.enter(self)

    def link(self, peer: str, addresses: Mapping[str, str], *, watched: bool = False) -> None:  # noqa: ARG002
        if not self._open:
            raise TransportClosed(self.node, "dials")
        if HOST not in addresses:
            raise BadAddress(peer, f"no process that hosts it is given; {self.node} shares one, and reaches only those")
        known = self._links.get(peer)
        if known is not None and known.addresses == addresses:
            return
        self.unlink(peer)
        self._links[peer] = Dialed(addresses[HOST], addresses, [], [])
        if addresses[HOST] != self._host.name:
            own = {lane.value: addresses[f"{HOST}.{lane}"] for lane in Lane if f"{HOST}.{lane}" in addresses}
            self._host.reach(addresses[HOST], own or addresses)
        self._greet(peer)

    def unlink(self, peer: str) -> None:
        known = self._peers.get(peer)
        if self._links.pop(peer, None) is not None and known is not None and not known.dials:
            del self._peers[peer]

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        if not self._open:
            raise TransportClosed(self.node, "sends")
        frames = encode(message, array)
        size = check_size(message, frames, self._limits)
        here: list[HostedTransport] = []
        elsewhere: dict[str, list[str]] = {}
        for name in (to,) if isinstance(to, str) else to:
            peer = self._peers.get(name)
            if peer is None:
                self._hold(name, message, array)
                continue
            self._count(len(frames[0]), size)
            if peer.host != self._host.name:
                elsewhere.setdefault(peer.host, []).append(name)
            elif (other := self._host.here(name)) is not None:
                here.append(other)
        for host, names in elsewhere.items():
            self._host.carry(host, self.node, names, message, size, array)
        if here:
            message, array = decode([bytes(frame) for frame in frames], self._limits)
            for other in here:
                self._loop.call_soon(other.take, self.node, self._host.name, message, array, size)

    def share(self, array: NDArray[Any]) -> NDArray[Any]:
        return self._host.share(array)

    def lend(self, nbytes: int) -> NDArray[Any] | None:
        return self._host.lend(nbytes)

    def sending(self, to: str) -> tuple[int, ...]:
        peer = self._peers.get(to)
        return () if peer is None or peer.host == self._host.name else self._host.sending(peer.host)

    def moved(self, to: str) -> int:
        peer = self._peers.get(to)
        return 0 if peer is None or peer.host == self._host.name else self._host.moved(peer.host)

    async def close(self, drain_s: float) -> None:  # noqa: ARG002  (what is queued is the host's)
        if not self._open:
            return
        self._open = False
        self._host.leave(self)
        farewell = Departed(self.incarnation)
        elsewhere: dict[str, list[str]] = {}
        for name, peer in self._peers.items():
            elsewhere.setdefault(peer.host, []).append(name)
        for host, names in elsewhere.items():
            if host != self._host.name:
                self._host.carry(host, self.node, names, farewell, 0)
                continue
            for name in names:
                if (other := self._host.here(name)) is not None:
                    self._loop.call_soon(other.take, self.node, host, farewell, None, 0)

    # Called by the host, and by other nodes of it

    def greet(self, host: str = "", node: str = "") -> None:
        """Say HELLO to those that have not answered: of one process, or to one node; once more to all."""
        for peer, link in self._links.items():
            if not link.incarnation and host in ("", link.host) and node in ("", peer):
                self._greet(peer)

    def fail(self, error: BaseException) -> None:
        self._on_error(error)

    def cut(self, host: str, reason: str) -> None:
        """Take note that the connection to another process has ended."""
        for name in [name for name, peer in self._peers.items() if peer.host == host]:
            self._lost(name, reason)
        self.greet(host)

    def turned_away(self, host: str, refused: Refused) -> None:
        """Take note that another process has refused this one, and with it all links there."""
        for peer, link in list(self._links.items()):
            if link.host == host and refused.about == "hello":
                self._notify(Arrival(peer, refused, None, 0))

    def failed(self, host: str, event: SendFailed) -> None:
        """Take note that something did not leave for another process: it may have been this node's."""
        for name, peer in self._peers.items():
            if peer.host == host:
                self._notify(SendFailed(name, event.kind, event.round, event.cause, event.reason))
                return

    def refused(self, refusal: ConnectionRefused) -> None:
        self.counters.refused += 1
        self._notify(refusal)

    def vector_lost(self, lost: VectorLost) -> None:
        self._notify(lost)

    def take(
        self, sender: str, host: str, message: Message, array: NDArray[Any] | None, nbytes: int, answers: bool = False
    ) -> None:
        """Take a message from a node of a process."""
        if not self._open:
            return
        self.counters.messages_received += 1
        self.counters.bytes_received += nbytes
        peer, link = self._peers.get(sender), self._links.get(sender)
        if isinstance(message, Hello):
            self._introduced(sender, host, message, answers=answers)
        elif isinstance(message, Refused):
            if message.about == "hello" and link is not None:
                link.refused = True
            elif message.code == "stranger" and link is not None:  # it has forgotten this node
                self._peers.pop(sender, None)
                link.incarnation = 0
                self._greet(sender)
            self._notify(Arrival(sender, message, array, nbytes))
        elif peer is None or peer.host != host:
            self._stranger(sender, host, message, array, nbytes)
        elif isinstance(message, Departed):
            if message.incarnation == peer.incarnation:
                self._lost(sender, f"the connection of {sender} has closed")
        elif (wrong := wrong_pair(type(message), peer.role, self.role)) is not None:
            self.refused(ConnectionRefused(f"inbox.{self.role}", "", "", sender, wrong))
        else:
            self._notify(Arrival(sender, message, array, nbytes))

    def malformed(self, sender: str, error: ProtocolError, nbytes: int) -> None:
        self.counters.malformed += 1
        self._notify(MalformedMessage(sender, error.code, error.reason, nbytes))

    # Introductions

    def _greet(self, peer: str) -> None:
        link = self._links[peer]
        if not link.refused and self._host.reached(link.host):
            self._say(peer, link.host, self._hello(peer))

    def _hello(self, to: str) -> Hello:
        proof = self._enrollment.proof(self.run, self.node, self.incarnation, to)
        return hello(self.node, self.role, self.run, self.incarnation, proof=proof)

    def _say(self, to: str, host: str, message: Message, *, answers: bool = False) -> None:
        """Send an introduction or a refusal, to one that need not have introduced itself."""
        size = len(encode(message)[0])
        if host != self._host.name:
            self._host.carry(host, self.node, (to,), message, size, answers=answers)
        elif (other := self._host.here(to)) is not None:
            self._loop.call_soon(other.take, self.node, host, message, None, size, answers)
        else:
            return
        self._count(size, size)

    def _introduced(self, sender: str, host: str, said: Hello, *, answers: bool) -> None:
        link = self._links.get(sender)
        if answers and (link is None or link.host != host):
            return
        refusal = refusal_of(said, sender, self._peers.get(sender), self, self._enrollment, answers=answers)
        if refusal is not None:
            self.counters.refused += 1
            if refusal[0] == "identity":
                self._notify(ConnectionRefused(f"inbox.{self.role}", "", "", sender, refusal[1]))
            if not answers:
                self._say(sender, host, Refused("hello", 0, *refusal))
            return
        known = self._peers.get(sender)
        same = known is not None and (known.incarnation, known.host) == (said.incarnation, host)
        dials = not answers or (known is not None and same and known.dials)
        self._peers[sender] = Peer(said.incarnation, said.role, host, dials)
        if not answers:
            self._say(sender, host, self._hello(sender), answers=True)
            if known != self._peers[sender]:  # else it says HELLO again, since it has had no answer yet
                self._notify(LinkUp(sender, said.role, said.incarnation, False))
            if link is not None and link.incarnation not in (0, said.incarnation):
                link.incarnation = 0  # it was started again, and knows nothing of this node's link
                self._greet(sender)
        elif link is not None and link.incarnation != said.incarnation:
            link.incarnation = said.incarnation
            self._notify(LinkUp(sender, said.role, said.incarnation, True))
        if link is not None:
            self._release(sender, host, link)

    def _release(self, sender: str, host: str, link: Dialed) -> None:
        """Send what has waited for an introduction, and take what has come before it."""
        waiting, link.waiting = link.waiting, []
        early, link.early = link.early, []
        for message, array in waiting:
            self.send(sender, message, array)
        for message, array, nbytes in early:
            self.take(sender, host, message, array, nbytes)

    def _stranger(self, sender: str, host: str, message: Message, array: NDArray[Any] | None, nbytes: int) -> None:
        link = self._links.get(sender)
        if link is not None and link.host == host and not link.incarnation and len(link.early) < _EARLY:
            link.early.append((message, array, nbytes))  # its answer is on its way, by the other lane
        elif not isinstance(message, Departed):
            self.counters.refused += 1
            reason = f"{self.node} has not received your HELLO"
            self._say(sender, host, Refused(tag_of(message), getattr(message, "round", 0), "stranger", reason))

    # Helpers

    def _lost(self, name: str, reason: str) -> None:
        peer = self._peers.pop(name, None)
        link = self._links.get(name)
        if link is not None:
            link.incarnation = 0
            link.refused = False
        if peer is not None:
            self._notify(LinkLost(name, peer.incarnation, reason))

    def _hold(self, name: str, message: Message, array: NDArray[Any] | None) -> None:
        link = self._links.get(name)
        if link is None:
            self._send_failed(name, message, "unreachable", f"{name} has not introduced itself on {message.lane}")
            return
        lane = message.lane
        if sum(each.lane is lane for each, _ in link.waiting) >= _HELD[lane]:
            oldest = next(item for item in link.waiting if item[0].lane is lane)
            link.waiting.remove(oldest)
            self._send_failed(name, oldest[0], "unreachable", f"no connection to {name}")
        link.waiting.append((message, array))

    def _send_failed(self, peer: str, message: Message, cause: Literal["slow", "unreachable"], reason: str) -> None:
        self.counters.send_failures += 1
        failed = SendFailed(peer, tag_of(message), getattr(message, "round", 0), cause, reason)
        self._loop.call_soon(self._notify, failed)

    def _count(self, header: int, size: int) -> None:
        counters = self.counters
        counters.messages_sent += 1
        counters.bytes_sent += size
        counters.sent_by_kind["control"] += header
        counters.sent_by_kind["weights"] += size - header

    def _notify(self, event: Arrival | TransportEvent) -> None:
        if not self._open:
            return
        try:
            self._receiver(event)
        except BaseException as error:  # noqa: BLE001  handed to the owner, who decides
            self._on_error(error)
