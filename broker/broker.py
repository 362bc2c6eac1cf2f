"""The broker: a directory of runs and a relay of events; no weights pass through it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import zmq

from .channel import Channel, Envelope
from .codec import DEFAULT_LIMITS, decode
from .dial_back import BackDialer
from .directory import Directory, Outcome, Reply
from .ending import end_in_thread
from .errors import AddressInUse, ProtocolError
from .event_log import log_event
from .events import Event
from .guard.services import ServiceGuards
from .last_values import snapshot_frame
from .limits import allowed
from .messages import (
    VERSION,
    BrokerInfo,
    DialBack,
    Failed,
    GetBrokerInfo,
    GetSnapshot,
    Join,
    Joined,
    Leave,
    Message,
    RenewLease,
    tag_of,
)
from .relay import Relay
from .roster_frames import RosterFrames
from .security.memberships import Memberships
from .security.plain import LOCAL, Plain
from .security.refusals import Refusals, fields_of
from .security.roles import wrong_member, wrong_publisher
from .sockets import CONTROL_QUEUE, Security, advertised, bind, discard, make, split_bind
from .transport_events import ConnectionRefused, Counters
from .transport_protocol import new_incarnation
from .versions import OURS, of_header

if TYPE_CHECKING:
    from .security.allow_list import AllowList, Entry
    from .security.gate import Listener

_TICK_S = 0.1
_AWAKE_S = 1.0  # a tick that is later than this was slept through: what nodes sent meanwhile is still to be read
_LAST_EVENTS_S = 1.0  # in which what was relayed last may leave this process
_ATTEMPTS = 50  # at three consecutive free ports
_SERVICES = ("directory", "events_in", "events_out")


class Broker:
    """Directory and event relay at one address, for any number of runs.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT`` for the directory; events are published to PORT+1 and subscribed to at PORT+2. Port 0 (or
        ``*``) picks three free ones. ``ipc://PATH`` and ``inproc://NAME`` work as well.
    advertise : str, optional
        Host by which others reach the events; by default the one by which they reached the directory.
    lease_s : float
        A node that does not renew is suspect after so many seconds, and dead after three times as many.
    context : zmq.Context, optional
        Its owner terminates it; needed for inproc. In it, ports become free a moment after the broker has ended.
    security : Plain or Curve, optional
        As for `ZmqTransport`; with keys, who may ask and publish what depends on the key of the connection.
    on_refused : callable (str) -> None, optional
        Called with a line for each refusal that is also published, as ``connection.refused``.

    Examples
    --------
    >>> async def main():
    ...     async with Broker("tcp://127.0.0.1:5555") as broker:
    ...         await broker.serve()
    """

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:5555",
        *,
        advertise: str | None = None,
        lease_s: float = 5.0,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        security: Security = LOCAL,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.counters = Counters()
        self.addresses: dict[str, str] = {}
        self._bind = address
        self._advertise = advertise
        self._lease_s = lease_s
        self._own_context = context is None
        self._context = context
        self._incarnation = new_incarnation()
        self._seq: dict[str, int] = {}
        self._security = security
        self._on_refused = on_refused
        self._refusals = Refusals()
        self._memberships, self._rosters = Memberships(), RosterFrames()
        self._listeners: dict[str, Listener] = {}  # with keys, by service
        self._descriptors: dict[str, int] = {}  # at which they listen, by service
        self._unwatch: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        return self.addresses["directory"]

    async def __aenter__(self) -> Self:
        """Bind all three sockets, or none.

        Raises
        ------
        AddressInUse, BadAddress
        """
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        if self._context is None:
            self._context = zmq.Context()
        try:
            sockets = self._bound(self._context)
        except BaseException:
            if self._own_context:
                self._context.term()
            raise
        self._begin(sockets)
        try:
            self._watch(sockets)
        except BaseException:  # out of files, say
            self._close(0.0)
            if self._own_context:
                self._context.term()
            raise
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        return self

    def _begin(self, sockets: list[zmq.Socket[bytes]]) -> None:
        events_in, events_out = self.addresses["events_in"], self.addresses["events_out"]
        self._directory = Directory(events_in, events_out, lease_s=self._lease_s, enrollment=self._security.enrollment)
        self._back_dialer = BackDialer(self._reply)
        keyed = bool(self._listeners)
        connected = [service for service in _SERVICES if not self.addresses[service].startswith("inproc")]
        self._guards = ServiceGuards({each: self._descriptors[each] for each in connected}, self._refused)
        self._relay = Relay(
            sockets[1],
            sockets[2],
            self.counters,
            keyed=keyed,
            may_publish=self._may_publish,
            may_subscribe=self._may_subscribe,
            guards=self._guards.by_service,
        )
        self._requests = Channel(
            sockets[0],
            deliver=self._request,
            counters=self.counters,
            queue=CONTROL_QUEUE,
            addressed=True,
            keyed=keyed,
            heard=self._guards.heard,
        )
        self._guards.requests(self._requests)

    def _watch(self, sockets: list[zmq.Socket[bytes]]) -> None:
        self._guards.watch(dict(zip(_SERVICES, sockets, strict=True)), self._listeners)
        if not isinstance(self._security, Plain):
            self._allowed = self._security.gate.allowed
            self._unwatch = self._security.gate.watch(self._list_changed)

    def _bound(self, context: zmq.Context[zmq.Socket[bytes]]) -> list[zmq.Socket[bytes]]:
        """Bind the three sockets, or none; free ports are consecutive, so that one number identifies them."""
        free = self._bind.startswith("tcp://") and self._bind.rpartition(":")[2] in {"0", "*"}
        for _ in range(_ATTEMPTS if free else 1):
            bind_to = f"{self._bind.rpartition(':')[0]}:{_free_port()}" if free else self._bind
            sockets = [make(context, kind) for kind in ("directory.server", "events.in", "events.out")]
            try:
                for service, socket, address in zip(_SERVICES, sockets, split_bind(bind_to, _SERVICES), strict=True):
                    plain = bind_to if service == "directory" and not address.startswith("tcp") else address
                    security, end = self._security, self._end
                    bound, listener, self._descriptors[service] = bind(
                        socket, plain, security=security, service=service, refused=self._refused, end=end
                    )
                    if listener is not None:
                        self._listeners[service] = listener
                    self.addresses[service] = advertised(bound, self._advertise) if self._advertise else bound
            except BaseException as error:
                for socket in sockets:
                    socket.close()
                self._forget_listeners()
                if free and isinstance(error, AddressInUse):
                    continue
                raise
            return sockets
        raise AddressInUse(self._bind)

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        self._failure.cancel()
        for address in self.addresses.values():
            discard(address)
        self._close(_LAST_EVENTS_S)
        if self._own_context and self._context is not None:
            await end_in_thread(self._context.term)

    def _close(self, linger_s: float) -> None:
        self._unwatch()
        self._guards.close()
        self._back_dialer.close()
        self._requests.close(min(0.1, linger_s))
        self._relay.close(linger_s)
        self._forget_listeners()

    def _forget_listeners(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _end(self) -> None:
        """Close all sockets at once, because nobody can be authenticated any more; `serve` raises why."""
        if self._listeners:
            self._close(0.0)
            if not isinstance(self._security, Plain) and self._security.gate.failure is not None:
                self._fail(self._security.gate.failure)

    async def serve(self) -> None:
        await asyncio.shield(self._failure)

    def publish(self, type_: str, run: str, **fields: Any) -> None:
        seq = self._seq[type_] = self._seq.get(type_, 0) + 1
        head = _event_head(type_, run, self._security)
        event = {**head, "incarnation": self._incarnation, "seq": seq, "time": time.time(), **fields}
        self._relay.publish(log_event(event))

    def _request(self, channel: Channel, identity: bytes, frames: list[Any]) -> None:
        try:
            sender = self._sender("directory", channel)
            if sender is None and self._listeners:
                return
            self._answer(identity, frames, sender, channel.source())
        except BaseException as error:  # noqa: BLE001  serve() raises it
            self._fail(error)

    def _answer(self, identity: bytes, frames: list[Any], sender: Entry | None, source: str) -> None:
        self.counters.bytes_received += sum(map(len, frames))
        try:
            message, _ = decode(frames)
        except ProtocolError as error:
            self.counters.malformed += 1
            self._guards.malformed()
            asks = "the node that asks"
            why = of_header(asks, error.version, "the broker") if error.version else error.reason
            self._reply(identity, Failed(0, error.code, why), error.version or VERSION)
            return
        self._guards.well_formed(identity)
        if sender is not None and (reason := _not_theirs(message, sender)) is not None:
            self._listeners["directory"].refuse(sender, reason)
            self._reply(identity, Failed(getattr(message, "id", 0), "identity", reason))
        elif isinstance(message, GetSnapshot) and not self._guards.may_have_snapshot():
            most = f"{allowed('snapshots')} snapshots at once and then one a second are given to one connection"
            self._reply(identity, Failed(message.id, "limit", most))
        elif isinstance(message, GetSnapshot):
            for events, last in self._relay.last.parts(message.prefix):
                frame = snapshot_frame(message.id, events, last)
                self._send(identity, Envelope([frame], "snapshot", 0, len(frame)))
        elif isinstance(message, GetBrokerInfo):
            runs = self._directory.runs
            self._reply(identity, BrokerInfo(message.id, OURS.newest, OURS.oldest, OURS.release, time.time(), runs))
        elif isinstance(message, DialBack):
            self._back_dialer.ask(identity, message, source)
        else:
            outcomes = self._directory.handle(identity, message, self._loop.time())
            joined = any(isinstance(getattr(each, "message", None), Joined) for each in outcomes)
            if sender is not None and isinstance(message, Join) and joined:  # else names without end
                self._memberships.joined(message.node, *self._security.enrollment.runs_of(message.run))
            self._execute(outcomes)

    def _tick(self) -> None:
        late_s = self._loop.time() - self._timer.when()
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        try:
            if late_s > _AWAKE_S:
                self._directory.extend_deadlines(late_s, self._loop.time())
            self._execute(self._directory.tick(self._loop.time()))
            for refusal, count in self._refusals.due(self._loop.time()):
                self._say_refused(refusal, count)
        except BaseException as error:  # noqa: BLE001  serve() raises it
            self._fail(error)

    def _execute(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Reply):
                if isinstance(outcome.message, Failed) and outcome.message.code == "identity":
                    self._refused(ConnectionRefused("directory", "", "", "", outcome.message.reason))
                self._reply(outcome.identity, outcome.message)
            else:
                fields = dict(outcome)
                self.publish(fields.pop("type"), fields.pop("run"), **fields)

    def _reply(self, identity: bytes, message: Message, version: int = VERSION) -> None:
        envelope = self._rosters.envelope(message) or Envelope.of(message, version=version)
        if envelope.header_bytes > DEFAULT_LIMITS.header_bytes:
            reason = f"the {tag_of(message)} exceeds the limit"
            envelope = Envelope.of(Failed(getattr(message, "id", 0), "oversize", reason))
        self._send(identity, envelope)

    def _send(self, identity: bytes, envelope: Envelope) -> None:
        self._guards.answered(identity, envelope.header_bytes)
        self._requests.send(identity, envelope)

    # With keys: who may do what

    def _sender(self, service: str, channel: Channel) -> Entry | None:
        listener = self._listeners.get(service)
        return None if listener is None else listener.sender(channel)

    def _may_publish(self, channel: Channel, event: Event) -> bool:
        sender = self._sender("events_in", channel)
        if sender is None and self._listeners:
            return False
        refusal = _not_relayed(event, sender, self._security.enrollment.publishers, self._memberships, self._directory)
        if refusal is not None:
            self._refused(refusal)
        return refusal is None

    def _may_subscribe(self, channel: Channel) -> bool:
        self._guards.drain("events_out")
        return self._sender("events_out", channel) is not None or not self._listeners

    def _list_changed(self, allowed: AllowList) -> None:
        gone, self._allowed = self._allowed.without(allowed), allowed
        for entry in gone:
            self._execute(self._directory.expel(entry.name, self._loop.time()))

    def _refused(self, refusal: ConnectionRefused) -> None:
        self.counters.refused += 1
        self._loop.call_soon(self._report, refusal)

    def _report(self, refusal: ConnectionRefused) -> None:
        count = self._refusals.report(refusal, self._loop.time())
        if count and not self._failure.done():
            self._say_refused(refusal, count)

    def _say_refused(self, refusal: ConnectionRefused, count: int) -> None:
        self.publish("connection.refused", "", **fields_of(refusal, count))
        where = f" from {refusal.address}" if refusal.address else ""
        times = f" ({count} times)" if count > 1 else ""
        self._on_refused(f"refused at {refusal.service}{where}: {refusal.reason}{times}")

    def _fail(self, error: BaseException) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self._failure.set_exception(error)


def _free_port() -> int:
    """Return a port that may be free, with the two after it, outside the system's ephemeral range."""
    return random.SystemRandom().randrange(13_000, 20_000, 3)


