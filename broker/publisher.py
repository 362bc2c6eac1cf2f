"""Tells a node's events, and never waits for anybody to hear them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import zmq

from .channel import Channel, Letter
from .codec import DEFAULT_LIMITS, Limits
from .event_codec import Event, encode_event
from .sockets import make
from .transport_events import Counters

__all__ = ["Publisher"]

_KEPT = 1_000  # events that wait for the broker; older ones are lost, and show as a gap


class Publisher:
    """Publishes one node's events.

    The socket is an XPUB, because that can hear the relay's subscription: what is published before it has come, or
    while the broker is away, is kept (the last thousand events) and sent when it has.

    Parameters
    ----------
    node, role, run : str
    incarnation : int
    context : zmq.Context, optional
        Its owner terminates it.
    """

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        incarnation: int,
        *,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.counters = Counters()
        self._head = {"run": run, "node": node, "role": role, "incarnation": incarnation}
        self._seq: dict[str, int] = {}
        self._own_context = context is None
        self._context = context
        self._limits = limits
        self._kept: deque[Letter] = deque(maxlen=_KEPT)
        self._channel: Channel | None = None
        self._address = ""
        self._heard = False

    def connect(self, events_in: str) -> None:
        """Publish to a relay from now on; the same address again changes nothing."""
        if events_in == self._address:
            return
        self._hang_up(0.0)
        if self._context is None:
            self._context = zmq.Context()
        socket = make(self._context, "publisher", self._limits)
        socket.connect(events_in)
        self._address = events_in
        self._channel = Channel(
            socket,
            deliver=self._subscription,
            dropped=lambda *_: None,
            counters=self.counters,
            queue=1,
        )

    def publish(self, type_: str, /, **fields: Any) -> Event:
        """Publish an event, and return it as it goes out; never waits."""
        seq = self._seq[type_] = self._seq.get(type_, 0) + 1
        event = {"type": type_, **self._head, "seq": seq, "time": time.time(), **fields}
        topic, body = encode_event(event)
        if len(body) > self._limits.control_bytes:
            return self.publish("warning", reason=f"an event {type_} of {len(body):,} bytes is too large to be told")
        letter = Letter([topic, body], "event", 0, len(topic) + len(body), 0)
        if self._heard and self._channel is not None:
            self._channel.send(b"", letter)
        else:
            self._kept.append(letter)
        return event

    async def close(self, drain_s: float = 0.5) -> None:
        """Close; the last events may leave within ``drain_s`` seconds."""
        self._hang_up(drain_s)
        if self._own_context and self._context is not None:
            await asyncio.to_thread(self._context.term)
            self._context = None

    def _hang_up(self, linger_s: float) -> None:
        if self._channel is not None:
            self._channel.close(linger_s)
        self._channel = None
        self._address = ""
        self._heard = False

    def _subscription(self, channel: Channel, _identity: bytes, frames: list[bytes]) -> None:
        self._heard = frames[0][:1] == b"\x01"
        while self._heard and self._kept:
            channel.send(b"", self._kept.popleft())
