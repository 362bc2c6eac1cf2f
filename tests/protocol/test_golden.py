"""The wire stands still: every message has the bytes that it had, and docs/protocol.md names every part of it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.broker.codec import SIGNATURE, Limits, decode
from nervenet.broker.events import REQUIRED

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
EVENTS = (ROOT / "docs" / "events.md").read_text()


def _examples() -> Any:
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = _examples()


def section(tag: str) -> str:
    """The part of docs/protocol.md about one message."""
    found = re.search(rf"^#### `{tag}`.*?(?=^#)", PROTOCOL + "\n#", re.MULTILINE | re.DOTALL)
    assert found, f"docs/protocol.md has no section about {tag}"
    return found.group()


def test_there_is_an_example_of_every_message():
    assert set(MAKE.EXAMPLES) == set(m.BY_TAG) == {path.stem for path in MAKE.GOLDEN.glob("*.hex")}


@pytest.mark.parametrize("tag", m.BY_TAG)
def test_frames_equal_the_golden_ones(tag):
    message, array = MAKE.EXAMPLES[tag]
    text = (MAKE.GOLDEN / f"{tag}.hex").read_text()
    assert MAKE.text_of(message, array) == text
    back, vector = decode(MAKE.frames_of(text))
    assert back == message
    if array is None:
        assert vector is None
    else:
        np.testing.assert_array_equal(vector, array)


@pytest.mark.parametrize("name", MAKE.FURTHER)
def test_further_frames_equal_the_golden_ones(name):
    message, array = MAKE.FURTHER[name]
    text = (MAKE.GOLDEN / "further" / f"{name}.hex").read_text()
    assert MAKE.text_of(message, array) == text
    back, vector = decode(MAKE.frames_of(text))
    assert back == message
    if array is None:
        assert vector is None
    else:
        np.testing.assert_array_equal(vector, array)


@pytest.mark.parametrize("tag", m.BY_TAG)
def test_the_document_names_every_field_and_the_lane(tag):
    text = section(tag)
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    kind = m.BY_TAG[tag]
    assert rows == set(kind.__struct_fields__)
    lane = "control and bulk" if tag in {"hello", "refused"} else kind.lane.value
    assert f"(lane: {lane})" in text.splitlines()[0]


@pytest.mark.parametrize("part", [m.Payload, m.Manifest, m.Member, m.MemberState, m.Contact])
def test_the_document_names_the_fields_of_parts(part):
    text = section(m.snake_case(part.__name__))
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(part.__struct_fields__)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (m.Task, "work"),
        (m.Report, "kind"),
        (m.Member, "state"),
        (m.Payload, "dtype"),
        (m.MemberState, "state"),
        (m.Gossip, "extent"),
    ],
)
def test_the_document_lists_what_is_allowed(kind, name):
    text = section(m.snake_case(kind.__name__))
    for value in get_args(get_type_hints(kind, include_extras=False)[name]):
        assert f"`{value}`" in text


def test_the_document_lists_every_code_and_no_other():
    table = PROTOCOL.split("## 9. Error codes")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == m.CODES


def test_the_document_states_version_and_limits():
    assert f"version {m.VERSION} of the protocol" in PROTOCOL
    assert b"NV" + bytes([m.VERSION]) == SIGNATURE
    limits = Limits()
    for limit in (limits.control_bytes, limits.header_bytes, limits.message_bytes):
        assert f"{limit:,}" in PROTOCOL


def test_the_events_document_names_what_every_event_has():
    common = EVENTS.split("## Every event")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", common, re.MULTILINE)) == set(REQUIRED)
