"""The broker: a directory of runs and a relay of events; no weights pass through it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any, Self

import zmq

from .channel import Channel, Envelope
from .codec import DEFAULT_LIMITS, decode
from .directory import Directory, Outcome, Reply
from .errors import AddressInUse, ProtocolError
from .events import Event
from .messages import Failed, GetSnapshot, Message, Snapshot, tag_of
from .relay import Relay
from .sockets import CONTROL_QUEUE, advertised, bind, discard, make, split_bind
from .transport_events import Counters
from .transport_protocol import new_incarnation

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
        events_in, events_out = self.addresses["events_in"], self.addresses["events_out"]
        self._directory = Directory(events_in, events_out, lease_s=self._lease_s)
        self._relay = Relay(sockets[1], sockets[2], self.counters)
        self._requests = Channel(
            sockets[0],
            deliver=self._request,
            counters=self.counters,
            queue=CONTROL_QUEUE,
            addressed=True,
        )
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        return self

    def _bound(self, context: zmq.Context[zmq.Socket[bytes]]) -> list[zmq.Socket[bytes]]:
        """Bind the three sockets, or none; free ports are consecutive, so that one number identifies them."""
        free = self._bind.startswith("tcp://") and self._bind.rpartition(":")[2] in {"0", "*"}
        for _ in range(_ATTEMPTS if free else 1):
            bind_to = f"{self._bind.rpartition(':')[0]}:{_free_port()}" if free else self._bind
            sockets = [make(context, kind) for kind in ("directory.server", "events.in", "events.out")]
            try:
                for service, socket, address in zip(_SERVICES, sockets, split_bind(bind_to, _SERVICES), strict=True):
                    plain = bind_to if service == "directory" and not address.startswith("tcp") else address
                    bound = bind(socket, plain)
                    self.addresses[service] = advertised(bound, self._advertise) if self._advertise else bound
            except BaseException as error:
                for socket in sockets:
                    socket.close()
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
        self._requests.close(0.1)
        self._relay.close(_LAST_EVENTS_S)
        if self._own_context and self._context is not None:
            await asyncio.to_thread(self._context.term)

    async def serve(self) -> None:
        await asyncio.shield(self._failure)

    def publish(self, type_: str, run: str, **fields: Any) -> None:
        seq = self._seq[type_] = self._seq.get(type_, 0) + 1
        event: Event = {"type": type_, "run": run, "node": "broker", "role": "broker"}
        self._relay.publish(event | {"incarnation": self._incarnation, "seq": seq, "time": time.time()} | fields)

    def _request(self, _: Channel, identity: bytes, frames: list[Any]) -> None:
        try:
            self._answer(identity, frames)
        except BaseException as error:  # noqa: BLE001  serve() raises it
            self._fail(error)

    def _answer(self, identity: bytes, frames: list[Any]) -> None:
        self.counters.bytes_received += sum(map(len, frames))
        try:
            message, _ = decode(frames)
        except ProtocolError as error:
            self.counters.malformed += 1
            self._reply(identity, Failed(0, error.code, error.reason))
            return
        if isinstance(message, GetSnapshot):
            for events, last in self._relay.last.parts(message.prefix):
                self._reply(identity, Snapshot(message.id, events, last))
        else:
            self._execute(self._directory.handle(identity, message, self._loop.time()))

    def _tick(self) -> None:
        late_s = self._loop.time() - self._timer.when()
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        try:
            if late_s > _AWAKE_S:
                self._directory.extend_deadlines(late_s, self._loop.time())
            self._execute(self._directory.tick(self._loop.time()))
        except BaseException as error:  # noqa: BLE001  serve() raises it
            self._fail(error)

    def _execute(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Reply):
                self._reply(outcome.identity, outcome.message)
            else:
                fields = dict(outcome)
                self.publish(fields.pop("type"), fields.pop("run"), **fields)

    def _reply(self, identity: bytes, message: Message) -> None:
        envelope = Envelope.of(message)
        if envelope.header_bytes > DEFAULT_LIMITS.header_bytes:
            reason = f"the {tag_of(message)} exceeds the limit"
            envelope = Envelope.of(Failed(getattr(message, "id", 0), "oversize", reason))
        self._requests.send(identity, envelope)

    def _fail(self, error: BaseException) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self._failure.set_exception(error)


def _free_port() -> int:
    """Return a port that may be free, with the two after it, outside the system's ephemeral range."""
    return random.SystemRandom().randrange(13_000, 20_000, 3)
