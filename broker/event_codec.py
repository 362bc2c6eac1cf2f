"""One event, a flat map, and its two frames; docs/events.md lists every type."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgpack

from .codec import DEFAULT_LIMITS, SIGNATURE, plain, shallow
from .errors import ProtocolError

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


def encode_event(event: Event) -> list[bytes]:
    return [event["type"].encode(), SIGNATURE + msgpack.packb(event, default=plain)]


def decode_event(frames: Sequence[bytes], limit: int = DEFAULT_LIMITS.control_bytes) -> Event:
    """Return the event of two frames; raise `ProtocolError`, and nothing else, if they hold none."""
    if len(frames) != 2 or len(frames[1]) > limit:
        raise ProtocolError("malformed", f"an event has a topic and a body of at most {limit:,} bytes")
    if frames[1][:3] != SIGNATURE:
        raise ProtocolError("version", "the event is of another protocol or version")
    try:
        event = msgpack.unpackb(frames[1][3:], max_ext_len=0)
    except Exception:  # noqa: BLE001  msgpack raises many kinds, and each one means the same here
        raise ProtocolError("malformed", "the event is not MessagePack") from None
    if type(event) is not dict:
        raise ProtocolError("malformed", "the event is not a map")
    for key, kind in REQUIRED.items():
        if not isinstance(event.get(key), kind) or type(event[key]) is bool:  # which Python counts among the integers
            raise ProtocolError("malformed", f"the event's {key} is {event.get(key)!r:.60}")
    if frames[0] != event["type"].encode(errors="replace"):
        raise ProtocolError("malformed", "the event's topic is not its type")
    if not 0 <= event["seq"] < 2**53 or not 0 <= event["incarnation"] < 2**53:
        raise ProtocolError("malformed", "the event's counters are out of range")
    if not shallow(event) or not _is_json(event):
        raise ProtocolError("malformed", "the event holds what JSON cannot represent")
    return event


def _is_json(value: Any) -> bool:
    """Return whether JSON can represent a value; MessagePack also has bytes, extensions, NaN and non-string keys."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(map(_is_json, value))
    return kind is dict and all(type(key) is str for key in value) and all(map(_is_json, value.values()))
