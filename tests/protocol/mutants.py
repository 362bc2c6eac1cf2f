"""Mutants of the golden frames: what a broken or a hostile node might send."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import msgpack
from nervenet.broker.codec import SIGNATURE, Limits
from nervenet.broker.messages import BY_TAG

LIMITS = Limits(control_bytes=4_096, header_bytes=16_384, message_bytes=65_536)

Frames = list[bytes]

GOLDEN: list[Frames] = [
    [bytes.fromhex(part) for part in path.read_text().split("\n\n")]
    for path in sorted((Path(__file__).parent / "golden").glob("*.hex"))
]
EVENT = {
    "type": "round.completed",
    "run": "demo",
    "node": "peer-0",
    "role": "peer",
    "incarnation": 1_700_000_000_000_000,
    "seq": 3,
    "time": 1_700_000_000.5,
    "round": 3,
    "participants": ["peer-1", "peer-2"],
    "missing": {"peer-3": "silent"},
    "loss": 0.25,
}

NASTY: list[Any] = [
    *(None, True, "", "x", b"\xff\x00", [], {}, [[]], {"a": {}}),
    *(-1, 0, 2**31, 2**53, 2**63, 2**64 - 1, -(2**63)),
    *(math.nan, math.inf, -math.inf, -0.0, 1e308),
    *("float16", "float32", "survey", "hello", "x" * 5_000),
    msgpack.ExtType(1, b""),
    msgpack.Timestamp(0),
]
"""Values of every wrong type, and of the right ones out of range."""
OPENINGS = [b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
"""The largest things that MessagePack can announce: lists, maps, bytes and texts of 2^32 items."""


def nested(depth: int, draw: random.Random) -> Any:
    """Lists and maps within each other."""
    value: Any = draw.choice(NASTY)
    for _ in range(depth):
        value = [value] if draw.random() < 0.5 else {"a": value}
    return value


def mutate_bytes(frame: bytes, draw: random.Random) -> bytes:
    """Flip a bit, set a byte, cut out, put in, cut off, or announce something huge."""
    data = bytearray(frame)
    at = draw.randrange(len(data) + 1)
    match draw.randrange(6):
        case 0 if data:
            data[at % len(data)] ^= 1 << draw.randrange(8)
        case 1 if data:
            data[at % len(data)] = draw.randrange(256)
        case 2:
            del data[at : at + draw.randrange(1, 9)]
        case 3:
            data[at:at] = draw.randbytes(draw.randrange(1, 9))
        case 4:
            del data[at:]
        case _:
            data[at:at] = draw.choice(OPENINGS)
    return bytes(data)


def mutate_fields(header: bytes, draw: random.Random) -> bytes:
    """Change what the map says: a wrong value, a deep one, a missing or a foreign field, another kind."""
    fields = msgpack.unpackb(header[3:])
    place = fields
    if isinstance(fields.get("payload"), dict) and draw.random() < 0.3:
        place = fields["payload"]
    key = draw.choice(list(place))
    match draw.randrange(6):
        case 0 | 1:
            place[key] = draw.choice(NASTY)
        case 2:
            place[key] = nested(draw.choice((1, 2, 30, 400, 900, 2_000)), draw)
        case 3:
            del place[key]
        case 4:
            place[draw.choice(("more", "payload", "t", b"t", ""))] = draw.choice(NASTY)
        case _:
            fields["t"] = draw.choice(list(BY_TAG))
    try:
        return SIGNATURE + msgpack.packb(fields)
    except ValueError:  # too deep to be written down by this library; by hand it can be
        return SIGNATURE + b"\x81\xa1t" + b"\x91" * 2_000


def mutate(frames: Frames, draw: random.Random) -> Frames:
    """A mutant: one to four changes to frames, fields or bytes."""
    frames = list(frames)
    fields = draw.random() < 0.4
    if fields:
        frames[0] = mutate_fields(frames[0], draw)
    for _ in range(draw.choice((0, 0, 1) if fields else (1, 1, 2, 3))):
        match draw.randrange(10):
            case 0:
                other = draw.choice(GOLDEN)
                frames = draw.choice((frames[::-1], frames[:1], frames * 2, [frames[0], other[-1]], [*frames, b""], []))
            case 1:
                frames[-1:] = [b"\0" * draw.choice((0, 1, 7, 20_000, 70_000))]
            case _ if frames:
                i = draw.randrange(len(frames))
                frames[i] = mutate_bytes(frames[i], draw)
        if not frames:
            break
    return frames
