"""The dialing side of an authenticated connection: says why it is refused, and dials again.

A socket that was refused never retries by itself, and a second connect() would lose every other message: it has to be
disconnected first. With a wrong key of the other side ZeroMQ retries forever, in silence.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq

from ..channel import Channel
from ..disconnects import monitor_of
from ..errors import see
from ..transport_events import Counters
from .allow_list import AllowList, Entry
from .plain import BROKER
from .policy import Curve

_AGAIN_S = (0.5, 5.0)  # first and longest pause before a connection that was refused is tried again
_EVENTS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_CUT_SHORT = 2  # connections in a row that ended in the handshake before that is reported: the first may be a restart


class Dialer:
    """Keeps a socket connected to one node for as long as its key is allowed here.

    Parameters
    ----------
    socket
        Not connected yet.
    server : str
        The node's name, or `BROKER`.
    connect : callable (socket, address) -> None
    closed : callable (int) -> None
        Called with the descriptor of each connection that has closed after it was established.
    refused : callable (str) -> None
        Called with why there is no connection, once for each new reason.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        address: str,
        curve: Curve,
        server: str,
        *,
        connect: Callable[[zmq.Socket[bytes], str], None],
        closed: Callable[[int], None] = lambda _: None,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.reason = ""  # why there is no connection; empty while nothing is wrong
        self._socket = socket
        self._address = address
        self._curve = curve
        self._server = server
        self._connect_to = connect
        self._closed = closed
        self._refused = refused
        self._entry: Entry | None = None  # to whose key it is connected
        self._pause = _AGAIN_S[0]
        self._short = 0
        self._established = False
        self._timer: asyncio.TimerHandle | None = None
        self._channel = Channel(monitor_of(socket, _EVENTS), deliver=self._event, counters=Counters())
        self._unwatch = curve.gate.watch(self._list_changed)
        try:
            self._list_changed(curve.gate.allowed)
        except BaseException:
            self.close()
            raise

    def drain(self) -> None:
        self._channel.drain()

    def close(self) -> None:
        self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
        # In this order: ZeroMQ's I/O thread waits forever to notify a monitor that was closed while enabled.
        self._socket.disable_monitor()
        self._channel.close()

    def _list_changed(self, _: AllowList) -> None:
        entry = self._curve.server(self._server)
        if entry is None:
            if self._entry is not None:
                self._disconnect()
            self._say(self._curve.unknown(self._server))
        elif self._entry is None or entry.public != self._entry.public or not entry.roles >= self._entry.roles:
            self._disconnect()  # what was said in a role that is withdrawn has to be said again
            self._connect(entry)
        else:
            self._entry = entry

    def _connect(self, entry: Entry) -> None:
        self._timer = None
        self._entry = entry
        self._curve.dial(self._socket, entry)
        self._connect_to(self._socket, self._address)

    def _disconnect(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._entry is None:
            return
        self._entry = None
        with suppress(zmq.ZMQError):  # not connected, as it is between two attempts
            self._socket.disconnect(self._address)
        if self._established:
            self._established = False
            self._closed(-1)

    def dial_again(self) -> None:
        """Give up the connection, and make another one."""
        entry = self._entry
        self._disconnect()
        if entry is not None:
            self._connect(entry)

    def _event(self, _: Channel, _identity: bytes, frames: list[Any]) -> None:
        event, value = struct.unpack("=hi", frames[0])
        match event:
            case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.reason, self._short, self._pause, self._established = "", 0, _AGAIN_S[0], True
            case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._say(self._not_allowed(value))
                self._try_later()
            case zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                self._say(f"{self._who} does not encrypt: it was started without keys{see('encryption-differs')}")
                self._try_later()
            case zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL if self._entry is not None:
                self._short += 1
                if self._short >= _CUT_SHORT:
                    key = f"{self._entry.public} of {self._entry.name}"
                    wrong = f"does not have the key that is allowed here ({key}), or does not encrypt"
                    self._say(f"{self._who} {wrong}{see('wrong-key')}")
            case zmq.EVENT_DISCONNECTED if self._established:
                self._established = False
                self._closed(value)

    @property
    def _who(self) -> str:
        return f"{'the broker' if self._server == BROKER else self._server} at {self._address}"

    def _not_allowed(self, status: int) -> str:
        name = self._curve.keys.name
        if status != 400:
            return f"{self._who} cannot tell whom to let in (status {status})"
        how = f"nervenet keys allow {name}.pub --role ROLE"
        return f"{self._who} refuses the key of {name}: who runs that one lets it in by {how}{see('key-refused')}"

    def _say(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            self._refused(reason)

    def _try_later(self) -> None:
        if self._timer is None and self._entry is not None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self.dial_again)
            self._pause = min(2 * self._pause, _AGAIN_S[1])
