"""Who leaves when: nobody hangs up on mail that is still to be read, and nobody waits for those who have gone."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from tempfile import gettempdir
from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.broker import lease
from nervenet.broker import transport as t
from nervenet.broker.broker import Broker
from nervenet.broker.directory import Directory
from nervenet.broker.errors import BrokerUnreachable, JoinRefused, NameTaken, PeerUnreachable
from nervenet.broker.handshake import Link
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Goodbye, MemberState, Peers
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.runtime import said_waits, session
from nervenet.nodes.runtime.connections import Farewell
from nervenet.nodes.runtime.identity import NodeIdentity, inbox_address
from nervenet.nodes.runtime.session import Session

LONG_S = 1.0


async def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def left_alone(close: Callable[[t.ZmqTransport], Awaitable[None]]) -> float:
    """How long a node takes to close, in seconds, when the one it has dialed has gone before."""
    heard: list[Any] = []
    one = t.ZmqTransport("one", "peer", "r", bind="tcp://127.0.0.1:*")
    other = t.ZmqTransport("other", "peer", "r", bind="tcp://127.0.0.1:*")
    for transport, into in ((one, heard), (other, [])):
        await transport.open(into.append, lambda error: pytest.fail(str(error)))
    one.link("other", other.addresses)
    other.link("one", one.addresses)
    await until(lambda: any(isinstance(item, t.LinkUp) and item.dialed for item in heard))
    await other.close(0.0)
    await until(lambda: any(isinstance(item, t.LinkLost) for item in heard))
    # Told of either direction; the one that matters is the one that is dialed again.
    await until(lambda: one._outbound._links["other"].up is None)
    began = time.monotonic()
    await close(one)
    return time.monotonic() - began


async def test_nobody_waits_for_one_who_has_gone() -> None:
    # Allowed a minute, it takes none of it; how much a busy machine takes for the rest does not matter.
    assert await left_alone(lambda transport: transport.close(60.0)) < 50.0


async def test_without_that_rule_a_hello_to_nobody_holds_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Link.close
    monkeypatch.setattr(Link, "close", lambda link, _linger_s=0.0: close(link, LONG_S))
    # Not each time: a HELLO that went out just before the news that nobody is there holds up nothing.
    for _ in range(20):
        if await left_alone(lambda transport: transport.close(LONG_S)) >= 0.8 * LONG_S:
            return
    pytest.fail("the rule is not needed")


def a_session() -> Session:
    return Session("coordinator", NodeIdentity("tcp://127.0.0.1:1", "r", "c"), Experiment(), binds=True)


def link(peer: str) -> t.LinkUp:
    return t.LinkUp(peer, "client", 1, False)


async def test_whoever_said_something_last_leaves_last() -> None:
    session = a_session()
    for name in ("a", "b", "launcher"):
        session._receive(link(name))
    waiting = asyncio.create_task(session.connections.wait_for_goodbyes(20.0))
    session._receive(t.Arrival("a", Goodbye(1, "done"), None, 9))
    await asyncio.sleep(0)
    assert not waiting.done()
    session._receive(t.LinkLost("b", 1, "gone"))
    async with asyncio.timeout(60):
        await waiting
    session._context.term()


async def test_and_waits_no_longer_than_it_says() -> None:
    session = a_session()
    session._receive(link("silent"))
    async with asyncio.timeout(60):
        await session.connections.wait_for_goodbyes(0.01)
    session._context.term()


class Told:
    """A transport that keeps what it is to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[str], Any]] = []

    def send(self, to: list[str], message: Any) -> None:
        self.sent.append((list(to), message))


async def told_of_leaving(to_late: str = "") -> list[tuple[list[str], Any]]:
    """What a node says that leaves, while another connects to it."""
    session, told = a_session(), Told()
    session._farewell = Farewell(told)  # type: ignore[arg-type]
    session._receive(link("a"))
    session.send_goodbye(["a"], "done", to_late)
    session._receive(link("late"))
    session._context.term()
    return told.sent


async def test_who_connects_to_one_that_leaves_is_told_that_it_does() -> None:
    goodbye = Goodbye(0, "done")
    assert await told_of_leaving() == [(["a"], goodbye), (["late"], goodbye)]


async def test_of_one_that_has_failed_it_hears_why() -> None:
    """The others have been told by its machine."""
    failed = Goodbye(0, "c failed: no rows")
    assert await told_of_leaving("c failed: no rows") == [(["a"], Goodbye(0, "done")), (["late"], failed)]


