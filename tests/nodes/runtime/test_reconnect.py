"""A client finds its coordinator again, wherever that is started anew; and waits for it no longer than it says."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import zmq
from nervenet.broker import transport as t
from nervenet.broker.broker import Broker
from nervenet.broker.errors import BadAddress, JoinRefused
from nervenet.broker.lease import Lease
from nervenet.broker.messages import Goodbye, Heartbeat, Join, Member, Ready, Roster
from nervenet.models import MLP
from nervenet.nodes import Client, Experiment, NodeFailed
from nervenet.nodes.config.compatibility import shared_config_of
from nervenet.nodes.config.factory import build_site_model
from nervenet.nodes.runtime.reconnect import Reconnector

DEADLINE_S = 60.0
ROWS = (np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2)


class Calls:
    """Stands for transport and membership, and writes down what is asked of them."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def link(self, peer: str, addresses: dict[str, str]) -> None:
        if addresses["control"] == "bad":
            raise BadAddress("bad", "cannot be dialed")
        self.made.append(("link", addresses["control"]))

    def unlink(self, peer: str) -> None:
        self.made.append("unlink")

    def watch(self, after_s: float = 0.0) -> None:
        self.made.append("watch")

    def unwatch(self) -> None:
        self.made.append("unwatch")

    def since(self) -> list[Any]:
        made, self.made = self.made, []
        return made


def coordinator(incarnation: int, address: str) -> Member:
    return Member("c", "coordinator", incarnation, 1, {"control": address}, "alive")


def roster(*members: Member) -> Roster:
    return Roster(1, "r", 2, {}, members)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def reported() -> list[str]:
    return []


@pytest.fixture
def following(calls: Calls, reported: list[str]) -> Reconnector:
    follows = Reconnector(calls, calls, [coordinator(1, "here")], reported.append)  # type: ignore[arg-type]
    assert calls.since() == [("link", "here"), "watch"]
    return follows


def test_nobody_is_asked_while_the_link_stands(calls: Calls, following: Reconnector) -> None:
    following.heard(t.LinkUp("c", "coordinator", 1, True))
    assert calls.since() == ["unwatch"]
    following.heard(t.LinkLost("c", 1, "gone"))
    assert calls.since() == ["watch"]
    following.heard(t.LinkLost("somebody else", 1, "gone"))
    assert calls.since() == []


def test_a_newer_incarnation_is_dialed_where_it_is(calls: Calls, following: Reconnector) -> None:
    following.roster(roster(coordinator(2, "there")))
    assert calls.since() == ["unlink", ("link", "there")]
    following.roster(roster(coordinator(2, "there")))
    following.roster(roster(coordinator(1, "here")))
    following.roster(roster())
    assert calls.since() == []
    following.roster(roster(coordinator(3, "there")))  # a connection to the dead one may hang
    assert calls.since() == ["unlink", ("link", "there")]


def test_a_link_that_found_the_newer_incarnation_by_itself_is_left_alone(calls: Calls, following: Reconnector) -> None:
    following.heard(t.LinkUp("c", "coordinator", 2, True))
    following.roster(roster(coordinator(2, "here")))
    assert calls.since() == ["unwatch"]


def test_the_previous_incarnation_does_not_end_the_search(calls: Calls, following: Reconnector) -> None:
    following.roster(roster(coordinator(2, "there")))
    calls.since()
    following.heard(t.LinkUp("c", "coordinator", 1, True))
    assert calls.since() == []


def test_an_address_that_cannot_be_dialed_ends_nobody(
    calls: Calls, following: Reconnector, reported: list[str]
) -> None:
    following.roster(roster(coordinator(2, "bad")))
    assert calls.since() == ["unlink"]
    assert "cannot be dialed" in reported[0]


def peer(name: str, incarnation: int, address: str) -> Member:
    return Member(name, "peer", incarnation, 1, {"control": address}, "alive")


@pytest.fixture
def two(calls: Calls) -> Reconnector:
    """Return one that follows a and b, to both of which it has links."""
    follows = Reconnector(calls, calls, [peer("a", 1, "a1"), peer("b", 1, "b1")], pytest.fail)  # type: ignore[arg-type]
    assert calls.since() == [("link", "a1"), ("link", "b1"), "watch"]
    for name in "ab":
        follows.heard(t.LinkUp(name, "peer", 1, True))
    assert calls.since() == ["unwatch"], "when all are there"
    return follows


