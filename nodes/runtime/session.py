"""What every role needs before it can decide anything: a place in the network, a seat in the run, the roster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import zmq
from nervenet.broker import transport as t
from nervenet.broker.codec import Limits
from nervenet.broker.ending import end_in_thread
from nervenet.broker.errors import BrokerUnreachable, JoinRefused, PeerUnreachable
from nervenet.broker.events import Publisher
from nervenet.broker.greeting import not_encrypted_here
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Goodbye, Hello, Join, Member, Peers, Roster
from nervenet.broker.peer_discovery import NO_ANSWER, check_name_free, discover_peers
from nervenet.broker.versions import hello

from ..config.schema import Experiment, NetworkConfig
from .auditing import Auditor, opened_fields
from .connections import Connections, Farewell
from .identity import NodeIdentity, inbox_address, seed_of
from .node import Node
from .node_stats import NodeStats
from .published import is_of_launch, published_as
from .reconnect import Reconnector
from .report_client import DRAIN_S, REPORT_SERVER, ReportClient
from .said_waits import Cause, saying
from .secured import RefusalEvents, check_entrance, close_gate, on_key_warning, security_of

ATTEMPT_S = 10.0  # after which a broker that has not answered is asked again
ANSWER_S = 2.0  # in which a peer that has this one's name answers, if it lives
FOREVER_S = 1e9  # a deadline that the others can be told of
JOIN_DEADLINE = "network.join_deadline_s"  # by which a node's owner knows its deadline
BACKLOG = 10_000  # messages that are kept until there is a node to take them


def new_transport(
    session: Session, network: NetworkConfig, context: zmq.Context[zmq.Socket[bytes]], *, binds: bool
) -> t.Transport:
    """Return the transport of a node: its own sockets, or its end of what its process shares."""
    identity, incarnation = session.identity, session.incarnation
    if identity.host is not None:
        return identity.host.transport(identity.name, session.role, incarnation, binds=binds)
    return t.ZmqTransport(
        identity.name,
        session.role,
        identity.run,
        bind=inbox_address(network) if binds else None,
        advertise=network.advertise,
        limits=Limits(message_bytes=network.max_message_bytes),
        incarnation=incarnation,
        context=context,
        security=session.security,
        shared_memory=network.shared_memory,
    )


def new_publisher(session: Session, context: zmq.Context[zmq.Socket[bytes]]) -> Publisher:
    """Return what publishes a node's events: of the run and in the role that they bear."""
    run, role = published_as(session.identity, session.role)
    host = session.identity.host
    return Publisher(
        session.identity.name,
        role,
        run,
        session.incarnation,
        context=context,
        security=session.security,
        outlet=None if host is None else host.outlet(),
    )


