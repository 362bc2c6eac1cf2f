"""What a socket has been handed for its peers and has not left this machine: by ZeroMQ's word, then by the kernel's."""

from __future__ import annotations

from typing import NamedTuple

import zmq

from .kernel_queue import NO_QUEUE, KernelQueue


class _Handed(NamedTuple):
    """Something large that ZeroMQ holds for a peer; ``shared``: and perhaps for others as well."""

    round: int
    tracker: zmq.MessageTracker
    shared: bool


class Leaving:
    """Follows large messages by peer, and by which connection each peer's messages come, and so those to it go."""

    def __init__(self) -> None:
        self._handed: dict[bytes, list[_Handed]] = {}
        self._written: dict[bytes, int] = {}  # the round of the last one that ZeroMQ has written out
        self._kernel: dict[bytes, KernelQueue] = {}

    def handed(self, to: bytes, round_: int, tracker: zmq.MessageTracker, *, shared: bool) -> None:
        self._handed.setdefault(to, []).append(_Handed(round_, tracker, shared))

    def carried(self, to: bytes, descriptor: int) -> None:
        """Note by which connection a message of a peer has come."""
        if not self._kernel.get(to, NO_QUEUE).leads_to(descriptor):
            self._kernel[to] = KernelQueue.of(descriptor)

    def rounds(self, to: bytes) -> list[int]:
        """Return the rounds of what was handed over for a peer and has not left this machine."""
        handed = self._handed.get(to)
        rounds = []
        if handed is not None:
            self._written.update((to, each.round) for each in handed if each.tracker.done)
            handed[:] = [each for each in handed if not each.tracker.done]
            if not handed:
                del self._handed[to]
            # Of what goes to others, too, the kernel knows whether this one has it all.
            clear = any(each.shared for each in handed) and self._kernel.get(to, NO_QUEUE).clear()
            rounds = [each.round for each in handed if not (each.shared and clear)]
        if to in self._written and not rounds:
            # The kernel takes a megabyte or two from ZeroMQ, which are seconds of a slow connection.
            if self._kernel.get(to, NO_QUEUE).unacknowledged():
                rounds = [self._written[to]]
            else:
                del self._written[to]
        return rounds

    def moved(self, to: bytes) -> int:
        """Return how many bytes a peer has acknowledged; the kernel says it of messages that are being sent, too."""
        return self._kernel.get(to, NO_QUEUE).acknowledged()

    def came(self, to: bytes) -> int:
        """Return how many bytes have come from a peer, by the kernel, over the connection of its last message."""
        return self._kernel.get(to, NO_QUEUE).received()

    def forget(self, to: bytes) -> None:
        for of_peer in (self._handed, self._written, self._kernel):
            of_peer.pop(to, None)
