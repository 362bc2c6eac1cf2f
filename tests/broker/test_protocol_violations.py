"""What senders that violate the protocol get, over tcp."""

from __future__ import annotations

import asyncio

import numpy as np
import zmq
from nervenet.broker.codec import Limits, encode
from nervenet.broker.guard import guard
from nervenet.broker.messages import Heartbeat, Hello, Payload, Refused, Task
from nervenet.broker.transport_events import ConnectionClosed, ConnectionRefused, LinkUp, MalformedMessage, SendFailed

BEAT = Heartbeat(3, "idle", ())


async def test_messages_before_hello_are_refused_and_not_delivered(tcp, stranger):
    server, at_server = await tcp.open("server", binds=True)
    for lane in ("control", "bulk"):
        one = stranger("mallory@1").dial(server.addresses[lane]).say(BEAT)
        assert await one.hear() == Refused("heartbeat", 3, "stranger", f"server has not received your HELLO on {lane}")
    assert at_server.items == []
    assert server.counters.refused == 2


async def test_hello_on_one_lane_does_not_open_the_other(tcp, stranger):
    server, at_server = await tcp.open("server", binds=True)
    one = stranger("mallory@1").dial(server.addresses["control"]).hello("mallory")
    await one.hear()
    two = stranger("mallory@1").dial(server.addresses["bulk"]).say(BEAT)
    assert (await two.hear()).code == "stranger"
    assert at_server.of(LinkUp) == []


async def test_another_version_is_refused_by_name(tcp, stranger, monkeypatch):
    monkeypatch.setattr(guard, "_ANSWERED_S", 60.0)  # after which its connection is ended
    server, at_server = await tcp.open("server", binds=True)
    one = stranger("old@1").dial(server.addresses["control"]).hello("old", version=99, oldest=98)
    refused = await one.hear()
    assert (refused.about, refused.code) == ("hello", "version")
    assert refused.reason.startswith("old speaks version 98 to 99 of the protocol (nervenet 9.9), server version 1")
    assert refused.reason.endswith("upgrade nervenet at server")
    one.socket.send(b"NV\x02whatever version 2 looks like")
    assert (await one.hear()).code == "version"
    await at_server.first(ConnectionRefused, lambda item: item.reason.startswith("old speaks version 98 to 99"))
    await at_server.first(ConnectionRefused, lambda item: "speaks version 2 of the protocol" in item.reason)


async def test_a_later_release_that_still_speaks_this_version_gets_in(tcp, stranger):
    server, at_server = await tcp.open("server", binds=True)
    for lane in ("control", "bulk"):
        one = stranger("new@1").dial(server.addresses[lane])
        one.socket.send_multipart(encode(Hello("new", "peer", "demo", 1, 3, 1, "9.9"), version=3))
        answer = await one.hear()
        assert (answer.node, answer.oldest, answer.version) == ("server", 1, 1)
    assert (await at_server.first(LinkUp)).peer == "new"


async def test_a_name_belongs_to_its_connection(tcp, stranger):
    server, _ = await tcp.open("server", binds=True)
    one = stranger("mallory@1").dial(server.addresses["control"]).hello("alice")
    assert (await one.hear()).code == "identity"


async def test_a_refusal_is_not_answered_by_a_refusal(tcp, stranger):
    server, _ = await tcp.open("server", binds=True)
    one = stranger("mallory@1").dial(server.addresses["control"])
    one.say(Refused("x", 0, "stranger", "")).say(BEAT)
    assert (await one.hear()).about == "heartbeat"
    assert server.counters.refused == 1


async def test_malformed_messages_are_counted_reported_and_dropped(tcp, stranger):
    server, at_server = await tcp.open("server", binds=True)
    one = stranger("bob@1").dial(server.addresses["control"]).hello("bob")
    two = stranger("bob@1").dial(server.addresses["bulk"]).hello("bob")
    await at_server.first(LinkUp)
    for malformed in ([b""], [b"GET / HTTP/1.1"], [b"NV\x01\xc1"], [b"NV\x01\x80"], [b"a", b"b", b"c", b"d", b"e"]):
        one.socket.send_multipart(malformed)
    two.socket.send_multipart([b"NV\x01\x80", b"x" * 100_000])
    one.say(BEAT)
    await at_server.first(Heartbeat)
    await at_server.until(lambda: len(at_server.of(MalformedMessage)) == 6)
    assert {item.sender for item in at_server.of(MalformedMessage)} == {"bob"}
    assert all(item.code == "malformed" for item in at_server.of(MalformedMessage))
    assert server.counters.malformed == 6


