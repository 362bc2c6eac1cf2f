"""What can be learned of a broker from outside: whether it is reached, what it lets in, what it is, what time it has.

It asks as a monitor does, and only what changes nothing: no node joins, no event is published, no lease is touched.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import zmq
from nervenet.broker.channel import Channel
from nervenet.broker.dial_back import DIAL_S
from nervenet.broker.ending import end_in_thread
from nervenet.broker.errors import BrokerError, BrokerUnreachable
from nervenet.broker.greeting import greet
from nervenet.broker.messages import (
    BrokerInfo,
    DialBack,
    EventAddresses,
    Failed,
    GetBrokerInfo,
    GetEventAddresses,
    GetRoster,
    Roster,
)
from nervenet.broker.relay import WELCOME
from nervenet.broker.request_client import BrokerClient
from nervenet.broker.security.plain import Plain
from nervenet.broker.sockets import Security, dial, reached_by
from nervenet.broker.transport_events import Counters

from .broker_facts import Asked, BrokerFacts
from .member_probe import try_members

ANSWER_S = 4.0  # in which a broker that lives answers, over the slowest of lines
_POLL_S = 0.05


async def probe_broker(asked: Asked, security: Security, within_s: float = ANSWER_S) -> BrokerFacts:
    """Ask a broker, and where it does not answer, look what is at its address; takes a few times `within_s` at most."""
    facts = BrokerFacts(asked.broker, encrypted=not isinstance(security, Plain))
    is_tcp = asked.broker.startswith("tcp://")
    try:
        security.check(asked.broker)
    except BrokerError as error:
        facts.not_asked = str(error)
    if not facts.encrypted and is_tcp:  # before anything is said: an encrypted one would not understand it
        facts.reached = await greet(asked.broker, within_s)
        if facts.not_asked or facts.reached.mechanism != "NULL":
            return facts
    if facts.not_asked:
        return facts
    context: zmq.Context[Any] = zmq.Context()
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        client = BrokerClient(asked.broker, context, security, partial(_note, refused))
        try:
            if await _ask_broker(client, facts, refused, within_s):
                await _ask_further(client, facts, asked, within_s)
                if isinstance(facts.run, Roster) and not isinstance(security, Plain):
                    facts.members = await try_members(facts.run, asked.dials, security, context, within_s)
                await _try_events(client, facts, context, security, within_s)
        finally:
            client.close()
    except BrokerError as error:
        facts.not_asked = str(error)
    finally:
        await end_in_thread(context.term)
    if facts.info is None and is_tcp:
        facts.reached = await greet(asked.broker, within_s)
    return facts


def _note(first: asyncio.Future[str], reason: str) -> None:
    if not first.done():
        first.set_result(reason)


async def _ask_broker(client: BrokerClient, facts: BrokerFacts, refused: asyncio.Future[str], within_s: float) -> bool:
    """Return whether the broker answers in a version that is spoken here."""
    sent, asked_at = time.time(), time.monotonic()
    asking = asyncio.ensure_future(client.ask(GetBrokerInfo, within_s))
    waits: set[asyncio.Future[Any]] = {asking, refused}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    if not asking.done():
        asking.cancel()
        facts.refused = refused.result()
        return False
    try:
        answer = asking.result()
    except BrokerUnreachable as error:
        facts.refused = error.refused
        return False
    took_s = time.monotonic() - asked_at
    if isinstance(answer, BrokerInfo):
        facts.info = answer
        # That took the time of connecting as well: the next answer tells the clock more exactly.
        with suppress(BrokerUnreachable):
            sent, asked_at = time.time(), time.monotonic()
            again = await client.ask(GetBrokerInfo, within_s)
            took_s = time.monotonic() - asked_at
            answer = again if isinstance(again, BrokerInfo) else answer
        facts.offset_s, facts.uncertain_s = answer.time - (sent + took_s / 2), took_s / 2
    elif isinstance(answer, Failed):
        facts.info = answer
        return answer.code != "version"
    return True


async def _ask_further(client: BrokerClient, facts: BrokerFacts, asked: Asked, within_s: float) -> None:
    with suppress(BrokerUnreachable):
        if asked.run:
            facts.run = await client.ask(lambda id_: GetRoster(id_, asked.run, 0, _POLL_S), within_s)
    if not asked.bind:
        return
    try:
        inbox = await asyncio.start_server(lambda _, writer: writer.close(), _interface(asked.bind), 0)
    except (OSError, ValueError) as error:
        facts.not_bound = f"{asked.bind} cannot be bound: {getattr(error, 'strerror', None) or error}"
        return
    async with inbox:
        port = inbox.sockets[0].getsockname()[1]
        facts.inbox = f"tcp://{asked.advertise or asked.bind}:{port}"
        with suppress(BrokerUnreachable):
            facts.back = await client.ask(lambda id_: DialBack(id_, facts.inbox), DIAL_S + within_s)


def _interface(bind: str) -> str | None:
    return None if bind == "*" else bind.strip("[]")


async def _try_events(
    client: BrokerClient, facts: BrokerFacts, context: zmq.Context[Any], security: Security, within_s: float
) -> None:
    """Connect to where events go in and out, as a publisher and a subscriber do; nothing is published."""
    try:
        found = await client.ask(GetEventAddresses, within_s)
    except BrokerUnreachable:
        return
    if not isinstance(found, EventAddresses):
        return
    welcome = WELCOME + uuid.uuid4().hex.encode()

    def subscribe(socket: zmq.Socket[bytes]) -> None:
        socket.setsockopt(zmq.SUBSCRIBE, welcome)

    into, out = (reached_by(each, facts.address) for each in (found.events_in, found.events_out))
    checks = {
        into: _hears(context, "publisher", into, security, within_s),  # of the relay's subscription
        out: _hears(context, "subscriber", out, security, within_s, subscribe),  # of its welcome
    }
    facts.events = dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))


async def _hears(
    context: zmq.Context[Any],
    kind: str,
    address: str,
    security: Security,
    within_s: float,
    options: Callable[[zmq.Socket[bytes]], None] = lambda _: None,
) -> str:
    """Return why a socket of a kind hears nothing at an address; empty where it does."""
    heard, refused = asyncio.Event(), list[str]()
    try:
        socket, dialer = dial(context, kind, address, security=security, refused=refused.append, options=options)
    except BrokerError as error:
        return str(error)
    channel = Channel(socket, deliver=lambda *_: heard.set(), counters=Counters())
    try:
        async with asyncio.timeout(within_s):
            await heard.wait()
    except TimeoutError:
        at = await greet(address, within_s) if address.startswith("tcp://") and not refused else None
        return refused[-1] if refused else (at.why if at else "") or f"nothing came within {within_s:g} s"
    finally:
        if dialer is not None:
            dialer.close()
        channel.close()
    return ""
