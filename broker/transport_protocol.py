"""What every transport promises, whatever carries its mail."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from .messages import Message
from .transport_events import Arrival, Counters, TransportEvent

__all__ = ["Failed", "Receiver", "Transport", "new_incarnation"]

Receiver = Callable[[Arrival | TransportEvent], None]
Failed = Callable[[BaseException], None]


def new_incarnation() -> int:
    """A number that is larger at each start of a node: microseconds since 1970, exact in a JSON number."""
    return time.time_ns() // 1000


class Transport(Protocol):
    """Carries messages between named nodes; the same contract over tcp, ipc, inproc and in memory.

    Everything that comes is handed to one receiver, synchronously, on the event loop that called `open`. An exception
    of the receiver goes to ``failed`` and never disturbs the transport.
    """

    node: str
    role: str
    run: str
    incarnation: int
    counters: Counters

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where others reach this node, a lane each (``control``, ``bulk``); empty if it only dials out."""

    async def open(self, receiver: Receiver, failed: Failed) -> None:
        """Bind, and deliver from now on."""

    def link(self, peer: str, addresses: Mapping[str, str]) -> None:
        """Dial a peer on both lanes and say HELLO, until it answers; idempotent for the same addresses."""

    def unlink(self, peer: str) -> None:
        """Hang up, and drop what waits for the peer; no error where there is no link."""

    def send(self, to: str | Sequence[str], message: Message, array: NDArray[Any] | None = None) -> None:
        """Send to one or several, encoded once; never waits, never raises for a peer's fault.

        The array must not change any more. What cannot be delivered comes back as `SendFailed`, later.

        Raises
        ------
        MessageTooLarge
        """

    def sending(self, to: str) -> tuple[int, ...]:
        """Rounds of the bulk messages to ``to`` that have not left this process yet."""

    async def close(self, drain_s: float) -> None:
        """Close; what is queued may leave within ``drain_s`` seconds."""