async def test_a_message_on_the_wrong_lane_is_dropped(tcp, stranger):
    server, at_server = await tcp.open("server", binds=True)
    stranger("bob@1").dial(server.addresses["control"]).hello("bob")
    bulk = stranger("bob@1").dial(server.addresses["bulk"]).hello("bob")
    await at_server.first(LinkUp)
    bulk.say(BEAT)
    dropped = await at_server.first(MalformedMessage)
    assert (dropped.code, dropped.reason) == ("lane", "heartbeat belongs on control and came on bulk")
    assert at_server.of(Heartbeat) == []


async def test_an_oversized_frame_closes_the_connection_and_is_reported(tcp, stranger):
    server, at_server = await tcp.open("server", binds=True)
    control = stranger("bob@1").dial(server.addresses["control"]).hello("bob")
    bulk = stranger("bob@1").dial(server.addresses["bulk"]).hello("bob")
    await at_server.first(LinkUp)
    control.socket.send(bytes(65_536))  # the limit itself is no reason to cut
    await at_server.first(MalformedMessage)
    stranger("huge").dial(server.addresses["control"]).socket.send(bytes(65_537))
    assert "before its HELLO" in (await at_server.first(ConnectionRefused)).reason
    small, at_small = await tcp.open("small", binds=True, limits=Limits(message_bytes=1_000))
    for lane, one in (("control", control), ("bulk", bulk)):
        one.dial(small.addresses[lane]).hello("bob").hello("bob")  # a DEALER takes turns between its connections
    await at_small.first(LinkUp)
    bulk.socket.send(bytes(1_001))
    bulk.socket.send(bytes(1_001))
    assert "the bulk connection of bob closed" in (await at_small.first(ConnectionClosed)).reason


async def test_a_stopped_peer_blocks_no_other_and_is_named(tcp, stranger):
    server, at_server = await tcp.open("server", binds=True)
    well, at_well = await tcp.open("well")
    well.link("server", server.addresses)
    stranger("stopped@1").dial(server.addresses["control"]).hello("stopped")
    stopped = stranger("stopped@1")
    stopped.socket.rcvhwm = 1
    stopped.dial(server.addresses["bulk"]).hello("stopped")  # and never reads
    await at_server.until(lambda: len(at_server.of(LinkUp)) == 2)
    weights = np.zeros(1_000_000, np.float32)
    payload = Payload("00ff", "float32", weights.size)
    for round_ in range(40):
        server.send(["stopped", "well"], Task(round_, 0, "train", 5.0, False, {}, None, payload), weights)
        await at_well.first(Task, lambda item, n=round_: item.message.round == n)
    assert [item.message.round for item in at_well.of(Task)] == list(range(40))
    undelivered = await at_server.until(lambda: at_server.of(SendFailed))
    assert {item.peer for item in undelivered} == {"stopped"}
    assert undelivered[0].cause == "slow"
    assert undelivered[0].round < 30  # the oldest goes first
    assert server.sending("stopped")[-1] == 39
    async with asyncio.timeout(60):
        # ZeroMQ lets go of a buffer in its own time, and nothing tells of it.
        while server.sending("well"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_the_queue_of_a_dead_address_is_bounded_and_reported(tcp):
    client, at_client = await tcp.open("client")
    client.link("server", {"control": "tcp://127.0.0.1:9", "bulk": "tcp://127.0.0.1:9"})
    for round_ in range(258):
        client.send("server", Heartbeat(round_, "idle", ()))
    await at_client.until(lambda: len(at_client.of(SendFailed)) == 2)
    assert [item.round for item in at_client.of(SendFailed)] == [0, 1]
    assert at_client.of(SendFailed)[0].cause == "unreachable"


async def test_a_server_of_another_version_is_reported(tcp, stranger):
    context = tcp.context
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    port = router.bind_to_random_port("tcp://127.0.0.1")
    client, at_client = await tcp.open("client")
    client.link("server", {"control": f"tcp://127.0.0.1:{port}", "bulk": f"tcp://127.0.0.1:{port}"})
    identity = (await asyncio.to_thread(router.recv_multipart))[0]
    router.send_multipart([identity, b"NV\x07whatever"])
    dropped = await at_client.first(MalformedMessage)
    assert dropped.code == "version"
    assert dropped.reason.startswith("the sender speaks version 7 of the protocol")
    assert at_client.failures == []
    router.close()
