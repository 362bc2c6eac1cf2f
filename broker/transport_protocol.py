"""The contract of every transport, whatever carries its messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .messages import Message
from .transport_events import Arrival, Counters, TransportEvent

__all__ = ["OnError", "Receiver", "Transport", "new_incarnation"]

Receiver = Callable[[Arrival | TransportEvent], None]
OnError = Callable[[BaseException], None]


def new_incarnation() -> int:
    """Return a number that is larger at each start of a node: microseconds since 1970, exact in a JSON number."""
    return time.time_ns() // 1000


class Transport(Protocol):
    """Carries messages between named nodes; the contract is the same over tcp, ipc, inproc and in memory.

    Everything received goes to one receiver, synchronously, on the event loop that called `open`. An exception of the
    receiver goes to ``on_error`` and does not disturb the transport.
    """

    node: str
    role: str
    run: str
    incarnation: int
    counters: Counters

    @property
    def addresses(self) -> Mapping[str, str]:
        """Addresses at which others reach this node, by lane (``control``, ``bulk``); empty if it only dials."""

    async def open(self, receiver: Receiver, on_error: OnError) -> None:
        """Bind, and deliver from now on.

        Raises
        ------
        AddressInUse, BadAddress
        """

    def link(self, peer: str, addresses: Mapping[str, str], *, watched: bool = False) -> None:
        """Dial a peer on both lanes and repeat HELLO until it answers; idempotent for the same addresses.

        ``watched``: the peer does not dial back, so that the end of the connection must be noticed on this side.

        Raises
        ------
        BadAddress
        """

    def unlink(self, peer: str) -> None:
        """Close the link, and drop what is queued for the peer; no error if there is no link."""

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        """Send to one or several peers, encoded once; never waits, never raises for a fault of a peer.

        The array must not change afterwards. What cannot be sent is reported later by a `SendFailed`.

        Raises
        ------
        MessageTooLarge, TransportClosed
        """

    def share(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a vector that is to be sent where other processes of this host can read it; from any thread.

        It is the vector itself, or a copy of it in shared memory, which is sent to them without another copy.
        """

    def lend(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return memory in which a vector can be made that is sent without a copy; None if there is none to lend.

        From any thread. It is taken back when neither it nor any array in it is alive.
        """

    def sending(self, to: str) -> tuple[int, ...]:
        """Return the rounds of the bulk messages to ``to`` that have not left this machine yet."""

    def moved(self, to: str) -> int:
        """Return how many bytes ``to`` has acknowledged on its bulk connection; 0 where nobody knows.

        It grows while a large message is on its way: with `sending`, it tells a slow connection from a dead one.
        """

    async def close(self, drain_s: float) -> None:
        """Close; what is queued may leave within ``drain_s`` seconds. Idempotent."""
