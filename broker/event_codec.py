"""One event: a flat map that says what happened, and its two frames; docs/events.md lists every type."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgpack

from .codec import SIGNATURE, shallow
from .errors import ProtocolError

__all__ = ["REQUIRED", "Event", "decode_event", "encode_event"]

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
    """Topic and body of an event."""
    return [event["type"].encode(), SIGNATURE + msgpack.packb(event, default=_plain)]


def decode_event(frames: Sequence[bytes], limit: int) -> Event:
    """The event of two frames; `ProtocolError`, and nothing else, where it is none."""
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
        if not isinstance(event.get(key), kind):
            raise ProtocolError("malformed", f"the event's {key} is {event.get(key)!r:.60}")
    if frames[0] != event["type"].encode(errors="replace"):
        raise ProtocolError("malformed", "the event's topic is not its type")
    if not 0 <= event["seq"] < 2**53 or not 0 <= event["incarnation"] < 2**53:
        raise ProtocolError("malformed", "the event's counters are out of range")
    if not shallow(event) or not _sayable(event):
        raise ProtocolError("malformed", "the event holds what JSON cannot say")
    return event


def _sayable(value: Any) -> bool:
    """Whether JSON can say a value; MessagePack also knows bytes, extensions, NaN, and keys that are no text."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(map(_sayable, value))
    return kind is dict and all(type(key) is str for key in value) and all(map(_sayable, value.values()))


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # a number that numpy computed
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in an event")
