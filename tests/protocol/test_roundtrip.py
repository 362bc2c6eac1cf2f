"""Every message, with whatever its fields allow, comes back from its frames as it was; what they forbid does not."""

from __future__ import annotations

import math
import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from nervenet.broker import messages as m
from nervenet.broker.codec import SIGNATURE, decode, encode
from nervenet.broker.errors import ProtocolError

PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()

counts = st.integers(0, 2**64 - 1)
texts = st.text(max_size=30)
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
runs = st.text(min_size=1, max_size=128)
seconds = st.floats(0, 1e9)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
maps = st.dictionaries(texts, values, max_size=4)
payloads = st.builds(m.Payload, layout=texts, dtype=st.sampled_from(["float32", "float64"]), length=st.integers(0, 20))

KNOWN: dict[Any, tuple[str, st.SearchStrategy[Any]]] = {
    m.Count: ("uint", counts),
    m.Name: ("name", names),
    m.RunName: ("run-name", runs),
    m.Seconds: ("seconds", seconds),
    m.Version: ("uint", st.integers(0, 255)),
    m.Role: ("text", st.text(max_size=32)),
    m.Release: ("text", st.text(max_size=64)),
    m.Address: ("text", st.text(max_size=256)),
    m.Mass: ("mass", st.floats(0, 1e300)),
    m.Clock: ("clock", st.floats(0, 2**53)),
    m.Refutations: ("count", st.integers(0, 2**53)),
    m.Addresses: ("addresses", st.dictionaries(texts, st.text(max_size=256), max_size=4)),
    m.Payload: ("payload", payloads),
    m.Encoding: ("text", st.text(max_size=64)),
    m.Host: ("text", st.text(max_size=64)),
    m.SocketName: ("text", st.from_regex(r"\Anervenet-[0-9a-f]{32}\Z")),
    m.Secret: ("text", st.from_regex(r"\A[0-9a-f]{64}\Z")),
    m.Proof: ("text", st.text(max_size=128)),
    m.Parts: ("list of text", st.lists(texts, min_size=1, max_size=4).map(tuple)),
    str: ("text", texts),
    bool: ("bool", st.booleans()),
    float: ("number", st.floats(allow_nan=False)),
    dict[str, Any]: ("map", maps),
    dict[str, str]: ("map of text", st.dictionaries(texts, texts, max_size=3)),
    dict[str, m.Count]: ("map of uint", st.dictionaries(texts, counts, max_size=3)),
    dict[str, float]: ("map of numbers", st.dictionaries(texts, st.floats(), max_size=3)),
}
"""How a type is called in docs/protocol.md, and the values that it has."""


PARTS = (m.Call, m.Manifest, m.Member, m.MemberState, m.Contact, m.SiteFields)


def meaning(kind: Any) -> tuple[str, st.SearchStrategy[Any]]:
    """Word and values of an annotation."""
    if kind in KNOWN:
        return KNOWN[kind]
    if kind == m.Announced:
        return "message", st.one_of(*map(fields_of, get_args(kind)))
    if kind in PARTS:
        return m.snake_case(kind.__name__), fields_of(kind)
    if get_origin(kind) is Annotated:  # a list of a bounded length
        return meaning(kind.__origin__)
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return "text", st.sampled_from(arguments)
    if get_origin(kind) in (Union, types.UnionType) and arguments[-1] is type(None):
        word, some = meaning(arguments[0])
        return f"{word} or nil", st.none() | some
    if UnsetType in arguments:  # omitted, where it has no value
        word, some = meaning(arguments[0])
        return word, st.just(UNSET) | some
    if get_origin(kind) is tuple:
        word, some = meaning(arguments[0])
        return f"list of {word}", st.lists(some, max_size=3).map(tuple)
    raise AssertionError(f"no word and no values for {kind}")


def fields_of(cls: Any) -> st.SearchStrategy[Any]:
    """Instances of a message class."""
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{name: meaning(hints[name])[1] for name in cls.__struct_fields__})


