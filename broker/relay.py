"""Relay of events from many publishers to many subscribers; keeps the last of each kind for late subscribers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import zmq

from .channel import Channel, Envelope
from .errors import ProtocolError
from .events import Event, decode_event, encode_event
from .transport_events import Counters

WELCOME = b"~welcome."
"""Prefix of the topics that the relay answers: the answer proves a subscriber's earlier subscriptions are active."""

_PART_BYTES = 262_144


class LastValues:
    """The last event of each (run, node, type, subject); the least recent is evicted beyond ``most``."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._events: OrderedDict[tuple[str, str, str, str], tuple[Event, int]] = OrderedDict()

    def put(self, event: Event, nbytes: int) -> None:
        key = (event["run"], event["node"], event["type"], str(event.get("subject", "")))
        self._events[key] = (event, nbytes)
        self._events.move_to_end(key)
        if len(self._events) > self._most:
            self._events.popitem(last=False)

    def parts(self, prefix: str) -> Iterator[tuple[tuple[Event, ...], bool]]:
        """Yield the events whose type begins with ``prefix``, oldest first, a message at a time; true on the last."""
        part: list[Event] = []
        size = 0
        for event, nbytes in self._events.values():
            if not event["type"].startswith(prefix):
                continue
            if part and size + nbytes > _PART_BYTES:
                yield tuple(part), False
                part, size = [], 0
            part.append(event)
            size += nbytes
        yield tuple(part), True


class Relay:
    """XSUB in, XPUB out. Malformed events are dropped and counted; nothing ever waits for a subscriber.

    With keys (``keyed``), ``may_publish(channel, event)`` and ``may_subscribe(channel)`` are asked about what comes.
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
    ) -> None:
        self.last = LastValues()
        self._counters = counters
        self._may_publish = may_publish
        self._may_subscribe = may_subscribe
        self._in = Channel(events_in, deliver=self._event, counters=counters, keyed=keyed)
        self._out = Channel(events_out, deliver=self._subscription, counters=counters, keyed=keyed)
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
            event = decode_event(frames)
        except ProtocolError:
            self._counters.malformed += 1
            return
        if self._may_publish(channel, event):
            self._forward(event, frames)

    def _forward(self, event: Event, frames: Sequence[bytes]) -> None:
        topic, body = frames
        self.last.put(event, len(body))
        self._out.send(b"", Envelope(frames, "event", 0, len(topic), len(body)))

    def _subscription(self, channel: Channel, _identity: bytes, frames: list[bytes]) -> None:
        if (
            self._may_subscribe(channel)
            and len(frames) == 1
            and frames[0].startswith(b"\x01" + WELCOME)
            and len(frames[0]) < 100
        ):
            topic = frames[0][1:]
            self._out.send(b"", Envelope([topic], "welcome", 0, len(topic)))
