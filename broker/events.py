"""Events: each a flat map, its two frames, and their publication, which never waits for a subscriber.

docs/events.md lists every type.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgpack
import msgspec
import zmq

from .channel import Channel, Envelope
from .codec import DEFAULT_LIMITS, SIGNATURE, plain, shallow
from .ending import end_in_thread
from .errors import ProtocolError
from .event_log import log_event
from .security.plain import LOCAL
from .sockets import Security, dial
from .transport_events import Counters

if TYPE_CHECKING:
    from .security.dialer import Dialer

Event = dict[str, Any]

REQUIRED: dict[str, type | tuple[type, ...]] = {
    "type": str,
    "run": str,
    "node": str,
    "role": str,
    "incarnation": int,
    "seq": int,
    "time": (int, float),
}
"""Fields that every event has."""

_PLAIN = frozenset({str, int, bool, type(None)})

STREAM = "stream"  # node of the events that originate at a subscriber
_KEPT = 1_000  # events queued for the broker; older ones are lost and show as a gap
# Events that follow each other within this time leave together: each that leaves alone wakes three threads of two
# processes, which rounds of a millisecond would pay for. People who watch are shown ten pictures a second at most.
_TOGETHER_S = 0.02
_TOGETHER = 64  # or so many of them


def encode_event(event: Event) -> list[bytes]:
    return [event["type"].encode(), SIGNATURE + msgpack.packb(event, default=plain)]


class _Head(msgspec.Struct):
    """The fields that every event has; what else there is is passed over, unread."""

    type: str
    run: str
    node: str
    role: str
    incarnation: int
    seq: int
    time: int | float


_HEAD = msgspec.msgpack.Decoder(_Head)


def decode_head(frames: Sequence[bytes], limit: int = DEFAULT_LIMITS.control_bytes) -> Event:
    """Return the fields that every event has, of two frames; raise `ProtocolError`, and nothing else, without them.

    Whether an event is its sender's business depends on these alone, and to decode all of it costs a hundred times as
    much, where its sender so wishes.
    """
    _check_frames(frames, limit)
    try:
        return msgspec.structs.asdict(_HEAD.decode(memoryview(frames[1])[3:]))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise ProtocolError("malformed", "the event is not MessagePack, or lacks a field that each one has") from None


def _check_frames(frames: Sequence[bytes], limit: int) -> None:
    if len(frames) != 2 or len(frames[1]) > limit:
        raise ProtocolError("malformed", f"an event has a topic and a body of at most {limit:,} bytes")
    if frames[1][:3] != SIGNATURE:
        raise ProtocolError("version", "the event is of another protocol or version")


def decode_event(frames: Sequence[bytes], limit: int = DEFAULT_LIMITS.control_bytes) -> Event:
    """Return the event of two frames; raise `ProtocolError`, and nothing else, if they hold none."""
    _check_frames(frames, limit)
    try:
        event = msgpack.unpackb(frames[1][3:], max_ext_len=0)
    except Exception:  # noqa: BLE001  msgpack raises many kinds, and each one means the same here
        raise ProtocolError("malformed", "the event is not MessagePack") from None
    if type(event) is not dict:
        raise ProtocolError("malformed", "the event is not a map")
    check_event(event)
    if frames[0] != event["type"].encode(errors="replace"):
        raise ProtocolError("malformed", "the event's topic is not its type")
    return event


def check_event(event: Event) -> None:
    """Raise `ProtocolError` for a map that is no event."""
    for key, kind in REQUIRED.items():
        if not isinstance(event.get(key), kind) or type(event[key]) is bool:  # which Python counts among the integers
            raise ProtocolError("malformed", f"the event's {key} is {_shown(event.get(key))}")
    if not all(0 <= event[key] < 2**53 for key in ("seq", "incarnation", "time")):
        raise ProtocolError("malformed", "the event's counters or its time are out of range")
    if event["node"] == STREAM:
        raise ProtocolError("malformed", f"{STREAM!r} is no publisher, but the subscriber itself")
    if not shallow(event) or not _is_json(event):
        raise ProtocolError("malformed", "the event holds what JSON cannot represent")


def _shown(value: Any) -> str:
    """Return a value for an error's text; of lists and maps the type: the repr of deep ones is a RecursionError."""
    return type(value).__name__ if isinstance(value, (list, dict)) else f"{value!r:.60}"


def _is_json(value: Any) -> bool:
    """Return whether JSON can represent a value; MessagePack also has bytes, extensions, NaN and non-string keys."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:  # which may be long; most are of one type
        kinds = set(map(type, value))
        return kinds <= _PLAIN or all(map(isfinite if kinds == {float} else _is_json, value))
    return kind is dict and all(type(key) is str for key in value) and all(map(_is_json, value.values()))


class Publisher:
    """Publishes one node's events; the owner of a given context terminates it.

    The socket is an XPUB, because that sees the relay's subscription: what is published before it has arrived, or while
    the broker is away, is queued (the last thousand events) and sent afterwards. The first event after a pause leaves
    at once, what follows it closely leaves together.
    """

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        incarnation: int,
        *,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        security: Security = LOCAL,
    ) -> None:
        self.counters = Counters()
        self.run = run
        self._head: Event = {"run": run, "node": node, "role": role, "incarnation": incarnation}
        if security.insecure:  # said in every event: whoever watches knows that it may be forged
            self._head["insecure"] = True
        self._security = security
        self._dialer: Dialer | None = None
        self._seq: dict[str, int] = {}
        self.round: int | None = None  # which the last event that named one was of
        self._own_context = context is None
        self._context = context
        self._queued: deque[Envelope] = deque(maxlen=_KEPT)
        self._channel: Channel | None = None
        self._address = ""
        self._subscribed = False
        self._flushed_at = float("-inf")
        self._flush_later: asyncio.TimerHandle | None = None

    def connect(self, events_in: str) -> None:
        """Publish to a relay from now on; idempotent for the same address."""
        if events_in == self._address:
            return
        self._hang_up(0.0)
        if self._context is None:
            self._context = zmq.Context()
        socket, self._dialer = dial(self._context, "publisher", events_in, security=self._security)
        self._address = events_in
        self._channel = Channel(socket, deliver=self._subscription, counters=self.counters)

    def publish(self, type_: str, /, **fields: Any) -> Event:
        """Publish an event, and return it as it was sent; never waits."""
        seq = self._seq[type_] = self._seq.get(type_, 0) + 1
        event = {"type": type_, **self._head, "seq": seq, "time": time.time(), **fields}
        topic, body = encode_event(event)
        if len(body) > DEFAULT_LIMITS.control_bytes:
            return self.publish("warning", reason=f"an event {type_} of {len(body):,} bytes is too large")
        self.round = fields.get("round", self.round)
        log_event(event, self.round)
        envelope = Envelope([topic, body], "event", 0, len(topic) + len(body))
        self._queued.append(envelope)
        if self._subscribed and (self._flush_later is None or len(self._queued) >= _TOGETHER):
            self._send_soon()
        return event

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

    async def close(self, drain_s: float = 0.5) -> None:
        """Close; the last events may leave within ``drain_s`` seconds."""
        self._hang_up(drain_s)
        if self._own_context and self._context is not None:
            await end_in_thread(self._context.term)

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
