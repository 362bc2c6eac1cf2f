"""A launch takes nobody but its own: at its inboxes, at its directory, and in its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nervenet.broker.directory import Directory
from nervenet.broker.endpoint import Endpoint
from nervenet.broker.enrollment import OPEN, Enrollment
from nervenet.broker.messages import Failed, GetRoster, Heartbeat, Joined, Lane, Leave, Ping, Refused, RenewLease
from nervenet.broker.security.plain import Plain
from nervenet.broker.transport import ConnectionRefused, LinkUp, ZmqTransport

from .conftest import Box
from .test_directory import join, says

LAUNCH = Enrollment(b"s" * 32, {"coordinator": "coordinator", "a": "client", "b": "client"})


def test_a_proof_is_of_one_node_in_one_run_and_one_incarnation() -> None:
    proof = LAUNCH.proof("r", "a", 1, "coordinator")
    assert LAUNCH.refusal("r", "a", "client", 1, proof, "coordinator") is None
    others = (
        ("s", "a", 1, "coordinator"),
        ("r", "b", 1, "coordinator"),
        ("r", "a", 2, "coordinator"),
        ("r", "a", 1, "b"),
    )
    for run, node, incarnation, by in others:
        assert "does not prove" in (LAUNCH.refusal(run, node, "client", incarnation, proof, by) or "")
    assert "does not prove" in (LAUNCH.refusal("r", "a", "client", 1, "\u2603", "coordinator") or "")
    assert "does not prove" in (LAUNCH.refusal("r", "a", "client", 1, "", "coordinator") or "")
    other = Enrollment(b"t" * 32, LAUNCH.roles)
    assert "does not prove" in (other.refusal("r", "a", "client", 1, proof, "coordinator") or "")
    assert OPEN.refusal("r", "anybody", "peer", 1, "", "coordinator") is None
    assert "s" * 32 not in repr(LAUNCH)


@pytest.mark.parametrize(("node", "role"), [("mallory", "client"), ("a", "coordinator"), ("a", "peer")])
def test_nobody_is_of_a_launch_but_in_the_role_that_it_was_started_for(node: str, role: str) -> None:
    assert "has started no such node" in (
        LAUNCH.refusal("r", node, role, 1, LAUNCH.proof("r", node, 1, "b"), "b") or ""
    )


@asynccontextmanager
async def coordinator(tcp: Any, enrollment: Enrollment = LAUNCH) -> AsyncIterator[tuple[ZmqTransport, Box]]:
    box = Box()
    transport = ZmqTransport(
        "coordinator", "coordinator", "demo", bind="tcp://127.0.0.1:*", security=Plain(enrollment=enrollment)
    )
    await transport.open(box, box.fail)
    try:
        yield transport, box
    finally:
        await transport.close(0.0)


def found_out(item: Any) -> bool:
    return isinstance(item, LinkUp | ConnectionRefused) or isinstance(getattr(item, "message", None), Refused)


async def knocks(server: ZmqTransport, node: str, role: str, enrollment: Enrollment) -> Any:
    """What a node hears that introduces itself: its link, or the refusal."""
    box = Box()
    transport = ZmqTransport(node, role, "demo", bind=None, security=Plain(enrollment=enrollment))
    await transport.open(box, box.fail)
    try:
        transport.link("coordinator", server.addresses)
        item = await box.until(lambda: next((one for one in box.items if found_out(one)), None))
        return getattr(item, "message", item)
    finally:
        await transport.close(0.0)


async def check_a_stranger_is_not_enrolled(tcp: Any) -> None:
    async with coordinator(tcp) as (server, box):
        found = await knocks(server, "mallory-control", "client", OPEN)
        assert isinstance(found, Refused)
        assert "takes only nodes that its launcher has started" in found.reason
        assert box.of(LinkUp) == []
        assert "mallory-control" in {refusal.name for refusal in box.of(ConnectionRefused)}
        assert isinstance(await knocks(server, "a", "client", LAUNCH), LinkUp)


async def test_a_stranger_is_not_enrolled(tcp: Any) -> None:
    await check_a_stranger_is_not_enrolled(tcp)


async def test_without_a_proof_a_stranger_was_enrolled(tcp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Enrollment, "refusal", lambda *_: None)
    with pytest.raises(AssertionError):
        await check_a_stranger_is_not_enrolled(tcp)


@pytest.mark.parametrize("to_whom", [True, False])
async def test_a_proof_that_was_told_to_another_is_worth_nothing(
    tcp: Any, monkeypatch: pytest.MonkeyPatch, to_whom: bool
) -> None:
    """As to one who listens where a node has ended, and passes on what the others introduce themselves by."""
    proof = Enrollment.proof
    if not to_whom:  # the fault
        monkeypatch.setattr(
            Enrollment, "proof", lambda self, run, node, number, _to: proof(self, run, node, number, "")
        )
    told = Endpoint.hello_to
    monkeypatch.setattr(Endpoint, "hello_to", lambda self, to: told(self, "b" if self.node == "a" else to))
    async with coordinator(tcp) as (server, _):
        assert isinstance(await knocks(server, "a", "client", LAUNCH), Refused if to_whom else LinkUp)


async def test_who_answers_in_place_of_a_node_of_a_launch_is_not_believed(tcp: Any) -> None:
    async with coordinator(tcp, OPEN) as (server, _):
        found = await knocks(server, "a", "client", LAUNCH)
        assert isinstance(found, ConnectionRefused)
        assert (found.service, found.name) == ("link", "coordinator")


async def test_what_is_not_its_senders_business_is_dropped_and_reported_once(tcp: Any) -> None:
    async with coordinator(tcp) as (server, box):
        inside = Box()
        client = ZmqTransport("a", "client", "demo", bind=None, security=Plain(enrollment=LAUNCH))
        await client.open(inside, inside.fail)
        client.link("coordinator", server.addresses)
        await inside.first(LinkUp)
        client.send("coordinator", Ping(1, "coordinator", ()))
        refusal = await box.first(ConnectionRefused)
        assert refusal.reason == "ping came from a client; a coordinator takes it from nobody"
        client.send("coordinator", Heartbeat(1, "well", ()))
        await box.first(Heartbeat)
        assert Ping.lane is Lane.CONTROL
        await client.close(0.0)


# ----------------------------------------------------------------------------------------------------- the directory


def enrolled(name: str, role: str = "client", incarnation: int = 1, **more: Any) -> Any:
    return join(name, role, incarnation, secret=LAUNCH.proof("demo", name, incarnation, "broker"), **more)


def test_the_directory_of_a_launch_takes_nobody_else() -> None:
    broker = Directory("in", "out", enrollment=LAUNCH)
    assert isinstance(says(broker, enrolled("a")), Joined)
    for wrong in (
        join("b", "client"),
        enrolled("mallory"),
        enrolled("b", "coordinator"),
        join("a", "client", 2, replace=True),
    ):
        refusal = says(broker, wrong)
        assert isinstance(refusal, Failed)
        assert refusal.code == "identity"


def test_a_lease_is_renewed_and_ended_by_who_has_its_secret() -> None:
    broker = Directory("in", "out")
    says(broker, join("a", secret="x"))
    for request in (
        RenewLease(1, "demo", "a", 1, "y"),
        RenewLease(1, "demo", "a", 1),
        Leave(1, "demo", "a", 1, "", "y"),
    ):
        assert says(broker, request, 1.0).code == "identity"
    assert says(broker, join("a", secret="y", replace=True), 1.0).code == "identity", "nor is it taken over"
    assert says(broker, RenewLease(1, "demo", "a", 1, "x"), 1.0) is not None
    assert broker.runs == 1


def test_a_run_has_one_coordinator_however_new_another_is() -> None:
    broker = Directory("in", "out")
    terms = {"mode": "federated"}
    says(broker, join("hub", "coordinator", 5, shared_config=terms))
    second = says(broker, join("mallory", "coordinator", 2**60, shared_config=terms, replace=True))
    assert (second.code, second.reason) == (
        "identity",
        "run 'demo' has a coordinator, hub, and takes no second one",
    )
    assert isinstance(says(broker, join("hub", "coordinator", 6, shared_config=terms, replace=True)), Joined)


@pytest.mark.parametrize(
    ("mode", "role"), [("federated", "peer"), ("gossip", "client"), ("gossip", "coordinator"), ("gossip", "monitor")]
)
def test_a_run_takes_the_roles_of_its_mode(mode: str, role: str) -> None:
    broker = Directory("in", "out")
    says(broker, join("first", "client" if mode == "federated" else "peer", shared_config={"mode": mode}))
    assert says(broker, join("x", role, shared_config={"mode": mode})).code == "identity"


def test_no_name_is_that_of_a_service_and_none_changes_its_role() -> None:
    broker = Directory("in", "out")
    assert says(broker, join("launcher", "client")).code == "identity"
    says(broker, join("a", "client", shared_config={"mode": "federated"}))
    again = join("a", "coordinator", 2, shared_config={"mode": "federated"}, replace=True)
    assert says(broker, again).reason == "a is the client of run 'demo', and joins as coordinator"


def test_the_terms_of_a_run_are_for_its_members() -> None:
    broker = Directory("in", "out")
    for name in ("a", "b"):
        says(broker, join(name, shared_config={"seed": 3}), identity=name.encode())
    assert says(broker, GetRoster(1, "demo", 0, 1.0), identity=b"a").shared_config == {"seed": 3}
    outside = says(broker, GetRoster(1, "demo", 0, 1.0), identity=b"w")
    assert (outside.shared_config, len(outside.members)) == ({}, 2)
