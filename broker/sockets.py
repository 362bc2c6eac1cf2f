"""One table: what each kind of socket is for, and the options that follow from it.

Messages, not bytes, are what a high-water mark counts, so a lane for weights allows a handful and a lane for
heartbeats some hundreds. Every socket that meets strangers has a MAXMSGSIZE: without one a single frame header makes
ZeroMQ allocate whatever it announces.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

import zmq

from .codec import Limits
from .errors import AddressInUse, BadAddress

__all__ = [
    "BULK_QUEUE",
    "CONTROL_QUEUE",
    "SOCKETS",
    "SocketKind",
    "bind",
    "discard",
    "make",
    "reached_by",
    "split_bind",
]

CONTROL_QUEUE = 256  # letters that wait for a peer outside ZeroMQ, see channel.py
BULK_QUEUE = 4
# ZeroMQ tells a writer of room after every half of this many reads, and each time wakes its event loop: 4 cost every
# second round a turn of the loop. Vectors are shared between peers, so a slow peer holds up rounds and not copies.
_BULK_DEPTH = 16

# ZMTP's own heartbeats tell a dead host from a quiet one; the answer comes from an I/O thread, so a busy node is not
# taken for a dead one. Never on bulk: there they queue behind the weights and cut the connection in mid-transfer.
_HEARTBEAT = {zmq.HEARTBEAT_IVL: 2_000, zmq.HEARTBEAT_TIMEOUT: 10_000, zmq.HEARTBEAT_TTL: 10_000}
# The bulk lane's way to notice a dead host: three probes, five seconds apart, after fifteen of silence.
_KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 15, zmq.TCP_KEEPALIVE_INTVL: 5, zmq.TCP_KEEPALIVE_CNT: 3}
# MANDATORY: mail for nobody is an error and does not vanish. HANDOVER: a node that reconnects takes its own name back
# at once, and does not wait until the old connection is noticed to be dead.
_ROUTER = {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 1}
# Quick at first, calm later: with a maximum above the first pause (milliseconds), ZeroMQ doubles the pause at each
# attempt. It adds jitter of its own only where no maximum is set (libzmq 4.3.5 reports 50, 100, 200, 400, 800, 1000,
# 1000 exactly), so `make` gives each socket a pace of its own.
_RECONNECT = {zmq.RECONNECT_IVL: 50, zmq.RECONNECT_IVL_MAX: 1_000}
# Those who lost the same server at the same moment come back spread over half of each pause.
_PACE = (0.75, 1.25)
_CHANCE = SystemRandom()  # of nobody's seed: an embedded node must not move its owner's random numbers
# Requests have deadlines, so nothing is queued to a connection that does not stand. The lanes do without IMMEDIATE:
# with it, what has been received but not yet read is lost when the connection ends (measured: the last message of a
# coordinator that closed, in 6 of 12 runs). They hold their mail until HELLO has been answered instead.
_ASK = {zmq.IMMEDIATE: 1} | _RECONNECT


@dataclass(frozen=True, slots=True)
class SocketKind:
    """Type, depth of both queues in messages, what limits a frame (a field of `Limits`), and the other options."""

    type: int
    depth: int
    limit: str | None
    options: dict[zmq.SocketOption, int] = field(default_factory=dict)


SOCKETS: dict[str, SocketKind] = {
    "inbox.control": SocketKind(zmq.ROUTER, CONTROL_QUEUE, "control_bytes", _ROUTER | _HEARTBEAT),
    "inbox.bulk": SocketKind(zmq.ROUTER, _BULK_DEPTH, "message_bytes", _ROUTER | _KEEPALIVE),
    "link.control": SocketKind(zmq.DEALER, CONTROL_QUEUE, "control_bytes", _RECONNECT | _HEARTBEAT),
    "link.bulk": SocketKind(zmq.DEALER, _BULK_DEPTH, "message_bytes", _RECONNECT | _KEEPALIVE),
    "directory.server": SocketKind(zmq.ROUTER, CONTROL_QUEUE, "header_bytes", _ROUTER | _HEARTBEAT),
    "directory.client": SocketKind(zmq.DEALER, CONTROL_QUEUE, "header_bytes", _ASK | _HEARTBEAT),
    # Events may be lost, and must never hold anybody up: deep queues, and a drop beyond.
    "events.in": SocketKind(zmq.XSUB, 10_000, "control_bytes", _HEARTBEAT),
    # VERBOSER: every subscription comes up to the relay; the welcome message tells a subscriber that it is connected.
    "events.out": SocketKind(zmq.XPUB, 10_000, "control_bytes", {zmq.XPUB_VERBOSER: 1} | _HEARTBEAT),
    "publisher": SocketKind(zmq.XPUB, 10_000, "control_bytes", _RECONNECT | _HEARTBEAT),
    "subscriber": SocketKind(zmq.SUB, 10_000, "control_bytes", _RECONNECT | _HEARTBEAT),
}


def make(context: zmq.Context[zmq.Socket[bytes]], kind: str, limits: Limits) -> zmq.Socket[bytes]:
    """A socket of the table, neither bound nor connected; it discards unsent mail when it is closed."""
    row = SOCKETS[kind]
    socket = context.socket(row.type)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, row.depth)
    socket.setsockopt(zmq.RCVHWM, row.depth)
    if row.limit is not None:
        socket.setsockopt(zmq.MAXMSGSIZE, getattr(limits, row.limit))
    pace = _CHANCE.uniform(*_PACE)
    for option, value in row.options.items():
        socket.setsockopt(option, round(value * pace) if option in _RECONNECT else value)
    return socket


def bind(socket: zmq.Socket[bytes], address: str) -> str:
    """Bind, and say where: a wildcard port or path has become a real one.

    Raises
    ------
    AddressInUse, BadAddress
    """
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise AddressInUse(address) from None
        raise BadAddress(address, f"cannot be bound ({error.strerror})") from None
    return socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]


def discard(address: str) -> None:
    """Remove the file of an ipc address, which ZeroMQ leaves where it was; nothing for any other address."""
    scheme, _, path = address.partition("://")
    if scheme == "ipc":
        with suppress(OSError):  # gone already, or not ours to remove
            Path(path).unlink()


def split_bind(address: str, lanes: tuple[str, ...]) -> list[str]:
    """One address a lane: following ports for tcp, a suffix for ipc and inproc, a wildcard as it is."""
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
    if not host or not port.isdigit() or int(port) > 65_536 - len(lanes):
        raise BadAddress(address, "a tcp address ends in a port (a number, or * for a free one)")
    if port == "0":
        return [f"tcp://{host}:*"] * len(lanes)
    return [f"tcp://{host}:{int(port) + i}" for i in range(len(lanes))]


def reached_by(address: str, directory: str) -> str:
    """``address`` with the host of ``directory`` where it says "every interface"."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or host not in {"0.0.0.0", "[::]", "*"}:
        return address
    other, _, found = directory.partition("://")
    if other != "tcp":
        raise BadAddress(address, f"no host is known by which it is reached from {directory}")
    return f"tcp://{found.rpartition(':')[0]}:{port}"