class Session:
    """An open node: transport, lease, events.

    What arrives is kept until a node is attached that takes it. Every wait has the experiment's join deadline,
    unless the node is `patient`.
    """

    def __init__(self, role: str, identity: NodeIdentity, experiment: Experiment, *, binds: bool) -> None:
        network = experiment.network
        self.role = role
        self.identity = identity
        self.experiment = experiment
        self._binds = binds
        # inproc addresses work within one context only, so that all nodes of a process share theirs.
        self._shares_context = identity.context is not None or network.transport == "inproc"
        self._context: zmq.Context[zmq.Socket[bytes]] = identity.context or (
            zmq.Context.instance() if self._shares_context else zmq.Context()
        )
        self.stats = NodeStats(role)
        self.security = identity.security or security_of(network, identity.name)
        self._seed_name, self._seed_peer = seed_of(identity.seed_peer)
        self._refusals = RefusalEvents()
        self.auditor = Auditor.of(identity, self.security, experiment)
        self._incarnate(identity.previous_incarnation)
        self.connections = Connections()
        self.events_in = ""  # where its events go, once that is known
        self.on_event: Callable[[dict[str, Any]], None] | None = None  # for an owner who wants to hear the node's own
        self.run_so_far: Callable[[], Mapping[str, Any]] | None = None  # what `run.failed` says of a run of its own
        self._node: Node | None = None
        self._backlog: list[t.Arrival | t.TransportEvent] = []
        self._failure: BaseException | None = None
        self._barred = Cause(self._warn, NO_ANSWER)  # why the seed peer does not let it join
        self._short = ""  # who has joined so far, as the broker says it
        self._lease: Lease | None = None
        self._reconnector: Reconnector | None = None

    def _incarnate(self, previous: int) -> None:
        """Take an incarnation number that is larger than the previous one, whatever the clock says."""
        identity, network = self.identity, self.experiment.network
        self.incarnation = max(t.new_incarnation(), previous + 1)
        self.transport = new_transport(self, network, self._context, binds=self._binds)
        self._farewell = Farewell(self.transport)
        self.publisher = new_publisher(self, self._context)
        self.reports = ReportClient(self.transport, identity.report_server, warn=self._warn)

    async def open(self, begin: Callable[[Roster], None]) -> None:
        """Join, report to the launcher that this node is ready, wait until the run is complete, and `begin`.

        All or nothing: whatever is raised, on the way or by `begin`, closes the session.

        Raises
        ------
        NotEncrypted, KeysError
            An address is beyond this machine and there are no keys, or none for whom the node has to dial.
        BrokerUnreachable, PeerUnreachable, JoinRefused
            The node cannot join; `NameTaken`, where another one that answers has its name.
        RosterIncomplete
            Too few nodes have joined when the join deadline is over.
        """
        identity, reason = self.identity, "could not join"
        try:
            check_entrance(self.security, identity.broker, self._seed_name, self._seed_peer)
            if identity.context is None:
                on_key_warning(self.security, self._warn)
            await self._open_transport()
            if self.auditor is not None:
                self.auditor.open(opened_fields(self.role, identity, self.incarnation, self.experiment))
            roster = None
            if identity.seed_peer:
                roster = await self._join_by_peer()
            else:
                await self._join_as_newest()
            if self.events_in:
                self.publisher.connect(self.events_in)
            addresses = self.transport.addresses
            self.publish("node.joined", {"pid": os.getpid(), "address": next(iter(addresses.values()), "")})
            reason = "done"
            await self.reports.report("ready", {"pid": os.getpid(), "addresses": dict(addresses)})
            async with self._saying(self._awaited):
                roster = roster or await self._joined().roster(
                    deadline_s=self._join_deadline_s,
                    key=JOIN_DEADLINE,
                    on_late=None if identity.report_server else self._fell_short,
                )
            begin(roster)
        except BaseException:
            await self.close(reason)
            raise

    async def _open_transport(self) -> None:
        await self.transport.open(self._receive, self._failed)
        self.reports.link()

    async def _join_as_newest(self) -> None:
        """Join; where a previous incarnation is known by a larger number, since a clock was set back, as the next."""
        try:
            await self._join_by_broker()
        except JoinRefused as refused:
            if not refused.newest:
                raise
            await self.transport.close(0.0)
            await self.publisher.close(0.0)
            self._incarnate(refused.newest)
            await self._open_transport()
            await self._join_by_broker()

    async def _join_by_broker(self) -> None:
        network, identity = self.experiment.network, self.identity
        lease = Lease(
            identity.broker,
            Join(
                id=0,
                run=identity.run,
                node=identity.name,
                role=self.role,
                incarnation=self.incarnation,
                pid=os.getpid(),
                addresses=dict(self.transport.addresses),
                shared_config=dict(identity.shared_config),
                min_nodes=self.experiment.min_nodes if identity.min_nodes is None else identity.min_nodes,
                join_deadline_s=self._join_deadline_s,
                replace=identity.replace,
            ),
            self._context,
            rejoin_deadline_s=network.rejoin_deadline_s,
            on_joined=lambda joined: self.publisher.connect(joined.events_in),
            on_roster=lambda roster: self._reconnector.roster(roster) if self._reconnector else None,
            on_warning=self._warn,
            on_error=self._failed,
            security=self.security,
            rosters=identity.rosters,
        )
        async with self._saying(lambda: f"the broker at {identity.broker}"):
            await self._enter(lease)
        self._lease, self.events_in = lease, lease.events_in

    async def _enter(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._join_deadline_s
        while True:
            lease.connect_deadline_s = max(0.0, min(ATTEMPT_S, until - loop.time()))
            try:
                await lease.__aenter__()
                return
            except BrokerUnreachable as error:
                if loop.time() >= until:
                    why = error.refused or await not_encrypted_here(error.address, self.security)
                    raise BrokerUnreachable(error.address, self._join_deadline_s, JOIN_DEADLINE, why) from None

    @property
    def _join_deadline_s(self) -> float:
        return FOREVER_S if self.identity.patient else self.experiment.network.join_deadline_s

    def _saying(self, whom: Callable[[], str]) -> AbstractAsyncContextManager[None]:
        """Say for whom this node waits, and show it at once where no launcher knows better."""
        shown = None if self.identity.report_server else lambda who: self.publish("node.waiting", {"reason": who})
        return saying(whom, self._warn, shown)

    def _fell_short(self, reason: str) -> None:
        self._short = reason

    def _awaited(self) -> str:
        if self._lease is not None and self._lease.away:
            return f"the broker at {self.identity.broker}, which no longer answers"
        others = f"the other nodes of run '{self.identity.run}'"
        return f"{others}; {self._short}" if self._short else others

    async def _join_by_peer(self) -> Roster:
        """Return who is there, as one living peer knows it."""
        identity, transport = self.identity, self.transport
        mine = hello(identity.name, self.role, identity.run, self.incarnation)
        async with self._saying(lambda: f"a peer at {identity.seed_peer}{self._barred}"):
            peers = await self._discover(mine)
        if not identity.replace:
            await check_name_free(mine, peers, ANSWER_S, self._context, self.security)
        members = tuple(
            Member(state.node, self.role, state.incarnation, 0, dict(state.addresses), "alive")
            for state in peers.members
            if state.node != identity.name
        )
        me = Member(identity.name, self.role, self.incarnation, os.getpid(), dict(transport.addresses), "alive")
        founders = dict.fromkeys(peers.founders, 0)
        self.events_in = peers.events_in
        return Roster(0, identity.run, 2, dict(identity.shared_config), (*members, me), founders)

    async def _discover(self, hello: Hello) -> Peers:
        """Ask the seed peer who is there, again and again: it may not have been started yet, or be started again."""
        identity, loop = self.identity, asyncio.get_running_loop()
        until = loop.time() + self._join_deadline_s
        secured = (self._context, self.security, self._seed_name)
        while True:
            within_s = max(0.0, min(ATTEMPT_S, until - loop.time()))
            try:
                return await discover_peers(self._seed_peer, hello, identity.shared_config, within_s, *secured)
            except PeerUnreachable as error:
                if loop.time() >= until:
                    within = f"within {self._join_deadline_s:g} s ({JOIN_DEADLINE})"
                    raise PeerUnreachable(error.peer, f"{error.problem} {within}") from None
                self._barred.found(error.problem)

    def follow(self, *peers: Member) -> None:
        """Dial nodes, and keep the way to each: wherever, and however often, it is started again under its name."""
        self._reconnector = Reconnector(self.transport, self._joined(), peers, self._warn)

    def attach(self, node: Node) -> None:
        """Hand what arrives, and what has arrived so far, to `node`."""
        self._node = node
        if self._failure:
            node.fail(self._failure)
        backlog, self._backlog = self._backlog, []
        for item in backlog:
            node.receive(item)

    def publish(self, kind: str, fields: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> None:
        """Publish an event of this node, and count it for its result; `own` fields are for `on_event`, and not sent."""
        if kind == "run.failed" and self.run_so_far is not None:
            fields = {**self.run_so_far(), **fields}
        self.stats.event(kind, fields)
        if not is_of_launch(self.identity, self.role, kind, fields):
            return
        event = self.publisher.publish(kind, **fields)
        if self.on_event is not None:
            self.on_event({**event, **(own or {})})

    def mute(self) -> None:
        """Drop from now on what arrives; for a signal's handler, which may interrupt anything."""
        if self._node is not None:
            self._node.mute()

    def stop_deciding(self) -> None:
        """Decide nothing any more: whatever happens to others from here on is no news to this node."""
        if self._node is not None:
            self._node.close()

    def send_goodbye(self, to: Collection[str], reason: str, to_late: str = "") -> None:
        self.stop_deciding()
        waiting = [name for name in sorted(to) if name not in self.connections.departed]
        self._farewell.say(waiting, Goodbye(round=self.stats.completed, reason=reason), to_late)

    def _receive(self, item: t.Arrival | t.TransportEvent) -> None:
        of_machine = type(item) is t.Arrival and item.sender != REPORT_SERVER and type(item.message) is not Goodbye
        if not of_machine and self._is_of_session(item):
            return
        if self._node is not None:
            self._node.receive(item)
        elif len(self._backlog) < BACKLOG:
            self._backlog.append(item)

    def _is_of_session(self, item: t.Arrival | t.TransportEvent) -> bool:
        """Take note of what concerns the connections, and return whether it concerns nothing else."""
        match item:
            case t.ConnectionRefused():
                self._refusals.publish(item, self.publish)
                return True
            case t.VectorLost(sender, reason):
                lost = f"a message of {sender} is lost: it has {reason}"
                self.publish("warning", {"subject": sender, "reason": lost})
                return True
            case t.Arrival(peer) | t.LinkUp(peer) | t.LinkLost(peer):
                if peer == REPORT_SERVER:
                    self.reports.receive(item)
                    return True
                self.connections.note(item)
                self._farewell.note(item)
                if self._reconnector is not None:
                    self._reconnector.heard(item)
        return False

    def _failed(self, error: BaseException) -> None:
        self._failure = error
        if self._node is not None:
            self._node.fail(error)

    def _warn(self, reason: str) -> None:
        self.publish("warning", {"reason": reason})

    def _joined(self) -> Lease:
        if self._lease is None:
            raise RuntimeError("a session must have joined by way of a broker before it can do that")
        return self._lease

    async def close(self, reason: str = "done") -> None:
        self.stop_deciding()
        self._refusals.close(self.publish)
        self.publish("node.left", {"reason": reason})
        for peer in self.connections.departed:
            self.transport.unlink(peer)  # nobody reads there any more: what waits for them must not hold this node up
        # Last in, first out, and each whatever became of the one before: an owner may cut this short.
        async with AsyncExitStack() as stack:
            if not self._shares_context:
                stack.push_async_callback(end_in_thread, self._context.term)
            if self.identity.context is None:  # else the gate is its owner's, too
                stack.callback(close_gate, self.security)
            stack.push_async_callback(self.publisher.close)
            if self._lease is not None:
                self._lease.leave_reason = reason
                stack.push_async_exit(self._lease)
            stack.push_async_callback(self.transport.close, DRAIN_S)
            if self.auditor is not None:  # what waits to be recorded is sent before that
                stack.push_async_callback(end_in_thread, self.auditor.close, reason)
