"""Broker, membership and events together, over tcp."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
import zmq
from msgspec.structs import replace
from nervenet.broker import events, lease, relay
from nervenet.broker import subscriber as events_module
from nervenet.broker.broker import Broker, watch_events
from nervenet.broker.codec import Limits
from nervenet.broker.directory import _Run
from nervenet.broker.enrollment import Enrollment
from nervenet.broker.errors import (
    AddressInUse,
    BadAddress,
    BrokerUnreachable,
    JoinRefused,
    ProtocolError,
    RosterIncomplete,
)
from nervenet.broker.events import Publisher, decode_event, decode_head, encode_event
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Join
from nervenet.broker.roster_frames import RosterReader
from nervenet.broker.security.plain import Plain
from nervenet.broker.sockets import reached_by, split_bind
from nervenet.broker.subscriber import EventStream, Gaps
from nervenet.nodes.monitoring.monitor import Monitor

DEADLINE_S = 60.0


def member(broker: str, node: str = "a", **options: Any) -> Lease:
    """A lease for a peer; ``options`` replace fields of its `Join`, or are those of the lease."""
    fields: dict[str, Any] = {
        "id": 0,
        "run": "demo",
        "role": "peer",
        "incarnation": 1,
        "pid": os.getpid(),
        "addresses": {"control": f"tcp://{node}:1"},
        "shared_config": {"mode": "gossip"},
        "min_nodes": 2,
        "join_deadline_s": 60.0,
    }
    for name in set(options) & set(Join.__struct_fields__):
        fields[name] = options.pop(name)
    return Lease(broker, Join(node=node, **fields), zmq.Context.instance(), **options)


async def take(stream: Any, type_: str, n: int = 1) -> list[dict[str, Any]]:
    """The next ``n`` events of a type."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in stream:
            if event["type"] == type_:
                found.append(event)
                if len(found) == n:
                    break
    return found


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A member renews five times a second, and is not lost where this process stands still; nor is a broker away."""
    joined = Lease._joined
    monkeypatch.setattr(Lease, "_joined", lambda lease, answer: joined(lease, replace(answer, lease_s=0.6)))
    monkeypatch.setattr(events_module, "_REQUEST_S", DEADLINE_S)


@pytest.fixture
async def broker():
    async with Broker("tcp://127.0.0.1:0", lease_s=3_600.0) as broker:
        yield broker


async def test_members_see_each_other_in_the_roster(broker):
    async with member(broker.address, "b") as b, member(broker.address, "a") as a:
        roster = await a.roster()
        assert [one.node for one in roster.members] == ["a", "b"]
        assert roster.shared_config == {"mode": "gossip"}
        assert (await b.roster()).version == a.version == 1
        assert a.events_in == broker.addresses["events_in"]


@pytest.mark.parametrize("shared", [True, False])
async def test_nodes_of_one_process_hold_one_roster(broker, shared):
    """Of 500 in four processes each had half a megabyte of its own."""
    readers = [RosterReader()] * 2 if shared else [None, None]
    one, other = (member(broker.address, name, rosters=each) for name, each in zip("ab", readers, strict=True))
    async with one, other:
        first, second = await one.roster(), await other.roster()
        while first.members != second.members:  # one was suspected meanwhile
            first, second = await one.roster(), await other.roster()
        assert (first.members is second.members) is shared


async def test_newer_rosters_are_passed_on(broker):
    rosters: asyncio.Queue[Any] = asyncio.Queue()
    async with member(broker.address, "b", on_roster=rosters.put_nowait) as b, member(broker.address, "a"):
        await b.roster()
        b.watch()
        async with member(broker.address, "c"):
            newer = await asyncio.wait_for(rosters.get(), DEADLINE_S)
            assert (newer.version, [one.node for one in newer.members]) == (2, ["a", "b", "c"])
        fewer = await asyncio.wait_for(rosters.get(), DEADLINE_S)
        assert (fewer.version, [one.node for one in fewer.members]) == (3, ["a", "b"])


async def test_refusals_name_the_difference(broker):
    async with member(broker.address, "a", incarnation=5):
        with pytest.raises(JoinRefused, match="run 'demo' was opened with other terms than b brings: mode=federated"):
            await member(broker.address, "b", shared_config={"mode": "federated"}).__aenter__()
        with pytest.raises(JoinRefused, match="started again since"):
            await member(broker.address, "a", incarnation=4).__aenter__()


async def test_too_few_in_time(broker):
    async with member(broker.address, "a", min_nodes=3, join_deadline_s=0.3) as a:
        with pytest.raises(RosterIncomplete, match=r"1 of 3 nodes joined within 0.3 s \(network.join_deadline_s\): a"):
            await a.roster(deadline_s=DEADLINE_S)  # the broker's is the shorter one, though it may have stood still


async def left_by_its_own_deadline(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a node with a deadline is told in a run that a patient one has opened."""
    monkeypatch.setattr(lease, "_ANSWER_S", DEADLINE_S)
    async with (
        member(broker.address, "a", min_nodes=3, join_deadline_s=1e9),
        member(broker.address, "b", join_deadline_s=0.3) as b,
    ):
        with pytest.raises(RosterIncomplete) as raised:
            await b.roster(key="network.join_deadline_s")
    return str(raised.value)


