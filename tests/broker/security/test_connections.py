"""Authenticated connections over tcp: who is let in, what becomes of everybody else, and of who is let in no longer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.channel import Envelope
from nervenet.broker.disconnects import LEFT
from nervenet.broker.errors import BrokerUnreachable, JoinRefused, KeysError
from nervenet.broker.events import Publisher
from nervenet.broker.greeting import not_encrypted_here
from nervenet.broker.lease import Lease
from nervenet.broker.messages import EventAddresses, GetEventAddresses, Goodbye, Join, Leave
from nervenet.broker.request_client import BrokerClient
from nervenet.broker.security import gate as gate_module
from nervenet.broker.security.allow_list import AllowList
from nervenet.broker.security.dialer import Dialer
from nervenet.broker.security.plain import LOCAL
from nervenet.broker.sockets import dial
from nervenet.broker.subscriber import EventStream
from nervenet.broker.transport import ZmqTransport
from nervenet.broker.transport_events import Arrival, ConnectionRefused, LinkLost, LinkUp

from .conftest import Sites

DEADLINE_S = 60.0


class Told:
    """Collects lines or items, and lets a test wait for one."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._news = asyncio.Event()

    def __call__(self, item: Any) -> None:
        self.items.append(item)
        self._news.set()

    async def first(self, which: Callable[[Any], Any]) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            while not (found := [item for item in self.items if which(item)]):
                self._news.clear()
                await self._news.wait()
        return found[0]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def join(node: str, role: str = "client") -> Join:
    return Join(0, "demo", node, role, 1, os.getpid(), {}, {"mode": "gossip"}, 1, 60.0)


async def hub(stack: AsyncExitStack, sites: Sites) -> tuple[Broker, Told]:
    """A broker with keys, and the lines that it says of who is refused."""
    sites.make("hub")
    said = Told()
    broker = Broker("tcp://127.0.0.1:0", lease_s=60.0, security=sites.curve("hub"), on_refused=said)
    return await stack.enter_async_context(broker), said


def client(stack: AsyncExitStack, broker: Broker, security: Any, said: Told | None = None) -> BrokerClient:
    context: zmq.Context[Any] = zmq.Context()
    stack.callback(context.term)
    found = BrokerClient(broker.address, context, security, said or Told())
    stack.callback(found.close)
    return found


async def test_an_allowed_key_joins_and_its_events_are_relayed(sites, stack):
    broker, _ = await hub(stack, sites)
    sites.make("north", "ops")
    sites.allow("hub", "north", "client")
    sites.allow("hub", "ops", "monitor")
    sites.allow("north", "hub", "broker")
    sites.allow("ops", "hub", "broker")
    context: zmq.Context[Any] = zmq.Context()
    stack.callback(context.term)
    north = sites.curve("north")
    lease = await stack.enter_async_context(Lease(broker.address, join("north"), context, security=north))
    stream = await stack.enter_async_context(EventStream(broker.address, security=sites.curve("ops")))
    publisher = Publisher("north", "client", "demo", 1, security=north)
    stack.push_async_callback(publisher.close)
    publisher.connect(lease.events_in)
    publisher.publish("node.ready", pid=1)
    async with asyncio.timeout(DEADLINE_S):
        async for event in stream:
            if event["type"] == "node.ready":
                break
    assert event["node"] == "north"
    assert [member.node for member in (await lease.roster()).members] == ["north"]


async def test_an_unknown_key_is_told_whom_to_ask_and_joins_once_it_is_allowed(sites, stack):
    broker, refused = await hub(stack, sites)
    sites.make("north")
    sites.allow("north", "hub", "broker")
    said = Told()
    asking = client(stack, broker, sites.curve("north"), said)
    assert "refuses the key of north: " in await said.first(lambda line: "refuses" in line)
    with pytest.raises(BrokerUnreachable, match=r"refuses the key of north: .* nervenet keys allow north.pub"):
        await asking.ask(GetEventAddresses, 0.1)
    assert "not allowed here" in await refused.first(lambda line: "refused at directory" in line)
    sites.allow("hub", "north", "client")
    assert isinstance(await asking.ask(GetEventAddresses, DEADLINE_S), EventAddresses)


