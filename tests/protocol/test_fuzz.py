"""Mutated golden frames: whatever comes in, `ProtocolError` or a message comes out, and no memory beyond the stated.

``NERVENET_FUZZ=100000`` sets how many mutants are tried; the default keeps the suite short.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections import Counter
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest
from mutants import EVENT, GOLDEN, LIMITS, Frames, mutate, mutate_bytes, mutate_fields
from nervenet.broker import events
from nervenet.broker.codec import SIGNATURE, decode, encode
from nervenet.broker.errors import ProtocolError
from nervenet.broker.events import decode_event
from nervenet.broker.messages import CODES
from nervenet.nodes.runtime.event_fitting import parse_event

COUNT = int(os.environ.get("NERVENET_FUZZ", "10000"))


def price(frames: Frames) -> int:
    """The most, in bytes, that reading may allocate: 96 times a header that is not refused for its size, and one copy
    of an array that is not aligned; beside these what an error's text and a message's own object take.
    """
    header = len(frames[0]) if frames and len(frames[0]) <= LIMITS.header_bytes else 0
    array = len(frames[1]) if len(frames) == 2 and len(frames[1]) <= LIMITS.message_bytes else 0
    return 96 * header + array + len(frames[0] if frames else b"") + 8_192


def outcome(frames: Frames) -> tuple[str, Any, str]:
    """Code (``taken`` for a message), what was read, reason."""
    try:
        return "taken", decode(frames, LIMITS), ""
    except ProtocolError as error:
        return error.code, None, error.reason


def test_mutated_messages_raise_protocol_errors_within_the_stated_memory(allocated):
    draw = random.Random(7)
    codes: Counter[str] = Counter()
    peak = dearest = 0
    for frames in GOLDEN:  # what a library prepares when it first meets a class is nobody's price
        assert outcome(frames)[0] == "taken"
        assert outcome([frames[0] + b"\0"])[0] == "malformed"
    for _ in range(COUNT):
        frames = mutate(draw.choice(GOLDEN), draw)
        used = allocated(lambda frames=frames: outcome(frames), price(frames))
        assert used <= price(frames), (used, frames)
        if used > peak:
            peak, dearest = used, sum(map(len, frames))
        code, read, reason = outcome(frames)
        codes[code] += 1
        assert "\n" not in reason
        assert len(reason) < 300
        if read is not None:
            again = [bytes(frame) for frame in encode(*read)]
            assert repr(decode(again, LIMITS)) == repr(read).replace("b''", "''")  # bytes, if none, are text
    print(f"{COUNT} mutants: {dict(codes)}; peak {peak} bytes, for one of {dearest}")
    assert set(codes) <= CODES | {"taken"}
    if COUNT >= 10_000:
        assert min(codes[name] for name in ("taken", "malformed", "oversize", "version")) > COUNT // 500


def test_mutated_events_are_valid_json_or_refused():
    draw = random.Random(8)
    body = SIGNATURE + msgpack.packb(EVENT)
    taken = 0
    for _ in range(COUNT // 4):
        mutant = mutate_fields(body, draw) if draw.random() < 0.6 else mutate_bytes(body, draw)
        try:
            reported = decode_event([EVENT["type"].encode(), mutant], 65_536)
        except ProtocolError:
            continue
        json.dumps(reported, allow_nan=False)
        taken += 1
    assert COUNT // 100 < taken < COUNT // 5


@pytest.mark.parametrize("value", [b"\xff", math.nan, math.inf, {b"k": 1}, {1: 2}, [[msgpack.ExtType(5, b"")]]])
def test_an_event_with_a_value_that_json_cannot_represent_is_refused(value):
    body = SIGNATURE + msgpack.packb(EVENT | {"value": value})
    with pytest.raises(ProtocolError, match=r"JSON cannot represent|not MessagePack"):
        decode_event([b"round.completed", body], 65_536)


@pytest.mark.parametrize("key", ["incarnation", "seq", "time"])
def test_an_event_with_a_truth_value_for_a_number_is_refused(key):
    body = SIGNATURE + msgpack.packb(EVENT | {key: True})
    with pytest.raises(ProtocolError, match=f"the event's {key} is True"):
        decode_event([b"round.completed", body], 65_536)


@pytest.mark.parametrize("key", ["incarnation", "seq"])
def test_let_through_it_would_end_a_monitor(key):
    with pytest.raises(msgspec.ValidationError):
        parse_event(EVENT | {"type": "of.tomorrow", key: True})


def test_an_event_nested_as_deep_as_messagepack_goes_is_refused_by_name():
    deep = b"\x91" * 1_020 + b"\x01"
    body = SIGNATURE + bytes([0x80 | (len(EVENT) + 1)]) + msgpack.packb(EVENT)[1:] + b"\xa1x" + deep
    with pytest.raises(ProtocolError):
        decode_event([b"round.completed", body], 65_536)


def event_with_a_deep(key: str) -> Frames:
    """An event whose value for a key that every event has is a list, nested as deep as MessagePack goes."""
    fields = {name: value for name, value in EVENT.items() if name != key}
    body = SIGNATURE + bytes([0x80 | len(EVENT)]) + msgpack.packb(fields)[1:] + msgpack.packb(key) + DEEP
    return [b"round.completed", body]


DEEP = b"\x91" * 1_000 + b"\x01"

IN_PYTHON_STACK = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="C code has a limit of its own since, deeper than MessagePack is nested"
)


@pytest.mark.parametrize("key", sorted(events.REQUIRED))
def test_an_event_with_a_deep_value_where_a_scalar_belongs_is_refused(key):
    with pytest.raises(ProtocolError, match=f"the event's {key} is list"):
        decode_event(event_with_a_deep(key), 65_536)


@IN_PYTHON_STACK
def test_shown_whole_the_deep_value_would_be_a_recursion_error(monkeypatch):
    monkeypatch.setattr(events, "_shown", repr)
    with pytest.raises(RecursionError):
        decode_event(event_with_a_deep("seq"), 65_536)


def deep(kind: str, depth: int) -> bytes:
    """A header whose kind, or whose facts if the kind is known, lie deep."""
    nest = b"\x91" * depth + b"\x01"
    if kind == "t":
        return SIGNATURE + b"\x81\xa1t" + nest
    fields = {"t": "peer_survey", "origin": "peer-1", "payload": STATISTICS, "fields": 0}
    return SIGNATURE + msgpack.packb(fields)[:-1] + b"\x81\xa1x" + nest


STATISTICS = {"layout": "survey", "dtype": "float64", "length": 1}


@pytest.mark.parametrize("depth", [300, 600, 990, 1_020, 5_000])
@pytest.mark.parametrize("kind", ["t", "peer_survey"])
def test_too_deep_nesting_is_refused_by_name(kind, depth):
    with pytest.raises(ProtocolError) as caught:
        decode([deep(kind, depth), bytes(8)])
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("value", [b"\xff", [b"a"], {b"k": 1}, {1: 2}, msgpack.ExtType(1, b"")])
def test_a_map_holds_nothing_but_plain_values_under_text(value):
    fields = {"t": "peer_survey", "origin": "peer-1", "payload": STATISTICS, "fields": {"x": value}}
    with pytest.raises(ProtocolError, match="not MessagePack"):
        decode([SIGNATURE + msgpack.packb(fields), bytes(8)])


def test_a_decoded_message_can_always_be_encoded():
    message, array = decode([deep("peer_survey", 250), bytes(8)])
    assert len(encode(message, array)) == 2


@IN_PYTHON_STACK
def test_without_the_limit_an_event_could_be_decoded_but_not_written_as_json(monkeypatch):
    monkeypatch.setattr(events, "shallow", lambda _: True)
    monkeypatch.setattr(events, "_is_json", lambda _: True)
    nest = b"\x91" * 1_010 + b"\x01"
    body = SIGNATURE + bytes([0x80 | (len(EVENT) + 1)]) + msgpack.packb(EVENT)[1:] + b"\xa1x" + nest
    with pytest.raises(RecursionError):
        json.dumps(decode_event([b"round.completed", body], 65_536))


def test_the_array_is_not_copied_by_decoding(allocated):
    frames = next(frames for frames in GOLDEN if b"\xa8exchange" in frames[0] and len(frames) == 2)
    length = 1 << 20
    fields = msgpack.unpackb(frames[0][3:])
    fields["payload"]["length"] = length
    header, array = SIGNATURE + msgpack.packb(fields), np.zeros(length, np.float32)
    frames = [header, array.data.cast("B")]
    assert allocated(lambda: decode(frames), 20_000) < 20_000
    assert np.shares_memory(decode(frames)[1], array)
