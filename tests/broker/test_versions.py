"""Two nodes use the newest version that both speak, or each learns why not, and who is to be upgraded."""

from __future__ import annotations

import asyncio
from typing import Any

import msgpack
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker import codec, versions
from nervenet.broker.broker import Broker
from nervenet.broker.codec import decode, encode
from nervenet.broker.errors import JoinRefused, ProtocolError
from nervenet.broker.handshake import InboundPeers, identity_of
from nervenet.broker.lease import Lease
from nervenet.broker.messages import OLDEST, VERSION, Failed, GetBrokerInfo, Goodbye, Hello, Join, Refused
from nervenet.broker.subscriber import EventStream
from nervenet.broker.versions import OURS, Spoken, common, hello, mismatch, spoken_by

RANGES = st.tuples(st.integers(1, 9), st.integers(0, 5)).map(lambda pair: Spoken(pair[0], pair[0] + pair[1], "1.2"))


@given(RANGES, RANGES)
def test_both_sides_choose_the_newest_that_both_speak(a: Spoken, b: Spoken) -> None:
    shared = set(range(a.oldest, a.newest + 1)) & set(range(b.oldest, b.newest + 1))
    assert common(a, b) == common(b, a) == max(shared, default=None)


@given(RANGES, RANGES)
def test_it_is_the_older_one_that_is_to_be_upgraded(a: Spoken, b: Spoken) -> None:
    if common(a, b) is None:
        said = mismatch("north", a, "hub", b)
        assert said == f"north speaks {a}, hub {b}: upgrade nervenet at {'north' if a.newest < b.newest else 'hub'}"
        assert mismatch("hub", b, "north", a).endswith(said.rpartition(":")[2])  # the other side says the same


def test_only_what_is_spoken_is_in_the_range() -> None:
    # A version that is added here needs an encoder and a decoder of its own.
    assert (OURS.oldest, OURS.newest) == (OLDEST, VERSION) == (1, 1)


def test_a_hello_says_what_its_node_speaks() -> None:
    assert spoken_by(hello("north", "client", "demo", 1)) == OURS
    assert decode(encode(hello("north", "client", "demo", 1)))[0] == hello("north", "client", "demo", 1)


@pytest.mark.parametrize("version", [0, 7, 255])
def test_introductions_are_read_whatever_version_the_header_names(version: int) -> None:
    for message in (
        hello("north", "client", "demo", 1),
        Refused("hello", 0, "version", "why"),
        Failed(0, "version", ""),
    ):
        assert decode(encode(message, version=version))[0] == message
    with pytest.raises(ProtocolError) as caught:
        decode(encode(Goodbye(1, "done"), version=version))
    assert (caught.value.code, caught.value.version) == ("version", version)


def test_what_a_later_version_adds_to_a_hello_is_passed_over() -> None:
    fields = {"t": "hello", "node": "a", "role": "peer", "run": "r", "incarnation": 1, "version": 9, "oldest": 1}
    header = b"NV\x09" + msgpack.packb({**fields, "release": "9.0", "more": [1, 2]})
    found = decode([header])[0]
    assert isinstance(found, Hello)
    assert common(spoken_by(found)) == 1


def older_hello() -> bytes:
    fields = {"t": "hello", "node": "a", "role": "peer", "run": "r", "incarnation": 1, "version": 1}
    return codec.SIGNATURE + msgpack.packb(fields)


def test_a_node_from_before_versions_were_told_learns_that_it_is_to_be_upgraded() -> None:
    with pytest.raises(ProtocolError, match="does not say which versions it speaks") as caught:
        decode([older_hello()])
    assert (caught.value.code, caught.value.version) == ("version", 1)  # by which it is answered


def test_a_hello_of_another_version_is_refused_with_both_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = InboundPeers()
    later = hello("north", "client", "demo", 1, Spoken(8, 9, "9.0"))
    refused = peers.refusal(identity_of("north", 1), later, "demo", node="hub")
    assert refused is not None
    assert refused == ("version", mismatch("north", Spoken(8, 9, "9.0"), "hub"))
    # The pair: without a comparison it would be let in.
    monkeypatch.setattr("nervenet.broker.handshake.common", lambda _: 1)
    assert peers.refusal(identity_of("north", 1), later, "demo", node="hub") is None


def test_the_largest_version_fits_a_header() -> None:
    assert decode(encode(Refused("", 0, "version", ""), version=255))[0]
    with pytest.raises(ProtocolError, match="<= 255"):
        decode([codec.SIGNATURE + msgpack.packb({**msgpack.unpackb(older_hello()[3:]), "oldest": 256})])


def test_an_unknown_release_is_said_to_be_unknown() -> None:
    assert str(Spoken(2, 2)) == "version 2 of the protocol (nervenet of an unknown release)"
    assert versions.of_header("the sender", 3, "hub", Spoken(1, 1, "0.1")).endswith("upgrade nervenet at hub")


class OtherBroker:
    """A broker of another version: whatever it is asked, it says which ones it speaks."""

    def __init__(self, context: zmq.Context[Any]) -> None:
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"

    def answer(self) -> None:
        assert self._socket.poll(60_000)
        identity = self._socket.recv_multipart()[0]
        said = versions.of_header("the node that asks", 1, "the broker", Spoken(7, 7, "7.0"))
        self._socket.send_multipart([identity, *encode(Failed(0, "version", said), version=7)])

    def close(self) -> None:
        self._socket.close()


async def test_a_broker_of_another_version_is_named_to_who_joins_and_to_who_watches() -> None:
    context: zmq.Context[Any] = zmq.Context()
    other = OtherBroker(context)
    join = Join(0, "demo", "north", "client", 1, 1, {}, {}, 1, 5.0)
    answering = asyncio.create_task(asyncio.to_thread(other.answer))
    with pytest.raises(JoinRefused, match=r"the broker version 7 of the protocol \(nervenet 7.0\): upgrade") as caught:
        async with Lease(other.address, join, context, connect_deadline_s=60.0):
            pass
    assert caught.value.page == "version-mismatch"
    assert str(caught.value).endswith(f"this node speaks {OURS}")
    await answering
    answering = asyncio.create_task(asyncio.to_thread(other.answer))
    async with EventStream(other.address) as events:
        event = await anext(aiter(events))
        assert (event["type"], event["node"]) == ("warning", "stream")
        assert "upgrade nervenet at the node that asks" in event["reason"]
        await answering
    other.close()
    await asyncio.to_thread(context.term)


async def test_a_broker_answers_a_request_of_another_version_in_that_version() -> None:
    context: zmq.Context[Any] = zmq.Context()
    async with Broker("tcp://127.0.0.1:0") as broker:
        asks = context.socket(zmq.DEALER)
        asks.linger = 0
        asks.connect(broker.address)
        asks.send_multipart(encode(GetBrokerInfo(3), version=9))
        assert await asyncio.to_thread(asks.poll, 60_000)
        [header] = asks.recv_multipart()
        assert header[:3] == b"NV\x09"
        failed = decode([header])[0]
        assert isinstance(failed, Failed)
        assert (failed.id, failed.code) == (0, "version")
        assert failed.reason.startswith("the node that asks speaks version 9 of the protocol")
        assert failed.reason.endswith("upgrade nervenet at the broker")
        asks.close()
    context.term()
