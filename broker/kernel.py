"""What the system knows of a connection: bytes received and acknowledged; and how to end one. Linux, and TCP, alone.

ZeroMQ bounds messages, and neither the parts of one nor what it holds for a connection. The system counts what has come
over each; what of that has been delivered is known, and the difference is what ZeroMQ holds.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

_TCP_INFO = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
COUNTS = _TCP_INFO is not None
"""Whether the system counts the bytes of a connection."""

_BYTES = 148  # of struct tcp_info (linux/tcp.h), which only grows at its end
_UNACKED = struct.Struct("=I")  # at 24
_COUNTS = struct.Struct("=QQIII")  # at 120: bytes acknowledged, bytes received, segments out and in, bytes not sent
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Reading(NamedTuple):
    """Of one connection, since it was opened: bytes received, bytes acknowledged, and whether all sent have been."""

    received: int
    acknowledged: int
    idle: bool


def inode(descriptor: int) -> int:
    """Return what identifies a descriptor's file; 0 if it is closed."""
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0


def read(descriptor: int, known: int) -> Reading | None:
    """Return the counts of a connection; None if it is closed, or another by now, or where the system has none."""
    if _TCP_INFO is None or inode(descriptor) != known:
        return None
    try:
        connection = socket_of(descriptor)
    except OSError:
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES)
    except OSError:  # ipc
        return None
    finally:
        connection.detach()  # it is ZeroMQ's
    if len(info) < _BYTES:
        return None
    acknowledged, received, _, _, unsent = _COUNTS.unpack_from(info, 120)
    return Reading(received, acknowledged, not unsent and not _UNACKED.unpack_from(info, 24)[0])


def end(descriptor: int, known: int) -> bool:
    """End a connection, and no other that has its descriptor by now."""
    try:
        with socket_of(os.dup(descriptor)) as connection:
            if os.fstat(connection.fileno()).st_ino != known:
                return False
            connection.shutdown(socket.SHUT_RDWR)
            return True
    except OSError:  # closed meanwhile
        return False


def ends_of(descriptor: int) -> tuple[int, str]:
    """Return the port of this end, as `port_of`, and the host at the other; empty where that has no address."""
    port, host = 0, ""
    with suppress(OSError):
        connection = socket_of(descriptor)
        try:
            port = _port(connection.getsockname())
            there = connection.getpeername()  # of one that has been reset there is none
            host = str(there[0]) if isinstance(there, tuple) else ""
        finally:
            connection.detach()  # it is ZeroMQ's
    return port, host


def port_of(descriptor: int) -> int:
    """Return the port of this end; 0 if it is closed, or no TCP socket, or there is none."""
    if descriptor < 0:
        return 0
    try:
        connection = socket_of(descriptor)
        try:
            name = connection.getsockname()
        finally:
            connection.detach()  # it is ZeroMQ's
    except OSError:
        return 0
    return _port(name)


def _port(name: object) -> int:
    return int(name[1]) if isinstance(name, tuple) and len(name) > 1 else 0


def socket_of(descriptor: int) -> socket.socket:
    """Return the socket of a descriptor.

    Kind and family are given, though they may be others, because finding them out costs more than what is asked of it.
    That of the longest addresses takes all of them.
    """
    return socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, descriptor)


class Resident:
    """The resident memory of this process, cheap enough to be asked for 40 times a second."""

    def __init__(self) -> None:
        self._file = -1
        with suppress(OSError):
            self._file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def nbytes(self) -> int:
        """Return it in bytes; 0 where the system does not tell."""
        try:
            return int(os.pread(self._file, 64, 0).split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            return 0

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._file)
        self._file = -1


def give_back() -> None:
    """Have the allocator return what is free to the system, where it is one that keeps it (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
