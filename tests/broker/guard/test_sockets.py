"""Limits over real sockets, each with what happens without it."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
from collections.abc import Callable

import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.codec import encode
from nervenet.broker.events import encode_event
from nervenet.broker.guard import early_leavers, guard
from nervenet.broker.guard.table import ConnectionTable, Policy
from nervenet.broker.limits import LIMITS
from nervenet.broker.messages import GetEventAddresses, GetSnapshot, Heartbeat, Hello, Join
from nervenet.broker.transport_events import ConnectionRefused, LinkLost, LinkUp

DEADLINE_S = 60.0
MUCH = 1 << 40


class Raw:
    """A connection that speaks enough of ZMTP 3 to send what no ZeroMQ socket would."""

    def __init__(self, address: str, identity: bytes = b"", kind: bytes = b"DEALER") -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(DEADLINE_S)  # ZeroMQ's own thread reads
        self.gone = False
        body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        body += b"\x08Identity" + len(identity).to_bytes(4, "big") + identity
        self.send(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31) + b"\x04" + bytes([len(body)]) + body)
        self._take(64)
        self._take(self._take(2)[1])  # its READY: before that, ZeroMQ would take a message for a breach

    def _take(self, count: int) -> bytes:
        return self.socket.recv(count, socket.MSG_WAITALL)

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            self.gone = True

    def frame(self, data: bytes, *, more: bool = False) -> None:
        self.send(bytes([2 | more]) + len(data).to_bytes(8, "big") + data)

    def ended(self) -> bool:
        """Whether the other side has ended it; what it has sent is read."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(1 << 16):
                pass
        except BlockingIOError:
            return self.gone
        except OSError:
            pass
        finally:
            self.socket.settimeout(DEADLINE_S)
        self.gone = True
        return True


