"""References, and what writer and reader say to each other: what is packed is unpacked, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.errors import ProtocolError
from nervenet.broker.shared_memory.local_messages import (
    LONGEST,
    SECRET_BYTES,
    GivenUp,
    LocalMessage,
    Mapped,
    Passed,
    Released,
    Shown,
    pack,
    unpack,
)
from nervenet.broker.shared_memory.reference import REFERENCE_BYTES, Reference

SHORT, LONG = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
MESSAGES = st.one_of(
    st.builds(Shown, st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)),
    st.builds(Passed, SHORT, LONG),
    st.builds(Mapped, SHORT, st.booleans()),
    st.builds(GivenUp, SHORT),
    st.builds(Released, SHORT, LONG),
)


@given(MESSAGES)
def test_messages_come_back(message: LocalMessage) -> None:
    packed = pack(message)
    assert len(packed) <= LONGEST
    assert unpack(packed) == message
    assert type(unpack(packed)) is type(message)


@given(st.binary(max_size=LONGEST))
def test_whatever_is_no_message_is_none(packed: bytes) -> None:
    message = unpack(packed)
    assert message is None or unpack(pack(message)) == message


@given(st.builds(Reference, SHORT, LONG, LONG, LONG, LONG))
def test_references_come_back(reference: Reference) -> None:
    packed = reference.pack()
    assert len(packed) == REFERENCE_BYTES
    assert Reference.unpack(packed) == reference
    with pytest.raises(ProtocolError, match="begins with NVSM"):
        Reference.unpack(packed[:-1])
    with pytest.raises(ProtocolError, match="begins with NVSM"):
        Reference.unpack(b"\0" + packed[1:])
