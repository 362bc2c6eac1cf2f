"""What the kernel still has to send counts as on its way: of a slow connection it is seconds."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from contextlib import suppress

import numpy as np
import pytest
from nervenet.broker.kernel_queue import NO_QUEUE, KernelQueue
from nervenet.broker.messages import Payload, Task, Update
from nervenet.broker.transport_events import LinkUp
from relay import Wire

LARGE = np.zeros(200_000, np.float32)
UNREAD = 65_536  # bytes; unless told, Linux receives up to a limit that some machines set to tens of megabytes
PAYLOAD = Payload("00ff", "float32", LARGE.size)


@pytest.fixture
def connected():
    """Two ends of a tcp connection, of which nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        with far:
            near.setblocking(False)
            yield near, far


def fill(near: socket.socket) -> None:
    with suppress(BlockingIOError):
        while True:
            near.send(bytes(65_536))


def test_bytes_are_counted_until_the_other_side_has_them(connected):
    near, far = connected
    queue = KernelQueue.of(near.fileno())
    assert queue.unacknowledged() == 0
    fill(near)
    assert queue.unacknowledged() > 0
    near.shutdown(socket.SHUT_WR)
    while far.recv(1 << 20):
        pass
    for _ in range(6_000):  # the other kernel side may take its time to acknowledge the last of it
        if not queue.unacknowledged():
            break
        select.select([], [], [], 0.01)
    assert queue.unacknowledged() == 0


def test_a_descriptor_that_has_become_another_file_counts_nothing(connected):
    near, _ = connected
    queue = KernelQueue.of(near.fileno())
    with socket.socket() as other:
        os.dup2(other.fileno(), near.fileno())
        assert queue.unacknowledged() == 0


def test_without_a_connection_nothing_is_counted(tmp_path):
    with (tmp_path / "file").open("w") as file:
        assert KernelQueue.of(file.fileno()).unacknowledged() == 0
        closed = KernelQueue.of(file.fileno())
    assert closed.unacknowledged() == 0
    assert KernelQueue.of(-1) is NO_QUEUE
    assert KernelQueue.of(closed.descriptor + 1_000) is NO_QUEUE
    assert NO_QUEUE.unacknowledged() == 0


async def sending_once_zeromq_is_done(tcp, *, uploads: bool) -> tuple[int, ...]:
    """What a node says is on its way when ZeroMQ has written all of it, and the network has taken little."""
    server, at_server = await tcp.open("server", binds=True)
    client, at_client = await tcp.open("client")
    async with Wire(server.addresses["bulk"], receive_bytes=UNREAD) as wire:
        client.link("server", {"control": server.addresses["control"], "bulk": wire.address})
        await at_client.first(LinkUp)
        await at_server.first(LinkUp)
        wire.reads = lambda _: False
        if uploads:
            sender, to, channel = client, "server", client._outbound._links["server"].channels["bulk"]
            sender.send(to, Update(3, 0, 7, {}, None, PAYLOAD), LARGE)
        else:
            sender, to, channel = server, "client", server._inbound._channels["bulk"]
            sender.send(to, Task(3, 0, "train", 5.0, False, {}, None, PAYLOAD), LARGE)
        async with asyncio.timeout(60):
            while not all(one.tracker.done for sent in channel._leaving._handed.values() for one in sent):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert at_server.of(Update) + at_client.of(Task) == []
        said = sender.sending(to)
        wire.reads = lambda _: True
        wire.changed.set()
        await (at_server.first(Update) if uploads else at_client.first(Task))
        async with asyncio.timeout(60):
            while sender.sending(to):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return said


@pytest.mark.parametrize("uploads", [True, False])
async def test_what_the_kernel_holds_is_still_being_sent(tcp, uploads):
    assert await sending_once_zeromq_is_done(tcp, uploads=uploads) == (3,)


async def test_without_the_kernel_it_would_count_as_sent_before_it_has_left(tcp, monkeypatch):
    monkeypatch.setattr(KernelQueue, "unacknowledged", lambda _: 0)
    assert await sending_once_zeromq_is_done(tcp, uploads=True) == ()


async def sending_to_one_of_two(tcp) -> tuple[int, ...]:
    """What a node says is on its way to one that has it all, of what another has not taken."""
    array = np.zeros(6_000_000, np.float32)  # more than the system takes of one that nobody reads
    payload = Payload("00ff", "float32", array.size)
    server, at_server = await tcp.open("server", binds=True)
    slow, at_slow = await tcp.open("slow")
    quick, at_quick = await tcp.open("quick")
    async with Wire(server.addresses["bulk"], receive_bytes=UNREAD) as wire:
        slow.link("server", {"control": server.addresses["control"], "bulk": wire.address})
        await at_slow.first(LinkUp)
        quick.link("server", server.addresses)
        await at_quick.first(LinkUp)
        async with asyncio.timeout(60):
            while len(at_server.of(LinkUp)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        wire.reads = lambda _: False
        server.send(("quick", "slow"), Task(3, 0, "train", 5.0, False, {}, None, payload), array)
        await at_quick.first(Task)
        channel, identity = server._inbound._channels["bulk"], server._inbound._peers.by_name["quick"].identity
        connection = channel._leaving._kernel[identity]
        async with asyncio.timeout(60):
            while connection.unacknowledged():  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        assert server.sending("slow") == (3,)
        said = server.sending("quick")
        wire.reads = lambda _: True
        wire.changed.set()
        await at_slow.first(Task)
        return said


async def test_what_another_has_not_taken_is_not_on_its_way_to_one_that_has(tcp):
    assert await sending_to_one_of_two(tcp) == ()


async def test_without_the_kernel_it_would_be_on_its_way_to_both(tcp, monkeypatch):
    monkeypatch.setattr(KernelQueue, "clear", lambda _: False)
    assert await sending_to_one_of_two(tcp) == (3,)
