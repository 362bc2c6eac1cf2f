"""A process that hosts several nodes: one inbox, one link to each other such process, whatever the number of nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import zmq
from numpy.typing import NDArray

from ..codec import DEFAULT_LIMITS, Limits
from ..errors import MessageTooLarge, ProtocolError, TransportClosed
from ..event_outlet import EventOutlet
from ..messages import Carried, CarriedBulk, Hello, Message, Refused
from ..security.plain import LOCAL, Plain
from ..transport import ZmqTransport
from ..transport_events import Arrival, ConnectionRefused, LinkLost, LinkUp, SendFailed, TransportEvent, VectorLost
from .carrying import carried, opened
from .introductions import Introductions
from .transport import HostedTransport

ROLE = "host"
MANY = 32  # nodes from which their events share sockets: those of fewer, with rounds of milliseconds, would be too many
OF_AN_OUTLET = 4  # nodes: what of their events may wait is as much as a broker takes at once of a connection
GREET_S = 1.0  # how often it is looked whether a node that was dialed has answered
DRAIN_S = 2.0
_TOLD = 64  # reasons that are reported


class Host:
    """Carries the messages of its nodes: to each other in memory, to those of other processes over one transport.

    An async context manager, to be entered before its nodes are opened and left when they are closed. `transport`
    gives each its own end.

    Parameters
    ----------
    name : str
        Of this process, for the others: unique in the run.
    run : str
    bind, advertise, context, limits, security, shared_memory
        As for `ZmqTransport`.
    nodes : int
        How many it hosts: so many times what may wait for one peer may wait for another process.
    """

    def __init__(
        self,
        name: str,
        run: str,
        *,
        bind: str,
        nodes: int = 1,
        advertise: str | None = None,
        limits: Limits = DEFAULT_LIMITS,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        security: Plain = LOCAL,
        shared_memory: bool = False,
    ) -> None:
        self.name = name
        self._run = run
        self._security = security
        self._limits = limits
        self._transport = ZmqTransport(
            name,
            ROLE,
            run,
            bind=bind,
            advertise=advertise,
            limits=limits,
            context=context,
            security=security,
            speaks_for=nodes,
            shared_memory=shared_memory,
        )
        self._outlets: list[EventOutlet] = []
        if nodes >= MANY:
            self._outlets = [
                EventOutlet(publishers=OF_AN_OUTLET, context=context, security=security)
                for _ in range(0, nodes, OF_AN_OUTLET)
            ]
        self._given = 0  # outlets
        self._nodes: dict[str, HostedTransport] = {}
        self._introductions = Introductions(security.enrollment.roles if security.enrollment.secret else ())
        self._told: set[str] = set()  # reasons, of those by which a process was refused something
        self._up: set[str] = set()  # processes that there is a connection to
        self._failure: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None

    def transport(self, node: str, role: str, incarnation: int, *, binds: bool = True) -> HostedTransport:
        """Return the transport of a node of this process."""
        shared: dict[str, Any] = {"limits": self._limits, "security": self._security}
        return HostedTransport(self, node, role, self._run, incarnation=incarnation, binds=binds, **shared)

    def outlet(self) -> EventOutlet | None:
        """Return what the events of a further node are sent by, with those of others; None: it has its own."""
        if not self._outlets:
            return None
        self._given += 1
        return self._outlets[self._given % len(self._outlets)]

    async def __aenter__(self) -> Self:
        await self._transport.open(self._receive, self._failed)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(GREET_S, self._greet)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._transport.close(DRAIN_S)

    # What its nodes ask for

    @property
    def addresses(self) -> Mapping[str, str]:
        return self._transport.addresses

    def here(self, name: str) -> HostedTransport | None:
        return self._nodes.get(name)

    def enter(self, transport: HostedTransport) -> None:
        known = self._nodes.get(transport.node)
        if known is not None and known.incarnation > transport.incarnation:
            return
        self._nodes[transport.node] = transport
        if self._failure is not None:
            self._loop.call_soon(transport.fail, self._failure)
        for other in self._nodes.values():
            if other is not transport:
                other.greet(self.name, transport.node)
        for host, hello in self._introductions.take(transport.node):
            self._loop.call_soon(transport.take, hello.node, host, hello, None, 0)

    def leave(self, transport: HostedTransport) -> None:
        if self._nodes.get(transport.node) is transport:
            del self._nodes[transport.node]

    def reach(self, host: str, addresses: Mapping[str, str]) -> None:
        self._transport.link(host, {lane: addresses[lane] for lane in ("control", "bulk") if lane in addresses})

    def reached(self, host: str) -> bool:
        return host == self.name or host in self._up

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
    ) -> None:
        try:
            self._transport.send(host, carried(sender, to, message, nbytes, answers=answers), array)
        except TransportClosed:  # nobody is told any more
            pass
        except MessageTooLarge as error:
            if (node := self._nodes.get(sender)) is not None:
                node.fail(error)

    def share(self, array: NDArray[Any]) -> NDArray[Any]:
        return self._transport.share(array)

    def lend(self, nbytes: int) -> NDArray[Any] | None:
        return self._transport.lend(nbytes)

    def sending(self, host: str) -> tuple[int, ...]:
        return self._transport.sending(host)

    def moved(self, host: str) -> int:
        return self._transport.moved(host)

    # What comes from other processes

    def _receive(self, item: Arrival | TransportEvent) -> None:
        match item:
            case Arrival(host, Carried() | CarriedBulk() as carrier, array):
                self._open(host, carrier, array)
            case Arrival(host, Refused() as refused):
                for node in list(self._nodes.values()):
                    node.turned_away(host, refused)
            case LinkUp(host) if host not in self._up:
                self._up.add(host)
                for node in list(self._nodes.values()):
                    node.greet(host)
            case LinkLost(host):
                self._up.discard(host)
                self._introductions.forget(host)
                for node in list(self._nodes.values()):
                    node.cut(host, f"the connection to {host}, which hosts it, has ended")
            case SendFailed(host):
                for node in list(self._nodes.values()):
                    node.failed(host, item)
            case ConnectionRefused():
                self._report(item)
            case VectorLost():
                for node in list(self._nodes.values())[:1]:
                    node.vector_lost(item)

    def _open(self, host: str, carrier: Carried | CarriedBulk, array: NDArray[Any] | None) -> None:
        nodes = [(name, self._nodes.get(name)) for name in carrier.to]
        nbytes = carrier.nbytes
        sender, answers = carrier.sender, isinstance(carrier, Carried) and carrier.answers
        try:
            message = opened(carrier)
        except ProtocolError as error:
            for _, node in nodes:
                if node is not None:
                    node.malformed(sender, error, nbytes)
            return
        greets = isinstance(message, Hello)
        if greets and (reason := self._introductions.refusal(host, sender)) is not None:
            self._refuse(host, reason)
            return
        for name, node in nodes:
            if node is not None:
                node.take(sender, host, message, array, nbytes, answers)
            elif isinstance(message, Hello) and message.node == sender:
                self._refuse(host, self._introductions.keep(host, message, name))

    def _refuse(self, host: str, reason: str | None) -> None:
        """Report, each reason once, that something of a process is not taken."""
        if reason is not None and reason not in self._told and len(self._told) < _TOLD and self._nodes:
            self._told.add(reason)
            self._report(ConnectionRefused(f"inbox.{ROLE}", "", "", host, reason))

    def _report(self, refusal: ConnectionRefused) -> None:
        for node in list(self._nodes.values())[:1]:
            node.refused(refusal)

    def _greet(self) -> None:
        """Say HELLO once more to those that have not answered: they may not have been open."""
        self._timer = self._loop.call_later(GREET_S, self._greet)
        for node in list(self._nodes.values()):
            node.greet()

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        for node in list(self._nodes.values()):
            node.fail(error)