async def test_who_waits_less_than_the_run_does_is_told_who_is_there(broker, monkeypatch):
    said = "run 'demo' had not enough nodes within 0.3 s (network.join_deadline_s): 2 of 3 nodes joined: a, b"
    assert await left_by_its_own_deadline(broker, monkeypatch) == said


async def test_by_an_answer_without_them_it_would_not_know(broker, monkeypatch):
    monkeypatch.setattr(_Run, "late", lambda _run: "no newer roster yet")
    assert "2 of 3" not in await left_by_its_own_deadline(broker, monkeypatch)


async def test_a_broker_that_dies_meanwhile_is_the_reason(ports):
    address = f"tcp://127.0.0.1:{ports}"
    broker = await Broker(address, lease_s=3_600.0).__aenter__()
    async with member(address, "a", min_nodes=3) as a:
        await broker.__aexit__()
        with pytest.raises(BrokerUnreachable, match=r"within 0\.3 s \(network\.join_deadline_s\)"):
            await a.roster(deadline_s=0.3, key="network.join_deadline_s")


async def test_an_address_without_a_broker_is_reported():
    with pytest.raises(BrokerUnreachable, match=r"no broker answered at tcp://127.0.0.1:9 within 0.2 s"):
        await member("tcp://127.0.0.1:9", connect_deadline_s=0.2).__aenter__()
    with pytest.raises(BadAddress, match="cannot be dialed"):
        await member("nowhere").__aenter__()


async def test_a_port_in_use_is_named(broker):
    with pytest.raises(AddressInUse, match=f"{broker.address} is in use"):
        await Broker(broker.address).__aenter__()


async def test_a_silent_member_becomes_suspect_and_then_lost(broker):
    async with EventStream(broker.address, ("node.",)) as events:
        silent = await member(broker.address, "b").__aenter__()
        for task in silent._tasks:
            task.cancel()
        broker._directory.lease_s = 0.2
        (suspect,) = await take(events, "node.suspect")
        (lost,) = await take(events, "node.lost")
        assert suspect["subject"] == lost["subject"] == "b"
        assert (lost["node"], lost["role"], lost["run"]) == ("broker", "broker", "demo")
        await silent.__aexit__()


async def test_a_newer_incarnation_ends_the_older_membership(broker):
    ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    second = member(broker.address, "a", incarnation=2, replace=True)
    async with member(broker.address, "a", on_error=ended.set_result), second:
        error = await asyncio.wait_for(ended, DEADLINE_S)
        assert isinstance(error, JoinRefused)
        assert error.code == "stale"


async def test_rosters_are_requested_only_while_they_are_watched(broker):
    rosters: asyncio.Queue[Any] = asyncio.Queue()
    async with member(broker.address, "b", on_roster=rosters.put_nowait) as b, member(broker.address, "a"):
        known = await b.roster()
        b.watch()
        b.watch()
        b.unwatch()
        async with member(broker.address, "c"):
            newer = await b.roster(known.version)
            assert rosters.empty()
            b.watch()
        assert (await asyncio.wait_for(rosters.get(), DEADLINE_S)).version == newer.version + 1
        assert rosters.empty()


async def test_a_late_member_gets_the_roster_at_once(broker):
    async with member(broker.address, "a") as a, member(broker.address, "b"):
        await a.roster()
        async with member(broker.address, "c") as late:
            roster = await late.roster(newer_than=0, deadline_s=DEADLINE_S)
            assert [one.node for one in roster.members] == ["a", "b", "c"]