async def test_a_monitor_watches_and_nothing_else(sites, stack):
    broker, refused = await hub(stack, sites)
    sites.make("ops")
    sites.allow("hub", "ops", "monitor")
    sites.allow("ops", "hub", "broker")
    ops = sites.curve("ops")
    asking = client(stack, broker, ops)
    assert isinstance(await asking.ask(GetEventAddresses, DEADLINE_S), EventAddresses)
    answer = await asking.ask(lambda id_: Leave(id_, "demo", "north", 1, "gone"), DEADLINE_S)
    assert (answer.code, answer.reason) == ("identity", "the lease of north is not that of ops, whose key asks")
    answer = await asking.ask(lambda id_: msgspec.structs.replace(join("ops"), id=id_), DEADLINE_S)
    assert (answer.code, answer.reason) == ("identity", "ops speaks as client; its key is allowed as monitor")
    answer = await asking.ask(lambda id_: msgspec.structs.replace(join("ops", "monitor"), id=id_), DEADLINE_S)
    assert answer.code == "identity"
    assert answer.reason.startswith("ops joins as monitor; the members of a run are aggregator, client, coordinator, ")
    publisher = Publisher("ops", "monitor", "demo", 1, security=ops)
    stack.push_async_callback(publisher.close)
    publisher.connect(broker.addresses["events_in"])
    assert "events_in is for" in await refused.first(lambda line: "refused at events_in" in line)


async def test_a_name_is_bound_to_its_key(sites, stack):
    broker, _ = await hub(stack, sites)
    sites.make("north", "south")
    for name in ("north", "south"):
        sites.allow("hub", name, "client")
        sites.allow(name, "hub", "broker")
    context: zmq.Context[Any] = zmq.Context()
    stack.callback(context.term)
    south = sites.curve("south")
    with pytest.raises(JoinRefused, match="the name north is not that of its key, which is south's"):
        async with Lease(broker.address, join("north"), context, security=south):
            pass
    with pytest.raises(JoinRefused, match="south speaks as coordinator; its key is allowed as client"):
        async with Lease(broker.address, join("south", "coordinator"), context, security=south):
            pass
    stream = await stack.enter_async_context(EventStream(broker.address, security=sites.curve("north")))
    publisher = Publisher("north", "client", "demo", 1, security=south)
    stack.push_async_callback(publisher.close)
    publisher.connect(broker.addresses["events_in"])
    publisher.publish("node.left", reason="forged")
    seen = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in stream:
            seen.append(event["type"])
            if event["type"] == "connection.refused" and "node.left is not relayed" in event["reason"]:
                break
    assert event["subject"] == "south"
    assert "node.left" not in seen
    as_itself = Publisher("south", "client", "demo", 2, security=south)
    stack.push_async_callback(as_itself.close)
    as_itself.connect(broker.addresses["events_in"])
    as_itself.publish("run.completed", rounds=1)
    async with asyncio.timeout(DEADLINE_S):
        async for event in stream:
            seen.append(event["type"])
            if event["type"] == "connection.refused" and "run.completed is not relayed" in event["reason"]:
                break
    assert "run.completed" not in seen


async def test_with_a_wrong_key_of_the_broker_both_sides_say_so(sites, stack):
    broker, refused = await hub(stack, sites)
    sites.make("north", "other")
    sites.allow("hub", "north", "client")
    sites.allow("north", "other", "broker")
    said = Told()
    asking = client(stack, broker, sites.curve("north"), said)
    assert "does not have the key that is allowed here" in await said.first(lambda line: "the broker at" in line)
    assert "encrypts for another key" in await refused.first(lambda line: "another key" in line)
    with pytest.raises(BrokerUnreachable, match="does not have the key"):
        await asking.ask(GetEventAddresses, 0.1)


