"""The three sockets of a broker: bound together or not at all; with keys, who is behind each connection."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import zmq

from .channel import Channel
from .errors import AddressInUse
from .sockets import Security, advertised, bind, discard, make, split_bind
from .transport_events import ConnectionRefused

if TYPE_CHECKING:
    from .security.allow_list import Entry
    from .security.gate import Listener

SERVICES = ("directory", "events_in", "events_out")
_ATTEMPTS = 50  # at three consecutive free ports


class BoundSockets:
    """Binds them, and knows by service where they are (``addresses``), and with keys their ``listeners``.

    ``advertise`` is the host by which others reach them.
    """

    def __init__(self, security: Security, advertise: str | None) -> None:
        self.addresses: dict[str, str] = {}
        self.listeners: dict[str, Listener] = {}
        self._security, self._advertise = security, advertise
        self._descriptors: dict[str, int] = {}  # at which they listen

    @property
    def connected(self) -> dict[str, int]:
        """The descriptors at which those listen that have connections."""
        services = (service for service in SERVICES if not self.addresses[service].startswith("inproc"))
        return {service: self._descriptors[service] for service in services}

    def bind(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        *,
        refused: Callable[[ConnectionRefused], None],
        end: Callable[[], None],
    ) -> dict[str, zmq.Socket[bytes]]:
        """Bind the three sockets, or none; free ports are consecutive, so that one number identifies them.

        ``refused`` and ``end`` are as for `sockets.bind`.

        Raises
        ------
        AddressInUse, BadAddress
        """
        free = address.startswith("tcp://") and address.rpartition(":")[2] in {"0", "*"}
        for _ in range(_ATTEMPTS if free else 1):
            bind_to = f"{address.rpartition(':')[0]}:{_free_port()}" if free else address
            kinds = ("directory.server", "events.in", "events.out")
            sockets = {service: make(context, kind) for service, kind in zip(SERVICES, kinds, strict=True)}
            try:
                for (service, socket), at in zip(sockets.items(), split_bind(bind_to, SERVICES), strict=True):
                    plain = bind_to if service == "directory" and not at.startswith("tcp") else at
                    self._bind(socket, plain, service, refused, end)
            except BaseException as error:
                for socket in sockets.values():
                    socket.close()
                self.forget_listeners()
                if free and isinstance(error, AddressInUse):
                    continue
                raise
            return sockets
        raise AddressInUse(address)

    def _bind(
        self,
        socket: zmq.Socket[bytes],
        address: str,
        service: str,
        refused: Callable[[ConnectionRefused], None],
        end: Callable[[], None],
    ) -> None:
        bound, listener, self._descriptors[service] = bind(
            socket, address, security=self._security, service=service, refused=refused, end=end
        )
        if listener is not None:
            self.listeners[service] = listener
        self.addresses[service] = advertised(bound, self._advertise) if self._advertise else bound

    def sender(self, service: str, channel: Channel) -> Entry | None:
        """Return whose key the message came by that a channel delivers; None without keys, or of who has gone."""
        listener = self.listeners.get(service)
        return None if listener is None else listener.sender(channel)

    def discard(self) -> None:
        """Remove the files of ipc addresses."""
        for address in self.addresses.values():
            discard(address)

    def forget_listeners(self) -> None:
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()


def _free_port() -> int:
    """Return a port that may be free, with the two after it, outside the system's ephemeral range."""
    return random.SystemRandom().randrange(13_000, 20_000, 3)
