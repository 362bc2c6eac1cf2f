"""The Unix socket between a writer and a reader: never waits, and has no file.

Its name is in the abstract namespace of Linux, at random, so that nothing is left behind by whoever is killed. The
kernel delivers what is said before anything that is sent later, by whatever way.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator

from .budget import OF_PROCESS
from .host import is_own
from .local_messages import LONGEST, LocalMessage, pack, unpack

_WAITING = 16  # readers that have connected, and are not accepted yet


class LocalSocket:
    """One end of a connection to a process of the same user; `open` until the other end is gone, or talks nonsense.

    ``passed``: descriptors come by it.

    Raises
    ------
    OSError
        It is another user's, or this process has as many descriptors as it may have; the connection is closed then.
    """

    def __init__(self, connection: socket.socket, *, passed: bool = False) -> None:
        if not is_own(connection) or not OF_PROCESS.take(0, 1):
            connection.close()
            raise PermissionError("another user's, or one too many")
        connection.setblocking(False)
        self.socket = connection
        self.open = True
        self._passed = passed
        self._closed = False

    def say(self, message: LocalMessage, descriptor: int = -1) -> bool:
        """Return whether the system took a message, with a descriptor if there is one."""
        if not self.open:
            return False
        try:
            if descriptor < 0:
                self.socket.send(pack(message), socket.MSG_NOSIGNAL)
            else:
                socket.send_fds(self.socket, [pack(message)], [descriptor], socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:  # what it has said before may still be read
            return False
        return True

    def heard(self) -> Iterator[tuple[LocalMessage, int]]:
        """Yield what has come, each message with its descriptor, to be closed by who takes it; -1: it has none."""
        broken = 0
        while self.open:
            try:
                packed, found = self._receive()
            except BlockingIOError:
                return
            except ConnectionResetError:  # said once where the other end left something unread; what it said comes next
                broken += 1
                self.open = broken < 2
                continue
            except OSError:
                self.open = False
                return
            message = unpack(packed)
            if message is None:
                self.open = False
                for descriptor in found:
                    socket.close(descriptor)
                return
            yield message, found[0] if found else -1

    def _receive(self) -> tuple[bytes, list[int]]:
        if not self._passed:  # a third of the time
            return self.socket.recv(LONGEST + 1), []
        packed, found, _, _ = socket.recv_fds(self.socket, LONGEST + 1, 1, socket.MSG_CMSG_CLOEXEC)
        return packed, found

    def close(self) -> None:
        self.open = False
        if not self._closed:
            self._closed = True
            self.socket.close()
            OF_PROCESS.give(0, 1)


def listen() -> tuple[socket.socket, str]:
    """Return a socket to which readers connect, and its name."""
    name = f"nervenet-{secrets.token_hex(16)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(f"\0{name}")
        listener.listen(_WAITING)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener, name


def accept(listener: socket.socket) -> LocalSocket | None:
    """Return the next socket that has connected; None if it is not taken.

    Raises
    ------
    OSError
        Nobody has connected (BlockingIOError), or nobody can any more.
    """
    connection, _ = listener.accept()
    try:
        return LocalSocket(connection)
    except PermissionError:
        return None


def connect(name: str) -> LocalSocket:
    """Return a socket to a writer of this process's user.

    Raises
    ------
    OSError
        There is none of that name here, or it is another user's.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.setblocking(False)
        connection.connect(f"\0{name}")
    except BaseException:
        connection.close()
        raise
    return LocalSocket(connection, passed=True)
