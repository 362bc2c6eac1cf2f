"""The way of events to a relay: a queue and a socket, of one publisher or of several nodes of a process."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import zmq

from .channel import Channel, Envelope
from .ending import end_in_thread
from .security.plain import LOCAL
from .sockets import Security, dial
from .transport_events import Counters

if TYPE_CHECKING:
    from .security.dialer import Dialer

_KEPT = 1_000  # events of a publisher that are queued for the broker; older ones are lost and show as a gap
# Events that follow each other within this time leave together: each that leaves alone wakes three threads of two
# processes, which rounds of a millisecond would pay for. People who watch are shown ten pictures a second at most.
_TOGETHER_S = 0.02
_TOGETHER = 64  # or so many of them


class EventOutlet:
    """Sends events to a relay, as soon as it has subscribed; the owner of a given context terminates it.

    The socket is an XPUB, because that sees the relay's subscription: what is put here before it has arrived, or while
    the broker is away, is queued (the last events, a thousand for each publisher) and sent afterwards. The first event
    after a pause leaves at once, what follows it closely leaves together. The socket is there from the first `connect`
    until the last of its `publishers` has left.
    """

    def __init__(
        self,
        *,
        publishers: int = 1,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        security: Security = LOCAL,
    ) -> None:
        self.counters = Counters()
        self._security = security
        self._dialer: Dialer | None = None
        self._own_context = context is None
        self._context = context
        self._queued: deque[Envelope] = deque(maxlen=_KEPT * publishers)
        self._used = 0  # by so many that have not left
        self._channel: Channel | None = None
        self._address = ""
        self._subscribed = False
        self._flushed_at = float("-inf")
        self._flush_later: asyncio.TimerHandle | None = None

    def enter(self) -> None:
        """Take note of one more publisher."""
        self._used += 1

    async def leave(self, linger_s: float) -> None:
        """Take note that a publisher publishes no more; with the last one the socket is closed."""
        self._used -= 1
        if self._used:
            self._flush()
            return
        self._hang_up(linger_s)
        if self._own_context and self._context is not None:
            context, self._context = self._context, None
            await end_in_thread(context.term)

    def connect(self, events_in: str) -> None:
        """Send to a relay from now on; idempotent for the same address."""
        if events_in == self._address:
            return
        self._hang_up(0.0)
        if self._context is None:
            self._context = zmq.Context()
        socket, self._dialer = dial(self._context, "publisher", events_in, security=self._security)
        self._address = events_in
        self._channel = Channel(socket, deliver=self._subscription, counters=self.counters)

    def put(self, envelope: Envelope) -> None:
        """Have an event sent; never waits."""
        self._queued.append(envelope)
        if self._subscribed and (self._flush_later is None or len(self._queued) >= _TOGETHER):
            self._send_soon()

    def _send_soon(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._flushed_at + _TOGETHER_S or len(self._queued) >= _TOGETHER:
            self._flushed_at = now
            self._flush()
        elif self._flush_later is None:
            self._flush_later = loop.call_at(self._flushed_at + _TOGETHER_S, self._flush_in_time)

    def _flush_in_time(self) -> None:
        self._flush_later = None
        self._flushed_at = asyncio.get_running_loop().time()
        self._flush()

    def _flush(self) -> None:
        while self._subscribed and self._queued and self._channel is not None:
            self._channel.send(b"", self._queued.popleft())

    def _hang_up(self, linger_s: float) -> None:
        self._flush()
        if self._flush_later is not None:
            self._flush_later.cancel()
            self._flush_later = None
        if self._dialer is not None:
            self._dialer.close()
            self._dialer = None
        if self._channel is not None:
            self._channel.close(linger_s)
        self._channel = None
        self._address = ""
        self._subscribed = False

    def _subscription(self, _channel: Channel, _identity: bytes, frames: list[bytes]) -> None:
        self._subscribed = frames[0][:1] == b"\x01"
        self._flush()
