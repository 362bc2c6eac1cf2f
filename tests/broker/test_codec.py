"""The codec: everything comes back as it was, and nothing else comes back at all."""

from __future__ import annotations

import random
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker import codec
from nervenet.broker.codec import SIGNATURE, Limits, check_size, decode, encode
from nervenet.broker.errors import MessageTooLarge, ProtocolError
from nervenet.broker.messages import (
    BY_TAG,
    Exchange,
    Goodbye,
    Heartbeat,
    Hello,
    Join,
    Payload,
    Refused,
    Report,
    Roster,
    Task,
    Update,
    tag_of,
)

LIMITS = Limits(control_bytes=4_096, header_bytes=8_192, message_bytes=65_536)

counts = st.integers(0, 2**53)
words = st.text(max_size=20)
fields = st.dictionaries(
    words, st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | words, max_size=4
)
arrays = st.sampled_from(["float32", "float64"]).flatmap(
    lambda dtype: st.lists(st.floats(width=32), max_size=20).map(lambda values: np.array(values, dtype))
)


@given(counts, counts, st.dictionaries(words, st.floats(allow_nan=False), max_size=4), st.none() | fields, arrays)
def test_an_update_survives_encoding_and_decoding(round_, examples, metrics, found, array):
    payload = Payload("00ff", array.dtype.name, array.size)
    message = Update(round_, 0, examples, metrics, found, payload)
    frames = encode(message, array)
    assert len(frames) == 2
    back, vector = decode([bytes(frame) for frame in frames])
    assert repr(back) == repr(message)  # NaN is not equal to itself
    assert vector is not None
    np.testing.assert_array_equal(vector, array)
    assert vector.dtype == array.dtype
    assert not vector.flags.writeable


@given(counts, words, st.lists(counts, max_size=5))
def test_a_heartbeat_survives_encoding_and_decoding(round_, state, sending):
    message = Heartbeat(round_, state, tuple(sending))
    assert decode(encode(message)) == (message, None)


plain_settings = st.dictionaries(words, st.none() | st.booleans() | st.integers(-(2**63), 2**63) | words, max_size=20)
payloads = st.none() | st.builds(Payload, words, st.just("float32"), counts)
frequent = st.one_of(
    st.builds(Heartbeat, counts, words, st.lists(counts, max_size=5).map(tuple)),
    st.builds(Exchange, counts, st.builds(Payload, words, st.just("float32"), counts), degree=counts),
    st.builds(Update, counts, counts, counts, st.dictionaries(words, st.floats()), st.none(), payloads),
    st.builds(
        Task, counts, counts, st.just("train"), st.floats(0, 60), st.booleans(), plain_settings, payload=payloads
    ),
)


def _numbered_header(message: Any, number: int) -> bytes:
    fields = msgspec.to_builtins(message)
    return SIGNATURE + msgpack.packb(fields | {"n": number})


@given(frequent, st.integers(1, 2**63))
def test_what_is_read_at_once_is_what_is_read_by_way_of_maps(message, number):
    header = _numbered_header(message, number)
    at_once = codec._read_at_once(header)
    assert at_once is not None
    assert repr(at_once) == repr(codec._read(header))
    assert at_once[1] == number


@given(frequent, st.integers(1, 2**63))
def test_a_header_that_is_written_at_once_has_the_bytes_of_one_by_way_of_maps(message, number):
    assert SIGNATURE + codec._packed(message, number) == _numbered_header(message, number)


@given(frequent, st.integers(1, 2**20), st.data())
def test_a_header_that_is_read_at_once_is_one_that_maps_are_read_from(message, number, data):
    header = bytearray(_numbered_header(message, number))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(3, len(header) - 1))
        match data.draw(st.sampled_from(("change", "cut", "insert"))):
            case "change":
                header[place] = data.draw(st.integers(0, 255))
            case "cut":
                del header[place:]
            case "insert":
                header[place:place] = data.draw(st.binary(min_size=1, max_size=3))
        if len(header) < 5:
            return
    at_once = codec._read_at_once(bytes(header))
    if at_once is not None:
        assert repr(at_once) == repr(codec._read(bytes(header)))


def test_what_ends_like_a_number_and_is_none_is_left_to_the_maps():
    message = Update(1, 0, 5, {"a": 1.0}, {"s": "x"}, None)
    fields = msgspec.to_builtins(message)
    for last in ({"s": "\xa1n\x05"}, {"s": {"n": 5}}, {"n": 5}):
        header = SIGNATURE + msgpack.packb(fields | {"fields": last})
        assert codec._read_at_once(header) is None
        assert decode([header])[0] == msgspec.structs.replace(message, fields=last)


