"""The guards of a broker's three sockets, and the monitors that tell them of connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import zmq

from ..channel import Channel, Heard
from ..disconnects import DisconnectMonitor
from ..limits import allowed
from ..transport_events import ConnectionRefused
from .guard import Guard
from .table import Policy

if TYPE_CHECKING:
    from ..security.gate import Listener

_DRAINED = 256  # requests, of those that wait, before a connection is ended for what it holds


class ServiceGuards:
    """By service, for those ``services`` that have connections, with the descriptor at which each listens.

    Over inproc nothing is guarded.
    """

    def __init__(self, services: Mapping[str, int], refused: Callable[[ConnectionRefused], None]) -> None:
        self.by_service = {service: Guard(_policy(service), refused, listens=at) for service, at in services.items()}
        self._refused = refused
        self._monitors: dict[str, DisconnectMonitor] = {}
        self._directory = self.by_service.get("directory")
        self._requests: Channel | None = None

    def watch(self, sockets: Mapping[str, zmq.Socket[bytes]], listeners: Mapping[str, Listener]) -> None:
        """Have the guards told of connections, and with keys the listeners of those that have closed.

        Raises
        ------
        NoSocket
        """
        for service, guard in self.by_service.items():
            listener = listeners.get(service)
            closed = partial(_closed, guard, listener)
            failed = None if listener is None else partial(self._handshake_failed, service)
            self._monitors[service] = DisconnectMonitor(
                sockets[service], closed, failed, partial(accepted, guard, listener)
            )

    def close(self) -> None:
        for guard in self.by_service.values():
            guard.close()
        for monitor in self._monitors.values():
            monitor.close()
        self._monitors.clear()

    def drain(self, service: str) -> None:
        """Take note of the connections that have closed: a descriptor may have belonged to another a moment ago."""
        if service in self._monitors:
            self._monitors[service].drain()

    @property
    def heard(self) -> Heard | None:
        """What the channel of requests asks of each."""
        return None if self._directory is None else self._directory.heard

    def requests(self, channel: Channel) -> None:
        """Have the guard of requests know their channel."""
        self._requests = channel
        if self._directory is not None:
            self._directory.drain = lambda: channel.drain(_DRAINED)

    def malformed(self) -> None:
        """Take note that the request being delivered is none."""
        if self._directory is not None and self._requests is not None:
            self._directory.fault(self._requests.descriptor())

    def well_formed(self, identity: bytes) -> None:
        """Take note that the request being delivered is one."""
        if self._directory is not None and self._requests is not None:
            self._directory.introduced(self._requests.descriptor(), identity)

    def may_have_snapshot(self) -> bool:
        """Return whether the sender of the request being delivered may have a snapshot now."""
        if self._directory is None or self._requests is None:
            return True
        return self._directory.snapshot(self._requests.descriptor())

    def answered(self, identity: bytes, nbytes: int) -> None:
        if self._directory is not None:
            self._directory.sent(identity, nbytes)

    def _handshake_failed(self, service: str, reason: str) -> None:
        self._refused(ConnectionRefused(service, "", "", "", reason))


def accepted(guard: Guard, listener: Listener | None, descriptor: int) -> None:
    """Tell a guard, and with keys a listener, of a connection that is about to introduce itself."""
    guard.accepted(descriptor)
    if listener is not None:
        listener.accepted(descriptor)


def _closed(guard: Guard, listener: Listener | None, descriptor: int) -> None:
    guard.closed(descriptor)
    if listener is not None:
        listener.closed(descriptor)


def _policy(service: str) -> Policy:
    match service:
        case "events_in":
            nbytes = allowed("events_bytes"), allowed("events_bytes_s")
            return Policy(service, allowed("held_bytes"), silent=True, nbytes=nbytes)
        case "events_out":
            return Policy(service, allowed("control_bytes"), subscribes=True)
        case _:
            nbytes = allowed("requests_bytes"), allowed("requests_bytes_s")
            return Policy(service, allowed("held_bytes"), nbytes=nbytes, together=True)
