"""The accepted connections of one socket, by key; ZeroMQ itself cannot end one of them, so the system is asked to."""

from __future__ import annotations

import os
import socket as system
from collections.abc import Callable
from contextlib import suppress


class AcceptedConnections:
    """Remembers by descriptor whose connection it is, and ends those of a key.

    A descriptor is ZeroMQ's own, and may belong to another connection by now: what is remembered with it is its inode,
    which is compared on a duplicate, so that no other connection is ever ended.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def seen(self, descriptor: int, key: str) -> None:
        known = self._known.get(descriptor)
        if (known is None or known[0] != key) and descriptor >= 0:
            with suppress(OSError):
                self._known[descriptor] = (key, os.fstat(descriptor).st_ino)

    def closed(self, descriptor: int) -> bool:
        return self._known.pop(descriptor, None) is not None

    def cut(self, which: Callable[[str], bool]) -> int:
        """End the connections of the keys that ``which`` chooses, and return how many that were."""
        chosen = [descriptor for descriptor, (key, _) in self._known.items() if which(key)]
        return sum(_shut_down(descriptor, self._known.pop(descriptor)[1]) for descriptor in chosen)


def _shut_down(descriptor: int, inode: int) -> bool:
    try:
        with system.socket(fileno=os.dup(descriptor)) as connection:
            if os.fstat(connection.fileno()).st_ino != inode:
                return False
            connection.shutdown(system.SHUT_RDWR)
            return True
    except OSError:  # closed meanwhile
        return False
