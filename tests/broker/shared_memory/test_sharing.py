"""Vectors between transports of one host: by shared memory where both want that, by the socket if it cannot be."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.broker import inbound
from nervenet.broker.codec import encode
from nervenet.broker.errors import TransportClosed
from nervenet.broker.handshake import identity_of
from nervenet.broker.messages import Payload, SharedMemoryOffer, Task
from nervenet.broker.shared_memory import host, writer
from nervenet.broker.shared_memory.budget import OF_PROCESS, Budget
from nervenet.broker.shared_memory.local_messages import Shown, pack
from nervenet.broker.shared_memory.pool import Pool
from nervenet.broker.shared_memory.reference import Reference
from nervenet.broker.shared_memory.region import can_be_made
from nervenet.broker.shared_memory.sharing import Partner
from nervenet.broker.transport import ConnectionRefused, LinkLost, LinkUp, MalformedMessage, ZmqTransport
from nervenet.broker.transport_events import VectorLost

from ..conftest import Stranger

pytestmark = pytest.mark.skipif(not can_be_made(), reason="this system has no memory with such seals")

SIZE = 70_000  # numbers: 280 kB
FEW = 100


def task(number: int, size: int = SIZE) -> Task:
    return Task(number, 0, "train", 5.0, False, {}, None, Payload("00ff", "float32", size))


class Pair:
    """A node that sends and one that receives, with the rounds and arrays that have come."""

    def __init__(self, sender: Any, receiver: Any, box: Any, to: str = "receiver") -> None:
        self.sender, self.receiver, self.box, self.to = sender, receiver, box, to
        self.number = 0

    async def send(self, size: int = SIZE, *, share: bool = True) -> Any:
        """Send a vector of the round's number, and return the array that comes."""
        self.number += 1
        vector = np.full(size, self.number, np.float32)
        self.sender.send(self.to, task(self.number, size), self.sender.share(vector) if share else vector)
        del vector
        number = self.number
        arrived = await self.box.first(Task, lambda item: item.message.round == number)
        self.box.items.remove(arrived)
        assert arrived.array.shape == (size,)
        assert (arrived.array == number).all()
        assert not arrived.array.flags.writeable
        return arrived.array

    async def settle(self) -> None:
        """Send until it goes by shared memory."""
        for _ in range(50):
            before = self.shared
            await self.send()
            if self.shared > before:
                return
        pytest.fail("nothing went by shared memory")

    @property
    def shared(self) -> int:
        return int(self.sender.counters.bytes_shared)

    @property
    def writer(self) -> writer.Writer:
        found = self.sender._endpoint.shared._writer
        assert found is not None
        return found


@pytest.fixture
async def pair(tcp: Any) -> Pair:
    return await a_pair(tcp)


async def a_pair(world: Any, **options: Any) -> Pair:
    sender, at_sender = await world.open("sender", binds=True, shared_memory=True)
    receiver, box = await world.open("receiver", **{"shared_memory": True, **options})
    receiver.link("sender", sender.addresses)
    await at_sender.first(LinkUp)
    await box.first(LinkUp)
    return Pair(sender, receiver, box)


async def test_the_first_goes_by_the_socket_and_then_all_by_shared_memory(pair: Pair) -> None:
    await pair.send()
    assert pair.shared == 0
    await pair.settle()
    before = pair.shared
    for _ in range(5):
        await pair.send()
    assert pair.shared == before + 5 * 4 * SIZE
    assert len(pair.writer._pool) <= 3, "regions are written again and again"
    sent, received = pair.sender.counters, pair.receiver.counters
    assert sent.bytes_sent > 4 * SIZE * pair.number
    assert received.bytes_received >= 4 * SIZE * pair.number, "what came by shared memory counts as what it is"
    assert sum(sent.sent_by_kind.values()) == sent.bytes_sent


