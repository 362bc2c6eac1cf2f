"""Events: each a flat map, its two frames, and their publication, which never waits for a subscriber.

docs/events.md lists every type.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgpack
import msgspec
import zmq

from .channel import Envelope
from .codec import DEFAULT_LIMITS, SIGNATURE, plain, shallow
from .errors import ProtocolError
from .event_log import log_event
from .event_outlet import EventOutlet
from .security.plain import LOCAL
from .sockets import Security

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
    """Publishes one node's events, over an `outlet` that it shares with others of its process, or has for itself."""

    def __init__(
        self,
        node: str,
        role: str,
        run: str,
        incarnation: int,
        *,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        security: Security = LOCAL,
        outlet: EventOutlet | None = None,
    ) -> None:
        self.run = run
        self._head: Event = {"run": run, "node": node, "role": role, "incarnation": incarnation}
        if security.insecure:  # said in every event: whoever watches knows that it may be forged
            self._head["insecure"] = True
        self._seq: dict[str, int] = {}
        self.round: int | None = None  # which the last event that named one was of
        self.outlet = EventOutlet(context=context, security=security) if outlet is None else outlet
        self.outlet.enter()
        self._closed = False

    def connect(self, events_in: str) -> None:
        """Publish to a relay from now on; idempotent for the same address."""
        self.outlet.connect(events_in)

    def publish(self, type_: str, /, **fields: Any) -> Event:
        """Publish an event, and return it as it was sent; never waits."""
        seq = self._seq[type_] = self._seq.get(type_, 0) + 1
        event = {"type": type_, **self._head, "seq": seq, "time": time.time(), **fields}
        topic, body = encode_event(event)
        if len(body) > DEFAULT_LIMITS.control_bytes:
            return self.publish("warning", reason=f"an event {type_} of {len(body):,} bytes is too large")
        self.round = fields.get("round", self.round)
        log_event(event, self.round)
        self.outlet.put(Envelope([topic, body], "event", 0, len(topic) + len(body)))
        return event

    async def close(self, drain_s: float = 0.5) -> None:
        """Close; the last events may leave within ``drain_s`` seconds."""
        if not self._closed:
            self._closed = True
            await self.outlet.leave(drain_s)
