"""What the kernel still has to send over the connection below a ZeroMQ socket."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
from typing import NamedTuple

_BYTES_ACKED = 120
"""Where in Linux's tcp_info it is: behind 8 flags of a byte, 24 numbers of 4 and two rates of 8."""


class KernelQueue(NamedTuple):
    """A connection by its descriptor, which is ZeroMQ's own and may be another file by now: hence its inode."""

    descriptor: int
    inode: int

    @classmethod
    def of(cls, descriptor: int) -> KernelQueue:
        """Return the connection of a descriptor; `NO_QUEUE` if it has closed, or there is none, as over inproc."""
        try:
            return cls(descriptor, os.fstat(descriptor).st_ino) if descriptor >= 0 else NO_QUEUE
        except OSError:
            return NO_QUEUE

    def leads_to(self, descriptor: int) -> bool:
        return self.descriptor == descriptor

    def unacknowledged(self) -> int:
        """Return how many bytes the kernel holds that the other side has not acknowledged; 0 where it does not say.

        Linux counts, for TCP, what was not sent and what was sent and may have to be repeated (tcp(7), SIOCOUTQ).
        """
        try:
            if self.descriptor < 0 or os.fstat(self.descriptor).st_ino != self.inode:
                return 0
            answer = fcntl.ioctl(self.descriptor, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int(struct.unpack("i", answer)[0])

    def acknowledged(self) -> int:
        """Return how many bytes the other side has acknowledged so far; 0 where the kernel does not say.

        ``tcpi_bytes_acked`` of tcp(7), TCP_INFO, in Linux's layout of it.
        """
        if sys.platform != "linux" or self.descriptor < 0:
            return 0
        try:
            if os.fstat(self.descriptor).st_ino != self.inode:
                return 0
            with socket.socket(fileno=os.dup(self.descriptor)) as connection:
                answer = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        except OSError:
            return 0
        return int(struct.unpack_from("Q", answer, _BYTES_ACKED)[0]) if len(answer) == _BYTES_ACKED + 8 else 0


NO_QUEUE = KernelQueue(-1, 0)
