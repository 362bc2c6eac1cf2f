"""The shared memory of one node: to whom it is offered, what is sent by it, and what came by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProtocolError
from ..limits import allowed
from ..messages import Hello, SharedMemoryOffer
from .host import host_of
from .reference import Reference

if TYPE_CHECKING:  # nodes that never share a vector need neither
    from .reader import Reader
    from .writer import Writer

_LONGEST_S = 60.0  # between two offers to one that does not connect


@dataclass(slots=True)
class Partner:
    """A node of this host that takes vectors through shared memory; when it is offered any again, and how often."""

    incarnation: int
    offers: int = 0
    offer_at: float = 0.0

    def due(self, now: float) -> bool:
        """Return whether an offer is due, and take note of it: of each further one later."""
        if now < self.offer_at:
            return False
        self.offer_at = now + min(_LONGEST_S, 2.0**self.offers)
        self.offers += 1
        return True


class SharedMemory:
    """Where it is not ``wanted``, or the system has none, it has no ``host``, and all it says is no.

    Whoever is told the host of another node by its HELLO, and has the same, has a partner. A writer offers its partner
    to read with the first vector that is long enough. That one goes over ZeroMQ, as do all until the reader is there.
    """

    def __init__(self, run: str, *, wanted: bool) -> None:
        self.host = host_of(run) if wanted else ""
        self._partners: dict[str, Partner] = {}
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tell: Callable[[str, SharedMemoryOffer], None] = lambda *_: None

    def start(self, loop: asyncio.AbstractEventLoop, tell: Callable[[str, SharedMemoryOffer], None]) -> None:
        """Begin; ``tell`` sends an offer to a node."""
        if self.host:
            self._loop, self._tell = loop, tell

    def met(self, hello: Hello) -> None:
        """Take note of who has introduced itself."""
        known = self._partners.get(hello.node)
        if known is not None and (known.incarnation != hello.incarnation or hello.host != self.host):
            self.forget(hello.node)
            known = None
        while len(self._partners) > allowed("departed"):
            self.forget(next(iter(self._partners)))
        if self.host and hello.host == self.host and known is None:
            self._partners[hello.node] = Partner(hello.incarnation)

    def offered(self, peer: str, offer: SharedMemoryOffer) -> None:
        if self._loop is None or peer not in self._partners:
            return
        if self._reader is None:
            from .reader import Reader

            self._reader = Reader(self._loop)
        self._reader.offered(peer, offer)

    def cut(self, peer: str) -> None:
        """Take note that the connection of a node was cut, or is made again: what was on its way may be lost."""
        if self._writer is not None:
            self._writer.cut(peer)

    def forget(self, peer: str) -> None:
        """End what there is with a node, until it introduces itself again."""
        self._partners.pop(peer, None)
        if self._writer is not None:
            self._writer.lose(peer)
        if self._reader is not None:
            self._reader.forget(peer)

    def share(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a vector that is to be sent in shared memory, if any node reads there; from any thread."""
        if self._writer is None or array.nbytes < allowed("shared_vector_bytes"):
            return array
        return self._writer.share(array)

    def lend(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return memory for a vector that is to be sent; None if nobody reads here; from any thread."""
        if self._writer is None or nbytes < allowed("shared_vector_bytes"):
            return None
        return self._writer.lend(nbytes)

    def reference(self, peer: str, array: memoryview) -> bytes | None:
        """Return what is sent in place of an array; None if the array is to be sent."""
        partner = self._partners.get(peer)
        if partner is None or self._loop is None:
            return None
        if self._writer is None:
            from .writer import Writer

            self._writer = Writer(self._loop)
        if self._writer.has(peer):
            return self._writer.reference(peer, array)
        if partner.due(self._loop.time()):
            offer = self._writer.offer_to(peer)
            if offer is not None:  # not at once: this is in the midst of sending
                self._loop.call_soon(self._tell, peer, offer)
        return None

    def array(self, peer: str, frame: bytes) -> memoryview:
        """Return the bytes that a message of a node refers to. Raises ProtocolError where there are none."""
        if self._reader is None:
            raise ProtocolError("malformed", "a reference to shared memory, and none was taken")
        return self._reader.array(peer, Reference.unpack(bytes(frame)))

    def close(self) -> None:
        self._partners.clear()
        for side in (self._writer, self._reader):
            if side is not None:
                side.close()
        self._writer = self._reader = self._loop = None
