"""What is recorded of a message: its plain fields, and hashes of all that is large or tells something of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET
from nervenet.broker.codec import plain
from nervenet.broker.messages import Announcement, Chunk, Declined, GetModel, Manifest, Message, Payload, tag_of
from nervenet.broker.messages.base import Bulk
from nervenet.broker.messages.common import Report

LONGEST = 500
"""Characters of a text that is recorded."""


def is_recorded(message: Message) -> bool:
    """Whether a message asks for something or tells something of a site; not signs of life, membership, reports.

    Nor the chunks of a vector: what is recorded of it is the message that announces it, with its hash.
    """
    return isinstance(message, Bulk | Declined | GetModel) and not isinstance(message, Report | Chunk)


def carries(message: Message) -> bool:
    """Whether a message travels with its array."""
    return getattr(message, "payload", None) is not None


def recorded(message: Message, body: Any) -> dict[str, Any]:
    """Return the fields of a record; it takes as long as hashing the vector.

    A map stands for its hash: the SHA-256 of its JSON text, its keys sorted. `sha256` is that of the vector's bytes, as
    they travel.
    """
    if isinstance(message, Announcement):  # what it stands for: its array is on its way by itself
        return recorded(message.message, body)
    found: dict[str, Any] = {"message": tag_of(message)}
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if value is None or value is UNSET or name in ("deadline_s", "payload", "manifest"):
            continue
        if isinstance(value, Mapping):
            found |= _of_map(name, value)
        elif isinstance(value, bool | int | float):
            found[name] = value
        else:
            found[name] = str(value)[:LONGEST]
    payload: Payload | None = getattr(message, "payload", None)
    manifest = getattr(message, "manifest", UNSET)
    if isinstance(manifest, Manifest):
        payload = manifest.payload
    if payload is not None:
        found |= {"layout": payload.layout[:LONGEST], "dtype": payload.dtype, "numbers": payload.length}
        found |= {"encoding": payload.encoding} if payload.encoding else {}
    if body is not None:
        found |= {"bytes": int(body.nbytes), "sha256": hashlib.sha256(memoryview(body).cast("B")).hexdigest()}
    return found


def _of_map(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    if not value:
        return {}
    text = msgspec.json.encode(value, enc_hook=plain, order="deterministic")
    found: dict[str, Any] = {f"{name}_sha256": hashlib.sha256(text).hexdigest()}
    if name == "question":
        asked = " ".join(str(value[key])[:100] for key in ("ask", "part") if key in value)
        found["question"] = asked
    elif name == "metrics":
        found["metrics"] = sorted(str(each)[:60] for each in value)[:50]
    return found
