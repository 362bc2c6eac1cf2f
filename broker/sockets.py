"""A table of the kinds of socket and their options, and functions that make, bind and connect them.

Messages, not bytes, are what a high-water mark counts, so a lane for weights allows a handful and a lane for
heartbeats some hundreds. Every socket that faces unknown senders has a MAXMSGSIZE: without one a single frame header
makes ZeroMQ allocate whatever it announces.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import zmq

from .codec import DEFAULT_LIMITS, Limits
from .disconnects import listening_after
from .errors import OUT_OF_FILES, AddressInUse, BadAddress, NoSocket
from .limits import allowed
from .security.plain import BROKER, LOCAL, Plain

if TYPE_CHECKING:
    from .security.dialer import Dialer
    from .security.gate import Listener
    from .security.policy import Curve
    from .transport_events import ConnectionRefused

Security: TypeAlias = "Plain | Curve"
"""How sockets are secured; what is asked of both is in this module."""

CONTROL_QUEUE = 256  # messages queued for a peer outside ZeroMQ, see channel.py
BULK_QUEUE = 4
# ZeroMQ tells a writer of room after every half of this many reads, and each time wakes its event loop: 4 cost every
# second round a turn of the loop. Vectors are shared between peers, so a slow peer holds up rounds and not copies.
_BULK_DEPTH = 16
_WILDCARDS = {"0.0.0.0", "[::]", "*"}

# ZMTP's own heartbeats tell a dead host from a quiet one; an I/O thread answers them, so a busy node does not look
# dead. Never on bulk: there they queue behind the weights and close the connection in mid-transfer.
_HEARTBEAT = {zmq.HEARTBEAT_IVL: 2_000, zmq.HEARTBEAT_TIMEOUT: 10_000, zmq.HEARTBEAT_TTL: 10_000}
# How the bulk lane detects a dead host, or a connection that a NAT on the way has forgotten: by probes after ten
# seconds of silence, and by what is not acknowledged for twenty (TCP_USER_TIMEOUT, which ends both waits). A round's
# default deadline is 30 s: one round is lost by it, and not three in a row, which would end the run.
_KEEPALIVE = {
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 10,
    zmq.TCP_KEEPALIVE_INTVL: 5,
    zmq.TCP_KEEPALIVE_CNT: 2,
    zmq.TCP_MAXRT: 20_000,
}
# Who has connected and does not complete ZeroMQ's handshake is disconnected.
_SHAKE = {zmq.HANDSHAKE_IVL: 1_000 * allowed("handshake_s")}
# VERBOSER: every subscription comes up to the relay; the welcome message tells a subscriber that it is connected.
# ZeroMQ remembers subscriptions before anybody is asked, so that few may wait.
_XPUB = {zmq.XPUB_VERBOSER: 1, zmq.RCVHWM: allowed("subscriptions_waiting")}
# MANDATORY: a message to an unknown peer is an error instead of being discarded. HANDOVER: a node that reconnects takes
# over its own identity at once, without waiting until the old connection is found dead.
_ROUTER = {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 1}
# Exponential backoff (milliseconds): with a maximum above the first pause, ZeroMQ doubles the pause at each attempt. It
# adds jitter only where no maximum is set (libzmq 4.3.5 reports 50, 100, 200, 400, 800, 1000, 1000 exactly), so `make`
# scales the pauses of each socket by a random factor.
# An attempt without an answer is given up before the system's own repetitions become rare (after 1, 2, 4, 8 s): where
# attempts are dropped because of a flood from the same address, one in some gets through.
_RECONNECT = {zmq.RECONNECT_IVL: 50, zmq.RECONNECT_IVL_MAX: 1_000, zmq.CONNECT_TIMEOUT: 3_000}
# Nodes that lost the same server at the same moment reconnect spread over half of each pause.
_JITTER = (0.75, 1.25)
_RANDOM = SystemRandom()  # unseeded: an embedded node must not advance its host's random numbers
# Requests have deadlines, so nothing is queued for a connection that is not established. The lanes do not set
# IMMEDIATE: with it, what has been received but not yet read is lost when the connection ends (measured: the last
# message of a coordinator that closed, in 6 of 12 runs). They hold their messages until HELLO is answered instead.
_REQUEST = {zmq.IMMEDIATE: 1} | _RECONNECT


@dataclass(frozen=True, slots=True)
class SocketKind:
    """Type, high-water mark in messages, the field of `Limits` that bounds a frame, and the other options."""

    type: int
    depth: int
    limit: str | None
    options: dict[zmq.SocketOption, int] = field(default_factory=dict)


SOCKETS: dict[str, SocketKind] = {
    "inbox.control": SocketKind(zmq.ROUTER, CONTROL_QUEUE, "control_bytes", _ROUTER | _HEARTBEAT | _SHAKE),
    "inbox.bulk": SocketKind(zmq.ROUTER, _BULK_DEPTH, "message_bytes", _ROUTER | _KEEPALIVE | _SHAKE),
    "link.control": SocketKind(zmq.DEALER, CONTROL_QUEUE, "control_bytes", _RECONNECT | _HEARTBEAT),
    "link.bulk": SocketKind(zmq.DEALER, _BULK_DEPTH, "message_bytes", _RECONNECT | _KEEPALIVE),
    "directory.server": SocketKind(zmq.ROUTER, CONTROL_QUEUE, "request_bytes", _ROUTER | _HEARTBEAT | _SHAKE),
    "directory.client": SocketKind(zmq.DEALER, CONTROL_QUEUE, "header_bytes", _REQUEST | _HEARTBEAT),
    # Events may be lost and must never block anyone: deep queues, dropped beyond.
    "events.in": SocketKind(zmq.XSUB, 10_000, "control_bytes", _HEARTBEAT | _SHAKE),
    "events.out": SocketKind(zmq.XPUB, 10_000, "subscriber_frame", _XPUB | _HEARTBEAT | _SHAKE),
    "publisher": SocketKind(zmq.XPUB, 10_000, "control_bytes", _RECONNECT | _HEARTBEAT),
    "subscriber": SocketKind(zmq.SUB, 10_000, "control_bytes", _RECONNECT | _HEARTBEAT),
}


def make(context: zmq.Context[zmq.Socket[bytes]], kind: str, limits: Limits = DEFAULT_LIMITS) -> zmq.Socket[bytes]:
    """Return a socket of the table, neither bound nor connected; closing it discards unsent messages.

    Raises
    ------
    NoSocket
    """
    row = SOCKETS[kind]
    try:
        socket = context.socket(row.type)
    except zmq.ZMQError as error:  # too many open files, or too many sockets of this context
        raise NoSocket(error.errno or 0, error.strerror) from None
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, row.depth)
    socket.setsockopt(zmq.RCVHWM, row.depth)
    if row.limit is not None:
        socket.setsockopt(zmq.MAXMSGSIZE, getattr(limits, row.limit))
    jitter = _RANDOM.uniform(*_JITTER)
    for option, value in row.options.items():
        socket.setsockopt(option, round(value * jitter) if option in _RECONNECT else value)
    return socket


def dial(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: str,
    address: str,
    limits: Limits = DEFAULT_LIMITS,
    identity: bytes | None = None,
    *,
    security: Security = LOCAL,
    server: str = BROKER,
    closed: Callable[[int], None] = lambda _: None,
    refused: Callable[[str], None] = lambda _: None,
    options: Callable[[zmq.Socket[bytes]], None] = lambda _: None,
) -> tuple[zmq.Socket[bytes], Dialer | None]:
    """Return a socket of the table that is connected to a node, and with keys what keeps it so, to be closed first.

    ``server`` is the node's name, of which its key depends; ``closed`` and ``refused`` are those of a `Dialer`.
    ``options`` sets further ones before it connects.

    Raises
    ------
    BadAddress, NoSocket
    """
    security.check(address)
    socket = make(context, kind, limits)
    try:
        if identity is not None:
            socket.setsockopt(zmq.IDENTITY, identity)
        options(socket)
        if isinstance(security, Plain) or address.startswith("inproc"):
            _connect(socket, address)
            return socket, None
        from .security.dialer import Dialer

        return socket, Dialer(socket, address, security, server, connect=_connect, closed=closed, refused=refused)
    except BaseException:
        socket.close()
        raise


def dial_again(socket: zmq.Socket[bytes], address: str, dialer: Dialer | None) -> None:
    """Give up the connection of a socket that was dialed, with what is on its way over it, and make another one."""
    if dialer is not None:
        dialer.dial_again()
        return
    with suppress(zmq.ZMQError):  # not connected
        socket.disconnect(address)
    _connect(socket, address)


def _connect(socket: zmq.Socket[bytes], address: str) -> None:
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        if error.errno in OUT_OF_FILES:
            raise NoSocket(error.errno or 0, error.strerror) from None
        reason = f"cannot be dialed ({error}); an address is tcp://HOST:PORT, ipc://PATH or inproc://NAME"
        raise BadAddress(address, reason) from None


class Bound(NamedTuple):
    """The address, where a wildcard port or path has become a real one; with keys the listener; and, of a tcp address,
    the descriptor at which it listens, else -1."""

    address: str
    listener: Listener | None
    descriptor: int


def bind(
    socket: zmq.Socket[bytes],
    address: str,
    *,
    security: Security = LOCAL,
    service: str = "",
    refused: Callable[[ConnectionRefused], None] = lambda _: None,
    end: Callable[[], None] = lambda: None,
) -> Bound:
    """Bind, and return to what.

    ``refused`` is told who may not connect to this ``service``; ``end`` closes the socket if authentication fails.

    Raises
    ------
    AddressInUse, AuthenticationFailed, BadAddress, NoSocket
    """
    security.check(address)
    listener = security.listen(socket, address, service, refused, end)
    descriptor = -1
    try:
        if address.startswith("tcp"):
            descriptor = listening_after(lambda: socket.bind(address), socket)
        else:
            socket.bind(address)
    except NoSocket:
        if listener is not None:
            listener.close()
        raise
    except zmq.ZMQError as error:
        if listener is not None:
            listener.close()
        if error.errno == zmq.EADDRINUSE:
            raise AddressInUse(address) from None
        if error.errno in OUT_OF_FILES:
            raise NoSocket(error.errno or 0, error.strerror) from None
        raise BadAddress(address, f"cannot be bound ({error.strerror})") from None
    endpoint: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
    return Bound(endpoint.rstrip(b"\0").decode(), listener, descriptor)


def discard(address: str) -> None:
    """Remove the file of an ipc address, which ZeroMQ leaves behind; other addresses need nothing."""
    scheme, _, path = address.partition("://")
    if scheme == "ipc":
        with suppress(OSError):  # removed already, or not ours
            Path(path).unlink()


def split_bind(address: str, lanes: tuple[str, ...]) -> list[str]:
    """Return one address per lane: consecutive ports for tcp, a suffix for ipc and inproc, a wildcard unchanged."""
    scheme, _, rest = address.partition("://")
    if scheme not in {"tcp", "ipc", "inproc"} or not rest:
        raise BadAddress(address, "an address is tcp://HOST:PORT, ipc://PATH or inproc://NAME")
    if rest.endswith("*"):
        if scheme == "inproc":
            raise BadAddress(address, "inproc has no wildcard")
        return [address] * len(lanes)
    if scheme != "tcp":
        return [f"{address}-{lane}" for lane in lanes]
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_536 - len(lanes):
        raise BadAddress(address, "a tcp address ends in a port (a number, or * for a free one)")
    if port == "0":
        return [f"tcp://{host}:*"] * len(lanes)
    return [f"tcp://{host}:{int(port) + i}" for i in range(len(lanes))]


def advertised(endpoint: str, advertise: str | None) -> str:
    """Return the address at which others reach a bound endpoint."""
    scheme, _, rest = endpoint.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp":
        return endpoint
    if advertise is not None:
        return f"tcp://{advertise}:{port}"
    if host in _WILDCARDS:
        raise BadAddress(endpoint, "bound to every interface: name the host by which others reach it (advertise)")
    return endpoint


def reached_by(address: str, directory: str) -> str:
    """Return ``address``, with the host of ``directory`` in place of a wildcard host."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or host not in _WILDCARDS:
        return address
    other, _, found = directory.partition("://")
    if other != "tcp":
        raise BadAddress(address, f"its host is a wildcard, and {directory} names no host to replace it")
    return f"tcp://{found.rpartition(':')[0]}:{port}"
