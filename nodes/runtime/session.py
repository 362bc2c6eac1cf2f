"""What every role needs before it can decide anything: a place in the network, a seat in the run, the roster."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Literal

import zmq
from nervenet.broker import transport as t
from nervenet.broker.codec import Limits
from nervenet.broker.lease import Lease
from nervenet.broker.messages import VERSION, Goodbye, Hello, Join, Member, Payload, Receipt, Report, Roster
from nervenet.broker.peer_discovery import discover_peers
from nervenet.broker.publisher import Publisher

from .node_stats import NodeStats
from .reconnect import Reconnector

if TYPE_CHECKING:
    from ..config.schema import Experiment
    from .node import Node

DESK = "launcher"  # the name under which a launcher takes reports
DRAIN_S = 2.0
BACKLOG = 10_000


class NodeFailed(RuntimeError):
    """A node ended without having done what was asked of it; the message says why, for people."""


@dataclass(frozen=True)
class NodeIdentity:
    """Where a node is: its broker, its run, its name, and the launcher's desk if it has one.

    `state` is the folder in which it keeps what it needs in order to go on after its own death, None: nowhere.
    `former` is the incarnation of the life that it takes up: the new one is larger, whatever its clock says.
    `min_nodes` is how many must join before it begins, None: as many as the experiment says.
    `seed_peer` is the control address of a living peer, through which to join a run that has begun, in place of
    `broker`.
    """

    broker: str
    run: str
    name: str
    desk: Mapping[str, str] | None = None
    shared_config: Mapping[str, Any] = field(default_factory=dict)
    state: Path | None = None
    former: int = 0
    min_nodes: int | None = None
    seed_peer: str = ""


class Session:
    """An open node: transport, membership, events. An async context manager.

    Enter it, await `roster`, then `attach` the node that will take what arrives; until then it is kept. Every wait has
    the experiment's join deadline.
    """

    def __init__(self, role: str, place: NodeIdentity, experiment: Experiment, *, binds: bool) -> None:
        network = experiment.network
        self.role = role
        self.place = place
        self.experiment = experiment
        self.incarnation = max(t.new_incarnation(), place.former + 1)
        # inproc addresses work within one context only, so that all nodes of a process share theirs.
        self._shares_context = network.transport == "inproc"
        self._context: zmq.Context[zmq.Socket[bytes]] = (
            zmq.Context.instance() if self._shares_context else zmq.Context()
        )
        self.record = NodeStats(role)
        self.transport = t.ZmqTransport(
            place.name,
            role,
            place.run,
            bind=inbox_address(experiment) if binds else None,
            advertise=network.advertise,
            limits=Limits(message_bytes=network.max_message_bytes),
            incarnation=self.incarnation,
            context=self._context,
        )
        self.publisher = Publisher(place.name, role, place.run, self.incarnation, context=self._context)
        self.on_event: Callable[[dict[str, Any]], None] | None = None  # for an owner who wants to hear the node's own
        self._node: Node | None = None
        self._backlog: list[t.Arrival | t.TransportEvent] = []
        self._guests: set[str] = set()  # connected to us, and not yet taken leave
        self._departed: set[str] = set()  # those who took leave
        self._parted = asyncio.Event()
        self._desk_up = asyncio.Event()
        self._acknowledged: dict[int, asyncio.Future[None]] = {}
        self._failure: BaseException | None = None
        self._membership: Lease | None = None
        self._found: Roster | None = None  # by the seed peer
        self.events_in = ""  # where its events go, once that is known
        self._following: Reconnector | None = None
        self._joined = False

    async def __aenter__(self) -> Session:
        network, place = self.experiment.network, self.place
        try:
            await self.transport.open(self._receive, self._failed)
            if place.desk:
                self.transport.link(DESK, place.desk)
            if place.seed_peer:
                await self._seek()
                return self
            self._membership = Lease(
                place.broker,
                Join(
                    id=0,
                    run=place.run,
                    node=place.name,
                    role=self.role,
                    incarnation=self.incarnation,
                    pid=os.getpid(),
                    addresses=dict(self.transport.addresses),
                    shared_config=dict(place.shared_config),
                    min_nodes=self.experiment.min_nodes if place.min_nodes is None else place.min_nodes,
                    join_deadline_s=network.join_deadline_s,
                ),
                self._context,
                connect_deadline_s=min(10.0, network.join_deadline_s),
                rejoin_deadline_s=network.rejoin_deadline_s,
                on_joined=lambda joined: self.publisher.connect(joined.events_in),
                on_roster=self._on_roster,
                on_warning=lambda reason: self.publish("warning", {"reason": reason}),
                on_error=self._failed,
            )
            await self._membership.__aenter__()
            self._joined = True
        except BaseException:
            await self._close_down("could not join")
            raise
        self.events_in = self._membership.events_in
        self._arrive()
        return self

    async def _seek(self) -> None:
        """Learn from one living peer who else is there."""
        place, transport = self.place, self.transport
        hello = Hello(place.name, self.role, place.run, self.incarnation, VERSION)
        deadline_s = self.experiment.network.join_deadline_s
        peers = await discover_peers(place.seed_peer, hello, place.shared_config, deadline_s, self._context)
        members = tuple(
            Member(news.node, self.role, news.incarnation, 0, dict(news.addresses), "alive")
            for news in peers.members
            if news.node != place.name
        )
        mine = Member(place.name, self.role, self.incarnation, os.getpid(), dict(transport.addresses), "alive")
        founders = dict.fromkeys(peers.founders, 0)
        self._found = Roster(0, place.run, 2, dict(place.shared_config), (*members, mine), founders)
        self.events_in = peers.events_in
        self._arrive()

    def _arrive(self) -> None:
        if self.events_in:
            self.publisher.connect(self.events_in)
        address = next(iter(self.transport.addresses.values()), "")
        self.publish("node.joined", {"pid": os.getpid(), "address": address})

    async def __aexit__(self, *_: object) -> None:
        await self._close_down("done")

    async def open(self, begin: Callable[[Roster], None]) -> None:
        """Enter, tell the launcher that this node is ready, wait for the roster, and `begin`; all or nothing."""
        await self.__aenter__()
        try:
            await self.report("ready", {"pid": os.getpid(), "addresses": dict(self.transport.addresses)})
            begin(await self.roster())
        except BaseException:
            await self.__aexit__()
            raise

    async def roster(self) -> Roster:
        """Wait until the run is complete.

        Raises
        ------
        RosterIncomplete
            If too few nodes have joined when the join deadline is over.
        """
        if self._found is not None:
            return self._found
        if self._membership is None:
            raise RuntimeError("a session must be entered before its roster is asked for")
        # The broker keeps the deadline and names who is missing; ours is only for a broker that no longer answers.
        return await self._membership.roster(newer_than=0, deadline_s=self.experiment.network.join_deadline_s + 5)

    def follow(self, peer: Member) -> None:
        """Dial a node, and keep the way to it: wherever, and however often, it is started again under its name."""
        if self._membership is None:
            raise RuntimeError("a session must be entered before it can follow anybody")
        self._following = Reconnector(
            self.transport, self._membership, peer, lambda reason: self.publish("warning", {"reason": reason})
        )

    def attach(self, node: Node) -> None:
        """Give what arrives, and what has arrived so far, to `node`."""
        self._node = node
        if self._failure:
            node.fail(self._failure)
        backlog, self._backlog = self._backlog, []
        for item in backlog:
            node.receive(item)

    def publish(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Publish an event of this node, and count it for its result."""
        self.record.event(kind, fields)
        event = self.publisher.publish(kind, **fields)
        if self.on_event is not None:
            self.on_event(event)

    async def report(
        self,
        kind: Literal["ready", "best", "result"],
        fields: Mapping[str, Any],
        array: Any = None,
        *,
        payload: Payload | None = None,
    ) -> None:
        """Tell the launcher something that must arrive, and wait until it has; nothing where there is no launcher."""
        if not self.place.desk:
            return
        number = len(self._acknowledged) + 1
        self._acknowledged[number] = asyncio.get_running_loop().create_future()
        deadline_s = self.experiment.network.join_deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                # The report travels on one lane and its acknowledgment on the other: both must stand before it is
                # made.
                await self._desk_up.wait()
                self.transport.send(DESK, Report(kind=kind, id=number, fields=dict(fields), payload=payload), array)
                await self._acknowledged[number]
        except TimeoutError:
            raise NodeFailed(
                f"the launcher did not acknowledge the {kind} of {self.place.name} within {deadline_s:g} s"
            ) from None

    def rest(self) -> None:
        """Decide nothing any more: whatever happens to others from here on is no news to this node."""
        if self._node is not None:
            self._node.close()

    def send_goodbye(self, to: list[str], reason: str) -> None:
        """Take leave of the nodes that may be waiting for this one; those who went first are not."""
        self.rest()
        there = [name for name in to if name not in self._departed]
        if there:
            self.transport.send(there, Goodbye(round=self.record.completed, reason=reason))

    async def wait_for_goodbyes(self, within_s: float) -> None:
        """Wait until everybody who was connected has taken leave or gone, `within_s` seconds at the most.

        A connection that ends takes with it what the other side has received and not yet read (ZeroMQ drops it), so
        whoever has said something last must not be the first to leave.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._guests:
                    self._parted.clear()
                    await self._parted.wait()

    def _on_roster(self, roster: Roster) -> None:
        if self._following is not None:
            self._following.roster(roster)

    def _receive(self, item: t.Arrival | t.TransportEvent) -> None:
        self._count(item)
        if self._following is not None:
            self._following.heard(item)
        match item:
            case t.Arrival(sender, Receipt(id=number)) if sender == DESK:
                future = self._acknowledged.get(number)
                if future and not future.done():
                    future.set_result(None)
            case t.LinkUp(peer) if peer == DESK:
                self._desk_up.set()
            case t.Arrival(sender) | t.LinkLost(sender) if sender == DESK:
                pass
            case _ if self._node is not None:
                self._node.receive(item)
            case _ if len(self._backlog) < BACKLOG:
                self._backlog.append(item)

    def _count(self, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.LinkUp(peer) if peer != DESK:
                self._guests.add(peer)
                self._departed.discard(peer)
            case t.LinkLost(peer):
                self._guests.discard(peer)
                self._parted.set()
            case t.Arrival(peer, Goodbye()):
                self._guests.discard(peer)
                self._departed.add(peer)
                self._parted.set()

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        if self._node is not None:
            self._node.fail(error)

    async def _close_down(self, reason: str) -> None:
        if self._node is not None:
            self._node.close()
        self.publish("node.left", {"reason": reason})
        for peer in self._departed:
            self.transport.unlink(peer)  # nobody reads there any more: what waits for them must not hold this node up
        # Last in, first out, and each whatever became of the one before: an owner may cut this short.
        async with AsyncExitStack() as stack:
            if not self._shares_context:
                stack.push_async_callback(asyncio.to_thread, self._context.term)
            stack.push_async_callback(self.publisher.close)
            if self._membership is not None and self._joined:
                self._membership.leave_reason = reason
                stack.push_async_exit(self._membership)
            stack.push_async_callback(self.transport.close, DRAIN_S)

    @property
    def connected(self) -> list[str]:
        """Who is connected to this node and has not taken leave."""
        return sorted(self._guests)


def inbox_address(experiment: Experiment) -> str:
    """Give the address pattern on which a node of this experiment binds its inbox."""
    network = experiment.network
    if network.transport == "tcp":
        return f"tcp://{network.bind}:*"
    if network.transport == "inproc":
        return f"inproc://nervenet-{secrets.token_hex(6)}"
    folder = Path(network.bind) if network.bind.startswith("/") else Path(gettempdir())
    return f"ipc://{folder}/nervenet-{secrets.token_hex(6)}"


def default_name(role: str) -> str:
    """Name a node that was given no name: unique enough, and readable."""
    return f"{role}-{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(2)}"


def members_of(roster: Roster, role: str) -> dict[str, Member]:
    """Give the members of one role, by name, in name order."""
    return {member.node: member for member in sorted(roster.members, key=lambda m: m.node) if member.role == role}
