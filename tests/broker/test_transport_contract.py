"""What every transport promises, over tcp, ipc, inproc and in memory."""

from __future__ import annotations

import numpy as np
import pytest
from nervenet.broker.codec import Limits
from nervenet.broker.errors import MessageTooLarge
from nervenet.broker.messages import Goodbye, Heartbeat, Payload, Ready, Refused, Task, Update
from nervenet.broker.transport import Arrival
from nervenet.broker.transport_events import LinkLost, LinkUp, SendFailed

BEAT = Heartbeat(3, "training", (3,))


async def pair(world, **options):
    """A bound node and one that dialed it, both up."""
    server, at_server = await world.open("server", binds=True, **options)
    client, at_client = await world.open("client", **options)
    client.link("server", server.addresses)
    await at_client.first(LinkUp)
    await at_server.first(LinkUp)
    return server, at_server, client, at_client


async def test_link_up_is_reported_once_on_either_side(world):
    server, at_server, client, at_client = await pair(world)
    assert at_server.items == [LinkUp("client", "node", client.incarnation, False)]
    assert at_client.items == [LinkUp("server", "node", server.incarnation, True)]
    client.link("server", server.addresses)  # idempotent
    client.send("server", BEAT)
    await at_server.first(Heartbeat)
    assert len(at_server.of(LinkUp)) == len(at_client.of(LinkUp)) == 1


async def test_addresses_list_both_lanes_of_a_node_that_binds_only(world):
    server, _, client, _ = await pair(world)
    hosted = {"host"} if world.carrier.startswith("hosted") else set()
    assert set(server.addresses) == {"control", "bulk"} | hosted
    assert dict(client.addresses) == {}


async def test_a_message_and_its_array_arrive_whole_and_read_only(world, task, weights):
    server, _, client, at_client = await pair(world)
    server.send("client", task(1), weights)
    arrival = await at_client.first(Task)
    assert arrival.sender == "server"
    assert arrival.message == task(1)
    np.testing.assert_array_equal(arrival.array, weights)
    assert arrival.array.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        arrival.array[0] = 1.0
    # and back, over the connection that the client dialed
    client.send("server", Update(1, 0, 7, {"loss": 0.25}, None, arrival.message.payload), arrival.array)


async def test_large_arrays_arrive_both_ways(world):
    server, at_server, client, at_client = await pair(world)
    large = np.random.default_rng(0).random(200_000)
    payload = Payload("00ff", "float64", large.size)
    server.send("client", Task(0, 0, "train", 5.0, False, {}, None, payload), large)
    client.send("server", Update(0, 0, 7, {}, None, payload), (await at_client.first(Task)).array)
    np.testing.assert_array_equal((await at_server.first(Update)).array, large)


async def test_order_is_preserved_on_a_lane(world):
    _, at_server, client, _ = await pair(world)
    for round_ in range(200):
        client.send("server", Heartbeat(round_, "idle", ()))
    await at_server.until(lambda: len(at_server.of(Heartbeat)) == 200)
    assert [item.message.round for item in at_server.of(Heartbeat)] == list(range(200))


async def test_one_send_to_several_encodes_once(world, task, weights, monkeypatch):
    server, _ = await world.open("server", binds=True)
    boxes = []
    for name in ("client-0", "client-1", "client-2"):
        client, box = await world.open(name)
        client.link("server", server.addresses)
        await box.first(LinkUp)
        boxes.append(box)
    module = "testing.memory" if world.carrier == "memory" else "channel"
    module = "hosting.transport" if world.carrier == "hosted" else module
    calls = []
    encode = __import__(f"nervenet.broker.{module}", fromlist=["encode"]).encode
    monkeypatch.setattr(f"nervenet.broker.{module}.encode", lambda *args: calls.append(1) or encode(*args))
    if world.carrier == "hosted-apart":
        pytest.skip("once for each process that hosts some of them")
    server.send(["client-0", "client-1", "client-2"], task(1), weights)
    for box in boxes:
        assert (await box.first(Task)).message == task(1)
    assert len(calls) == 1


async def test_a_send_to_an_unknown_peer_fails_later(world):
    server, at_server = await world.open("server", binds=True)
    server.send("nobody", BEAT)
    assert at_server.items == []  # not from within send
    notice = await at_server.first(SendFailed)
    assert (notice.peer, notice.kind, notice.round) == ("nobody", "heartbeat", 3)
    assert notice.cause == "unreachable"
    assert server.counters.send_failures == 1


async def test_an_oversized_message_is_refused_by_name_before_it_leaves(world, weights):
    limits = Limits(message_bytes=1_000)
    server, _, _, at_client = await pair(world, limits=limits)
    big = np.zeros(300, np.float32)
    payload = Payload("00ff", "float32", big.size)
    with pytest.raises(MessageTooLarge, match=r"task is 1,\d\d\d bytes, and network.max_message_bytes allows 1,000"):
        server.send("client", Task(0, 0, "train", 5.0, False, {}, None, payload), big)
    with pytest.raises(MessageTooLarge, match=r"goodbye is .* and the control lane allows"):
        server.send("client", Goodbye(0, "x" * 70_000))
    server.send("client", BEAT)
    await at_client.first(Heartbeat)  # the connection has not suffered


