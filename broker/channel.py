"""A socket on the event loop: everything received is handed over at once, and sending never waits.

There is no reader task and nothing to cancel, so nothing that was received can be lost. The descriptor of a ZeroMQ
socket is edge-triggered, so one rule holds throughout: read until there is no more, and look again after every send,
because a send may have consumed the edge.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple, Protocol

import zmq

from .codec import Frame, encode
from .kernel import COUNTS
from .leaving import Leaving
from .limits import allowed
from .messages import VERSION, Message, tag_of
from .transport_events import Counters

_TURN = 64  # messages handed over before others get the loop
_TURN_S = 0.02  # or for so long; where some were left unread, for as long as others had the loop since,
_LONGEST_TURN_S = 0.25  # at the most. Else hundreds of nodes on one loop, busy with each other, leave all else waiting
_SHARED = allowed("shared_vector_bytes")
_ZERO_COPY = 65_536  # bytes; below, a copy is cheaper than the bookkeeping of sharing
_ONE_COPY = 1_024  # bytes; from here on one copy for all receivers is cheaper than one for each
_SMALL_BYTES = 1 << 20  # while the queue of a peer is smaller than this, `queue` does not bound it
_SMALL_QUEUE = 256  # but this does
_NOBLOCK = int(zmq.NOBLOCK)  # plain integers: an operator on zmq's flags costs a microsecond
_POLLIN = int(zmq.POLLIN)
_EVENTS = zmq.EVENTS
_SRCFD = int(zmq.SRCFD)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_RETRY_S = (0.01, 0.1)  # first and longest pause before a full queue is tried again


_SHORT, _LONG = 2, 9  # bytes of ZMTP before a frame, of at most 255 bytes and of more
_SEALED = 33  # and how many more a frame takes that is encrypted


class Heard(Protocol):
    """Takes note of a message: its connection's descriptor, what it took of that, and of how many frames it is.

    It is delivered if that returns true.
    """

    def __call__(self, descriptor: int, nbytes: int, frames: int, /) -> bool: ...


class Refer(Protocol):
    """Returns what a peer, by its identity, is sent in place of a large array; None: the array itself."""

    def __call__(self, identity: bytes, array: Any, /) -> bytes | None: ...


class Envelope(NamedTuple):
    """The frames of an outgoing message, and what is reported about it."""

    frames: Sequence[Frame]
    kind: str
    round: int
    header_bytes: int
    array_bytes: int = 0
    shared: zmq.Frame | None = None  # the array, where several are sent it

    @classmethod
    def of(
        cls, message: Message, array: Any = None, version: int = VERSION, number: int = 0, receivers: int = 1
    ) -> Envelope:
        frames = encode(message, array, version, number)
        header = len(frames[0])
        shared, array_bytes = None, len(frames[1]) if len(frames) == 2 else 0
        if receivers > 1 and _ONE_COPY <= array_bytes < _ZERO_COPY:
            shared = zmq.Frame(frames[1], copy=True)
        elif receivers > 1 and array_bytes >= _ZERO_COPY and COUNTS:
            # ZeroMQ tells pyzmq's own thread when it is done with an array: once for all receivers, where the system
            # tells apart which of them it still goes to.
            shared = zmq.Frame(frames[1], copy=False, track=True)
        return cls(frames, tag_of(message), getattr(message, "round", 0), header, array_bytes, shared)


class Channel:
    """Owns one socket; a ROUTER where ``addressed``, anything else where not.

    ``deliver(channel, identity, frames)`` gets each message, synchronously, and should not raise (the loop's exception
    handler would be told); ``identity`` is empty unless ``addressed``. ``dropped(channel, identity, envelope, full)``
    is called for a message that will not leave, because the queue is full or (false) there is no such peer. ``queue``
    messages may wait for one peer, or 256 of less than a megabyte together; beyond that the oldest is dropped, because
    newer ones supersede it. ``large``: arrays are expected and received without a copy. ``keyed``: connections are
    authenticated, and `user` is asked for. ``heard`` is asked of each message first, ``refer`` of each long array.
    ``peers`` share it at the other end, so that so many times as much may wait.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        *,
        deliver: Callable[[Channel, bytes, list[Any]], None],
        dropped: Callable[[Channel, bytes, Envelope, bool], None] = lambda *_: None,
        counters: Counters,
        queue: int = 1,
        peers: int = 1,
        addressed: bool = False,
        large: bool = False,
        most_frames: int = 2,
        keyed: bool = False,
        heard: Heard | None = None,
        refer: Refer = lambda *_: None,
    ) -> None:
        self.socket = socket
        self._deliver = deliver
        self._dropped = dropped
        self._counters = counters
        self._queue, self._small_queue, self._small_bytes = (peers * n for n in (queue, _SMALL_QUEUE, _SMALL_BYTES))
        self._addressed = addressed
        self._large = large
        self._most = most_frames + 1  # one more than a message has proves that it is malformed
        self._knows_first = (keyed or heard is not None or large) and not addressed  # else the identity comes first
        self._heard = heard
        self._refer = refer
        self._seal = _SEALED if keyed else 0
        self._waiting: dict[bytes, deque[Envelope]] = {}
        self._header: zmq.Frame | None = None
        self._descriptor: int | None = None  # of its connection, once somebody has asked
        self._leaving = Leaving()
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.Handle | None = None
        self._left_at = 0.0  # when it last left something unread, by the monotonic clock
        self._retry: asyncio.TimerHandle | None = None
        self._pause = _RETRY_S[0]
        self._fd: int = socket.getsockopt(zmq.FD)  # type: ignore[assignment]
        self._open = True
        self._held = False
        self._reading = False  # and so looking again after each message
        self._loop.add_reader(self._fd, self._ready)
        self._poll_again()

    def send(self, to: bytes, envelope: Envelope) -> None:
        """Hand a message to ZeroMQ, or queue it until there is room; never waits."""
        waiting = self._waiting.get(to)
        if not self._open:
            self._dropped(self, to, envelope, False)
            return
        if waiting is None:
            if not self._held and self._push(to, envelope):
                return
            waiting = self._waiting[to] = deque()
        # A few large messages may wait, or many small ones: memory is what must be bounded.
        if len(waiting) >= self._queue and (
            len(waiting) >= self._small_queue
            or sum(each.array_bytes for each in waiting) + envelope.array_bytes > self._small_bytes
        ):
            self._dropped(self, to, waiting.popleft(), True)
        waiting.append(envelope)
        self._try_later()

    def hold(self) -> None:
        """Queue everything until `release`, within the usual bounds."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self._flush()

    def send_at_once(self, envelope: Envelope) -> None:
        """Send ahead of everything queued or held; dropped if there is no room."""
        self._push(b"", envelope)

    def sending(self, to: bytes) -> list[int]:
        """Return the rounds of the large or queued messages to ``to`` that have not left this machine."""
        return self._leaving.rounds(to) + [envelope.round for envelope in self._waiting.get(to, ())]

    def leaving(self, to: bytes) -> bool:
        """Return whether something large has left the queue for ``to``, and not this machine."""
        return bool(self._leaving.rounds(to))

    def moved(self, to: bytes) -> int:
        """Return how many bytes a peer has acknowledged; the kernel says it of messages that are being sent, too."""
        return self._leaving.moved(to)

    def came(self, to: bytes) -> int:
        """Return how many bytes have come from a peer, by the kernel, over the connection of its last message."""
        return self._leaving.came(to)

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def descriptor(self) -> int:
        """Return the descriptor of the connection of the message being delivered; -1 if there is none."""
        if self._descriptor is None:
            try:
                self._descriptor = -1 if self._header is None else int(self._header.get(_SRCFD))
            except (zmq.ZMQError, ValueError):
                self._descriptor = -1
        return self._descriptor

    def carried(self, to: bytes, descriptor: int) -> None:
        """Note by which connection a message of ``to`` has come: those to it leave by the same one."""
        self._leaving.carried(to, descriptor)

    def user(self) -> str:
        """Return the key by which the connection of the message being delivered was authenticated; empty: none."""
        try:
            return "" if self._header is None else str(self._header.get("User-Id"))
        except zmq.ZMQError:
            return ""

    def source(self) -> str:
        """Return the host from which the message being delivered came; empty where there is none."""
        try:
            return "" if self._header is None else str(self._header.get("Peer-Address"))
        except zmq.ZMQError:
            return ""

    def forget(self, to: bytes) -> None:
        self._waiting.pop(to, None)
        self._leaving.forget(to)

    def drain(self, most: int = 1 << 30) -> None:
        """Hand over what is there, ``most`` messages at the most."""
        while most > 0 and self._open and self._readable() and self._take():
            most -= 1
        if self._open:
            self._poll_again()

    def close(self, linger_s: float = 0.0) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._fd)
        for handle in (self._look, self._retry):
            if handle is not None:
                handle.cancel()
        self._waiting.clear()
        self.socket.close(linger=round(linger_s * 1000))

    # Out

    def _push(self, to: bytes, envelope: Envelope) -> bool:
        """Return whether ZeroMQ took the message, or it need not be tried again."""
        frames = envelope.frames
        send = self.socket.send
        tracker = reference = None
        try:
            if self._addressed:
                send(to, _MORE)
            if len(frames) == 1:
                send(frames[0], _NOBLOCK)
            else:
                send(frames[0], _MORE)
                if envelope.array_bytes >= _SHARED:
                    reference = self._refer(to, frames[1])
                if reference is not None:
                    send(reference, _NOBLOCK)
                elif envelope.array_bytes >= _ZERO_COPY:
                    tracker = send(envelope.shared or frames[1], _NOBLOCK, copy=False, track=True)
                elif envelope.shared is not None:
                    send(envelope.shared, _NOBLOCK, copy=False)
                else:
                    send(frames[1], _NOBLOCK)
        except zmq.Again:
            self._poll_again()  # a send that has failed may have consumed the edge, too
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._poll_again()
            self._dropped(self, to, envelope, False)
            return True
        if tracker is not None:
            self._leaving.handed(to, envelope.round, tracker, shared=envelope.shared is not None)
        counters = self._counters
        counters.messages_sent += 1
        counters.bytes_sent += envelope.header_bytes + envelope.array_bytes
        by_kind = counters.sent_by_kind
        by_kind["control"] += envelope.header_bytes
        if envelope.array_bytes:
            by_kind["weights"] += envelope.array_bytes
            if reference is not None:
                counters.bytes_shared += envelope.array_bytes
        self._poll_again()
        return True

    def _flush(self) -> None:
        if self._held:
            return
        for to in list(self._waiting):
            waiting = self._waiting.get(to)
            while waiting and self._push(to, waiting[0]):
                waiting.popleft()
                self._pause = _RETRY_S[0]
            if not waiting:
                self._waiting.pop(to, None)
        if self._waiting:
            self._try_later()

    def _try_later(self) -> None:
        # ZeroMQ announces room on a DEALER through its descriptor, and on a ROUTER not at all.
        if self._retry is None and self._open and not self._held:
            self._retry = self._loop.call_later(self._pause, self._again)
            self._pause = min(2 * self._pause, _RETRY_S[1])

    def _again(self) -> None:
        self._retry = None
        self._flush()

    # In

    def _poll_again(self) -> None:
        # Asking costs a microsecond; a turn of the loop that finds nothing costs twenty.
        if not self._reading and self._look is None and self._readable():
            self._look = self._loop.call_soon(self._ready)

    def _readable(self) -> bool:
        events: int = self.socket.getsockopt(_EVENTS)  # type: ignore[assignment]
        return events & _POLLIN != 0

    def _ready(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        began = monotonic()
        others_s = began - self._left_at if self._left_at else 0.0
        self._left_at, until = 0.0, began + max(_TURN_S, min(others_s, _LONGEST_TURN_S))
        self._reading = True
        try:
            # Here is why this was called, most likely: it is taken without asking first.
            more, left = self._take(), _TURN
            while more and self._open and self._readable():
                left -= 1
                if (left <= 0 and others_s <= _TURN_S) or monotonic() > until:
                    self._left_at = monotonic()
                    self._look = self._loop.call_soon(self._ready)
                    break
                more = self._take()
        finally:
            self._reading = False
        if self._waiting and self._open:
            self._flush()

    def _take(self) -> bool:
        """Hand over the next message; return whether there was one, so that there may be more."""
        if not self._open:
            return False
        # Without a copy, because such a frame knows whether more follow; asking the socket costs more than copying a
        # small frame afterwards.
        recv = self.socket.recv
        try:
            part = recv(_NOBLOCK, False)
        except zmq.Again:
            return False
        self._descriptor = None
        identity, frames, nbytes, count = b"", list[Any](), 0, 0
        if self._addressed:
            identity, more, self._header = part.bytes, part.more, None
            if more:
                part = self._header = recv(_NOBLOCK, False)
        else:
            more = True
            if self._knows_first:
                self._header = part  # it knows its connection
        while more:
            size, more, count = len(part), part.more, count + 1
            if count <= self._most:
                frames.append(part.buffer if self._large and size >= _ZERO_COPY else part.bytes)
            size += self._seal
            nbytes += size + (_SHORT if size <= 255 else _LONG)
            if more:
                part = recv(_NOBLOCK, False)
        self._counters.messages_received += 1
        try:
            if self._heard is None or self._heard(self.descriptor(), nbytes, count):
                self._deliver(self, identity, frames)
        except Exception as error:  # noqa: BLE001  what is still to be read would stay unread: the edge is consumed
            told = {"message": "a message could not be delivered", "exception": error}
            self._loop.call_exception_handler(told)
        return True