def test_of_several_each_is_dialed_anew_where_it_is(calls: Calls, two: Reconnector) -> None:
    two.heard(t.LinkLost("b", 1, "gone"))
    two.heard(t.LinkLost("a", 1, "gone"))
    assert calls.since() == ["watch", "watch"]
    two.roster(roster(peer("a", 1, "a1"), peer("b", 2, "b2")))
    assert calls.since() == ["unlink", ("link", "b2")]
    two.heard(t.LinkUp("b", "peer", 2, True))
    assert calls.since() == [], "a is still sought"
    two.heard(t.LinkUp("a", "peer", 1, True))
    assert calls.since() == ["unwatch"]


def test_who_has_dialed_in_a_newer_incarnation_is_looked_for(calls: Calls, two: Reconnector) -> None:
    two.heard(t.LinkUp("a", "peer", 1, False))
    assert calls.since() == [], "the one that is known"
    two.heard(t.LinkUp("a", "peer", 2, False))
    assert calls.since() == ["watch"]


def test_nobody_looks_for_one_that_has_said_goodbye(calls: Calls, two: Reconnector) -> None:
    two.heard(t.Arrival("a", Goodbye(7, "done"), None, 20))
    two.heard(t.LinkLost("a", 1, "gone"))
    assert calls.since() == ["unwatch"]
    two.heard(t.LinkUp("a", "peer", 2, False))
    assert calls.since() == ["watch"], "unless it is there again"