def _event_head(type_: str, run: str, security: Security) -> Event:
    """Return what an event of a broker begins with; one that is of a region is of the run above, which is watched."""
    head: Event = {"type": type_, "run": security.enrollment.runs_of(run)[-1], "node": "broker", "role": "broker"}
    return head | {"insecure": True} if security.insecure else head


def _not_relayed(
    event: Event, sender: Entry | None, roles: Mapping[str, str], memberships: Memberships, directory: Directory
) -> ConnectionRefused | None:
    """Return why an event is not its sender's business; ``roles`` are those of a launch, whose nodes have them."""
    kind, node, role, run = event["type"], event["node"], event["role"], event["run"]
    reason = None
    if sender is not None:
        reason = wrong_publisher(sender.name, sender.roles, kind, node, role)
        reason = reason or memberships.wrong_run(node, role, run, directory.has_begun(run))
    elif roles and node not in roles:
        reason = f"{node[:64]} is no node of the run that this broker was started for"
    elif roles:
        reason = wrong_publisher(node, frozenset({roles[node]}), kind, node, role)
    if reason is None:
        return None
    key, name = ("", node[:64]) if sender is None else (sender.public, sender.name)
    return ConnectionRefused("events_in", "", key, name, f"{kind[:64]} is not relayed: {reason[:300]}")


def _not_theirs(message: Message, sender: Entry) -> str | None:
    """Return why a request is not the business of the key that it came by, or None."""
    match message:
        case Join(node=node, role=role):
            return wrong_member(sender.name, sender.roles, node, role)
        case RenewLease(node=node) | Leave(node=node) if node != sender.name:
            return f"the lease of {node} is not that of {sender.name}, whose key asks"
        case _:
            return None


def relay_event(broker: Broker, event: Event) -> None:
    """Relay an event of a node that lives in this process, as if it had published it at this broker."""
    broker._relay.publish(event)  # noqa: SLF001  (its own module; the class is long enough)


def watch_events(broker: Broker, on_event: Callable[[Event], None]) -> None:
    """Call a function that raises nothing with each event that a broker relays from now on."""
    broker._relay.on_event = on_event  # noqa: SLF001  (its own module)
