"""The receiving side of shared memory: maps the regions that it is passed, and makes arrays of references to them.

An array is a read-only view of the sender's memory. It is valid as long as somebody holds it, whatever becomes of the
sender; when nobody does any more, the sender is told, from whichever thread let it go.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field
from threading import RLock
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from ..arrivals import Arrivals
from ..errors import ProtocolError
from ..limits import allowed
from ..messages import SharedMemoryOffer
from .budget import OF_PROCESS
from .local_messages import GivenUp, Mapped, Passed, Released, Shown
from .local_socket import LocalSocket, connect
from .reference import Reference, ReferenceLost
from .region import map_to_read

_AFTER_S = 5.0  # for so long what refers to a region that was given up, or whose writer has ended, may still arrive
_AGAIN_S = 0.05  # after which it is said again that something is released


class Releases:
    """Tells a writer what is released; from any thread, and from the collector of garbage."""

    def __init__(self, local: LocalSocket, loop: asyncio.AbstractEventLoop) -> None:
        self._local, self._loop, self._process = local, loop, os.getpid()
        self._lock = RLock()  # a release may begin within another, where the collector runs
        self._unsaid: list[Released] = []
        self._held: dict[int, tuple[ref[NDArray[np.uint8]], Released]] = {}

    def hold(self, view: NDArray[np.uint8], region: int, generation: int) -> None:
        """Release a reference when a view is no more."""
        watch = ref(view, self._let_go)
        self._held[id(watch)] = (watch, Released(region, generation))

    def _let_go(self, watch: ref[NDArray[np.uint8]]) -> None:
        _, released = self._held.pop(id(watch))
        if os.getpid() != self._process:  # a copy of this process lets go of its copy of the array
            return
        with self._lock:
            self._unsaid.append(released)
            self._say()

    def _say(self) -> None:
        with self._lock:
            while self._unsaid and self._local.open:
                if not self._local.say(self._unsaid[-1]):
                    with suppress(RuntimeError):  # the loop is closed, and the socket will be
                        self._loop.call_soon_threadsafe(self._loop.call_later, _AGAIN_S, self._say)
                    return
                self._unsaid.pop()

    def close(self) -> None:
        with self._lock:
            self._local.close()


@dataclass(slots=True)
class KnownWriter:
    """A writer: its regions that are mapped here, the last generation seen of each, and the references that came."""

    local: LocalSocket
    releases: Releases
    regions: dict[int, memoryview] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    numbers: Arrivals = field(default_factory=Arrivals)
    forgotten: asyncio.TimerHandle | None = None


class Reader:
    """The writers that a node may read from; ``loop`` is that of the node."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writers: dict[str, KnownWriter] = {}

    def offered(self, peer: str, offer: SharedMemoryOffer) -> bool:
        """Connect to a writer, and show the secret; return whether that was possible."""
        self.forget(peer)
        if len(self._writers) >= allowed("shared_readers"):
            return False
        try:
            local = connect(offer.name)
        except (OSError, ValueError):  # a name that no socket can have
            return False
        writer = self._writers[peer] = KnownWriter(local, Releases(local, self._loop))
        local.say(Shown(bytes.fromhex(offer.secret)))
        self._loop.add_reader(local.socket, self._hear, peer, writer)
        return True

    def array(self, peer: str, reference: Reference) -> memoryview:
        """Return the bytes that a message of a writer refers to.

        Raises
        ------
        ProtocolError
            There are none, or the reference came before.
        """
        writer = self._writers.get(peer)
        memory = None if writer is None else writer.regions.get(reference.region)
        if writer is None or memory is None:
            raise ReferenceLost("malformed", f"a reference to region {reference.region}, which is not mapped here")
        if reference.offset + reference.length > len(memory):
            reason = f"a reference to bytes {reference.offset:,} to {reference.offset + reference.length:,}"
            raise ProtocolError("malformed", f"{reason} of a region of {len(memory):,}")
        old = reference.generation < writer.generations.get(reference.region, 0)
        if old or not reference.number or not writer.numbers.fresh(reference.number):
            raise ProtocolError("malformed", "a reference to shared memory that came before, or is outdated")
        writer.generations[reference.region] = reference.generation
        part = memory[reference.offset : reference.offset + reference.length]
        view: NDArray[np.uint8] = np.frombuffer(part, np.uint8)
        writer.releases.hold(view, reference.region, reference.generation)
        return view.data  # through which every array that is made of it keeps the view

    def forget(self, peer: str) -> None:
        """Forget a writer; arrays that somebody holds stay valid."""
        writer = self._writers.pop(peer, None)
        if writer is None:
            return
        self._loop.remove_reader(writer.local.socket)
        if writer.forgotten is not None:
            writer.forgotten.cancel()
        writer.releases.close()
        for region in list(writer.regions):
            self._unmap(writer, region)

    def close(self) -> None:
        for peer in list(self._writers):
            self.forget(peer)

    def _hear(self, peer: str, writer: KnownWriter) -> None:
        for message, descriptor in writer.local.heard():
            match message:
                case Passed(region, size) if descriptor >= 0:
                    writer.local.say(Mapped(region, self._map(writer, region, size, descriptor)))
                    continue
                case GivenUp(region):
                    self._loop.call_later(_AFTER_S, self._unmap, writer, region)
            if descriptor >= 0:
                os.close(descriptor)
        if not writer.local.open:
            self._loop.remove_reader(writer.local.socket)
            writer.forgotten = self._loop.call_later(_AFTER_S, self.forget, peer)

    @staticmethod
    def _map(writer: KnownWriter, region: int, size: int, descriptor: int) -> bool:
        taken = sum(map(len, writer.regions.values()))
        fits = len(writer.regions) < allowed("shared_regions") and taken + size <= allowed("shared_bytes")
        if region in writer.regions or not fits or not OF_PROCESS.take(size, 1):
            os.close(descriptor)
            return False
        try:
            writer.regions[region] = map_to_read(descriptor, size)
        except OSError:
            OF_PROCESS.give(size, 1)
            return False
        return True

    @staticmethod
    def _unmap(writer: KnownWriter, region: int) -> None:
        memory = writer.regions.pop(region, None)
        if memory is not None:
            OF_PROCESS.give(len(memory), 1)
            writer.generations.pop(region, None)
