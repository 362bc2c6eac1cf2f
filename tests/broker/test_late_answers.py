"""Answers of a broker that are lost, or late: who asked learns all the same what it wanted to know."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from msgspec.structs import replace
from nervenet.broker import subscriber
from nervenet.broker.broker import Broker
from nervenet.broker.directory_server import DirectoryServer
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Join, Joined, Message, Ok
from nervenet.broker.request_client import RequestClient
from nervenet.broker.subscriber import EventStream

DEADLINE_S = 60.0
JOIN = Join(0, "demo", "a", "peer", 1, 1, {}, {"mode": "gossip"}, 1, 60.0)


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def notes_that_it_is_back(monkeypatch: pytest.MonkeyPatch, within: float = math.inf) -> bool:
    """Whether a member knows that it is in the directory again, where the answer to its Join was lost.

    It has so many renewals to find out. Until it asks because of one, all answers to a Join are lost: it may have asked
    more than once before, where this process stands still.
    """
    rejoined, lost, renewed, asks_because = list[Joined](), list[Joined](), list[Ok](), list[Message]()
    joined, reply, not_renewed = Lease._joined, DirectoryServer._reply, Lease._not_renewed

    def losing(server: DirectoryServer, identity: bytes, message: Any, *version: int) -> None:
        if forgotten and isinstance(message, Joined) and not any(isinstance(why, Ok) for why in asks_because):
            lost.append(message)
            return
        if lost and isinstance(message, Ok):
            renewed.append(message)
        reply(server, identity, message, *version)

    async def noting(lease: Lease, answer: Message) -> None:
        asks_because.append(answer)
        await not_renewed(lease, answer)

    monkeypatch.setattr(Lease, "_not_renewed", noting)
    # It renews ten times a second, and is not lost where this process stands still.
    monkeypatch.setattr(Lease, "_joined", lambda lease, answer: joined(lease, replace(answer, lease_s=0.3)))
    monkeypatch.setattr(DirectoryServer, "_reply", losing)
    forgotten = False
    async with (
        Broker("tcp://127.0.0.1:0", lease_s=3_600.0) as broker,
        Lease(broker.address, JOIN, zmq.Context.instance(), connect_deadline_s=DEADLINE_S, on_joined=rejoined.append),
    ):
        forgotten = True
        broker._directory._runs.clear()  # as of one that was started again
        await until(lambda: rejoined or len(renewed) >= within)
        assert "a" in broker._directory._runs["demo"].entries
    return bool(rejoined)


async def test_a_member_whose_join_was_answered_in_vain_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await notes_that_it_is_back(monkeypatch)


async def test_else_it_would_be_a_member_and_go_by_the_rosters_of_the_broker_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Lease, "_rejoins", property(lambda _: False, lambda *_: None), raising=False)
    assert not await notes_that_it_is_back(monkeypatch, within=3)


async def seen_by_who_comes_late(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a stream has of two kinds of events, one before it came, where the snapshot takes the broker its time."""
    asked, loop, send = asyncio.Event(), asyncio.get_running_loop(), DirectoryServer._send

    def later(server: DirectoryServer, identity: bytes, envelope: Any) -> None:
        if envelope.kind == "snapshot":
            asked.set()
            loop.call_later(0.3, send, server, identity, envelope)
        else:
            send(server, identity, envelope)

    monkeypatch.setattr(DirectoryServer, "_send", later)
    monkeypatch.setattr(subscriber, "_REQUEST_S", 0.1)
    found: list[str] = []
    async with Broker("tcp://127.0.0.1:0") as broker:
        broker.publish("tick", "demo")
        async with asyncio.timeout(DEADLINE_S), EventStream(broker.address, ("tick", "tock")) as stream:
            await asked.wait()
            broker.publish("tock", "demo")
            async for event in stream:
                found += [event["type"]] if event["node"] == "broker" else []
                if event["type"] == "tock":
                    break
    return found


async def test_a_snapshot_is_waited_for_longer_than_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await seen_by_who_comes_late(monkeypatch) == ["tick", "tock"]


async def test_else_a_busy_broker_would_show_nothing_of_what_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "_SNAPSHOT_S", 0.1)
    assert await seen_by_who_comes_late(monkeypatch) == ["tock"]


async def answered_while_it_stood_still(pass_time: Callable[[float], None]) -> Message:
    """What who asks has of an answer that is read in the turn in which its deadline is found to be over."""
    asked = asyncio.Event()
    client = RequestClient(lambda *_: asked.set())
    asking = asyncio.create_task(client.ask(Ok, DEADLINE_S))
    await asked.wait()
    asyncio.get_running_loop().call_soon(client.deliver, Ok(1))
    pass_time(2 * DEADLINE_S)
    return await asking


async def test_who_stood_still_past_a_deadline_has_the_answer_that_came(pass_time: Callable[[float], None]) -> None:
    assert await answered_while_it_stood_still(pass_time) == Ok(1)


async def test_by_the_clock_alone_it_would_be_thrown_away(
    monkeypatch: pytest.MonkeyPatch, pass_time: Callable[[float], None]
) -> None:
    async def by_the_clock(_: RequestClient, answers: asyncio.Queue[Message], deadline_s: float) -> Message:
        async with asyncio.timeout(deadline_s):
            return await answers.get()

    monkeypatch.setattr(RequestClient, "_next", by_the_clock)
    with pytest.raises(TimeoutError):
        await answered_while_it_stood_still(pass_time)