async def test_else_it_would_wait_for_answers_that_never_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Farewell, "note", lambda *_: None)
    assert [to for to, _ in await told_of_leaving()] == [["a"]]


async def test_a_vector_that_is_lost_is_a_warning_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    session, said = a_session(), list[Any]()
    monkeypatch.setattr(session, "publish", lambda kind, fields: said.append((kind, fields)))
    session._receive(t.VectorLost("a", "a reference to region 3, which is not mapped here"))
    reason = "a message of a is lost: it has a reference to region 3, which is not mapped here"
    assert said == [("warning", {"subject": "a", "reason": reason})]
    assert not session._backlog, "it is nothing for the machine"
    session._context.term()


def test_an_inbox_for_each_transport() -> None:
    def address(**network: object) -> str:
        return inbox_address(Experiment.from_dict({"processes": 1, "network": network}).network)

    assert address() == "tcp://127.0.0.1:*"
    assert address(transport="inproc").startswith("inproc://nervenet-")
    path = address(transport="ipc")
    assert path.startswith(f"ipc://{gettempdir()}/")
    # Of the 107 characters that a socket's path may have, most are for the folder, and some for the lane's suffix.
    assert len(path.removeprefix(f"ipc://{gettempdir()}")) < 30
    assert address(transport="ipc") != path