class CoordinatorStandIn:
    """One incarnation of a coordinator, as far as the network sees it: it can die without a word."""

    def __init__(self, broker: str, plan: Experiment, incarnation: int) -> None:
        self.items: list[Any] = []
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.transport = t.ZmqTransport(
            "coordinator", "coordinator", "r", bind="tcp://127.0.0.1:*", incarnation=incarnation
        )
        self._broker, self._plan = broker, plan

    async def begin(self) -> CoordinatorStandIn:
        await self.transport.open(self.items.append, lambda error: pytest.fail(str(error)))
        self.membership = Lease(
            self._broker,
            Join(
                id=0,
                run="r",
                node="coordinator",
                role="coordinator",
                incarnation=self.transport.incarnation,
                pid=1,
                addresses=dict(self.transport.addresses),
                shared_config=shared_config_of(self._plan, build_site_model(MLP((4,)), None, self._plan)),
                min_nodes=2,
                join_deadline_s=60.0,
                replace=True,
            ),
            zmq.Context.instance(),
            on_error=self.failure.set_result,
        )
        await self.membership.__aenter__()
        return self

    async def die(self) -> None:
        """Stop renewing the lease and close every connection; nobody is told."""
        for task in self.membership._tasks:
            task.cancel()
        await self.transport.close(0.0)

    async def bury(self) -> None:
        await self.membership.__aexit__()
        await self.transport.close(0.0)

    async def until(self, done: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not done():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def ready(self) -> set[str]:
        """The clients that have connected and said Ready."""
        arrivals = [item for item in self.items if isinstance(item, t.Arrival)]
        return {item.sender for item in arrivals if isinstance(item.message, Ready)}


def plan(**network: Any) -> Experiment:
    quick = {"heartbeat_s": 0.1, "suspect_after_s": 0.3, "join_deadline_s": 60.0}
    return Experiment.from_dict({"nodes": 2, "network": {**quick, **network}})


@pytest.fixture
async def broker() -> AsyncIterator[str]:
    async with Broker("tcp://127.0.0.1:0") as serving:
        yield serving.addresses["directory"]


async def take_part(
    broker: str, name: str, wanted: Experiment, entered: list[Client], *, replace: bool = False
) -> None:
    client = Client(MLP((4,)), ROWS, broker=broker, run="r", name=name, experiment=wanted, replace=replace)
    async with client:
        entered.append(client)
        async for _ in client.rounds():
            pass


async def test_clients_find_every_further_incarnation_at_its_new_address(broker: str) -> None:
    wanted, entered = plan(), list[Client]()
    first = await CoordinatorStandIn(broker, wanted, 1).begin()
    clients = [asyncio.create_task(take_part(broker, name, wanted, entered)) for name in ("a", "b")]
    stand_ins = [first]
    await first.until(lambda: first.ready() == {"a", "b"})
    for incarnation in (2, 3):
        await stand_ins[-1].die()
        stand_ins.append(await CoordinatorStandIn(broker, wanted, incarnation).begin())
        await stand_ins[-1].until(lambda: stand_ins[-1].ready() == {"a", "b"})
    addresses = [stand_in.transport.addresses["control"] for stand_in in stand_ins]
    assert all(one != other for one, other in itertools.pairwise(addresses))
    last = stand_ins[-1]
    ups = [(item.peer, item.incarnation) for item in last.items if isinstance(item, t.LinkUp)]
    assert dict(ups) == {client.identity.name: client.session.incarnation for client in entered}
    assert len(ups) == 2
    assert not any(task.done() for task in clients)
    for stand_in in stand_ins:
        await stand_in.bury()
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


async def test_a_previous_incarnation_that_still_runs_is_told_and_its_clients_go_over(broker: str) -> None:
    wanted, entered = plan(), list[Client]()
    first = await CoordinatorStandIn(broker, wanted, 1).begin()
    clients = [asyncio.create_task(take_part(broker, name, wanted, entered)) for name in ("a", "b")]
    await first.until(lambda: first.ready() == {"a", "b"})
    second = await CoordinatorStandIn(broker, wanted, 2).begin()
    error = await asyncio.wait_for(first.failure, DEADLINE_S)
    assert isinstance(error, JoinRefused)
    assert error.code == "stale"
    await first.die()
    await second.until(lambda: second.ready() == {"a", "b"})
    for stand_in in (first, second):
        await stand_in.bury()
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


async def test_a_client_started_again_under_its_name_is_taken_back(broker: str) -> None:
    wanted, entered = plan(), list[Client]()
    stand_in = await CoordinatorStandIn(broker, wanted, 1).begin()
    clients = [asyncio.create_task(take_part(broker, name, wanted, entered)) for name in ("a", "b")]
    await stand_in.until(lambda: stand_in.ready() == {"a", "b"})
    crashed = next(client for client in entered if client.identity.name == "a")
    await crashed.session.transport.close(0.0)  # no farewell, no leave
    await stand_in.until(lambda: any(isinstance(item, t.LinkLost) and item.peer == "a" for item in stand_in.items))
    stand_in.items.clear()
    again = asyncio.create_task(take_part(broker, "a", wanted, entered, replace=True))
    await stand_in.until(lambda: "a" in stand_in.ready())
    # Nobody answers b: it says Ready again and again.
    of_a = [item for item in stand_in.items if "a" in (getattr(item, "peer", ""), getattr(item, "sender", ""))]
    story = [item for item in of_a if not isinstance(getattr(item, "message", None), Heartbeat)]
    assert [type(getattr(item, "message", item)) for item in story[:2]] == [t.LinkUp, Ready]
    assert story[0].incarnation == entered[-1].session.incarnation > crashed.session.incarnation
    for task in (*clients, again):
        task.cancel()
    await asyncio.gather(*clients, again, return_exceptions=True)
    await stand_in.bury()


async def test_it_waits_as_long_as_it_says_and_then_says_why(broker: str) -> None:
    wanted, entered = plan(rejoin_deadline_s=2.0), list[Client]()
    stand_in = await CoordinatorStandIn(broker, wanted, 1).begin()
    clients = [asyncio.create_task(take_part(broker, name, wanted, entered)) for name in ("a", "b")]
    await stand_in.until(lambda: stand_in.ready() == {"a", "b"})
    await stand_in.die()
    async with asyncio.timeout(DEADLINE_S):
        errors = await asyncio.gather(*clients, return_exceptions=True)
    for error in errors:
        assert isinstance(error, NodeFailed)
        assert re.search(r"coordinator has been silent for \d+ s; network.rejoin_deadline_s is 2 s", str(error))
    await stand_in.bury()
