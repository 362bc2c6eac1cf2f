"""The broker says what it is, and dials a node back: the host that asks, and no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import zmq
from nervenet.broker import dial_back
from nervenet.broker.broker import Broker
from nervenet.broker.dial_back import MOST, BackDialer, dialed
from nervenet.broker.messages import BrokerInfo, DialBack, Failed, GetBrokerInfo, Message, Ok
from nervenet.broker.request_client import BrokerClient
from nervenet.broker.versions import OURS


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A port at which somebody listens."""
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()


async def test_a_broker_says_what_it_is_and_dials_back(port: int) -> None:
    context: zmq.Context[Any] = zmq.Context()
    async with Broker("tcp://127.0.0.1:0") as broker:
        client = BrokerClient(broker.address, context)
        info = await client.ask(GetBrokerInfo, 60.0)
        assert isinstance(info, BrokerInfo)
        assert (info.oldest, info.version, info.release, info.runs) == (*OURS, 0)
        assert abs(info.time - time.time()) < 60
        found = await client.ask(lambda id_: DialBack(id_, f"tcp://127.0.0.1:{port}"), 60.0)
        assert isinstance(found, Ok)
        client.close()
    context.term()


async def test_a_closed_port_and_a_wrong_address_are_named() -> None:
    closed = await dialed(DialBack(3, "tcp://127.0.0.1:1"), "127.0.0.1")
    assert isinstance(closed, Failed)
    assert (closed.id, closed.code) == (3, "unreachable")
    assert "127.0.0.1:1 cannot be reached" in closed.reason
    for address in ("ipc://x", "tcp://127.0.0.1", "tcp://h:0", "tcp://h:70000", "tcp://:5", "tcp://h:²"):
        wrong = await dialed(DialBack(3, address), "127.0.0.1")
        assert isinstance(wrong, Failed)
        assert "is no tcp://HOST:PORT" in wrong.reason


async def asked_for_another_host(port: int) -> Message:
    return await dialed(DialBack(1, f"tcp://127.0.0.1:{port}"), "203.0.113.7")


async def test_no_other_host_than_the_one_that_asks_is_dialed(port: int) -> None:
    found = await asked_for_another_host(port)
    assert isinstance(found, Failed)
    assert found.code == "elsewhere"
    assert "127.0.0.1 is 127.0.0.1 for the broker, and the node that asks comes from 203.0.113.7" in found.reason


async def test_without_that_comparison_it_would_be(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_back, "_plain", lambda _: "127.0.0.1")
    assert isinstance(await asked_for_another_host(port), Ok)


async def test_only_so_many_are_dialed_at_once() -> None:
    answers: list[Message] = []
    dialer = BackDialer(lambda _, message: answers.append(message))
    for number in range(MOST + 1):
        dialer.ask(b"a", DialBack(number, "tcp://127.0.0.1:1"), "127.0.0.1")
    assert [(answer.id, answer.code) for answer in answers if isinstance(answer, Failed)] == [(MOST, "busy")]
    dialer.close()
