"""What was said before a connection ended still arrives; each test has a twin that reinstates the fault it guards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq
from nervenet.broker import disconnects, inbound, request_client, sockets, subscriber
from nervenet.broker.broker import Broker
from nervenet.broker.codec import Limits, encode
from nervenet.broker.errors import NoSocket, TransportClosed
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Goodbye, Join, Lane, Task
from nervenet.broker.subscriber import EventStream
from nervenet.broker.transport import ZmqTransport
from nervenet.broker.transport_events import ConnectionClosed, LinkLost, LinkUp

FINISH = Task(9, 0, "finish", 1.0, False, {})


async def last_words(tcp, within_ms: int = 60_000) -> bool:
    """Whether a task arrives whose sender has gone before its receiver looked."""
    client, at_client = await tcp.open("client")
    ready = threading.Event()
    go = threading.Event()
    addresses: dict[str, str] = {}

    async def coordinate() -> None:
        server = ZmqTransport("server", "node", "demo", bind="tcp://127.0.0.1:*")
        up = asyncio.Event()
        await server.open(lambda item: up.set() if isinstance(item, LinkUp) else None, lambda _: None)
        addresses.update(server.addresses)
        ready.set()
        await up.wait()
        await asyncio.to_thread(go.wait)
        server.send("client", FINISH)
        await server.close(5.0)

    thread = threading.Thread(target=lambda: asyncio.run(coordinate()))
    thread.start()
    await asyncio.to_thread(ready.wait)
    client.link("server", addresses)
    await at_client.first(LinkUp)
    go.set()
    thread.join()  # the event loop stands still meanwhile, as under a long computation
    link = client._outbound._links["server"]
    assert link.monitors[0]._channel.socket.poll(60_000)  # and the connection has ended
    bulk = link.channels[Lane.BULK].socket
    bulk.poll(within_ms)
    await asyncio.to_thread(bulk.poll, 0)
    client._outbound._disconnected(link, -1)
    heard = bool(at_client.of(Task))
    await client.close(0.0)
    return heard


async def test_the_last_messages_of_a_closing_server_arrive(tcp):
    assert await last_words(tcp)


async def test_with_immediate_the_last_messages_would_be_lost(tcp, monkeypatch):
    row = sockets.SOCKETS["link.bulk"]
    hasty = sockets.SocketKind(row.type, row.depth, row.limit, row.options | {zmq.IMMEDIATE: 1})
    monkeypatch.setitem(sockets.SOCKETS, "link.bulk", hasty)
    assert not await last_words(tcp, 200)


async def monitor_stopped_in_time(tcp) -> bool:
    """Whether a monitored socket whose connection ends as it is closed can be closed at all."""
    context = zmq.Context()
    inbox = sockets.make(context, "inbox.control", Limits())
    address, _, _ = sockets.bind(inbox, "tcp://127.0.0.1:*")
    guard = disconnects.DisconnectMonitor(inbox, lambda _: None)
    other = zmq.Context()
    dialer = sockets.make(other, "link.control", Limits())
    dialer.connect(address)
    dialer.send(b"x")
    assert inbox.poll(60_000)
    order: list[str] = []
    monitor = guard._channel.socket
    stop, close = inbox.disable_monitor, monitor.close
    inbox.disable_monitor = lambda: order.append("stop") or stop()  # type: ignore[method-assign]
    monitor.close = lambda *args, **kw: order.append("close") or close(*args, **kw)  # type: ignore[method-assign]
    guard.close()
    dialer.close()
    inbox.close()
    context.term()
    other.term()
    return order == ["stop", "close"]


async def test_a_monitor_is_disabled_before_its_reader_is_closed(tcp):
    # The other way round the I/O thread waits for ever to tell it of a connection that ended in between.
    assert await monitor_stopped_in_time(tcp)


async def test_the_other_order_is_detected(tcp, monkeypatch):
    def close(self: disconnects.DisconnectMonitor) -> None:
        self._channel.close()
        self._socket.disable_monitor()

    monkeypatch.setattr(disconnects.DisconnectMonitor, "close", close)
    assert not await monitor_stopped_in_time(tcp)


@pytest.mark.parametrize("keeps", [True, False])
async def test_bulk_messages_are_read_after_the_control_connection_has_closed(tcp, keeps):
    server, at_server = await tcp.open("server", binds=True)
    client, at_client = await tcp.open("client")
    client.link("server", server.addresses)
    await at_client.first(LinkUp)
    await at_server.first(LinkUp)
    link = client._outbound._links["server"]
    client._outbound._disconnected(link, -1)  # the control connection; what comes on bulk is read later
    if not keeps:  # the fault: both lanes were forgotten
        link.answered.clear()
    frames = [bytes(frame) for frame in encode(FINISH)]
    client._outbound._receive(link, Lane.BULK, b"", frames)
    assert bool(at_client.of(Task)) is keeps


@pytest.mark.parametrize("guarded", [True, False])
async def test_the_end_of_an_older_incarnation_does_not_affect_its_successor(tcp, guarded):
    server, at_server = await tcp.open("server", binds=True)
    older, at_older = await tcp.open("client", incarnation=1)
    older.link("server", server.addresses)
    await at_older.first(LinkUp)
    before = server._inbound._peers.by_name["client"]
    newer, at_newer = await tcp.open("client", incarnation=2)
    newer.link("server", server.addresses)
    await at_newer.first(LinkUp)
    if not guarded:  # the fault: the loss was attributed to the name, which belongs to another incarnation by now
        before.up = True
    connections = server._inbound._peers._connections
    descriptor = next(key[1] for key, peer in connections.items() if peer is before and key[0] is Lane.CONTROL)
    server._inbound._disconnected(Lane.CONTROL, descriptor)
    assert bool(at_server.of(LinkLost)) is not guarded
    newer.send("server", FINISH)
    await at_server.first(Task)


@pytest.mark.parametrize("patient", [True, False])
async def test_a_bulk_connection_that_closes_first_was_not_cut(tcp, patient, monkeypatch):
    server, at_server = await tcp.open("server", binds=True)
    client, at_client = await tcp.open("client")
    client.link("server", server.addresses)
    await at_client.first(LinkUp)
    await at_server.first(LinkUp)
    connections = server._inbound._peers._connections
    bulk, control = (next(fd for lane, fd in connections if lane is wanted) for wanted in (Lane.BULK, Lane.CONTROL))
    # A busy machine may notice the second connection long after the first.
    monkeypatch.setattr(inbound, "_CUT_S", 60.0 if patient else 0.0)
    server._inbound._disconnected(Lane.BULK, bulk)
    if not patient:  # the fault: a tenth of a second was all
        await at_server.first(ConnectionClosed)
    server._inbound._disconnected(Lane.CONTROL, control)
    assert [type(item) for item in at_server.items] == [LinkUp, *([] if patient else [ConnectionClosed]), LinkLost]
    assert server._inbound._cut == {}


async def files_left(folder: Path) -> list[str]:
    """What a node that bound ipc addresses leaves in their folder."""
    transport = ZmqTransport("one", "peer", "demo", bind=f"ipc://{folder}/one")
    await transport.open(lambda _: None, lambda _: None)
    assert len(list(folder.iterdir())) == len(transport.addresses)  # noqa: ASYNC240
    await transport.close(0.0)
    return [path.name for path in folder.iterdir()]  # noqa: ASYNC240


async def test_a_bound_transport_leaves_no_file_behind(short_folder):
    assert await files_left(short_folder) == []


async def test_zeromq_alone_would_leave_the_files_behind(short_folder, monkeypatch):
    monkeypatch.setattr(inbound, "discard", lambda _: None)
    assert len(await files_left(short_folder)) == 2


async def cut_short() -> bool:
    """Whether a transport that is cancelled while it closes leaves no socket open."""
    context = zmq.Context()
    transport = ZmqTransport("server", "node", "demo", bind="tcp://127.0.0.1:*", context=context)
    await transport.open(lambda _: None, lambda _: None)
    held = [channel.socket for channel in transport._inbound._channels.values()]
    closing = asyncio.create_task(transport.close(600.0))
    while transport._endpoint.open:  # noqa: ASYNC110
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    closed = all(socket.closed for socket in held)
    context.destroy(linger=0)
    return closed


async def left_open(broker: str, opened: Callable[[Any], Any], turns: int) -> list[Any]:
    """The sockets that stay open where something is cancelled so many turns of the loop after it began to close."""
    made: list[Any] = []
    dial = sockets.dial

    def noted(*arguments: Any, **more: Any) -> Any:
        found = dial(*arguments, **more)
        made.append(found[0])
        return found

    context: zmq.Context[Any] = zmq.Context()
    with pytest.MonkeyPatch.context() as patch:
        for module in (request_client, subscriber):
            patch.setattr(module, "dial", noted)
        thing = opened(context)
        await thing.__aenter__()
        closing = asyncio.create_task(thing.__aexit__(None, None, None))
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
    if thing._context is not context:
        context.term()
    found = [socket for socket in made if not socket.closed]
    for socket in found:
        socket.close(0)
    thing._context.term()
    return found


def a_lease(broker: str, context: Any) -> Lease:
    config = {"mode": "gossip"}
    return Lease(broker, Join(0, "demo", "one", "client", 1, 1, {}, config, 1, 60.0), context)


@pytest.mark.parametrize("turns", [1, 2, 4])
@pytest.mark.parametrize("kind", ["lease", "stream"])
async def test_whatever_is_cancelled_while_it_closes_leaves_no_socket_open(turns: int, kind: str) -> None:
    async with Broker("tcp://127.0.0.1:0") as broker:
        address = broker.address
        opened = partial(a_lease, address) if kind == "lease" else lambda _: EventStream(address)
        assert await left_open(address, opened, turns) == []


async def test_one_that_waits_for_its_tasks_first_would_leave_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def close(self: EventStream, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._unsubscribe()
        self._requests.close()

    monkeypatch.setattr(EventStream, "__aexit__", close)
    async with Broker("tcp://127.0.0.1:0") as broker:
        assert await left_open(broker.address, lambda _: EventStream(broker.address), 1) != []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_transport_that_is_not_open_says_so(when: str) -> None:
    transport = ZmqTransport("one", "peer", "demo", bind="tcp://127.0.0.1:*")
    if when == "after":
        await transport.open(lambda _: None, lambda _: None)
        await transport.close(0.0)
    with pytest.raises(TransportClosed, match="the transport of one sends after it has been opened, and before"):
        transport.send("other", Goodbye(1, "over"))


@pytest.fixture
def never_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound.Inbound, "waiting", property(lambda _: True))


async def test_a_close_that_is_cancelled_leaves_no_socket_open(never_drained: None) -> None:
    assert await cut_short()


async def test_one_that_only_drains_leaves_them_and_its_context_would_never_end(
    never_drained: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close(self: ZmqTransport, drain_s: float) -> None:
        self._endpoint.open = False
        await asyncio.sleep(drain_s)
        self._outbound.close(0.0)
        self._inbound.close(0.0)

    monkeypatch.setattr(ZmqTransport, "close", close)
    assert not await cut_short()


def test_however_many_events_are_unread_nothing_waits_for_a_monitor():
    """With room for 2,000, as by default, this would hang: ZeroMQ waits for its reader, in whatever thread it is."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = sockets.make(context, "inbox.control", Limits())
    reader = disconnects.monitor_of(socket, int(zmq.EVENT_LISTENING | zmq.EVENT_CLOSED))
    for _ in range(1_200):
        socket.bind("tcp://127.0.0.1:*")
        socket.unbind(socket.getsockopt(zmq.LAST_ENDPOINT))
    for _ in range(2_001):  # more than there is room for by default; beside others that listen, a few are not told
        assert reader.poll(60_000)
        reader.recv_multipart()
    socket.disable_monitor()
    reader.close(linger=0)
    socket.close()
    context.term()


@pytest.mark.parametrize("room", [1, 2, 3])
async def test_an_inbox_without_room_for_its_monitor_leaves_no_socket_open(room):
    """Else the end of its context would wait for ever."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.max_sockets = room
    transport = ZmqTransport("a", "client", "run", bind="tcp://127.0.0.1:*", context=context)
    with pytest.raises(NoSocket, match="ulimit -n"):
        await transport.open(lambda _: None, lambda _: None)
    context.term()