@pytest.fixture
def raw():
    made: list[Raw] = []

    def make(*arguments, **options) -> Raw:
        made.append(Raw(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


@pytest.fixture
def limit(monkeypatch):
    """Sets a row of the table."""
    monkeypatch.setattr(guard, "_LOOK_S", 0.0)

    def set_(name: str, value: int) -> None:
        monkeypatch.setitem(LIMITS, name, dataclasses.replace(LIMITS[name], value=value))

    return set_


@pytest.fixture
async def broker():
    said: list[str] = []
    async with Broker("tcp://127.0.0.1:0", on_refused=said.append) as broker:
        broker.said = said
        yield broker


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not done():  # noqa: ASYNC110  (many things, of which nothing else tells)
            await asyncio.sleep(0.005)


async def looks(times: int = 3) -> None:
    """Wait for as many looks at the connections, in which nothing is to happen."""
    watch = guard.Watch.of(asyncio.get_running_loop())
    for _ in range(times):
        before = watch._next
        await until(lambda before=before: watch._next > before)


linux = pytest.mark.skipif(sys.platform != "linux", reason="the system does not count what a connection has received")


@linux
@pytest.mark.parametrize("held", [20_000, MUCH])
async def test_parts_without_an_end_before_a_hello(tcp, raw, limit, held):
    limit("unknown_bytes", held)
    server, at_server = await tcp.open("server", binds=True)
    one = raw(server.addresses["control"], b"m@1")
    for _ in range(3):
        one.frame(bytes(30_000), more=True)
    if held == MUCH:  # all of it is kept
        await looks()
        assert not one.ended()
        return
    await until(one.ended)
    refused = await at_server.first(ConnectionRefused)
    assert refused.reason == "sent more than 20,000 bytes before it introduced itself"
    assert refused.address == "127.0.0.1"


@linux
@pytest.mark.parametrize("held", [50_000, MUCH])
async def test_parts_without_an_end_by_a_member(tcp, raw, limit, held):
    limit("held_bytes", held)
    server, at_server = await tcp.open("server", binds=True)
    lanes = {lane: raw(server.addresses[lane], b"m@1") for lane in ("control", "bulk")}
    for one in lanes.values():
        one.frame(encode(Hello("m", "client", "demo", 1, 1))[0])
    await at_server.first(LinkUp)
    for _ in range(3):
        lanes["control"].frame(bytes(30_000), more=True)
    if held == MUCH:
        await looks()
        assert not lanes["control"].ended()
        return
    await until(lanes["control"].ended)
    assert "50,000 bytes that are no whole message" in (await at_server.first(ConnectionRefused)).reason


@pytest.mark.parametrize("many", [2, 1_000])
async def test_strangers_that_stay(tcp, raw, limit, many):
    limit("unknown_at_inbox", many)
    limit("unknown_grace_s", 0)
    server, _ = await tcp.open("server", binds=True)
    table = server._inbound._guards["control"].table
    member = raw(server.addresses["control"], b"m@1")
    member.frame(encode(Hello("m", "client", "demo", 1, 1))[0])
    await until(lambda: [one.known for one in table] == [True])
    silent = [raw(server.addresses["control"]) for _ in range(5)]
    if many == 2:
        await until(lambda: sum(one.ended() for one in silent) == 3)
    await until(lambda: len(table) == (3 if many == 2 else 6))
    await looks()
    assert sum(one.ended() for one in silent) == (3 if many == 2 else 0)
    assert not member.ended()


async def test_more_than_may_be_strangers_get_in_one_after_the_other(tcp, limit):
    limit("unknown_at_inbox", 2)
    server, at_server = await tcp.open("server", binds=True)
    for number in range(12):
        client, _ = await tcp.open(f"c{number}")
        client.link("server", server.addresses)
    await until(lambda: len(at_server.of(LinkUp)) >= 12)


@pytest.mark.parametrize("faults", [3, MUCH])
async def test_messages_before_a_hello(tcp, raw, limit, faults):
    limit("unknown_faults", faults)
    server, at_server = await tcp.open("server", binds=True)
    one = raw(server.addresses["control"], b"m@1")
    for _ in range(10):
        one.frame(b"no message")
    if faults == MUCH:
        await until(lambda: server.counters.malformed == 10)
        assert not one.ended()
    else:
        await until(one.ended)
    told = at_server.of(ConnectionRefused)
    assert len(told) <= (10 if faults == MUCH else 6), "four that are none, the limit, and the end"
    assert told[0].reason == "sent what is no message, before its HELLO (malformed)"


@pytest.mark.parametrize("answered_s", [0.01, 1e6])
async def test_one_whose_hello_was_refused_has_no_connection_for_long(tcp, raw, limit, monkeypatch, answered_s):
    """It says HELLO no more, and takes memory."""
    limit("unknown_s", 1_000)
    monkeypatch.setattr(guard, "_ANSWERED_S", answered_s)
    server, at_server = await tcp.open("server", binds=True)
    one, member = (raw(server.addresses["control"], name) for name in (b"one@1", b"member@1"))
    one.frame(encode(Hello("one", "client", "another run", 1, 1))[0])
    member.frame(encode(Hello("member", "client", "demo", 1, 1))[0])
    await until(lambda: server.counters.refused and "member" in server._inbound._peers.by_name)
    if answered_s < 1:
        await until(one.ended)
    await looks()
    assert (one.ended(), member.ended()) == (answered_s < 1, False)
    assert at_server.of(ConnectionRefused) == []  # the node that dialed says why


@pytest.mark.parametrize("most", [1, MUCH])
async def test_of_a_flood_of_hellos_few_are_answered(tcp, raw, limit, most):
    limit("refusals", most)
    limit("refusals_s", 0)
    server, _ = await tcp.open("server", binds=True)
    for number in range(3):
        one = raw(server.addresses["control"], f"n{number}@1".encode())
        one.frame(encode(Hello(f"n{number}", "client", "another run", 1, 1))[0])
    await until(lambda: server.counters.messages_received >= 3)
    assert server.counters.messages_sent == min(most, 3)


@pytest.mark.parametrize("many", [4, MUCH])
async def test_what_many_connections_took_is_given_back(tcp, raw, monkeypatch, many):
    monkeypatch.setattr(guard, "_MANY", many)
    monkeypatch.setattr(guard, "_GIVE_BACK_S", 0.0)
    given: list[int] = []
    monkeypatch.setattr(guard.kernel, "give_back", lambda: given.append(1))
    server, _ = await tcp.open("server", binds=True)
    strangers = [raw(server.addresses["control"]) for _ in range(5)]
    table = server._inbound._guards["control"].table
    await until(lambda: len(table) == 5)
    for one in strangers:
        one.socket.close()
    await until(lambda: not len(table))
    if many == MUCH:
        await asyncio.sleep(0)
        assert not given
    else:
        await until(lambda: given)


@pytest.mark.parametrize("row", ["connections_in_all", "unknown_in_all"])
@pytest.mark.parametrize("most", [3, MUCH])
async def test_connections_of_all_sockets_are_counted_together(tcp, raw, limit, most, row):
    limit(row, most)
    server, _ = await tcp.open("server", binds=True)
    made = [raw(server.addresses[lane]) for _ in range(3) for lane in ("control", "bulk")]
    guards = server._inbound._guards.values()
    if most == MUCH:
        await until(lambda: sum(len(each.table) for each in guards) == 6)
    else:
        await until(lambda: sum(one.ended() for one in made) == 3 == sum(len(each.table) for each in guards))


@pytest.mark.parametrize("most", [2, MUCH])
async def test_names_that_come_and_go_are_forgotten(tcp, raw, limit, most):
    """Where nobody authenticates, anybody may have ever new ones."""
    limit("departed", most)
    server, _ = await tcp.open("server", binds=True)
    peers = server._inbound._peers
    stays = {lane: raw(server.addresses[lane], b"stays@1") for lane in ("control", "bulk")}
    for one in stays.values():
        one.frame(encode(Hello("stays", "client", "demo", 1, 1))[0])
    for number in range(5):
        for lane in ("control", "bulk"):
            one = raw(server.addresses[lane], f"n{number}@1".encode())
            one.frame(encode(Hello(f"n{number}", "client", "demo", 1, 1))[0])
            await until(lambda n=number, on=lane: on in getattr(peers.by_name.get(f"n{n}"), "descriptors", ()))
            one.socket.close()
            await until(lambda n=number, on=lane: on not in peers.by_name[f"n{n}"].descriptors)
    assert sorted(peers.by_name) == [*(f"n{number}" for number in range(0 if most == MUCH else 3, 5)), "stays"]
    assert len(peers.by_identity) == len(peers.by_name)


@pytest.mark.parametrize("most", [50_000, MUCH])
async def test_last_values_are_bounded_in_bytes(broker, raw, limit, most):
    limit("last_values_of_one", most)
    one = raw(broker.addresses["events_in"], kind=b"PUB")
    head = {"type": "warning", "run": "r", "node": "n", "role": "client", "incarnation": 1, "time": 1.0}
    for number in range(40):
        topic, body = encode_event(head | {"seq": number + 1, "subject": f"s{number}", "reason": "x" * 5_000})
        one.frame(topic, more=True)
        one.frame(body)
        await asyncio.sleep(0)
    await until(lambda: broker.counters.messages_received >= 40)
    assert (broker._relay.last.nbytes <= 50_000) is (most != MUCH)


@pytest.mark.parametrize("topics", [4, MUCH])
async def test_subscriptions(broker, raw, limit, topics):
    limit("subscriptions", topics)
    one = raw(broker.addresses["events_out"], kind=b"SUB")
    for number in range(10):
        one.frame(b"\x01topic" + str(number).encode())
    if topics == MUCH:
        await until(lambda: broker._guards.by_service["events_out"].table.topic_bytes == 60)
        assert not one.ended()
        return
    await until(one.ended)
    assert broker.said == ["refused at events_out from 127.0.0.1: subscribed more than 4 times"]


@linux
@pytest.mark.parametrize("unread", [3 << 20, MUCH])
async def test_answers_that_nobody_reads(broker, raw, limit, unread):
    limit("unread_bytes", unread)
    for number in range(60):
        broker.publish("warning", "r", subject=f"s{number}", reason="x" * 20_000)
    one = raw(broker.addresses["directory"], b"asks")
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    for _ in range(14):
        one.frame(encode(GetSnapshot(1, ""))[0])
    await until(lambda: broker.counters.messages_received >= 14 or broker.said)
    if unread == MUCH:
        await looks()
        assert broker.said == []
    else:
        await until(lambda: broker.said)
        assert "bytes of answers unread" in broker.said[0]


async def test_a_run_too_many_is_refused_and_another_node_of_a_run_is_not(broker, raw, limit):
    limit("runs", 1)
    join = Join(1, "first", "n", "client", 1, 1, {}, {}, 9, 60.0)
    for number, (run, node) in enumerate([("first", "a"), ("second", "a"), ("first", "b")]):
        frame = encode(Join(1, run, node, "client", 1, 1, {}, join.shared_config, 9, 60.0))[0]
        raw(broker.address, f"n{number}".encode()).frame(frame)
    await until(lambda: broker.counters.messages_sent >= 4)
    runs = broker._directory._runs
    assert {name: sorted(run.entries) for name, run in runs.items()} == {"first": ["a", "b"]}


@pytest.mark.parametrize("most", [2, MUCH])
async def test_members_of_one_connection(broker, raw, limit, most):
    limit("memberships", most)
    one = raw(broker.address, b"n")
    for number in range(5):
        one.frame(encode(Join(1, "r", f"n{number}", "client", 1, 1, {}, {}, 9, 60.0))[0])
    await until(lambda: broker.counters.messages_received >= 5)
    assert len(broker._directory._runs["r"].entries) == min(most, 5)
    assert broker._admission._memberships._nodes == {}  # of no use without keys, and names come without end


async def test_one_who_asks_as_it_should_is_left_alone_among_strangers(broker, raw, limit):
    limit("unknown_bytes", 10_000)
    one = raw(broker.address, b"honest")
    for _ in range(200):
        one.frame(encode(GetEventAddresses(1))[0])
    await until(lambda: broker.counters.messages_received >= 200)
    await looks()
    assert not one.ended()
    assert broker.said == []


@linux
@pytest.mark.parametrize("excused", [True, False])
async def test_bulk_that_was_cut_off_is_not_ended_for_saying_no_hello(tcp, raw, limit, monkeypatch, excused):
    """ZeroMQ connects again by itself, and what it has not sent goes first."""
    if not excused:
        monkeypatch.setattr(ConnectionTable, "_excuse", lambda *_: False)
    server, at_server = await tcp.open("server", binds=True)
    lanes = {lane: raw(server.addresses[lane], b"m@1") for lane in ("control", "bulk")}
    for one in lanes.values():
        one.frame(encode(Hello("m", "client", "demo", 1, 1))[0])
    await at_server.first(LinkUp)
    lanes["bulk"].socket.close()
    table = server._inbound._guards["bulk"].table
    await until(lambda: not len(table))
    limit("unknown_bytes", 20_000)
    again = raw(server.addresses["bulk"], b"m@1")
    for _ in range(3):
        again.frame(bytes(30_000), more=True)
    if excused:
        await until(lambda: [one.held > 60_000 and one.known for one in table] == [True])
        assert not again.ended()
    else:
        await until(again.ended)


@pytest.mark.parametrize("says_hello", [True, False])
async def test_a_hello_that_waits_is_read_before_its_connection_is_ended(tcp, raw, limit, monkeypatch, says_hello):
    """As after a sleep: it has been there for longer than a stranger may be."""
    server, _ = await tcp.open("server", binds=True)
    monkeypatch.setattr(guard, "_TICK_S", 1e6)  # the one look is the test's own
    limit("unknown_s", -1)
    channel = server._inbound._channels["control"]
    loop = asyncio.get_running_loop()
    loop.remove_reader(channel._fd)
    one = raw(server.addresses["control"], b"m@1")
    if says_hello:
        one.frame(encode(Hello("m", "client", "demo", 1, 1))[0])
        await until(channel._readable)
    watched = server._inbound._guards["control"]
    await until(lambda: len(watched.table))
    watched.look(loop.time())
    assert [each.ended for each in watched.table] == [not says_hello]


@pytest.mark.parametrize("closed", [True, False])
async def test_what_is_read_after_its_connection_has_closed_makes_no_stranger(tcp, raw, monkeypatch, closed):
    """As of all who leave: after 30 s one would be reported who had not introduced itself."""
    came = ConnectionTable.came
    monkeypatch.setattr(guard, "_TICK_S", 1e6)  # nobody looks meanwhile
    if not closed:  # the fault
        monkeypatch.setattr(ConnectionTable, "came", lambda self, fd, _, *more: came(self, fd, lambda _: 1, *more))
    server, at_server = await tcp.open("server", binds=True)
    lanes = {lane: raw(server.addresses[lane], b"m@1") for lane in ("control", "bulk")}
    for one in lanes.values():
        one.frame(encode(Hello("m", "client", "demo", 1, 1))[0])
    await at_server.first(LinkUp)
    channel = server._inbound._channels["control"]
    asyncio.get_running_loop().remove_reader(channel._fd)
    lanes["control"].frame(encode(Heartbeat(1, "idle", ()))[0])
    lanes["control"].socket.close()
    await at_server.first(LinkLost)
    assert at_server.of(Heartbeat)
    assert len(server._inbound._guards["control"].table) == (0 if closed else 1)


async def test_a_watch_is_forgotten_with_its_last_guard(tcp):
    loop = asyncio.get_running_loop()
    server, _ = await tcp.open("server", binds=True)
    assert loop in guard.Watch._all
    await server.close(0.0)
    assert loop not in guard.Watch._all


@pytest.mark.parametrize("greeted", [24 << 10, 0])
async def test_what_many_new_connections_take_is_no_reason_to_look_at_all_of_them(monkeypatch, greeted):
    """Of what a thousand a second cost that say nothing, looks at all of them were a sixth."""
    monkeypatch.setattr(guard, "_GREETED", greeted)
    watch = guard.Watch(asyncio.get_running_loop())
    watch._next, grown = 10.0, 400 * (20 << 10)
    assert watch._due(9.0, grown)  # so much by nobody in particular
    for _ in range(400):
        watch.has_opened()
    watch._timer.cancel()
    assert watch._due(9.0, grown) is (greeted == 0)
    assert watch._due(9.0, grown + (8 << 20))
    assert watch._due(10.0, 0)  # and every second


def listening() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0))
    made.settimeout(DEADLINE_S)
    return made