def test_the_array_is_not_copied_by_encoding():
    array = np.zeros(10, np.float32)
    _, frame = encode(Exchange(0, Payload("00ff", "float32", 10)), array)
    array[0] = 1.0
    assert np.frombuffer(frame, np.float32)[0] == 1.0


def test_numpy_metrics_are_plain_numbers_on_the_wire():
    message = Update(0, 0, 1, {"loss": np.float32(0.5)}, {"n": np.int64(3)})
    assert decode(encode(message))[0] == Update(0, 0, 1, {"loss": 0.5}, {"n": 3})


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (None, "nothing"),
        (np.zeros(3, np.float32), r"float32 of shape \(3,\)"),
        (np.zeros(4), r"float64 of shape \(4,\)"),
        (np.zeros((2, 2), np.float32), r"float32 of shape \(2, 2\)"),
    ],
)
def test_a_payload_that_does_not_fit_its_array_raises_value_error(array, found):
    with pytest.raises(ValueError, match=f"describes float32 of shape .4,. and carries {found}"):
        encode(Exchange(0, Payload("00ff", "float32", 4)), array)


def test_an_array_without_a_payload_raises_value_error():
    with pytest.raises(ValueError, match="goodbye has no payload"):
        encode(Goodbye(0, ""), np.zeros(1))


def _header(**fields: Any) -> bytes:
    return SIGNATURE + msgpack.packb(fields)


PAYLOAD = {"layout": "00ff", "dtype": "float32", "length": 2}
EXCHANGE = {"t": "exchange", "round": 1, "payload": PAYLOAD}


@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        ([], "malformed", "0 frames"),
        ([b"", b"", b""], "malformed", "3 frames"),
        ([b""], "malformed", "begins with nothing"),
        ([b"NV"], "malformed", "not a nervenet message"),
        ([b"NV\x09\x80"], "version", "the sender speaks version 9 of the protocol"),
        ([b"NV\x01"], "malformed", "not MessagePack"),
        ([b"NV\x01\xc1"], "malformed", "not MessagePack"),
        ([b"NV\x01\x80\x80"], "malformed", "not MessagePack"),
        ([b"NV\x01" + b"\x91" * 5_000], "malformed", "not MessagePack"),
        ([b"NV\x01\xdd\xff\xff\xff\xff"], "malformed", "not MessagePack"),
        ([b"NV\x01\xc7\x00\x05"], "malformed", "not MessagePack"),
        ([b"NV\x01\x93\x01\x02\x03"], "malformed", "no known kind"),
        ([_header(t="nonsense")], "malformed", "no known kind of message: 'nonsense'"),
        ([_header(t=["goodbye"])], "malformed", "no known kind"),
        ([_header(t="goodbye", round=1)], "malformed", "missing required field `reason`"),
        ([_header(t="goodbye", round=-1, reason="")], "malformed", ">= 0"),
        ([_header(t="goodbye", round="1", reason="")], "malformed", "Expected `int`"),
        ([_header(t="goodbye", round=1, reason="", more=1)], "malformed", "unknown field `more`"),
        ([_header(t="hello", node="a b", role="", run="r", incarnation=1, version=1)], "malformed", "regex"),
        ([_header(t="goodbye", round=1, reason=""), b""], "malformed", "without a payload brought a second frame"),
        ([_header(**EXCHANGE)], "malformed", "lacks its second frame"),
        ([_header(**EXCHANGE), b"1234567"], "malformed", "2 float32 announced, 7 bytes received"),
        ([_header(**EXCHANGE | {"payload": PAYLOAD | {"dtype": "int8"}}), b"12"], "malformed", "Invalid enum value"),
        ([_header(**EXCHANGE | {"payload": PAYLOAD | {"length": 2**62}}), b"12"], "malformed", "announced"),
        ([_header(t="goodbye", round=1, reason="x" * 5_000)], "oversize", "control carries 4,096"),
        ([_header(t="goodbye", round=1, reason="x" * 9_000)], "oversize", "8,192 are allowed"),
        ([_header(**EXCHANGE), bytes(70_000)], "oversize", "with 70,000 bytes of array"),
    ],
)
def test_a_malformed_message_is_refused_by_name(frames, code, reason):
    with pytest.raises(ProtocolError) as caught:
        decode(frames, LIMITS)
    assert caught.value.code == code
    assert reason in caught.value.reason


