"""Notifications of closed connections, from ZeroMQ's socket monitor."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

import zmq

from .channel import Channel
from .errors import NoSocket
from .transport_events import Counters

_FAILED = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_WRONG_KEY = int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)

LEFT = "left during the handshake, before it had proven a key"
"""Said of one who ended just then, and of one who was the first to notice that it does not encrypt as this node."""


def monitor_of(socket: zmq.Socket[bytes], events: int, name: str = "monitor") -> zmq.Socket[bytes]:
    """Return the socket that is told of these events of another one's connections, however many are still to be read.

    With a bound to them ZeroMQ's I/O thread waits for room, and holds a lock: whoever ends the monitor waits for both.

    Raises
    ------
    NoSocket
    """
    reader: zmq.Socket[bytes] | None = None
    try:
        reader = socket.context.socket(zmq.PAIR)
        reader.setsockopt(zmq.RCVHWM, 0)
        place = f"inproc://{name}-{socket.FD}"
        socket.monitor(place, events)
        reader.connect(place)
    except zmq.ZMQError as error:
        if reader is not None:
            socket.disable_monitor()
            reader.close(linger=0)
        raise NoSocket(error.errno or 0, error.strerror) from None
    return reader


def listening_after(bind: Callable[[], object], socket: zmq.Socket[bytes]) -> int:
    """Have a socket bound to a tcp address, and return the descriptor at which it listens; -1 if ZeroMQ does not tell.

    Raises
    ------
    NoSocket, zmq.ZMQError
    """
    reader = monitor_of(
        socket, zmq.EVENT_LISTENING, "listening"
    )  # a name of its own: that of one closed is still taken
    try:
        bind()
        event, descriptor = struct.unpack("=hi", reader.recv_multipart(zmq.NOBLOCK)[0])
    except zmq.Again:
        return -1
    finally:
        socket.disable_monitor()
        reader.close(linger=0)
    return int(descriptor) if event == zmq.EVENT_LISTENING else -1


class DisconnectMonitor:
    """Calls ``closed`` with the descriptor of each connection of ``socket`` that has closed.

    The descriptor identifies a connection (`Channel.descriptor`); inproc has no connections, and so no notifications.
    Where connections are authenticated, ``failed`` is called with why one has not come about. ``accepted`` is
    called with the descriptor of each connection that ZeroMQ has accepted, before its handshake.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        closed: Callable[[int], None],
        failed: Callable[[str], None] | None = None,
        accepted: Callable[[int], None] | None = None,
    ) -> None:
        self._socket = socket
        self._closed = closed
        self._failed = failed
        self._accepted = accepted
        events = zmq.EVENT_DISCONNECTED | (_FAILED if failed is not None else 0)
        if accepted is not None:
            events |= zmq.EVENT_ACCEPTED
        self._channel = Channel(monitor_of(socket, events), deliver=self._deliver, counters=Counters())

    def drain(self) -> None:
        self._channel.drain()

    def close(self) -> None:
        # In this order: ZeroMQ's I/O thread waits forever to notify a monitor that was closed while enabled.
        self._socket.disable_monitor()
        self._channel.close()

    def _deliver(self, _: Channel, _identity: bytes, frames: list[Any]) -> None:
        event, value = struct.unpack("=hi", frames[0])
        if event == zmq.EVENT_DISCONNECTED:
            self._closed(value)
        elif event == zmq.EVENT_ACCEPTED and self._accepted is not None:
            self._accepted(value)
        elif self._failed is not None:
            self._failed(_failure(event, value))


def _failure(event: int, value: int) -> str:
    """Return why a connection has not come about, and no more than is known.

    Of two sides that do not fit, one is the first to notice and leaves; the other one may have learned nothing by then.
    Whoever ends in the midst of a handshake looks the same.
    """
    if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:  # the value is an error number
        return "has not proven a key in time" if value == errno.EAGAIN else LEFT
    if value & 0xFFFFFFFF == _WRONG_KEY:
        return "encrypts for another key than this node's, or is no nervenet node"
    return "broke off the handshake: does not encrypt, or is no nervenet node"