async def joined_later(monkeypatch: pytest.MonkeyPatch, port: int, *, patient: bool) -> list[str]:
    """What a node says that starts before its broker, which is there long after the deadline to join."""
    monkeypatch.setattr(session, "ATTEMPT_S", 0.05)
    monkeypatch.setattr(said_waits, "SAY_EVERY_S", 0.05)
    address = f"tcp://127.0.0.1:{port}"
    experiment = Experiment.from_dict({"network": {"join_deadline_s": 0.2, "min_nodes": 1}, "mode": "gossip"})
    identity = NodeIdentity(address, "r", "p", patient=patient)
    node, began = Session("peer", identity, experiment, binds=True), asyncio.Event()
    said: list[str] = []
    waited = asyncio.Event()

    def hear(event: dict[str, Any]) -> None:
        said.append(str(event.get("reason")))
        if len(said) > 8:  # twice the deadline is over
            waited.set()

    node.on_event = hear
    opening = asyncio.create_task(node.open(lambda _roster: began.set()))
    async with asyncio.timeout(60):
        await asyncio.wait({opening, asyncio.ensure_future(waited.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            await opening
        async with Broker(address):
            await opening
            await node.close()
    assert began.is_set()
    return said


async def test_a_patient_node_waits_for_its_broker_and_says_so(monkeypatch: pytest.MonkeyPatch, ports: int) -> None:
    said = await joined_later(monkeypatch, ports, patient=True)
    assert said[0].startswith("waiting for the broker at tcp://127.0.0.1:")
    assert said[0].endswith(", for 0.05 s")


async def test_by_its_deadline_it_would_give_up_and_names_the_key(monkeypatch: pytest.MonkeyPatch, ports: int) -> None:
    with pytest.raises(BrokerUnreachable, match=r"within 0\.2 s \(network\.join_deadline_s\)"):
        await joined_later(monkeypatch, ports, patient=False)


async def said_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> str:
    """For whom a patient node says it waits, once it has seen that its broker died before the run began."""
    monkeypatch.setattr(said_waits, "SAY_EVERY_S", 0.05)
    experiment = Experiment.from_dict({"network": {"min_nodes": 2}, "mode": "gossip"})
    said: list[str] = []
    joined, seen, waits = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def hear(event: dict[str, Any]) -> None:
        reason = str(event.get("reason"))
        if event["type"] == "node.joined":
            joined.set()
        elif "does not answer; no run begins without it" in reason:
            seen.set()
        elif seen.is_set() and reason.startswith("waiting for"):
            said.append(reason)
            waits.set()

    async with asyncio.timeout(60):
        async with Broker("tcp://127.0.0.1:0", lease_s=0.3) as broker:
            node = Session("peer", NodeIdentity(broker.address, "r", "p", patient=True), experiment, binds=True)
            node.on_event = hear
            opening = asyncio.create_task(node.open(lambda _roster: None))
            await joined.wait()
        await waits.wait()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    return said[0]


async def test_a_patient_node_whose_broker_has_died_waits_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no longer answers" in await said_without_a_broker(monkeypatch)


async def test_by_the_old_words_it_would_wait_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_awaited", lambda _session: "the other nodes")
    assert "no longer answers" not in await said_without_a_broker(monkeypatch)


class Deaf:
    """A lease whose broker never answers, each attempt as long as it may take."""

    def __init__(self, now: list[float], connect_deadline_s: float | None = None) -> None:
        self._now, self._always_s = now, connect_deadline_s
        self.connect_deadline_s = 0.0

    async def __aenter__(self) -> None:
        self._now[0] += self.connect_deadline_s if self._always_s is None else self._always_s
        raise BrokerUnreachable("x", self.connect_deadline_s)


async def gives_up_after(monkeypatch: pytest.MonkeyPatch, attempt_s: float | None = None) -> tuple[float, str]:
    """How long a node with 12 s to join asks a broker that is not there, and what it says then."""
    experiment = Experiment.from_dict({"network": {"join_deadline_s": 12.0}})
    node, now = Session("client", NodeIdentity("tcp://127.0.0.1:1", "r", "c"), experiment, binds=True), [0.0]
    loop = SimpleNamespace(time=lambda: now[0])
    monkeypatch.setattr(session, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    lease: Any = Deaf(now, attempt_s)
    with pytest.raises(BrokerUnreachable) as raised:
        await node._enter(lease)
    node._context.term()
    return now[0], str(raised.value)


async def test_the_deadline_to_join_holds_for_the_last_attempt_too(monkeypatch: pytest.MonkeyPatch) -> None:
    took_s, said = await gives_up_after(monkeypatch)
    assert took_s == 12.0
    assert "within 12 s (network.join_deadline_s)" in said


async def test_by_attempts_of_one_length_it_would_take_longer_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    took_s, said = await gives_up_after(monkeypatch, session.ATTEMPT_S)
    assert took_s == 20.0
    assert "within 12 s (network.join_deadline_s)" in said


async def started_again_by_a_clock_set_back(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The incarnations of a node that dies, and of its successor, whose clock says an hour less."""
    monkeypatch.setattr(t, "new_incarnation", lambda: 3_600_000_000)
    experiment = Experiment.from_dict({"network": {"min_nodes": 1}, "mode": "gossip"})
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(60):
        identity = NodeIdentity(broker.address, "r", "p")
        first = Session("peer", identity, experiment, binds=True)
        await first.open(lambda _roster: None)
        monkeypatch.setattr(t, "new_incarnation", lambda: 7)
        again = Session("peer", dataclasses.replace(identity, replace=True), experiment, binds=True)
        addresses: list[Any] = []
        try:
            await again.open(lambda roster: addresses.extend(m.addresses for m in roster.members))
            assert addresses == [dict(again.transport.addresses)]
            assert again.publisher.publish("x")["incarnation"] == again.incarnation
            await again.close()
        finally:
            await first.close()
    return first.incarnation, again.incarnation


async def test_a_clock_that_was_set_back_does_not_keep_a_node_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = await started_again_by_a_clock_set_back(monkeypatch)
    assert again == first + 1


async def test_by_wall_time_alone_it_would_be_the_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_join_as_newest", Session._join_by_broker)
    with pytest.raises(JoinRefused, match="has been started again since"):
        await started_again_by_a_clock_set_back(monkeypatch)


async def second_of_a_name(*, replace: bool = False, silent: bool = False) -> tuple[list[str], str]:
    """What a session says that opens under the name of another, which may have gone silent; and how that one ends."""
    experiment = Experiment.from_dict({"network": {"min_nodes": 1}, "mode": "gossip"})
    async with Broker("tcp://127.0.0.1:0", lease_s=0.9) as broker, asyncio.timeout(60):
        identity = NodeIdentity(broker.address, "r", "north")
        first = Session("peer", identity, experiment, binds=True)
        second = Session("peer", dataclasses.replace(identity, replace=replace), experiment, binds=True)
        said: list[str] = []

        def hear(event: dict[str, Any]) -> None:
            said.append(str(event.get("reason")))
            if silent and "is held" in said[-1]:
                broker._directory.lease_s = 0.9

        second.on_event = hear
        await first.open(lambda _roster: None)
        broker._directory.lease_s = 60.0  # however long this process stands still, the first has renewed in time
        if silent:
            for task in first._joined()._tasks:
                task.cancel()
        try:
            await second.open(lambda _roster: None)
            if replace:
                await until(lambda: first._failure)
            await second.close()
        finally:
            await first.close()
    return said, str(first._failure)


async def test_the_second_of_a_name_is_refused_while_the_first_answers() -> None:
    with pytest.raises(NameTaken, match=r"the name north is taken .*pid \d+ at tcp://.*another --name, or .*--replace"):
        await second_of_a_name()


async def test_without_that_rule_it_would_evict_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Directory, "_claim", lambda *_: None)
    said, _ = await second_of_a_name()
    assert not any("north" in reason for reason in said)


async def test_replace_takes_the_name_and_the_first_ends_saying_so() -> None:
    _, ending = await second_of_a_name(replace=True)
    assert "north of run 'r' has been started again since, and has the name now (pid " in ending


async def test_a_silent_one_is_waited_for_and_then_replaced() -> None:
    said, _ = await second_of_a_name(silent=True)
    assert any(reason.startswith("the name north is held in run 'r' (pid ") for reason in said)


async def replaced_while_it_waits_for_others(within_s: float) -> None:
    experiment = Experiment.from_dict({"network": {"min_nodes": 2}, "mode": "gossip"})
    async with Broker("tcp://127.0.0.1:0", lease_s=0.6) as broker, asyncio.timeout(60):
        identity = NodeIdentity(broker.address, "r", "north", patient=True)
        first = Session("peer", identity, experiment, binds=True)
        second = Session("peer", dataclasses.replace(identity, replace=True), experiment, binds=True)
        opening = asyncio.create_task(first.open(lambda _roster: None))
        await until(lambda: first._lease)
        after = asyncio.create_task(second.open(lambda _roster: None))
        await until(lambda: first._failure)
        try:
            await asyncio.wait_for(opening, within_s)
        finally:
            after.cancel()
            await asyncio.wait({after})


async def test_a_node_that_is_replaced_while_it_waits_for_others_ends_saying_so() -> None:
    with pytest.raises(JoinRefused, match="north of run 'r' has been started again since, and has the name now"):
        await replaced_while_it_waits_for_others(60.0)


async def test_by_its_roster_alone_it_would_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "_poll_as_member", Lease._poll)
    with pytest.raises(TimeoutError):
        await replaced_while_it_waits_for_others(0.5)


async def second_by_a_seed_peer(monkeypatch: pytest.MonkeyPatch, *, replace: bool) -> str:
    """The name of a session that joins by a peer which lists another one of that name, as alive."""
    experiment = Experiment.from_dict({"network": {"min_nodes": 1}, "mode": "gossip"})
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(60):
        first = Session("peer", NodeIdentity(broker.address, "r", "north"), experiment, binds=True)
        await first.open(lambda _roster: None)
        me = MemberState("north", first.incarnation, "alive", addresses=dict(first.transport.addresses))

        async def listed(*_: object) -> Peers:
            return Peers((me,), ("north",))

        monkeypatch.setattr(session, "discover_peers", listed)
        identity = NodeIdentity("", "r", "north", seed_peer="tcp://127.0.0.1:1", replace=replace)
        second = Session("peer", identity, experiment, binds=True)
        try:
            await second.open(lambda _roster: None)
            await second.close()
        finally:
            await first.close()
    return second.identity.name


async def joined_by_a_later_seed_peer(*, patient: bool) -> tuple[str, list[str]]:
    """Start a session at the address of a peer that answers the third attempt; return its name and what it said."""
    experiment = Experiment.from_dict({"network": {"min_nodes": 1, "join_deadline_s": 0.05}, "mode": "gossip"})
    identity = NodeIdentity("", "r", "north", seed_peer="tcp://127.0.0.1:1", patient=patient)
    late, said = Session("peer", identity, experiment, binds=True), list[str]()
    late.on_event = lambda event: said.append(event["reason"]) if event["type"] == "warning" else None
    async with asyncio.timeout(60):
        await late.open(lambda _roster: None)
        await late.close()
    return late.identity.name, said


@pytest.fixture
def late_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[float] = []

    async def discover(address: str, _hello: object, _config: object, within_s: float, *_: object) -> Peers:
        attempts.append(within_s)
        await asyncio.sleep(min(0.05, within_s))
        if len(attempts) < 3:
            raise PeerUnreachable(address, f"no peer answered within {within_s:g} s", "no peer answered")
        return Peers((), ("south",))

    monkeypatch.setattr(session, "discover_peers", discover)
    monkeypatch.setattr(session, "ATTEMPT_S", 0.05)
    monkeypatch.setattr(said_waits, "SAY_EVERY_S", 0.01)


@pytest.mark.usefixtures("late_seed")
async def test_a_patient_node_waits_for_its_seed_peer_and_says_so() -> None:
    name, said = await joined_by_a_later_seed_peer(patient=True)
    assert name == "north"
    assert said[0].startswith("waiting for a peer at tcp://127.0.0.1:1, for ")


@pytest.mark.usefixtures("late_seed")
async def test_one_with_a_deadline_names_its_key() -> None:
    with pytest.raises(PeerUnreachable, match=r"no peer answered within 0\.05 s \(network\.join_deadline_s\)"):
        await joined_by_a_later_seed_peer(patient=False)


BARRED = "south at tcp://127.0.0.1:1 refuses the key of north"


async def said_while_barred(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a session says whose seed peer refuses its key, until the wait was said after that."""
    said: list[str] = []

    async def discover(address: str, _hello: object, _config: object, within_s: float, *_: object) -> Peers:
        await asyncio.sleep(0.01)
        if said and said[-1].startswith("waiting for") and len(said) > 3:
            return Peers((), ("south",))
        raise PeerUnreachable(address, f"{BARRED} within {within_s:g} s", BARRED)

    monkeypatch.setattr(session, "discover_peers", discover)
    monkeypatch.setattr(said_waits, "SAY_EVERY_S", 0.05)
    experiment = Experiment.from_dict({"network": {"min_nodes": 1}, "mode": "gossip"})
    identity = NodeIdentity("", "r", "north", seed_peer="tcp://127.0.0.1:1", patient=True)
    barred = Session("peer", identity, experiment, binds=True)
    barred.on_event = lambda event: said.append(event["reason"]) if event["type"] == "warning" else None
    async with asyncio.timeout(60):
        await barred.open(lambda _roster: None)
        await barred.close()
    return said


async def test_why_a_seed_peer_lets_nobody_in_is_said_once_and_in_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    said = await said_while_barred(monkeypatch)
    assert said.count(BARRED) == 1
    assert f"waiting for a peer at tcp://127.0.0.1:1: {BARRED}, for " in said[-1]


async def test_taken_for_silence_it_would_wait_without_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "NO_ANSWER", BARRED)
    assert not [line for line in await said_while_barred(monkeypatch) if BARRED in line]


async def test_a_peer_without_a_broker_is_refused_a_name_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NameTaken, match="the name north is taken in run 'r' by a node that answers"):
        await second_by_a_seed_peer(monkeypatch, replace=False)


async def test_unless_it_is_to_replace_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await second_by_a_seed_peer(monkeypatch, replace=True) == "north"


async def shown_while_it_waits(monkeypatch: pytest.MonkeyPatch, *, launched: bool = False) -> list[str]:
    """For whom the second of three peers is shown to wait, until it is known who has joined."""
    monkeypatch.setattr(said_waits, "SHOW_EVERY_S", 0.01)
    monkeypatch.setattr(lease, "_SOON_S", 0.1)
    experiment = Experiment.from_dict({"network": {"min_nodes": 3}, "mode": "gossip"})
    shown: list[str] = []
    known = asyncio.Event()

    def hear(event: dict[str, Any]) -> None:
        if event["type"] == "node.waiting":
            shown.append(event["reason"])
            if "south" in event["reason"]:
                known.set()

    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(60):
        server = {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:1"} if launched else None
        nodes = [
            Session("peer", NodeIdentity(broker.address, "r", name, server), experiment, binds=True)
            for name in ("north", "south")
        ]
        nodes[1].on_event = hear
        opening = [asyncio.create_task(node.open(lambda _roster: None)) for node in nodes]
        if launched:
            await until(lambda: nodes[1].events_in)
        else:
            await known.wait()
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
    return shown


async def test_a_node_shows_for_whom_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = await shown_while_it_waits(monkeypatch)
    assert shown[-1] == "the other nodes of run 'r'; 2 of 3 nodes joined: north, south"
    assert len(shown) == len(set(shown)), "once, until it changes"


async def test_of_hundreds_that_a_launcher_starts_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await shown_while_it_waits(monkeypatch, launched=True) == []
