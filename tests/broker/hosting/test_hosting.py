"""What hosted nodes have beside the contract of every transport, which they are held to in test_transport_contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import zmq
from nervenet.broker.enrollment import Enrollment
from nervenet.broker.errors import BadAddress, ProtocolError
from nervenet.broker.hosting import Host, HostedTransport
from nervenet.broker.hosting.carrying import carried, opened
from nervenet.broker.hosting.introductions import Introductions
from nervenet.broker.messages import Carried, CarriedBulk, Exchange, GetModel, Goodbye, Heartbeat, Payload, Refused
from nervenet.broker.security.plain import Plain
from nervenet.broker.transport_events import Arrival, ConnectionRefused, LinkLost, LinkUp, SendFailed

BEAT = Heartbeat(3, "training", ())
MODEL = Payload("00ff", "float32", 3)
ROLES = {"a": "peer", "b": "peer", "c": "peer", "client": "client", "host-0": "host", "host-1": "host"}


class Processes:
    """Two hosts, and their nodes."""

    def __init__(self, box: Any) -> None:
        self.box = box
        self.context: zmq.Context[Any] = zmq.Context()
        self.hosts: list[Host] = []

    async def host(self, secret: bytes = b"") -> Host:
        security = Plain(enrollment=Enrollment(secret, ROLES))
        name = f"host-{len(self.hosts)}"
        host = Host(name, "demo", bind="tcp://127.0.0.1:*", nodes=2, context=self.context, security=security)
        self.hosts.append(await host.__aenter__())
        return host

    async def node(
        self, host: Host, name: str, incarnation: int = 1, role: str = "peer"
    ) -> tuple[HostedTransport, Any]:
        transport, box = host.transport(name, role, incarnation), self.box()
        await transport.open(box, box.fail)
        return transport, box


@pytest.fixture
async def processes(box: Any) -> AsyncIterator[Processes]:
    made = Processes(box)
    yield made
    for host in made.hosts:
        await host.__aexit__()
    made.context.term()


async def both_up(one: tuple[HostedTransport, Any], other: tuple[HostedTransport, Any]) -> None:
    for (mine, at_mine), (theirs, _) in ((one, other), (other, one)):
        mine.link(theirs.node, theirs.addresses)
        await at_mine.first(LinkUp, lambda up, node=theirs.node: up.peer == node and up.dialed)


async def test_there_is_one_link_between_two_processes_whatever_the_number_of_nodes(processes: Processes) -> None:
    one, two = await processes.host(), await processes.host()
    here = [await processes.node(one, name) for name in "ab"]
    there = [await processes.node(two, name) for name in "cd"]
    for mine in here:
        for theirs in there:
            await both_up(mine, theirs)
    assert list(one._transport._outbound._links) == ["host-1"]
    (a, _), (_, at_c), (_, at_d) = here[0], *there
    a.send(["c", "d"], Exchange(1, MODEL), np.ones(3, np.float32))
    first, second = await at_c.first(Exchange), await at_d.first(Exchange)
    assert first.message is second.message, "carried once, for both"
    assert (first.sender, first.message.payload) == ("a", MODEL)
    np.testing.assert_array_equal(first.array, np.ones(3, np.float32))
    assert a.counters.bytes_sent > 2 * 12


async def test_what_is_sent_in_memory_is_neither_the_senders_array_nor_its_objects(processes: Processes) -> None:
    host = await processes.host()
    (a, at_a), (b, at_b) = await processes.node(host, "a"), await processes.node(host, "b")
    await both_up((a, at_a), (b, at_b))
    weights, fields = np.ones(3, np.float32), {"columns": ["x"]}
    from nervenet.broker.messages import PeerSurvey

    a.send("b", PeerSurvey("a", fields, MODEL), weights)
    weights[:] = 7
    fields["columns"].append("y")
    arrival = await at_b.first(PeerSurvey)
    assert arrival.message.fields == {"columns": ["x"]}
    assert arrival.array.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        arrival.array[0] = 5.0


async def test_who_is_dialed_before_it_is_open_answers_when_it_is(processes: Processes) -> None:
    one, two = await processes.host(), await processes.host()
    a, at_a = await processes.node(one, "a")
    for host, name in ((one, "b"), (two, "c")):
        a.link(name, {**host.addresses, "host": host.name})
    for host, name in ((one, "b"), (two, "c")):
        _, box = await processes.node(host, name)
        await at_a.first(LinkUp, lambda up, name=name: up.peer == name)
        a.send(name, BEAT)
        await box.first(Heartbeat)


async def test_what_is_said_before_the_answer_waits_for_it(processes: Processes) -> None:
    one, two = await processes.host(), await processes.host()
    (a, _), (c, at_c) = await processes.node(one, "a"), await processes.node(two, "c")
    a.link("c", c.addresses)
    a.send("c", Exchange(1, MODEL), np.ones(3, np.float32))
    a.send("c", BEAT)
    await at_c.first(Exchange)
    await at_c.first(Heartbeat)
    assert isinstance(at_c.items[0], LinkUp)


async def test_bulk_that_overtakes_the_answer_is_taken_after_it(box: Any) -> None:
    class Alone:
        name, addresses = "host-0", {}
        enter = leave = reach = lambda self, *_: None

        def reached(self, _: str) -> bool:
            return True

        def carry(self, *_: Any, **__: Any) -> None:
            return None

    node, taken = HostedTransport(Alone(), "a", "peer", "demo", incarnation=1), box()  # type: ignore[arg-type]
    await node.open(taken, taken.fail)
    node.link("c", {"host": "host-1"})
    node.take("c", "host-1", Exchange(1, MODEL), np.ones(3, np.float32), 60)
    assert taken.items == []
    from nervenet.broker.versions import hello

    node.take("c", "host-1", hello("c", "peer", "demo", 9), None, 40, answers=True)
    assert [type(getattr(item, "message", item)) for item in taken.items] == [LinkUp, Exchange]


async def test_a_node_that_closes_is_lost_to_all_and_its_process_goes_on(processes: Processes) -> None:
    one, two = await processes.host(), await processes.host()
    a, b, c = [await processes.node(host, name) for host, name in ((one, "a"), (one, "b"), (two, "c"))]
    for other in (b, c):
        await both_up(a, other)
    await both_up(b, c)
    a[0].send(["b", "c"], Goodbye(2, "done"))
    await a[0].close(0.0)
    for _, box in (b, c):
        await box.first(LinkLost, lambda lost: lost.peer == "a")
        await box.first(Goodbye)
        kinds = [type(getattr(item, "message", item)) for item in box.items if getattr(item, "sender", "a") == "a"]
        assert kinds.index(Goodbye) < kinds.index(LinkLost), "what it said comes before the news that it went"
    b[0].send("c", BEAT)
    await c[1].first(Heartbeat)
    c[0].unlink("a")
    c[0].send("a", BEAT)
    assert (await c[1].first(SendFailed)).cause == "unreachable"


async def test_a_process_that_ends_is_the_loss_of_all_its_nodes(processes: Processes) -> None:
    one, two = await processes.host(), await processes.host()
    a, c, d = [await processes.node(host, name) for host, name in ((one, "a"), (two, "c"), (two, "d"))]
    for other in (c, d):
        await both_up(a, other)
    await two._transport.close(0.0)
    for name in "cd":
        await a[1].first(LinkLost, lambda lost, name=name: lost.peer == name)


async def test_a_node_of_another_process_speaks_for_itself_alone(processes: Processes) -> None:
    one, two = await processes.host(), await processes.host()
    a, b, c = [await processes.node(host, name) for host, name in ((one, "a"), (one, "b"), (two, "c"))]
    await both_up(a, b)
    await both_up(a, c)
    two.carry("host-0", "b", ["a"], Goodbye(9, "forged"), 10)
    two.carry("host-0", "c", ["a"], BEAT, 10)
    await a[1].first(Heartbeat)
    assert a[1].of(Goodbye) == [], "b has introduced itself from its own process"


async def test_without_the_proof_of_the_launch_no_process_and_no_node_is_let_in(processes: Processes) -> None:
    one, two = await processes.host(b"s" * 32), await processes.host(b"t" * 32)
    (a, at_a), (c, at_c) = await processes.node(one, "a"), await processes.node(two, "c")
    a.link("c", c.addresses)
    assert "host-0 does not prove to be of run 'demo'" in (await at_c.first(ConnectionRefused)).reason
    assert "host-0 does not prove to be of run 'demo'" in (await at_a.first(Refused)).message.reason


async def test_what_is_not_its_business_is_not_taken_from_a_node(processes: Processes) -> None:
    host = await processes.host()
    (a, at_a), (client, at_client) = (
        await processes.node(host, "a"),
        await processes.node(host, "client", role="client"),
    )
    a.link("client", client.addresses)
    refusal = (await at_a.first(Refused)).message
    assert (refusal.code, refusal.about) == ("identity", "hello")
    assert at_client.of(LinkUp) == []


async def test_who_shares_a_process_reaches_only_those_that_do(processes: Processes) -> None:
    a, _ = await processes.node(await processes.host(), "a")
    with pytest.raises(BadAddress, match="no process that hosts it is given"):
        a.link("x", {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:2"})


@pytest.mark.parametrize(
    "carrier",
    [
        Carried("a", ("b",), {"t": "exchange", "round": 1}, 9),
        Carried("a", ("b",), {"t": "carried", "sender": "a", "to": [], "message": {}, "nbytes": 1}, 9),
        Carried("a", ("b",), {"t": "heartbeat", "round": -1, "state": "", "sending": []}, 9),
        Carried("a", ("b",), {"t": ["heartbeat"]}, 9),
        Carried("a", ("b",), {}, 9),
        CarriedBulk("a", ("b",), {"t": "heartbeat", "round": 1, "state": "", "sending": []}, 9),
    ],
)
def test_what_is_carried_and_is_no_message_of_the_lane_is_malformed(carrier: Carried | CarriedBulk) -> None:
    with pytest.raises(ProtocolError, match="carried"):
        opened(carrier)


@pytest.mark.parametrize("message", [GetModel(), BEAT, Exchange(4, MODEL, mass=0.5, degree=2)])
def test_a_message_comes_out_of_its_carrier_as_it_went_in(message: Any) -> None:
    assert opened(carried("a", ("b",), message, 10)) == message


async def test_malformed_messages_are_reported_to_those_they_were_for(processes: Processes) -> None:
    one, two = await processes.host(), await processes.host()
    a, c = await processes.node(one, "a"), await processes.node(two, "c")
    await both_up(a, c)
    two._transport.send("host-0", Carried("c", ("a",), {"t": "nonsense"}, 9))
    await a[1].until(lambda: a[0].counters.malformed)
    assert not [item for item in a[1].items if isinstance(item, Arrival)]


async def refused_and_kept(processes: Processes) -> tuple[list[str], int]:
    """Return what is reported of a process that makes up names, and how many of its HELLOs are kept."""
    one, two = await processes.host(b"s" * 32), await processes.host(b"s" * 32)
    a, c = await processes.node(one, "a"), await processes.node(two, "c")
    await both_up(a, c)
    for _ in range(2):
        for number in range(20):
            two.carry("host-0", "c", [f"nobody-{number}"], c[0]._hello("nobody"), 40)
            two.carry("host-0", f"x-{number}", ["a"], c[0]._hello("a"), 40)
    c[0].send("a", BEAT)
    await a[1].first(Heartbeat)
    reasons = [each.reason for each in a[1].of(ConnectionRefused)]
    return sorted(reasons), sum(len(one._introductions.take(f"nobody-{number}")) for number in range(20))


async def test_a_process_that_makes_up_names_is_reported_and_takes_no_memory(processes: Processes) -> None:
    reasons, kept = await refused_and_kept(processes)
    assert kept == 0
    assert reasons == [
        "host-1 greets a node that is not of the run",
        "host-1 speaks for a node that is not of the run",
    ]


async def test_not_held_to_the_list_it_would_take_as_much_as_it_likes(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervenet.broker.hosting.host.Introductions", lambda _: Introductions())
    reasons, kept = await refused_and_kept(processes)
    assert kept == 20
    assert not [each for each in reasons if "greets" in each]