async def test_a_node_that_failed_with_the_broker_has_time_to_rejoin(ports):
    address = f"tcp://127.0.0.1:{ports}"
    rejoined: asyncio.Queue[Any] = asyncio.Queue()
    options: dict[str, Any] = {"shared_config": {"mode": "federated"}, "min_nodes": 1, "join_deadline_s": 5.0}
    first = await Broker(address, lease_s=3_600.0).__aenter__()
    patient: dict[str, Any] = {"role": "client", "rejoin_deadline_s": 60.0, "on_joined": rejoined.put_nowait}
    async with member(address, "a", **options, **patient) as a:
        async with member(address, "c", role="coordinator", **options):
            await a.roster()
            await first.__aexit__()
        async with Broker(address, lease_s=3_600.0) as second:
            await asyncio.wait_for(rejoined.get(), DEADLINE_S)
            (run,) = second._directory._runs.values()
            assert run.join_deadline_s == 60.0  # and not 5, within which nobody is started again
            again = member(address, "c", role="coordinator", incarnation=2, **options)
            async with again:
                assert [one.incarnation for one in (await again.roster()).members] == [1, 2]


async def test_a_restarted_broker_is_joined_again(ports):
    address = f"tcp://127.0.0.1:{ports}"
    warnings: list[str] = []
    rejoined: asyncio.Queue[Any] = asyncio.Queue()
    options: dict[str, Any] = {"on_warning": warnings.append, "on_joined": rejoined.put_nowait}
    first = await Broker(address, lease_s=3_600.0).__aenter__()
    async with member(address, "a", **options) as a, member(address, "b", **options) as b:
        before = await a.roster()
        await b.roster()
        await first.__aexit__()
        async with Broker(address, lease_s=3_600.0):
            for _ in range(2):
                await asyncio.wait_for(rejoined.get(), DEADLINE_S)
            again = await a.roster(newer_than=before.version)
            assert again.version == 2  # it only grows, though the new broker counts from one
            assert again.members == before.members
    assert all("broker" in warning for warning in warnings)


async def test_late_subscribers_get_the_last_event_of_each_kind(broker):
    publisher = Publisher("a", "peer", "demo", 7)
    publisher.publish("node.ready", pid=1)  # before there is anywhere to publish to
    publisher.connect(broker.addresses["events_in"])
    for round_ in range(5):
        publisher.publish("metric.local", round=round_)
    async with EventStream(broker.address, ("metric.",)) as early:
        metrics = await take(early, "metric.local")
        while metrics[-1]["round"] < 4:
            metrics += await take(early, "metric.local")
        publisher.publish("metric.local", round=5)
        assert (await take(early, "metric.local"))[0]["round"] == 5
    async with EventStream(broker.address) as late:
        (ready,) = await take(late, "node.ready")
        assert ready == ready | {"node": "a", "role": "peer", "run": "demo", "incarnation": 7, "seq": 1, "pid": 1}
        (metric,) = await take(late, "metric.local")
        assert (metric["round"], metric["seq"]) == (5, 6)
    await publisher.close()


async def test_a_subscription_is_active_before_the_snapshot_is_requested(broker):
    async with EventStream(broker.address) as events:
        await asyncio.wait_for(events._welcomed.wait(), DEADLINE_S)
        broker.publish("warning", "demo", reason="now")
        assert (await take(events, "warning"))[0]["reason"] == "now"


async def test_missed_events_are_counted(broker):
    publisher = Publisher("a", "peer", "demo", 7)
    publisher.connect(broker.addresses["events_in"])
    async with Monitor(broker.address) as monitor:
        publisher.publish("metric.local", round=0)
        await take(monitor, "metric.local")
        publisher._seq["metric.local"] += 3  # lost on the way
        publisher.publish("metric.local", round=4)
        (gap,) = await take(monitor, "gap")
        assert (gap.subject, gap.about, gap.missed) == ("a", "metric.local", 3)
        assert (gap.run, gap.node) == ("demo", "stream")
        assert (await take(monitor, "metric.local"))[0]["round"] == 4
        assert (monitor.received, monitor.missed, monitor.last["a"]["round"]) == (2, 3, 4)
    await publisher.close()


