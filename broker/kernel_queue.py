"""What the kernel still has to send over the connection below a ZeroMQ socket."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import NamedTuple

from .kernel import inode, read


class KernelQueue(NamedTuple):
    """A connection by its descriptor, which is ZeroMQ's own and may be another file by now: hence its inode."""

    descriptor: int
    inode: int

    @classmethod
    def of(cls, descriptor: int) -> KernelQueue:
        """Return the connection of a descriptor; `NO_QUEUE` if it has closed, or there is none, as over inproc."""
        known = inode(descriptor) if descriptor >= 0 else 0
        return cls(descriptor, known) if known else NO_QUEUE

    def leads_to(self, descriptor: int) -> bool:
        return self.descriptor == descriptor

    def unacknowledged(self) -> int:
        """Return how many bytes the kernel holds that the other side has not acknowledged; 0 where it does not say.

        Linux counts, for TCP, what was not sent and what was sent and may have to be repeated (tcp(7), SIOCOUTQ).
        """
        try:
            if self.descriptor < 0 or inode(self.descriptor) != self.inode:
                return 0
            answer = fcntl.ioctl(self.descriptor, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int(struct.unpack("i", answer)[0])

    def clear(self) -> bool:
        """Return whether the connection is there, and the other side has acknowledged all that has left over it."""
        counts = read(self.descriptor, self.inode) if self.descriptor >= 0 else None
        return counts is not None and counts.idle

    def acknowledged(self) -> int:
        """Return how many bytes the other side has acknowledged so far; 0 where the kernel does not say."""
        counts = read(self.descriptor, self.inode) if self.descriptor >= 0 else None
        return 0 if counts is None else counts.acknowledged

    def received(self) -> int:
        """Return how many bytes have come so far, of messages that are not whole, too; 0 where the kernel is silent."""
        counts = read(self.descriptor, self.inode) if self.descriptor >= 0 else None
        return 0 if counts is None else counts.received


NO_QUEUE = KernelQueue(-1, 0)
