"""The accepted connections of one socket, by key; ZeroMQ itself cannot end one of them, so the system is asked to."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from ..kernel import end


class AcceptedConnections:
    """Remembers by descriptor whose connection it is, and ends those of a key.

    A descriptor is ZeroMQ's own, and may belong to another connection by now: what is remembered with it is its inode,
    which `end` compares on a duplicate, so that no other connection is ever ended.

    Whose it is shows with the first message. Of one over which nothing has come it cannot be known: `cut_silent`.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, int]] = {}
        self._silent: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._known) + len(self._silent)

    def accepted(self, descriptor: int) -> None:
        with suppress(OSError):  # closed meanwhile
            inode = os.fstat(descriptor).st_ino
            known = self._known.get(descriptor)
            if known is None or known[1] != inode:  # the news of it may come after its first message
                self._silent[descriptor] = inode

    def seen(self, descriptor: int, key: str) -> None:
        known = self._known.get(descriptor)
        if (known is None or known[0] != key) and descriptor >= 0:
            self._silent.pop(descriptor, None)
            with suppress(OSError):
                self._known[descriptor] = (key, os.fstat(descriptor).st_ino)

    def closed(self, descriptor: int) -> bool:
        """Forget a connection; return whether anything had come over it."""
        self._silent.pop(descriptor, None)
        return self._known.pop(descriptor, None) is not None

    def cut_silent(self) -> int:
        """End the connections over which nothing has come yet: whoever may connect does so again by itself."""
        silent, self._silent = self._silent, {}
        return sum(end(descriptor, inode) for descriptor, inode in silent.items())

    def cut(self, which: Callable[[str], bool]) -> int:
        """End the connections of the keys that ``which`` chooses, and return how many that were."""
        chosen = [descriptor for descriptor, (key, _) in self._known.items() if which(key)]
        return sum(end(descriptor, self._known.pop(descriptor)[1]) for descriptor in chosen)