async def test_plain_to_curve_is_refused_and_reported(sites, stack):
    broker, refused = await hub(stack, sites)
    asking = client(stack, broker, LOCAL)
    with pytest.raises(BrokerUnreachable):
        await asking.ask(GetEventAddresses, 0.1)
    # Either side may be the first to notice; if it was the other one, no more is known here.
    assert await refused.first(lambda line: "does not encrypt" in line or LEFT in line)


async def test_who_watches_without_keys_is_told_that_the_broker_encrypts(sites, stack):
    broker, _ = await hub(stack, sites)
    assert await not_encrypted_here("tcp://127.0.0.1:1", LOCAL) == ""
    stream = await stack.enter_async_context(EventStream(broker.address))
    async with asyncio.timeout(DEADLINE_S):
        warning = await anext(stream)
    assert warning["reason"].endswith("it encrypts, and this one was started without keys (--keys)")


async def listen_and_close(sites: Sites, times: int) -> None:
    """As a broker does that finds the last of its three ports taken, and tries others."""
    sites.make("hub")
    curve = sites.curve("hub")
    with zmq.Context() as context:
        for _ in range(times):
            with context.socket(zmq.ROUTER) as socket:
                listener = curve.listen(socket, "tcp://127.0.0.1:0", "directory", lambda _: None, lambda: None)
                assert listener is not None
                listener.close()


async def test_after_a_port_that_is_taken_another_can_be_listened_at(sites: Sites) -> None:
    await listen_and_close(sites, 300)


async def test_with_the_name_of_the_handler_not_given_back_that_would_fail_half_of_the_time(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zmq.Socket, "unbind", lambda *_: None)
    with pytest.raises(KeysError, match="has an authenticator already"):
        await listen_and_close(sites, 3000)


async def test_curve_to_plain_says_that_the_other_side_does_not_encrypt(sites, stack):
    sites.make("hub", "north")
    sites.allow("north", "hub", "broker")
    broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0"))
    said = Told()
    asking = client(stack, broker, sites.curve("north"), said)
    assert await said.first(lambda line: "does not encrypt" in line)
    with pytest.raises(BrokerUnreachable):
        await asking.ask(GetEventAddresses, 0.1)


async def test_who_is_revoked_hears_nothing_any_more_and_is_let_in_again_when_allowed(sites, stack):
    broker, _ = await hub(stack, sites)
    sites.make("north", "ops")
    sites.allow("hub", "north", "client")
    sites.allow("hub", "ops", "monitor")
    sites.allow("north", "hub", "broker")
    sites.allow("ops", "hub", "broker")
    context: zmq.Context[Any] = zmq.Context()
    stack.callback(context.term)
    warned = Told()
    await stack.enter_async_context(
        Lease(broker.address, join("north"), context, security=sites.curve("north"), on_warning=warned)
    )
    stream = await stack.enter_async_context(EventStream(broker.address, security=sites.curve("ops")))
    heard = Told()

    async def hear() -> None:
        async for event in stream:
            heard(event)

    hearing = asyncio.create_task(hear())
    stack.callback(hearing.cancel)
    await stream._welcomed.wait()
    broker.publish("tick", "", number=1)
    await heard.first(lambda event: event.get("number") == 1)
    sites.revoke("hub", "ops")
    sites.revoke("hub", "north")
    await heard.first(lambda event: "refuses the key of ops" in str(event.get("reason")))
    broker.publish("tick", "", number=2)
    assert "refuses the key of north" in await warned.first(lambda line: "refuses" in line)
    sites.allow("hub", "ops", "monitor")
    await heard.first(lambda event: event["type"] == "connection.refused")
    broker.publish("tick", "", number=3)
    await heard.first(lambda event: event.get("number") == 3)