async def test_a_monitor_of_one_run_gets_no_events_of_another(broker):
    async with Monitor(broker.address, run="demo") as monitor:
        broker.publish("round.completed", "other", round=1)
        broker.publish("round.completed", "demo", round=2)
        assert (await take(monitor, "round.completed"))[0]["round"] == 2


async def test_monitoring_continues_after_a_restart_of_the_broker(ports, monkeypatch):
    monkeypatch.setattr(events_module, "_REQUEST_S", 0.2)
    address = f"tcp://127.0.0.1:{ports}"
    publisher = Publisher("a", "peer", "demo", 7)
    first = await Broker(address).__aenter__()
    publisher.connect(first.addresses["events_in"])
    async with Monitor(address) as monitor:
        publisher.publish("metric.local", round=0)
        await take(monitor, "metric.local")
        await first.__aexit__()
        (away,) = await take(monitor, "warning")
        assert away["reason"] == f"no broker answers at {address}; waiting for it"
        publisher.publish("metric.local", round=1)  # kept, or counted as a gap; in either case the stream goes on
        async with Broker(address):
            (back,) = await take(monitor, "warning")
            assert "answers" in back["reason"]
            publisher.publish("metric.local", round=2)
            while (await take(monitor, "metric.local"))[0]["round"] < 2:
                pass
            assert monitor.received + monitor.missed == 3
    await publisher.close()


async def test_malformed_events_are_dropped_and_counted(broker):
    context: zmq.Context[Any] = zmq.Context()
    malformed = context.socket(zmq.XPUB)
    malformed.linger = 0
    malformed.connect(broker.addresses["events_in"])
    requester = context.socket(zmq.DEALER)
    requester.linger = 0
    requester.connect(broker.address)
    async with EventStream(broker.address) as events:
        await asyncio.wait_for(events._welcomed.wait(), DEADLINE_S)
        await asyncio.to_thread(malformed.recv)  # the relay's subscription
        malformed.send_multipart([b"metric.local", b"\x00"])
        malformed.send_multipart([b"metric.local"])
        malformed.send_multipart(encode_event(valid(type="warning", reason="good")))
        assert (await take(events, "warning"))[0]["reason"] == "good"
    requester.send_multipart([b"rubbish"])
    assert b"malformed" in await asyncio.to_thread(requester.recv)
    assert broker.counters.malformed == 3
    malformed.close()
    requester.close()
    context.term()


def valid(**fields: Any) -> dict[str, Any]:
    head = {"type": "warning", "run": "demo", "node": "x", "role": "peer", "incarnation": 1, "seq": 1, "time": 1.0}
    return head | fields


@pytest.mark.parametrize(
    "frames",
    [
        [b"warning"],
        [b"warning", b"NV\x02\x80"],
        [b"warning", b"NV\x01\xc1"],
        [b"warning", b"NV\x01\x90"],
        [b"other", encode_event(valid())[1]],
        encode_event(valid(seq="1")),
        encode_event(valid(seq=-1)),
        encode_event(valid(incarnation=2**60)),
        encode_event(valid(time=None)),
        encode_event(valid(reason="x" * 70_000)),
    ],
)
def test_a_malformed_event_is_refused_by_name(frames):
    with pytest.raises(ProtocolError):
        decode_event(frames, Limits().control_bytes)


def test_an_event_survives_encoding_and_decoding():
    assert decode_event(encode_event(valid(names=["a"], x=None)), 65_536) == valid(names=["a"], x=None)


def test_the_fields_of_every_event_are_read_without_the_others():
    whole = valid(names=["a"] * 1_000, x={"y": [None]})
    assert decode_head(encode_event(whole)) == valid()
    for flaw in ({"seq": "1"}, {"node": None}, {"incarnation": True}):
        with pytest.raises(ProtocolError):
            decode_head(encode_event(valid(**flaw)))


@pytest.mark.parametrize("head_first", [True, False])
async def test_an_event_that_is_not_its_senders_business_is_not_decoded(head_first, monkeypatch):
    """It may hold 60,000 numbers, which take some milliseconds."""
    decoded: list[int] = []
    if not head_first:  # the fault
        monkeypatch.setattr(relay, "decode_head", relay.decode_event)
    monkeypatch.setattr(events, "check_event", lambda _: decoded.append(1))
    async with Broker("tcp://127.0.0.1:0", security=Plain(enrollment=Enrollment(b"s" * 32, {"a": "peer"}))) as broker:
        publisher = Publisher("stranger", "peer", "demo", 1)
        publisher.connect(broker.addresses["events_in"])
        publisher.publish("metric.test", many=[1] * 1_000)
        async with asyncio.timeout(60):
            while not broker.counters.refused:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await publisher.close()
    assert bool(decoded) != head_first


