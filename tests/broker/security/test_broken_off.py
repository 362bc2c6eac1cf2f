"""A listening socket with keys: a handshake that comes to nothing is told, and no more is said than is known."""

from __future__ import annotations

import asyncio
import errno
from contextlib import AsyncExitStack
from typing import Any

import pytest
import zmq
from nervenet.broker import disconnects
from nervenet.broker.broker import Broker
from nervenet.broker.disconnects import LEFT, _failure

from .conftest import Sites

NO_DETAIL = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
PLAIN = SIGNATURE + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)  # the greeting of one who does not encrypt
DEADLINE_S = 60.0


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.EPIPE, 0])
def test_who_is_gone_in_the_midst_of_it_is_told_as_that(number: int) -> None:
    assert _failure(NO_DETAIL, number) == LEFT


@pytest.mark.parametrize(
    ("event", "value", "reason"),
    [
        (NO_DETAIL, errno.EAGAIN, "has not proven a key in time"),
        (PROTOCOL, int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC), "encrypts for another key than this node's"),
        (PROTOCOL, int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH), "broke off the handshake: does not encrypt"),
    ],
)
def test_who_has_no_key_or_another_is_refused(event: int, value: int, reason: str) -> None:
    assert _failure(event, value).startswith(reason)


async def told_of_two_strangers(sites: Sites) -> list[str]:
    """What a broker says of one who leaves after ten bytes, and then of one who does not encrypt."""
    sites.make("hub")
    said: asyncio.Queue[str] = asyncio.Queue()
    lines: list[str] = []
    async with AsyncExitStack() as stack:
        security = sites.curve("hub")
        broker = await stack.enter_async_context(
            Broker("tcp://127.0.0.1:0", security=security, on_refused=said.put_nowait)
        )
        for greeting in (SIGNATURE, PLAIN):
            host, _, port = broker.address.removeprefix("tcp://").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            await reader.readexactly(len(SIGNATURE))
            writer.write(greeting)
            await writer.drain()
            if greeting is SIGNATURE:
                await reader.read(1)  # it has read those ten bytes, and goes on
                writer.close()
            else:
                await reader.read()
        while not any("does not encrypt" in line for line in lines):
            async with asyncio.timeout(DEADLINE_S):
                lines.append(await said.get())
    return lines


async def test_both_are_told(sites: Sites) -> None:
    assert await told_of_two_strangers(sites) == [
        f"refused at directory: {LEFT}",
        "refused at directory: broke off the handshake: does not encrypt, or is no nervenet node",
    ]


async def test_if_only_a_protocol_error_were_told_the_first_would_be_silence(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Any = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    monkeypatch.setattr(disconnects, "_FAILED", int(asked))
    (line,) = await told_of_two_strangers(sites)
    assert "does not encrypt" in line
