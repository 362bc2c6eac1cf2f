"""A message comes once: what is sent again under its number is dropped, and reported."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.arrivals import WINDOW, Arrivals
from nervenet.broker.codec import NUMBER, SIGNATURE, decode, decode_numbered, encode
from nervenet.broker.errors import ProtocolError
from nervenet.broker.messages import Heartbeat
from nervenet.broker.transport import ConnectionRefused, LinkUp


def test_a_number_comes_once_in_whatever_order() -> None:
    arrivals = Arrivals()
    assert [arrivals.fresh(number) for number in (3, 5, 4, 5, 3, 9)] == [True, True, True, False, False, True]


@given(st.lists(st.integers(1, 2**64 - 1), max_size=WINDOW))
def test_each_is_taken_once_as_long_as_the_window_holds(numbers: list[int]) -> None:
    arrivals = Arrivals()
    assert sum(arrivals.fresh(number) for number in numbers) == len(set(numbers))


def test_what_is_older_than_the_window_is_not_taken_and_memory_is_bounded() -> None:
    arrivals = Arrivals()
    assert all(arrivals.fresh(number) for number in range(1, 10_000))
    assert not any(arrivals.fresh(number) for number in range(1, 10_000))
    assert len(arrivals._order) == WINDOW
    assert arrivals._order.itemsize * WINDOW == 2_048


def test_a_lane_counts_from_its_first_message_or_never() -> None:
    arrivals = Arrivals()
    assert arrivals.fresh(0)
    assert arrivals.fresh(0)
    assert arrivals.fresh(7)
    assert not arrivals.fresh(0), "a number cannot be taken off"


@pytest.mark.parametrize("number", [-1, 1.5, "1", None, True])
def test_a_number_that_is_none_makes_a_message_malformed(number: Any) -> None:
    fields = {"t": "heartbeat", "round": 1, "state": "", "sending": [], NUMBER: number}
    with pytest.raises(ProtocolError, match="its number is"):
        decode([SIGNATURE + msgpack.packb(fields)])


def test_the_number_travels_beside_the_fields() -> None:
    message = Heartbeat(1, "well", ())
    assert decode_numbered(encode(message, number=2**60)) == (message, None, 2**60)
    assert decode_numbered(encode(message)) == (message, None, 0)


async def check_a_replayed_message_is_dropped_and_reported(tcp: Any) -> None:
    server, at_server = await tcp.open("server", binds=True)
    client, at_client = await tcp.open("client")
    client.link("server", server.addresses)
    await at_client.first(LinkUp)
    client.send("server", Heartbeat(1, "well", ()))
    envelope = client._endpoint.numbered(Heartbeat(2, "well", ()), None)
    for _ in range(3):
        client._outbound.send("server", Heartbeat.lane, envelope)
    client.send("server", Heartbeat(3, "well", ()))
    await at_server.first(Heartbeat, lambda item: item.message.round == 3)
    assert [item.message.round for item in at_server.of(Heartbeat)] == [1, 2, 3]
    refusal = await at_server.first(ConnectionRefused)
    assert refusal.name == "client"
    assert "is replayed" in refusal.reason


async def test_a_replayed_message_is_dropped_and_reported(tcp: Any) -> None:
    await check_a_replayed_message_is_dropped_and_reported(tcp)


async def test_without_numbers_it_was_taken_again(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arrivals, "fresh", lambda *_: True)
    with pytest.raises(AssertionError):
        await check_a_replayed_message_is_dropped_and_reported(tcp)
