"""The sending side of shared memory: lends regions to be written, refers readers to them, takes back what is released.

`share` is called by the thread that has made a vector, all else on the event loop. Nothing here waits, and whatever
cannot be done means that a vector goes by the socket, as if there were no shared memory.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ..limits import allowed
from ..messages import SharedMemoryOffer
from .budget import OF_PROCESS
from .local_messages import SECRET_BYTES, GivenUp, Mapped, Passed, Released, Shown
from .local_socket import LocalSocket, accept, listen
from .pool import Loan, Pool
from .reference import Reference
from .region import WritableRegion, address_of

Array = NDArray[Any]

_SHOWN_S = 5.0  # in which who has connected shows a secret
_DESCRIPTORS = 2  # of a region of one's own: its own, and the one that its mapping holds


@dataclass(slots=True)
class KnownReader:
    """A reader: its number in the pool, which regions it was passed, and which of them it has mapped."""

    number: int
    local: LocalSocket
    passed: set[int] = field(default_factory=set)
    mapped: set[int] = field(default_factory=set)


class Writer:
    """The regions of one node and their readers; ``loop`` is that of the node."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = Lock()  # never held where an array may be let go: that is noted without it
        self._pool = Pool(allowed("shared_regions"), allowed("shared_bytes"))
        self._regions: dict[int, WritableRegion] = {}
        self._let_go: deque[tuple[int, int]] = deque()  # regions, by generation, whose arrays are no more
        self._readers: dict[str, KnownReader] = {}
        self._numbers = count(1)  # of readers
        self._references = count(1)  # to all of them: one that comes late is none of who reads anew under that name
        self._listener: socket.socket | None = None
        self._name = ""
        self._offers: dict[bytes, str] = {}  # by secret, to whom it was told
        self._silent: dict[LocalSocket, asyncio.TimerHandle] = {}  # sockets that have shown no secret yet
        self._closed = False

    # Readers

    def offer_to(self, peer: str) -> SharedMemoryOffer | None:
        """Return what is told to a node that may read here; None if nobody can connect."""
        if self._listener is None:
            try:
                self._listener, self._name = listen()
            except OSError:
                return None
            self._loop.add_reader(self._listener, self._accept, self._listener)
        for secret in [secret for secret, other in self._offers.items() if other == peer]:
            del self._offers[secret]
        secret = secrets.token_bytes(SECRET_BYTES)
        self._offers[secret] = peer
        return SharedMemoryOffer(self._name, secret.hex())

    def _accept(self, listener: socket.socket) -> None:
        try:
            local = accept(listener)
        except BlockingIOError:
            return
        except OSError:  # no descriptor is left: whoever waits there would be announced for ever
            self._stop_listening()
            return
        if local is None:
            return
        if len(self._silent) + len(self._readers) >= allowed("shared_readers"):
            local.close()
            return
        self._silent[local] = self._loop.call_later(_SHOWN_S, self._shown, local)
        self._loop.add_reader(local.socket, self._shown, local)

    def _shown(self, local: LocalSocket) -> None:
        """Take a socket for that of the node whose secret it shows; end it where it shows none."""
        self._loop.remove_reader(local.socket)
        self._silent.pop(local).cancel()
        message, descriptor = next(local.heard(), (None, -1))
        if descriptor >= 0:
            os.close(descriptor)
        peer = self._offers.pop(message.secret, "") if isinstance(message, Shown) else ""
        if not peer:
            local.close()
            return
        self.lose(peer)
        with self._lock:
            self._readers[peer] = KnownReader(next(self._numbers), local)

    def has(self, peer: str) -> bool:
        return peer in self._readers

    def cut(self, peer: str) -> None:
        """Write no more where references may be that have not arrived: the connection of a reader was cut."""
        with self._lock:
            reader = self._readers.get(peer)
            if reader is not None and self._hear(peer, reader):
                self._give_up(self._pool.lose(reader.number))

    def lose(self, peer: str) -> None:
        """Forget a reader, which may still be reading."""
        with self._lock:
            self._lose(peer)

    def _lose(self, peer: str) -> None:
        reader = self._readers.pop(peer, None)
        if reader is not None:
            reader.local.close()
            self._give_up(self._pool.lose(reader.number, reader.passed))

    # Vectors

    def share(self, array: Array) -> Array:
        """Return a vector in shared memory: a copy of one that is not there yet; itself if there is no room."""
        nbytes = array.nbytes
        if not self._readers or not array.flags.c_contiguous:
            return array
        with self._lock:
            if self._holding(address_of(array), nbytes) is not None:
                return array
        room = self._lend(nbytes)
        if room is None:
            return array
        shared = room[:nbytes].view(array.dtype).reshape(array.shape)
        np.copyto(shared, array)
        return shared

    def lend(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return memory for a vector that is to be sent; None if nobody reads here, or there is no room."""
        room = self._lend(nbytes) if self._readers else None
        return None if room is None else room[:nbytes]

    def reference(self, peer: str, array: memoryview) -> bytes | None:
        """Return what a reader is sent in place of bytes that lie here; None if it is to be sent the bytes."""
        with self._lock:
            reader = self._readers.get(peer)
            if reader is None or not self._hear(peer, reader):
                return None
            address = address_of(array)
            region = self._holding(address, array.nbytes)
            if region is None:
                return None
            if region not in reader.mapped:
                self._pass(reader, region)
                return None
            generation = self._pool.claim(region, reader.number)
            if generation is None:
                return None
            offset = address - self._regions[region].address
            return Reference(region, generation, offset, array.nbytes, next(self._references)).pack()

    def close(self) -> None:
        """End all; whoever still holds an array of a region keeps that much of it alive."""
        for peer in list(self._readers):
            self.lose(peer)
        for local, timer in self._silent.items():
            timer.cancel()
            self._loop.remove_reader(local.socket)
            local.close()
        self._silent.clear()
        self._stop_listening()
        with self._lock:
            self._closed = True
            self._give_up(tuple(self._regions))

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _lend(self, nbytes: int) -> NDArray[np.uint8] | None:
        """Return the memory of a free region, or of a new one, which is made here."""
        with self._lock:
            loan = self._loan(nbytes)
        if loan is None:
            return None
        made = self._made(loan.size) if loan.new else None
        with self._lock:
            if made is not None and not self._closed:
                self._regions[loan.region] = made
                for reader in self._readers.values():
                    self._pass(reader, loan.region)
            region = self._regions.get(loan.region)
            if region is None:
                self._pool.unmade(loan.region)
                if made is not None:
                    self._end(made)
                return None
            room: NDArray[np.uint8] = np.frombuffer(region.bytes, np.uint8)
        finalize(room, self._let_go.append, (loan.region, loan.generation)).atexit = False
        return room

    @staticmethod
    def _made(size: int) -> WritableRegion | None:
        if not OF_PROCESS.take(size, _DESCRIPTORS):
            return None
        try:
            return WritableRegion(size)
        except OSError:
            OF_PROCESS.give(size, _DESCRIPTORS)
            return None

    @staticmethod
    def _end(region: WritableRegion) -> None:
        region.close()
        OF_PROCESS.give(region.size, _DESCRIPTORS)

    # With the lock

    def _holding(self, address: int, nbytes: int) -> int | None:
        """Return the region in which so many bytes lie."""
        for number, region in self._regions.items():
            if region.address <= address and address + nbytes <= region.address + region.size:
                return number
        return None

    def _loan(self, nbytes: int) -> Loan | None:
        for peer, reader in list(self._readers.items()):
            self._hear(peer, reader)
        while self._let_go:
            region, generation = self._let_go.popleft()
            if self._pool.returned(region, generation):
                self._give_up((region,))
        loan = None if self._closed or not self._readers else self._pool.lend(nbytes)
        if loan is not None:
            self._give_up(loan.given_up)
        return loan

    def _pass(self, reader: KnownReader, region: int) -> None:
        """Pass a region to a reader, once: it is referred to what lies there as soon as it has mapped it."""
        found = self._regions[region]
        if region not in reader.passed and reader.local.say(Passed(region, found.size), found.descriptor):
            reader.passed.add(region)

    def _hear(self, peer: str, reader: KnownReader) -> bool:
        """Take what a reader has said; return whether it is there."""
        for message, descriptor in reader.local.heard():
            if descriptor >= 0:
                os.close(descriptor)
            match message:
                case Released(region, generation):
                    self._pool.release(region, generation, reader.number)
                case Mapped(region, done) if region in reader.passed:
                    if done:
                        reader.mapped.add(region)
        if not reader.local.open:
            self._lose(peer)
        return reader.local.open

    def _give_up(self, regions: tuple[int, ...]) -> None:
        for region in regions:
            found = self._regions.pop(region, None)
            if found is None:
                continue
            self._end(found)
            for reader in self._readers.values():
                if region in reader.passed:
                    reader.local.say(GivenUp(region))
                    reader.passed.discard(region)
                    reader.mapped.discard(region)
