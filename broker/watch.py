"""Hears of connections that have ended, from ZeroMQ's own monitor of a socket."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import zmq

from .channel import Channel
from .transport_events import Counters

__all__ = ["Watch"]


class Watch:
    """Calls ``ended`` with the descriptor of each connection of ``socket`` that has ended.

    The descriptor is how a connection is recognized (`Channel.descriptor`); inproc has neither connections nor news of
    them.
    """

    def __init__(self, socket: zmq.Socket[bytes], ended: Callable[[int], None]) -> None:
        self._socket = socket
        self._ended = ended
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._channel = Channel(monitor, deliver=self._deliver, dropped=lambda *_: None, counters=Counters(), queue=1)

    def drain(self) -> None:
        """Hear everything that has happened so far."""
        self._channel.drain()

    def close(self) -> None:
        """Stop listening; before the socket itself is closed."""
        # In this order: ZeroMQ's I/O thread waits for ever to tell a monitor that has gone without a word.
        self._socket.disable_monitor()
        self._channel.close()

    def _deliver(self, _: Channel, _identity: bytes, frames: list[Any]) -> None:
        event, value = struct.unpack("=hi", frames[0])
        if event == zmq.EVENT_DISCONNECTED:
            self._ended(value)