async def test_another_run_is_refused_by_name(world):
    server, at_server = await world.open("server", binds=True)
    client, at_client = await world.open("client", run="other")
    client.link("server", server.addresses)
    refusal = (await at_client.first(Refused)).message
    assert (refusal.about, refusal.code) == ("hello", "run")
    assert "'other'" in refusal.reason
    assert "'demo'" in refusal.reason
    assert at_server.of(LinkUp) == []


async def test_a_newer_incarnation_takes_the_name_over_and_an_older_one_is_refused(world):
    if world.carrier == "hosted":
        pytest.skip("no process hosts two of a name")
    server, at_server = await world.open("server", binds=True)
    first, at_first = await world.open("client", incarnation=5)
    first.link("server", server.addresses)
    await at_first.first(LinkUp)
    newer, at_newer = await world.open("client", incarnation=6)
    newer.link("server", server.addresses)
    await at_newer.first(LinkUp)
    older, at_older = await world.open("client", incarnation=4)
    older.link("server", server.addresses)
    assert (await at_older.first(Refused)).message.code == "stale"
    assert [item.incarnation for item in at_server.of(LinkUp)] == [5, 6]
    server.send("client", BEAT)
    await at_newer.first(Heartbeat)
    assert at_first.of(Heartbeat) == at_older.of(Heartbeat) == []


async def test_an_exception_of_the_receiver_goes_to_the_owner(world):
    _, at_server, client, _ = await pair(world)

    def hook(item):
        if isinstance(item, Arrival) and item.message.round == 0:
            raise RuntimeError("boom")

    at_server.hook = hook
    client.send("server", Heartbeat(0, "idle", ()))
    client.send("server", Heartbeat(1, "idle", ()))
    await at_server.until(lambda: len(at_server.of(Heartbeat)) == 2)
    assert [str(error) for error in at_server.failures] == ["boom"]


async def test_a_restarted_server_is_found_again(world, ports):
    if world.carrier == "inproc":
        pytest.skip("inproc does not dial again")
    server, _at_server = await world.open("server", binds=True, port=ports, incarnation=1)
    client, at_client = await world.open("client")
    client.link("server", server.addresses)
    await at_client.first(LinkUp)
    await server.close(0.0)
    await at_client.first(LinkLost)
    _again, at_again = await world.open("server", binds=True, port=ports, incarnation=2)
    await at_client.first(LinkUp, lambda up: up.incarnation == 2)
    await at_again.first(LinkUp)
    client.send("server", BEAT)
    await at_again.first(Heartbeat)


async def test_a_client_that_closes_is_lost_at_once(world):
    if world.carrier == "inproc":
        pytest.skip("inproc has no connections, and no news of them")
    _, at_server, client, _ = await pair(world)
    client.send("server", Goodbye(9, "done"))
    await client.close(30.0)
    lost = await at_server.first(LinkLost)
    assert (lost.peer, lost.incarnation) == ("client", client.incarnation)
    kinds = [type(getattr(item, "message", item)) for item in at_server.items]
    assert kinds == [LinkUp, Goodbye, LinkLost]  # what was said comes before the news that it went


async def test_a_client_that_crashed_comes_back_under_its_name(world):
    if world.carrier == "inproc":
        pytest.skip("inproc has no connections, and no news of them")
    server, at_server = await world.open("server", binds=True)
    for incarnation in (1, 2):
        client, at_client = await world.open("client", incarnation=incarnation)
        client.link("server", server.addresses)
        await at_client.first(LinkUp)
        client.send("server", Ready(examples=incarnation, pid=1))
        await at_server.first(Ready, lambda item, n=incarnation: item.message.examples == n)
        server.send("client", BEAT)
        await at_client.first(Heartbeat)
        if incarnation == 1:
            await client.close(0.0)
            await at_server.first(LinkLost)
    kinds = [type(getattr(item, "message", item)) for item in at_server.items]
    assert kinds == [LinkUp, Ready, LinkLost, LinkUp, Ready]
    story = [getattr(item, "incarnation", None) or item.message.examples for item in at_server.items]
    assert story == [1, 1, 1, 2, 2]


async def test_unlink_closes_the_link(world):
    _, at_server, client, at_client = await pair(world)
    client.unlink("server")
    client.unlink("server")
    client.send("server", BEAT)
    assert (await at_client.first(SendFailed)).cause == "unreachable"
    assert at_server.of(Heartbeat) == []


async def test_counters_agree_on_both_sides(world, task, weights):
    server, _, client, at_client = await pair(world)
    server.send("client", task(1), weights)
    arrival = await at_client.first(Task)
    assert server.counters.bytes_sent == client.counters.bytes_received
    assert server.counters.messages_sent == client.counters.messages_received
    assert server.counters.sent_by_kind["weights"] == weights.nbytes
    assert sum(server.counters.sent_by_kind.values()) == server.counters.bytes_sent
    assert arrival.nbytes > weights.nbytes


async def test_closing_is_idempotent(world):
    _, _, client, _at_client = await pair(world)
    await client.close(0.1)
    await client.close(0.1)
    with pytest.raises(RuntimeError, match="opened"):
        client.link("server", {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:2"})