@pytest.mark.parametrize("tag", m.BY_TAG)
def test_a_message_survives_encoding_and_decoding(tag):
    @settings(max_examples=20, deadline=None)
    @given(st.data())
    def check(data):
        message = data.draw(fields_of(m.BY_TAG[tag]))
        payload = getattr(message, "payload", None)
        array = None
        if payload is not None:
            numbers = st.lists(st.floats(width=32), min_size=payload.length, max_size=payload.length)
            array = np.array(data.draw(numbers), payload.dtype)
        frames = [bytes(frame) for frame in encode(message, array)]
        assert len(frames) == (1 if array is None else 2)
        back, vector = decode(frames)
        assert repr(back) == repr(message)  # NaN is not equal to itself
        assert m.tag_of(back) == tag
        if array is not None:
            assert vector is not None
            assert vector.tobytes() == array.tobytes()
            assert vector.dtype == array.dtype
            assert not vector.flags.writeable

    check()


@pytest.mark.parametrize("cls", [*m.BY_TAG.values(), m.Payload, *PARTS])
def test_the_document_gives_every_field_its_type(cls):
    heading = m.tag_of(cls) if cls in m.BY_TAG.values() else m.snake_case(cls.__name__)
    found = re.search(rf"^#### `{heading}`.*?(?=^#)", PROTOCOL + "\n#", re.MULTILINE | re.DOTALL)
    assert found
    reported = dict(re.findall(r"^\| `(\w+)` \| ([a-z_ -]+) \|", found.group(), re.MULTILINE))
    hints = get_type_hints(cls, include_extras=True)
    assert reported == {name: meaning(hints[name])[0] for name in cls.__struct_fields__}


def test_the_document_describes_no_message_that_does_not_exist():
    headings = re.findall(r"^#### `(\w+)`", PROTOCOL, re.MULTILINE)
    assert sorted(headings) == sorted([*m.BY_TAG, "payload", *(m.snake_case(part.__name__) for part in PARTS)])


def test_the_document_mentions_no_message_and_no_code_that_does_not_exist():
    words = set(re.findall(r"\b(?:answered by|answers?|sends?|answers by|an?|code) `([a-z_]+)`", PROTOCOL))
    fields = {name for cls in [*m.BY_TAG.values(), m.Payload, *PARTS] for name in cls.__struct_fields__}
    assert words <= set(m.BY_TAG) | m.CODES | fields | {"welcome"}


FORBIDDEN: dict[Any, list[Any]] = {
    m.Count: [-1, 1.5, "1", None, True],
    m.Name: ["", "-a", "a b", "a" * 65, 1, None],
    m.RunName: ["", "r" * 129, 1, None],
    m.Seconds: [-0.5, math.nan, "1", None],
    m.Mass: [-0.5, math.nan, math.inf, "1", None],
    m.Clock: [-0.5, math.nan, math.inf, "1", None],
    m.Payload: [[], "mean", 1],
    str: [1, None, b"a", []],
    bool: [0, 1, "true", None],
    dict[str, Any]: [[], 1, "x", None],
    dict[str, str]: [{"a": 1}, [], None],
    m.Addresses: [{"a": 1}, [], None, dict.fromkeys("abcde", "x"), {"a": "x" * 257}],
    dict[str, m.Count]: [{"a": "1"}, {"a": -1}, [], None],
    dict[str, float]: [{"a": "1"}, {"a": None}, [], None],
}


@pytest.mark.parametrize("tag", m.BY_TAG)
def test_a_value_that_a_field_forbids_is_refused(tag):
    cls = m.BY_TAG[tag]
    hints = get_type_hints(cls, include_extras=True)
    frames = (Path(__file__).parent / "golden" / f"{tag}.hex").read_text().split("\n\n")
    good = msgpack.unpackb(bytes.fromhex(frames[0])[3:])
    for name in cls.__struct_fields__:
        kind = hints[name]
        optional = type(None) in get_args(kind) and get_origin(kind) is not Annotated
        kind = get_args(kind)[0] if optional or UnsetType in get_args(kind) else kind
        for value in FORBIDDEN.get(kind, [{}, 1.5]):
            if value is None and optional:
                continue
            with pytest.raises(ProtocolError) as caught:
                decode([SIGNATURE + msgpack.packb(good | {name: value}), *map(bytes.fromhex, frames[1:])])
            assert caught.value.code == "malformed", (name, value)