async def test_a_revoked_subscriber_is_cut_off_although_it_says_nothing(sites, stack):
    broker, _ = await hub(stack, sites)
    sites.make("ops")
    sites.allow("hub", "ops", "monitor")
    sites.allow("ops", "hub", "broker")
    stream = await stack.enter_async_context(EventStream(broker.address, security=sites.curve("ops")))
    async with asyncio.timeout(DEADLINE_S):
        await stream._welcomed.wait()
    assert len(broker._sockets.listeners["events_out"].connections) == 1
    lost = Told()
    stream._dialer._closed = lost
    sites.revoke("hub", "ops")
    broker._security.gate.look()  # as the timer does, twice a second
    assert len(broker._sockets.listeners["events_out"].connections) == 0
    await lost.first(lambda _: True)


async def test_where_nobody_authenticates_any_more_the_listening_sockets_end(sites, stack, monkeypatch):
    broker, _ = await hub(stack, sites)
    sites.make("north")
    sites.allow("north", "hub", "broker")
    sites.allow("hub", "north", "client")
    monkeypatch.setattr(gate_module, "decide", lambda *_: 1 / 0)
    asking = client(stack, broker, sites.curve("north"))
    with pytest.raises(Exception, match=r"can no longer be authenticated.*division by zero"):
        async with asyncio.timeout(DEADLINE_S):
            await broker.serve()
    assert broker._server._requests.socket.closed
    assert broker._relay._in.socket.closed
    assert broker._relay._out.socket.closed
    with pytest.raises(BrokerUnreachable):
        await asking.ask(GetEventAddresses, 0.2)


async def test_without_a_handler_zeromq_itself_lets_nobody_in(sites, stack):
    """The handler's socket has gone, and nobody has noticed yet."""
    broker, _ = await hub(stack, sites)
    sites.make("north")
    sites.allow("north", "hub", "broker")
    sites.allow("hub", "north", "client")
    (handler,) = broker._security.gate._handlers.values()
    handler.socket.close()
    asking = client(stack, broker, sites.curve("north"))
    with pytest.raises(BrokerUnreachable):
        await asking.ask(GetEventAddresses, 0.5)
    broker._security.gate.look()
    with pytest.raises(Exception, match="the handler's socket has been closed"):
        await broker.serve()


class Pair:
    """A coordinator and a client with keys, linked over tcp."""

    def __init__(self, sites: Sites, stack: AsyncExitStack) -> None:
        self.sites, self.stack = sites, stack
        sites.make("hub", "north")
        sites.allow("hub", "north", "client")
        sites.allow("north", "hub", "coordinator")
        self.server_heard, self.client_heard = Told(), Told()

    async def open(self, name: str = "north", role: str = "client", key: str = "north") -> Pair:
        self.server = ZmqTransport(
            "hub", "coordinator", "demo", bind="tcp://127.0.0.1:*", security=self.sites.curve("hub")
        )
        self.client = ZmqTransport(name, role, "demo", bind=None, security=self.sites.curve(key))
        await self.server.open(self.server_heard, self.server_heard)
        await self.client.open(self.client_heard, self.client_heard)
        self.stack.push_async_callback(self.server.close, 0.0)
        self.stack.push_async_callback(self.client.close, 0.0)
        self.client.link("hub", self.server.addresses)
        return self


def of(kind: type) -> Callable[[Any], bool]:
    return lambda item: isinstance(item, kind)


async def test_a_revoked_client_is_cut_off_and_comes_back_when_it_is_allowed_again(sites, stack):
    pair = await Pair(sites, stack).open()
    await pair.server_heard.first(of(LinkUp))
    await pair.client_heard.first(of(LinkUp))
    sites.revoke("hub", "north")
    lost = await pair.server_heard.first(of(LinkLost))
    assert lost.reason == "the key of north is not allowed"
    await pair.client_heard.first(of(LinkLost))
    refused = await pair.client_heard.first(of(ConnectionRefused))
    assert "hub at tcp://127.0.0.1:" in refused.reason
    pair.server.send("north", Goodbye(1, "over"))
    pair.server_heard.items.clear()
    sites.allow("hub", "north", "client")
    await pair.server_heard.first(of(LinkUp))
    pair.server.send("north", Goodbye(2, "again"))
    heard = await pair.client_heard.first(of(Arrival))
    assert heard.message == Goodbye(2, "again")