async def test_an_array_stays_as_it_was_as_long_as_somebody_holds_it(pair: Pair) -> None:
    await pair.settle()
    kept = [(await pair.send())[10:20] for _ in range(6)]
    assert [float(array[0]) for array in kept] == list(range(pair.number - 5, pair.number + 1))
    regions = len(pair.writer._pool)
    del kept
    gc.collect()
    for _ in range(6):
        await pair.send()
    assert len(pair.writer._pool) == regions, "and then its memory is used again"


async def test_who_never_releases_costs_a_way_by_the_socket(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    await pair.send()
    pair.writer._pool = Pool(2, 1 << 20)
    await pair.settle()
    kept = [await pair.send() for _ in range(6)]
    assert [float(array[-1]) for array in kept] == list(range(pair.number - 5, pair.number + 1))
    assert len(pair.writer._pool) == 2


async def test_a_region_that_were_written_while_it_is_read_would_show(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "claim", lambda pool, region, _: pool._regions[region].generation)  # and keeps no record
    await pair.settle()
    kept = await pair.send()
    number = pair.number
    await pair.send()
    assert (kept != number).all()


async def test_small_arrays_and_those_of_who_does_not_want_it_go_by_the_socket(tcp: Any) -> None:
    unwilling = await a_pair(tcp, shared_memory=False)
    for _ in range(4):
        await unwilling.send()
    assert unwilling.shared == 0
    assert unwilling.box.of(SharedMemoryOffer) == []
    assert not unwilling.box.of(MalformedMessage)


async def test_small_arrays_go_by_the_socket(pair: Pair) -> None:
    await pair.settle()
    before = pair.shared
    await pair.send(FEW)
    assert pair.shared == before


@pytest.mark.parametrize("what", ["another host", "another user", "no descriptors", "no memory"])
async def test_where_it_cannot_be_all_goes_by_the_socket(tcp: Any, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def none_left(*_: Any) -> None:
        raise OSError("no more")

    if what == "another user":
        monkeypatch.setattr("nervenet.broker.shared_memory.local_socket.is_own", lambda _: False)
    if what == "no descriptors":
        monkeypatch.setattr("nervenet.broker.shared_memory.local_socket.OF_PROCESS", Budget(1 << 30, 0))
    if what == "no memory":
        monkeypatch.setattr(writer, "WritableRegion", none_left)
    pair = await a_pair(tcp, run="demo")
    if what == "another host":
        pair.receiver._endpoint.shared.host = "another"
        pair.sender._endpoint.shared.forget("receiver")
        pair.sender.unlink("receiver")
    for _ in range(4):
        await pair.send()
    assert pair.shared == 0
    assert not pair.box.of(MalformedMessage)


async def test_one_copy_serves_all_receivers(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Reference] = []
    pack = Reference.pack
    monkeypatch.setattr(Reference, "pack", lambda reference: sent.append(reference) or pack(reference))
    sender, at_sender = await tcp.open("sender", binds=True, shared_memory=True)
    names = [f"receiver-{k}" for k in range(3)]
    boxes = {}
    for name in names:
        receiver, boxes[name] = await tcp.open(name, shared_memory=True)
        receiver.link("sender", sender.addresses)
    await at_sender.until(lambda: len(at_sender.of(LinkUp)) == len(names))
    number, last = 0, list[Reference]()
    while len(last) < len(names):
        number += 1
        sent.clear()
        sender.send(names, task(number), sender.share(np.full(SIZE, number, np.float32)))
        for box in boxes.values():
            arrived = await box.first(Task, lambda item, n=number: item.message.round == n)
            assert (arrived.array == number).all()
            box.items.clear()
            del arrived
        last = list(sent)
        assert number < 60
    assert len({(reference.region, reference.generation) for reference in last}) == 1


async def test_both_ways_and_a_part_of_a_vector(pair: Pair) -> None:
    await pair.settle()
    came: list[Any] = []
    pair.sender._endpoint._receiver = came.append
    whole = pair.sender.share(np.arange(2 * SIZE, dtype=np.float32))
    for _ in range(2):  # the first passes the region
        pair.sender.send("receiver", task(99), whole[SIZE:])
        arrived = await pair.box.first(Task, lambda item: item.message.round == 99)
        assert arrived.array[0] == SIZE
        pair.box.items.remove(arrived)


async def test_a_reader_that_ends_leaves_nothing_open(tcp: Any) -> None:
    gc.collect()  # what other tests have left to it
    before = open_memories()
    pair = await a_pair(tcp)
    await pair.settle()
    assert open_memories() > before
    await pair.receiver.close(0.0)
    at_sender = pair.sender
    await at_sender.close(0.0)
    del pair
    gc.collect()
    assert open_memories() == before
    assert OF_PROCESS.taken == (0, 0)


def open_memories() -> int:
    """How many descriptors and mappings of this process are regions."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # of the listing itself
            found += "memfd:nervenet" in str(descriptor.readlink())
    return found + Path("/proc/self/maps").read_text(encoding="utf-8").count("memfd:nervenet")


async def test_after_a_cut_what_may_be_read_is_never_written_again(pair: Pair) -> None:
    await pair.settle()
    kept = await pair.send()
    number = pair.number
    pair.sender._endpoint.notify(LinkLost("receiver", 1, "cut"))
    for _ in range(5):
        await pair.send()
    assert (kept == number).all()


async def test_a_stranger_who_knows_the_name_is_passed_nothing(pair: Pair) -> None:
    await pair.settle()
    offer = pair.writer.offer_to("receiver")
    assert offer is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(f"\0{offer.name}")
        stranger.send(pack(Shown(bytes(32))))
        stranger.settimeout(60)
        came = await pair.sender._endpoint.loop.run_in_executor(None, stranger.recv, 64)
    assert came == b"", "the connection is closed, and nothing was said"
    await pair.settle()


async def test_a_reference_counts_once(pair: Pair) -> None:
    await pair.settle()
    sent: list[bytes] = []
    refer = pair.writer.reference

    def noted(peer: str, array: memoryview) -> bytes | None:
        found = refer(peer, array)
        if found is not None:
            sent.append(found)
        return found

    pair.writer.reference = noted  # type: ignore[method-assign]
    array = await pair.send()
    again = pair.receiver._endpoint.shared
    for frame in (sent[0], sent[0][:-8] + bytes(8)):
        with pytest.raises(Exception, match="came before"):
            again.array("sender", frame)
    assert (array == pair.number).all()


async def told_of_lost_vectors(pair: Pair) -> list[Any]:
    """Return what is told of two messages that refer to what is not mapped here."""
    await pair.settle()
    header = encode(task(1), np.ones(SIZE, np.float32))[0]
    endpoint, before = pair.receiver._endpoint, pair.receiver.counters.malformed
    for number in (1_001, 1_002):
        endpoint.read("sender", [header, Reference(9_999, 1, 0, 4 * SIZE, number).pack()])
    assert endpoint.counters.malformed == before + 2
    assert not pair.box.of(MalformedMessage), "whose sender has done nothing wrong"
    return list(pair.box.of(VectorLost))


async def test_that_a_vector_is_lost_is_told_once_with_its_reason(pair: Pair) -> None:
    (lost,) = await told_of_lost_vectors(pair)
    assert lost.sender == "sender"
    assert lost.reason.endswith("which is not mapped here")


async def test_only_counted_nobody_would_hear_of_it(pair: Pair) -> None:
    pair.receiver._endpoint._lost_of.add("sender")
    assert await told_of_lost_vectors(pair) == []


async def numbers_before_and_after_a_reader_came_back(pair: Pair) -> tuple[int, int]:
    """Return the number of the last reference before, and of the first one after."""
    await pair.settle()
    sent: list[int] = []
    refer = pair.writer.reference

    def noted(peer: str, array: memoryview) -> bytes | None:
        found = refer(peer, array)
        sent.extend([] if found is None else [Reference.unpack(found).number])
        return found

    pair.writer.reference = noted  # type: ignore[method-assign]
    await pair.send()
    before = len(sent)
    pair.writer.lose("receiver")
    pair.sender._endpoint.shared._partners["receiver"].offer_at = 0.0
    await pair.settle()
    return sent[before - 1], sent[before]


async def test_a_reference_that_comes_late_takes_no_number_of_a_later_one(pair: Pair) -> None:
    last, first = await numbers_before_and_after_a_reader_came_back(pair)
    assert first > last


async def test_counted_for_each_reader_two_would_have_one_number(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    lose = writer.Writer.lose

    def counted_anew(one: writer.Writer, peer: str) -> None:
        one._references = itertools.count(1)
        lose(one, peer)

    monkeypatch.setattr(writer.Writer, "lose", counted_anew)
    last, first = await numbers_before_and_after_a_reader_came_back(pair)
    assert first <= last


async def counts_a_forged_reference(tcp: Any) -> bool:
    """Return whether a server takes a reference of who has taken the identity of its node for one of that node."""
    server, at_server = await tcp.open("sender", binds=True, shared_memory=True)
    node, at_node = await tcp.open("receiver", shared_memory=True)
    node.link("sender", server.addresses)
    await at_node.first(LinkUp)
    await at_server.first(LinkUp)
    back = Pair(node, server, at_server, "sender")
    await back.settle()
    kept = await back.send()
    (held,) = [region for region in back.writer._pool._regions.values() if region.claims]
    forged = Reference(held.id, held.generation, 0, 4 * SIZE, 10_000).pack()
    stranger = Stranger(tcp.context, identity_of("receiver", node.incarnation).decode())
    try:
        stranger.dial(server.addresses["bulk"])
        stranger.socket.send_multipart([encode(task(1_000), np.zeros(SIZE, np.float32))[0], forged])
        await at_server.first(ConnectionRefused, lambda event: "was displaced" in event.reason)
    finally:
        stranger.socket.close(0)
    assert (kept == back.number).all()
    assert not at_server.of(Task)
    return not server._endpoint.shared._reader._writers["receiver"].numbers.fresh(10_000)


async def test_a_reference_of_who_took_an_identity_does_not_count(tcp: Any) -> None:
    assert not await counts_a_forged_reference(tcp)


async def test_read_before_that_is_found_out_it_would_release_what_is_held(
    tcp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "_may_refer", lambda _: False)
    assert await counts_a_forged_reference(tcp)


async def told_after_its_end(tcp: Any) -> list[Any]:
    """Return what the loop is told where a transport closes right after its first long vector."""
    pair, told = await a_pair(tcp), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    pair.sender.send("receiver", task(1), np.ones(SIZE, np.float32))
    await pair.sender.close(0.0)
    await asyncio.sleep(0)
    return told


async def test_what_is_closed_offers_nothing_more(tcp: Any) -> None:
    assert not await told_after_its_end(tcp)


async def test_else_it_would_be_an_error_that_nobody_expects(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ZmqTransport, "_offer", ZmqTransport.send)
    assert isinstance((await told_after_its_end(tcp))[0], TransportClosed)


def test_what_has_no_answer_is_offered_less_and_less_often() -> None:
    partner = Partner(1)
    due = [now for now in range(400) if partner.due(float(now))]
    assert due == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]


def test_another_run_or_system_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    host.host_of.cache_clear()
    one, other = host.host_of("a"), host.host_of("b")
    assert one != other
    assert len(one) == 16
    monkeypatch.setattr(host, "can_be_made", lambda: False)
    host.host_of.cache_clear()
    assert host.host_of("a") == ""
    host.host_of.cache_clear()


async def test_there_is_no_more_memory_than_the_process_may_have(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    await pair.settle()
    monkeypatch.setattr(writer, "OF_PROCESS", Budget(0, 512))
    before = len(pair.writer._pool)
    kept = [pair.sender.share(np.zeros(4 * SIZE, np.float32)) for _ in range(3)]
    assert len(pair.writer._pool) == before
    assert len(kept) == 3
