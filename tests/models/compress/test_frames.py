"""Codecs: what a damaged or malicious frame does, and what a spec may say."""

import contextlib
import zlib
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models import generator
from nervenet.models.compress import CodecError, parse, supported
from nervenet.models.compress.quantize import ROW
from nervenet.models.compress.sparse import HEAD

SPARSE = ("", "top-k:0.3", "top-k:0.05", "top-k:1")
NUMBERS = ("", "float16", "bfloat16", "int8", "int4")
SPECS = ["+".join(filter(None, ("delta", *stages))) for stages in product(SPARSE, NUMBERS, ("", "deflate"))]


def rng():
    return generator(7, "test")


def normal(size):
    return (generator(1, "vector", size).standard_normal(size) * 0.01).astype("float32")


@pytest.mark.parametrize("spec", SPECS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_damaged_frame_is_refused_or_gives_a_finite_vector_of_the_size(spec, data):
    size = data.draw(st.sampled_from([1, 9, 100, 1500]))
    codec = parse(spec)
    frame = bytearray(codec.encode(normal(size), rng()).tobytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(frame) - 1)) | st.integers(0, 24))
        match data.draw(st.sampled_from(["set", "set", "cut", "insert"])):
            case "set" if at < len(frame):
                frame[at] = data.draw(st.integers(0, 255))
            case "cut":
                del frame[at : at + data.draw(st.integers(1, 9))]
            case _:
                frame[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    try:
        decoded = codec.decode(np.frombuffer(bytes(frame), np.uint8), size, "float32")
    except CodecError:
        return
    assert decoded.shape == (size,)
    assert not codec.lossy or np.isfinite(decoded).all()


@pytest.mark.parametrize("spec", SPECS)
@given(junk=st.binary(max_size=200))
@settings(max_examples=25, deadline=None)
def test_junk_is_refused_or_gives_a_vector_of_the_size(spec, junk):
    with contextlib.suppress(CodecError):
        assert parse(spec).decode(np.frombuffer(junk, np.uint8), 50, "float32").shape == (50,)


def top_k_frame(count, kind, values, index, padding=bytes(7)):
    return np.frombuffer(HEAD.pack(count, kind, padding) + np.array(values, "<f4").tobytes() + bytes(index), np.uint8)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (top_k_frame(2, 8, [1, 2], [3, 96]), "beyond the end"),
        (top_k_frame(2, 4, [1, 2], [0x13, 0xFF]), "between two"),
        (top_k_frame(2, 8, [1, 2], [3]), "1 indices for 2"),
        (top_k_frame(2, 8, [1, 2], [1, 1, 1]), "more indices"),
        (top_k_frame(2, 16, [1, 2], [3, 0, 1]), "half a symbol"),
        (top_k_frame(2, 4, [1, 2], [0xFF]), "between two"),
        (top_k_frame(1, 4, [1], [0] * 30), "longer than"),
        (top_k_frame(2, 0, [1, 2], [3] + [0] * 11), "a bitmap of 12"),
        (top_k_frame(2, 0, [1, 2], [3] + [0] * 11 + [16]), "a bit beyond"),
        (top_k_frame(1, 0, [1], [3] + [0] * 12), "more bits"),
        (top_k_frame(2, 0, [1, 2], [1] + [0] * 12), "1 indices for 2"),
        (top_k_frame(2**63, 8, [1, 2], [3, 4]), "are kept"),
        (top_k_frame(11, 8, range(11), [0] * 9), "are kept"),
        (top_k_frame(2, 5, [1, 2], [3, 4]), "malformed head"),
        (top_k_frame(2, 8, [1, 2], [3, 4], b"1234567"), "malformed head"),
        (top_k_frame(2, 8, [1, np.nan], [3, 4]), "NaN"),
        (top_k_frame(4, 8, [1, 2], []), "do not hold"),
        (np.zeros(3, np.uint8), "no frame"),
    ],
)
def test_a_top_k_frame_with_a_flaw_is_refused_by_name(frame, reason):
    with pytest.raises(CodecError, match=reason):
        parse("delta+top-k:0.1").decode(frame, 100, "float32")
    assert parse("delta+top-k:0.1").decode(top_k_frame(2, 8, [1, 2], [3, 4]), 100, "float32").nonzero()[0].tolist() == [
        3,
        8,
    ]


@pytest.mark.parametrize("scale", [np.nan, np.inf, -1.0, 3e38])
def test_a_scale_that_no_encoder_writes_is_refused(scale):
    frame = parse("delta+int8").encode(normal(2 * ROW), rng()).copy()
    frame[4:8] = np.array([scale], "<f4").view("uint8")
    with pytest.raises(CodecError, match="scale"):
        parse("delta+int8").decode(frame, 2 * ROW, "float32")


def test_half_precision_that_is_not_finite_is_refused():
    for spec, word in (("float16", 0x7C00), ("float16", 0xFE01), ("bfloat16", 0x7F80), ("bfloat16", 0x7FC0)):
        with pytest.raises(CodecError, match="NaN or infinite"):
            parse(spec).decode(np.array([0, word], "<u2").view("uint8"), 2, "float32")


def test_a_nibble_that_belongs_to_no_element_is_refused():
    frame = parse("delta+int4").encode(normal(5), rng()).copy()
    frame[-1] |= 0x30
    with pytest.raises(CodecError, match="nibble"):
        parse("delta+int4").decode(frame, 5, "float32")