async def test_a_client_hangs_up_when_its_own_list_has_the_coordinator_no_longer(sites, stack):
    pair = await Pair(sites, stack).open()
    await pair.client_heard.first(of(LinkUp))
    sites.revoke("north", "hub")
    await pair.client_heard.first(of(LinkLost))
    refused = await pair.client_heard.first(of(ConnectionRefused))
    assert "no key of hub is allowed" in refused.reason
    pair.client_heard.items.clear()
    sites.allow("north", "hub", "coordinator")
    await pair.client_heard.first(of(LinkUp))


async def withdrawn_role(pair: Pair) -> None:
    """Link, let the client's own list have the hub in another role, and wait until its gate has told everybody."""
    await pair.open()
    await pair.server_heard.first(of(LinkUp))
    await pair.client_heard.first(of(LinkUp))
    gates = [gate for gate in pair.sites.gates if gate.folder == pair.sites.path("north")]
    seen = Told()
    gates[0].watch(seen)
    pair.sites.allow("north", "hub", "client")
    await seen.first(lambda _: True)


async def test_a_role_that_is_withdrawn_ends_a_living_link(sites, stack):
    pair = Pair(sites, stack)
    await withdrawn_role(pair)
    await pair.client_heard.first(of(LinkLost))
    refused = await pair.client_heard.first(of(ConnectionRefused))
    assert refused.reason == "speaks as coordinator; its key is allowed here as client"


async def test_by_its_key_alone_it_would_live_on(sites, stack, monkeypatch):
    followed = Dialer._list_changed

    def only_the_key(dialer: Dialer, allowed: AllowList) -> None:
        entry = dialer._curve.server(dialer._server)
        if dialer._entry is None or entry is None or entry.public != dialer._entry.public:
            followed(dialer, allowed)

    monkeypatch.setattr(Dialer, "_list_changed", only_the_key)
    pair = Pair(sites, stack)
    await withdrawn_role(pair)
    pair.server.send("north", Goodbye(1, "as before"))
    await pair.client_heard.first(of(Arrival))
    assert not [item for item in pair.client_heard.items if isinstance(item, LinkLost)]


async def test_a_further_role_disturbs_no_link(sites, stack):
    pair = await Pair(sites, stack).open()
    await pair.server_heard.first(of(LinkUp))
    await pair.client_heard.first(of(LinkUp))
    (gate,) = [gate for gate in sites.gates if gate.folder == sites.path("north")]
    seen = Told()
    gate.watch(seen)
    sites.allow("north", "hub", "broker", "coordinator")
    await seen.first(lambda _: True)
    pair.server.send("north", Goodbye(1, "as before"))
    await pair.client_heard.first(of(Arrival))
    assert not [item for item in pair.client_heard.items if isinstance(item, LinkLost)]


async def test_nobody_introduces_itself_by_the_name_of_another(sites, stack):
    sites.make("south")
    pair = Pair(sites, stack)
    sites.allow("south", "hub", "coordinator")
    sites.allow("hub", "south", "client")
    await pair.open(name="north", key="south")
    refused = await pair.server_heard.first(of(ConnectionRefused))
    assert (refused.name, refused.reason) == ("south", "the name north is not that of its key, which is south's")
    answer = await pair.client_heard.first(of(Arrival))
    assert answer.message.code == "identity"


async def test_a_client_poses_as_no_coordinator(sites, stack):
    pair = Pair(sites, stack)
    sites.allow("north", "hub", "client")
    await pair.open()
    refused = await pair.client_heard.first(of(ConnectionRefused))
    assert refused.reason == "speaks as coordinator; its key is allowed here as client"