@pytest.mark.parametrize("port_is_known", [True, False])
async def test_what_this_process_has_dialed_is_no_strangers(limit, port_is_known):
    """A message may be read, and a connection announced, when its descriptor is another's by then."""
    limit("unknown_s", -1)
    told: list[ConnectionRefused] = []
    with listening() as ours, listening() as others:
        watched = guard.Guard(Policy("inbox", 1 << 20), told.append, listens=ours.fileno() if port_is_known else -1)
        try:
            with socket.create_connection(others.getsockname()) as dialed, others.accept()[0] as other:
                watched.heard(dialed.fileno(), 10, 1)
                watched.accepted(dialed.fileno())
                assert len(watched.table) == (0 if port_is_known else 1)
                watched.look(asyncio.get_running_loop().time())
                dialed.settimeout(DEADLINE_S)
                if port_is_known:
                    other.sendall(b"still there")
                assert dialed.recv(100) == (b"still there" if port_is_known else b"")
            with socket.create_connection(ours.getsockname()), ours.accept()[0] as accepted:
                watched.accepted(accepted.fileno())
                assert len(watched.table) >= 1
        finally:
            watched.close()


@pytest.mark.parametrize(("leaves", "told"), [(True, 0), (False, 2)])
async def test_who_goes_with_others_before_its_hello_is_not_told_of(tcp, raw, monkeypatch, leaves, told):
    """A member that leaves dials others for its last words, and may be gone before its HELLO."""
    monkeypatch.setattr(early_leavers, "LEAVING_S", 1e6)
    server, at_server = await tcp.open("server", binds=True)
    guards = server._inbound._guards.values()
    lanes = {lane: raw(server.addresses[lane], b"m@1") for lane in ("control", "bulk")}
    for one in lanes.values():
        one.frame(encode(Hello("m", "client", "demo", 1, 1))[0])
    await at_server.first(LinkUp)
    if leaves:
        for one in lanes.values():
            one.socket.close()
        await until(lambda: all(each._left for each in guards))
    for lane in lanes:
        raw(server.addresses[lane], b"n@1").socket.close()
    await until(lambda: all(each._early._addresses for each in guards))
    assert at_server.of(ConnectionRefused) == [], "not at once"
    for each in guards:
        each._early.close()
        each._early._tell_all(0.0)  # as when the time is over
    await asyncio.sleep(0)  # which says so in the next turn
    assert len(at_server.of(ConnectionRefused)) == told


@pytest.mark.parametrize(("leaving_s", "told"), [(1e6, 0), (0.0, 1)])  # the second as it was: at once
async def test_nobody_is_told_of_early_leavers_when_the_run_is_over(tcp, raw, monkeypatch, leaving_s, told):
    monkeypatch.setattr(early_leavers, "LEAVING_S", leaving_s)
    server, at_server = await tcp.open("server", binds=True)
    early, came = server._inbound._guards["control"]._early, []
    add = early.add
    monkeypatch.setattr(early, "add", lambda address: (came.append(address), add(address)))
    raw(server.addresses["control"], b"n@1").socket.close()
    await until(lambda: came and len(at_server.of(ConnectionRefused)) == told)
    await server.close(0.0)
    assert early._timer is None
    assert len(at_server.of(ConnectionRefused)) == told