def deflated(size, *planes):
    words = [np.array([size], "<u8").tobytes()]
    for plane in planes:
        words += [np.array([len(plane)], "<u8").tobytes(), plane]
    return np.frombuffer(b"".join(words), np.uint8)


def test_a_deflate_bomb_is_stopped_before_it_goes_off(monkeypatch):
    made = []
    real = zlib.decompressobj

    class Watched:
        def __init__(self):
            self.engine = real()

        def decompress(self, data, limit):
            plain = self.engine.decompress(data, limit)
            made.append(len(plain))
            return plain

        def __getattr__(self, name):
            return getattr(self.engine, name)

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    size = parse("delta+int8").bound(100_000, "float32")
    bomb = zlib.compress(bytes(50_000_000), 9)
    assert len(bomb) < size
    with pytest.raises(CodecError, match="inflate"):
        parse("delta+int8+deflate").decode(deflated(size, bomb), 100_000, "float32")
    assert made == [size + 1]
    with pytest.raises(CodecError, match="possible"):
        parse("delta+int8+deflate").decode(deflated(50_000_000, bomb), 100_000, "float32")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (np.zeros(4, np.uint8), "ends early"),
        (deflated(14, b"x" * 14)[:-5], "a plane of 14"),
        (deflated(14, zlib.compress(bytes(14))[:-1]), "inflate"),
        (deflated(14, zlib.compress(bytes(13))), "inflate"),
        (deflated(14, b"y" * 9), "deflate"),
        (deflated(14, zlib.compress(bytes(14)) + b"z"), "inflate"),
        (np.append(deflated(14, zlib.compress(bytes(14))), np.uint8(7)), "1 bytes too many"),
        (deflated(13, zlib.compress(bytes(13))), "13 bytes, 10 elements make 14"),
    ],
)
def test_a_deflated_frame_with_a_flaw_is_refused_by_name(frame, reason):
    with pytest.raises(CodecError, match=reason):
        parse("delta+int8+deflate").decode(frame, 10, "float32")
    assert not parse("delta+int8+deflate").decode(deflated(14, zlib.compress(bytes(14))), 10, "float32").any()


@pytest.mark.parametrize("spec", SPECS)
def test_a_frame_of_another_size_is_refused(spec):
    codec = parse(spec)
    frame = codec.encode(normal(3000), rng())
    with pytest.raises(CodecError):
        codec.decode(np.concatenate([frame, np.zeros(20_000, np.uint8)]), 3000, "float32")
    with pytest.raises(CodecError):
        codec.decode(frame[:-1], 3000, "float32")
    with pytest.raises(CodecError):
        codec.decode(np.empty(0, np.uint8), 3000, "float32")


def test_what_is_no_vector_and_no_frame_is_refused():
    codec = parse("delta+int8")
    for vector in (np.zeros((2, 2), "float32"), np.zeros(4, "int64"), np.zeros(4, "float16")):
        with pytest.raises(CodecError, match="wanted"):
            codec.encode(vector, rng())
    with pytest.raises(CodecError, match="wanted"):
        codec.decode(np.zeros(8, "float32"), 4, "float32")
    for size, dtype in ((-1, "float32"), (4, "int32")):
        with pytest.raises(CodecError, match="no vector"):
            codec.decode(np.zeros(8, "uint8"), size, dtype)


def test_a_spec_says_what_it_does():
    codec = parse(" delta + top-k:.010 +int8+ deflate")
    assert codec.spec == "delta+top-k:0.01+int8+deflate"
    assert codec.stages == ("delta", "top-k", "int8", "deflate")
    assert (codec.relative, codec.lossy) == (True, True)
    assert codec == parse(codec.spec)
    assert (parse("").spec, parse("").stages, parse("").relative, parse("").lossy) == ("", (), False, False)
    assert (parse("float16").relative, parse("float16").lossy) == (False, True)
    assert set(supported()) == {"delta", "top-k", "float16", "bfloat16", "int8", "int4", "deflate"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "delta+itn8",
            ["unknown stage 'itn8'", "do you mean 'int8'", "one of float16 bfloat16 int8 int4", "top-k:SHARE"],
        ),
        ("topk:0.1", ["'topk'", "'top-k'"]),
        ("delta+quite-else", ["unknown stage 'quite-else'", "Allowed"]),
        ("delta++int8", ["unknown stage ''"]),
        ("int8", ["int8", "differences", "delta+int8"]),
        ("int4+deflate", ["differences", "delta+int4+deflate"]),
        ("top-k:0.1+float16", ["differences", "delta+top-k:0.1+float16"]),
        ("delta+top-k", ["top-k:0.01", "found none"]),
        ("delta+top-k:2", ["above 0 and up to 1", "'2'"]),
        ("delta+top-k:0", ["above 0"]),
        ("delta+top-k:nan", ["above 0"]),
        ("delta+top-k:many", ["'many'"]),
        ("delta+int8:4", ["int8 takes no argument", "'4'"]),
        ("delta+int8+int4", ["int8 and int4", "at most one of float16, bfloat16, int8, int4"]),
        ("delta+delta", ["at most one of delta"]),
        ("delta+int8+top-k:0.1", ["top-k must stand before int8"]),
        ("int8+delta", ["delta must stand before int8"]),
    ],
)
def test_a_wrong_spec_is_named_with_what_is_allowed(spec, words):
    with pytest.raises(ValueError, match="codec") as caught:
        parse(spec)
    assert [word for word in words if word not in str(caught.value)] == []