async def test_a_farewell_over_the_identity_of_another_counts_for_nobody(sites, stack):
    """Who knows a routing identity takes over the connection (ROUTER_HANDOVER); its key shows whose words they are."""
    pair = await Pair(sites, stack).open()
    await pair.server_heard.first(of(LinkUp))
    sites.make("south")
    sites.allow("hub", "south", "client")
    sites.allow("south", "hub", "coordinator")
    (gate,) = [gate for gate in sites.gates if gate.folder == sites.path("hub")]
    gate.look()
    identity = pair.server._inbound._peers.by_name["north"].identity
    context: zmq.Context[Any] = zmq.Context()
    stack.callback(context.destroy, 0)
    address, south = pair.server.addresses["control"], sites.curve("south")
    socket, dialer = dial(context, "link.control", address, identity=identity, security=south, server="hub")
    stack.callback(socket.close, 0)
    stack.callback(dialer.close)
    socket.send_multipart(Envelope.of(Goodbye(1, "I am north, and leave")).frames)
    refused = await pair.server_heard.first(of(ConnectionRefused))
    assert (refused.name, refused.reason) == ("south", "south speaks over a connection of north")
    assert not [item for item in pair.server_heard.items if isinstance(item, Arrival)]


async def said_of_a_sleep(sites: Sites, stack: AsyncExitStack, slept_s: float) -> list[str]:
    """What a process says that has answered no handshake for some time."""
    sites.make("hub")
    said: list[str] = []
    security = sites.curve("hub", said.append)
    await stack.enter_async_context(Broker("tcp://127.0.0.1:0", security=security))
    due = asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() - slept_s, lambda: None)
    security.gate._timer.cancel()
    security.gate._timer = due
    security.gate._tick()
    return said


async def test_an_authenticator_that_was_silent_says_so_where_it_can_be_mended(sites, stack):
    (line,) = await said_of_a_sleep(sites, stack, 12.0)
    assert line.startswith("this process let nobody in for 12 s (its event loop was blocked")


async def test_one_that_is_late_within_the_time_of_a_handshake_says_nothing(sites, stack):
    assert await said_of_a_sleep(sites, stack, 5.0) == []


async def test_whom_a_silent_authenticator_stalls_is_closed_after_the_time_of_a_handshake(sites, stack, monkeypatch):
    monkeypatch.setattr(gate_module, "_HANDSHAKE_MS", 100)
    monkeypatch.setattr(gate_module.Gate, "_ask", lambda *_: None)
    broker, refused = await hub(stack, sites)
    sites.make("north")
    sites.allow("north", "hub", "broker")
    sites.allow("hub", "north", "client")
    client(stack, broker, sites.curve("north"))
    assert await refused.first(lambda line: "has not proven a key in time" in line or LEFT in line)


async def readmitted(sites: Sites, stack: AsyncExitStack) -> bool:
    """Whether one that was refused is answered once it is allowed."""
    broker, _ = await hub(stack, sites)
    sites.make("north")
    sites.allow("north", "hub", "broker")
    said = Told()
    asking = client(stack, broker, sites.curve("north"), said)
    await said.first(lambda line: "refuses the key of north" in line)
    sites.allow("hub", "north", "client")
    broker._security.gate.look()
    asking._dialer.dial_again()  # as its timer does, half a second later
    try:
        return isinstance(await asking.ask(GetEventAddresses, 1.0), EventAddresses)
    except BrokerUnreachable:
        return False


async def test_who_was_refused_is_disconnected_and_dials_again(sites, stack):
    assert await readmitted(sites, stack)


async def test_zeromq_by_itself_never_would(sites, stack, monkeypatch):
    monkeypatch.setattr(Dialer, "dial_again", lambda _: None)
    assert not await readmitted(sites, stack)