def test_a_misaligned_frame_becomes_an_aligned_array():
    frames = encode(Exchange(1, Payload("00ff", "float64", 3)), np.arange(3.0))
    shifted = memoryview(b"x" + bytes(frames[1]))[1:]
    _, array = decode([frames[0], shifted])
    assert array is not None
    assert array.flags.aligned
    np.testing.assert_array_equal(array, np.arange(3.0))


def test_own_messages_are_measured_by_the_same_limits():
    big = Report("result", 1, {"x": "y" * 9_000})
    with pytest.raises(MessageTooLarge, match=r"the header of report is 9,0.. bytes, and the protocol allows 8,192"):
        check_size(big, encode(big), LIMITS)
    long = Goodbye(1, "x" * 5_000)
    with pytest.raises(MessageTooLarge) as caught:
        check_size(long, encode(long), LIMITS)
    assert (caught.value.what, caught.value.limit) == ("goodbye", 4_096)


def _samples() -> list[list[bytes]]:
    weights = np.arange(50, dtype=np.float32)
    payload = Payload("0123456789abcdef", "float32", 50)
    deep = {"a": [{"b": [1.5, None, "x"]}], "scale": [0.1] * 8}
    messages: list[tuple[Any, Any]] = [
        (Hello("client-3", "client", "demo", 1_700_000_000_000_000, 1), None),
        (Heartbeat(7, "training", (6, 7)), None),
        (Refused("update", 3, "late", "round 3 is closed"), None),
        (Task(3, 1, "train", 30.0, True, {"epochs": 5}, deep, payload), weights),
        (Update(3, 1, 120, {"loss": 0.25}, deep, payload), weights),
        (Report("result", 4, deep, payload), weights),
        (Join(1, "demo", "client-3", "client", 5, 77, {"control": "tcp://h:1"}, deep, 3, 30.0), None),
        (Roster(2, "demo", 1, deep, ()), None),
    ]
    return [[bytes(frame) for frame in encode(message, array)] for message, array in messages]


def _mutated(frames: list[bytes], draw: random.Random) -> list[bytes]:
    frames = list(frames)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        index = draw.randrange(len(frames))
        frame = bytearray(frames[index])
        where = draw.randrange(len(frame) + 1)
        match draw.randrange(8):
            case 0 | 1 | 2 if frame:
                frame[where % len(frame)] = draw.randrange(256)
            case 3 if frame:
                frame[where % len(frame)] ^= 1 << draw.randrange(8)
            case 4:
                del frame[where : where + draw.randrange(1, 9)]
            case 5:
                frame[where:where] = draw.randbytes(draw.randrange(1, 9))
            case 6:  # the openings of the largest things that MessagePack can announce
                frame[where:where] = draw.choice(
                    (b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xc6\xff\xff\xff\xff")
                )
            case _:
                frames[index : index + 1] = draw.choice(([], [frames[index]] * 2, [b""], [b"\x91" * 3_000]))
                if not frames:
                    return frames
                continue
        frames[index] = bytes(frame)
    return frames


def test_mutated_messages_raise_nothing_but_protocol_errors():
    """What they allocate, and more of them, is in tests/protocol/test_fuzz.py."""
    draw = random.Random(20)
    samples = _samples()
    refused = sum(_refused(_mutated(draw.choice(samples), draw)) for _ in range(10_000))
    assert 5_000 < refused < 10_000


def _refused(frames: list[bytes]) -> bool:
    try:
        message, _ = decode(frames, LIMITS)
    except ProtocolError:
        return True
    assert tag_of(message) in BY_TAG
    return False


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=200).map(lambda tail: SIGNATURE + tail) | st.binary(max_size=200), max_size=3))
def test_any_bytes_raise_nothing_but_protocol_errors(frames):
    _refused(frames)


def test_the_worst_header_stays_within_the_stated_memory(allocated):
    limits = Limits(header_bytes=102_400)
    worst = SIGNATURE + b"\xdd" + (100_000).to_bytes(4) + b"\x80" * 100_000  # a list of empty maps

    def read():
        with pytest.raises(ProtocolError):
            decode([worst], limits)

    assert allocated(read, 80 * len(worst)) < 80 * len(worst)
