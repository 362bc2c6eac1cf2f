"""Relay of events from many publishers to many subscribers; keeps the last of each kind for late subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import zmq

from .channel import Channel, Envelope
from .errors import ProtocolError
from .events import Event, decode_event, decode_head, encode_event
from .last_values import LastValues
from .transport_events import Counters

if TYPE_CHECKING:
    from .guard.guard import Guard

WELCOME = b"~welcome."
"""Prefix of the topics that the relay answers: the answer proves a subscriber's earlier subscriptions are active."""

_DRAINED = 256  # messages, of those that wait, before a connection is ended for what it holds


class Relay:
    """XSUB in, XPUB out. Malformed events are dropped and counted; nothing ever waits for a subscriber.

    ``may_publish(channel, head)``, of the fields that each event has, and ``may_subscribe(channel)`` are asked about
    what comes; ``keyed``: with keys.
    ``guards`` are those of the two sockets, by service; none over inproc, where nobody connects.
    """

    def __init__(
        self,
        events_in: zmq.Socket[bytes],
        events_out: zmq.Socket[bytes],
        counters: Counters,
        *,
        keyed: bool = False,
        may_publish: Callable[[Channel, Event], bool] = lambda *_: True,
        may_subscribe: Callable[[Channel], bool] = lambda _: True,
        guards: Mapping[str, Guard] | None = None,
    ) -> None:
        self.last = LastValues()
        self.on_event: Callable[[Event], None] = lambda _: None  # called with each that is relayed
        self._counters = counters
        self._may_publish = may_publish
        self._may_subscribe = may_subscribe
        self._publishers = (guards or {}).get("events_in")
        self._subscribers = (guards or {}).get("events_out")
        heard_in, heard_out = (g.heard if g is not None else None for g in (self._publishers, self._subscribers))
        self._in = Channel(events_in, deliver=self._event, counters=counters, keyed=keyed, heard=heard_in)
        self._out = Channel(events_out, deliver=self._subscription, counters=counters, keyed=keyed, heard=heard_out)
        if self._publishers is not None:
            self._publishers.drain = lambda: self._in.drain(_DRAINED)
        # Subscribe to everything: the last values are kept for subscribers still to come.
        self._in.send(b"", Envelope([b"\x01"], "subscribe", 0, 1))

    def publish(self, event: Event) -> None:
        self._forward(event, encode_event(event))

    def close(self, linger_s: float = 0.0) -> None:
        self._in.close()
        self._out.close(linger_s)

    def _event(self, channel: Channel, _identity: bytes, frames: list[bytes]) -> None:
        self._counters.bytes_received += sum(map(len, frames))
        try:
            head = decode_head(frames)
            if not self._may_publish(channel, head):
                return
            event = decode_event(frames)
            if any(event[key] != value for key, value in head.items()):  # one comes twice, and each took another
                raise ProtocolError("malformed", "the event has a field twice")
        except ProtocolError:
            self._counters.malformed += 1
            if self._publishers is not None:
                self._publishers.fault(channel.descriptor())
            return
        self._forward(event, frames)

    def _forward(self, event: Event, frames: Sequence[bytes]) -> None:
        topic, body = frames
        self.last.put(event, body)
        self.on_event(event)
        if self._subscribers is not None:
            self._subscribers.table.relayed += len(topic) + len(body)
        self._out.send(b"", Envelope(frames, "event", 0, len(topic), len(body)))

    def _subscription(self, channel: Channel, _identity: bytes, frames: list[bytes]) -> None:
        topic = frames[0][1:]
        begins = frames[0].startswith(b"\x01")
        if self._subscribers is not None and begins:
            known = channel.descriptor()
            if not self._subscribers.subscribed(known, len(topic)):
                return
        if begins and topic.startswith(WELCOME) and len(frames) == 1 and self._may_subscribe(channel):
            self._out.send(b"", Envelope([topic], "welcome", 0, len(topic)))