async def test_an_event_that_is_too_large_becomes_a_warning():
    publisher = Publisher("a", "peer", "demo", 1)
    assert publisher.publish("metric.test", sketch=["x" * 1_000] * 100)["type"] == "warning"


def test_gaps():
    gaps = Gaps()
    assert [gaps.missed(valid(seq=seq)) for seq in (5, 6, 6, 9, 8)] == [0, 0, None, 2, None]
    assert gaps.missed(valid(seq=1, incarnation=2)) == 0
    fresh = Gaps()
    assert [fresh.missed(valid(seq=seq), snapshot=1) for seq in (3, 7)] == [0, 0]  # superseded, not missed
    assert fresh.missed(valid(seq=9)) == 1
    assert fresh.missed(valid(seq=12), snapshot=2) == 2  # after a broker's return they were missed
    again = Gaps()
    # Known from one snapshot only, then from the next, with nothing between: the hole is of our own time.
    assert [again.missed(valid(seq=1), snapshot=1), again.missed(valid(seq=3), snapshot=2)] == [0, 1]


def test_binding_patterns():
    places = ("x", "y")
    assert split_bind("tcp://h:7", places) == ["tcp://h:7", "tcp://h:8"]
    assert split_bind("tcp://h:0", places) == split_bind("tcp://h:*", places) == ["tcp://h:*"] * 2
    assert split_bind("ipc:///a", places) == ["ipc:///a-x", "ipc:///a-y"]
    for wrong in ("h:7", "tcp://h", "tcp://h:z", "tcp://h:65535", "inproc://*", "ftp://h:1"):
        with pytest.raises(BadAddress):
            split_bind(wrong, places)


def test_a_wildcard_host_is_replaced_by_that_of_the_directory():
    assert reached_by("tcp://0.0.0.0:6", "tcp://h:5") == "tcp://h:6"
    assert reached_by("tcp://g:6", "tcp://h:5") == "tcp://g:6"


BELOW = {"demo/region-0": {"region-0": "coordinator", "a": "client"}}


async def relayed_of(node: str, role: str) -> list[str]:
    """Return what of a node's event is relayed, or why it is not."""
    heard: list[str] = []
    plain = Plain(enrollment=Enrollment(b"s" * 32, {"region-0": "aggregator"}, BELOW))
    async with Broker("tcp://127.0.0.1:0", security=plain) as broker, asyncio.timeout(60):
        publisher = Publisher(node, role, "demo", 1)
        publisher.connect(broker.addresses["events_in"])
        watch_events(broker, lambda event: heard.append(str(event.get("reason") or event["node"])))
        publisher.publish("metric.local", round=1)
        while not heard:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await publisher.close()
    return heard


@pytest.mark.parametrize(("node", "role"), [("a", "client"), ("region-0", "aggregator")])
async def test_who_is_in_a_region_publishes_for_the_run_above(node: str, role: str) -> None:
    assert await relayed_of(node, role) == [node]


async def test_in_it_an_aggregator_is_no_coordinator() -> None:
    assert "not relayed" in (await relayed_of("region-0", "coordinator"))[0]


async def test_by_the_roles_of_the_run_above_alone_a_regions_client_would_be_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = lambda self: object.__setattr__(self, "publishers", self.roles)  # noqa: E731
    monkeypatch.setattr(Enrollment, "__post_init__", alone)
    assert "a is no node of the run" in (await relayed_of("a", "client"))[0]


async def test_what_the_broker_says_of_a_region_is_of_the_run_above() -> None:
    below = Enrollment(b"s" * 32, {"region-0": "aggregator"}, {"demo/region-0": {"a": "client"}})
    seen: list[tuple[str, str]] = []
    async with Broker("tcp://127.0.0.1:0", security=Plain(enrollment=below)) as broker:
        broker._relay.on_event = lambda event: seen.append((event["type"], event["run"]))
        broker.publish("node.lost", "demo/region-0", subject="a", reason="silent")
        broker.publish("node.lost", "demo", subject="region-0", reason="silent")
    assert seen == [("node.lost", "demo")] * 2
