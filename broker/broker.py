"""The broker: a directory of runs and a relay of events; no weights pass through it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import zmq

from .admission import Admission
from .bound_sockets import BoundSockets
from .directory import Directory
from .directory_server import DirectoryServer
from .ending import end_in_thread
from .event_log import log_event
from .events import Event
from .guard.services import ServiceGuards
from .refusal_reports import RefusalReports
from .relay import Relay
from .security.plain import LOCAL, Plain
from .sockets import Security
from .transport_events import Counters
from .transport_protocol import new_incarnation

if TYPE_CHECKING:
    from .security.allow_list import AllowList

_TICK_S = 0.1
_AWAKE_S = 1.0  # a tick that is later than this was slept through: what nodes sent meanwhile is still to be read
_LAST_EVENTS_S = 1.0  # in which what was relayed last may leave this process


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
        self._sockets = BoundSockets(security, advertise)
        self.addresses = self._sockets.addresses
        self._bind = address
        self._lease_s = lease_s
        self._own_context = context is None
        self._context = context
        self._incarnation = new_incarnation()
        self._seq: dict[str, int] = {}
        self._security = security
        self._on_refused = on_refused
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
        self._refusals = RefusalReports(self.counters, self.publish, self._on_refused, self._failure.done)
        if self._context is None:
            self._context = zmq.Context()
        try:
            sockets = self._sockets.bind(self._context, self._bind, refused=self._refusals.refused, end=self._end)
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

    def _begin(self, sockets: dict[str, zmq.Socket[bytes]]) -> None:
        events_in, events_out = self.addresses["events_in"], self.addresses["events_out"]
        refused = self._refusals.refused
        self._directory = Directory(events_in, events_out, lease_s=self._lease_s, enrollment=self._security.enrollment)
        self._guards = ServiceGuards(self._sockets.connected, refused)
        self._admission = Admission(self._security, self._sockets, self._guards, self._directory, refused)
        self._relay = Relay(
            sockets["events_in"],
            sockets["events_out"],
            self.counters,
            keyed=bool(self._sockets.listeners),
            may_publish=self._admission.may_publish,
            may_subscribe=self._admission.may_subscribe,
            guards=self._guards.by_service,
        )
        self._server = DirectoryServer(
            sockets["directory"],
            self._directory,
            self._relay.last,
            sockets=self._sockets,
            guards=self._guards,
            admission=self._admission,
            counters=self.counters,
            publish=self.publish,
            refused=refused,
            fail=self._fail,
        )

    def _watch(self, sockets: dict[str, zmq.Socket[bytes]]) -> None:
        self._guards.watch(sockets, self._sockets.listeners)
        if not isinstance(self._security, Plain):
            self._allowed = self._security.gate.allowed
            self._unwatch = self._security.gate.watch(self._list_changed)

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        self._failure.cancel()
        self._sockets.discard()
        self._close(_LAST_EVENTS_S)
        if self._own_context and self._context is not None:
            await end_in_thread(self._context.term)

    def _close(self, linger_s: float) -> None:
        self._unwatch()
        self._guards.close()
        self._server.close(min(0.1, linger_s))
        self._relay.close(linger_s)
        self._sockets.forget_listeners()

    def _end(self) -> None:
        """Close all sockets at once, because nobody can be authenticated any more; `serve` raises why."""
        if self._sockets.listeners:
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

    def _tick(self) -> None:
        late_s = self._loop.time() - self._timer.when()
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        try:
            if late_s > _AWAKE_S:
                self._directory.extend_deadlines(late_s, self._loop.time())
            self._server.execute(self._directory.tick(self._loop.time()))
            self._refusals.due(self._loop.time())
        except BaseException as error:  # noqa: BLE001  serve() raises it
            self._fail(error)

    def _list_changed(self, allowed: AllowList) -> None:
        gone, self._allowed = self._allowed.without(allowed), allowed
        for entry in gone:
            self._server.execute(self._directory.expel(entry.name, self._loop.time()))

    def _fail(self, error: BaseException) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self._failure.set_exception(error)


def _event_head(type_: str, run: str, security: Security) -> Event:
    """Return what an event of a broker begins with; one that is of a region is of the run above, which is watched."""
    head: Event = {"type": type_, "run": security.enrollment.runs_of(run)[-1], "node": "broker", "role": "broker"}
    return head | {"insecure": True} if security.insecure else head


def relay_event(broker: Broker, event: Event) -> None:
    """Relay an event of a node that lives in this process, as if it had published it at this broker."""
    broker._relay.publish(event)  # noqa: SLF001  (its own module)


def watch_events(broker: Broker, on_event: Callable[[Event], None]) -> None:
    """Call a function that raises nothing with each event that a broker relays from now on."""
    broker._relay.on_event = on_event  # noqa: SLF001  (its own module)
