"""Every kind of message between every two roles: what is whose business gets through, and nothing else does."""

from __future__ import annotations

import importlib.util
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.broker.arrivals import Arrivals
from nervenet.broker.authority import BETWEEN, ROLES, SERVICES, wrong_caller, wrong_pair
from nervenet.broker.codec import Limits
from nervenet.broker.endpoint import Endpoint
from nervenet.broker.transport_events import Arrival, ConnectionRefused

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")

UP, DOWN, PEERS = {("client", "coordinator")}, {("coordinator", "client")}, {("peer", "peer")}
HOSTS = {("host", "host")}
REPORTS = {(role, "launcher") for role in ("client", "coordinator", "peer", "broker", "baseline")}
ANSWERS = {(b, a) for a, b in REPORTS}
NODES = UP | DOWN | PEERS
GOSSIP = (
    *("peer_survey", "peer_surveys", "catch_up", "exchange", "propose", "accept", "decision", "query_decision"),
    *("reduce_ready", "reduce_call", "reduce_part", "reduced_part"),
    *("walk", "get_model", "model", "ping", "ack", "gossip", "shuffle", "edge", "get_peers", "peers"),
    *("announcement", "fetched"),
)

TABLE: dict[str, set[tuple[str, str]]] = {
    "hello": NODES | REPORTS | ANSWERS | HOSTS,
    "refused": NODES | REPORTS | ANSWERS | HOSTS,
    "carried": HOSTS,
    "carried_bulk": HOSTS,
    "departed": NODES | REPORTS | ANSWERS,
    "shared_memory_offer": NODES | REPORTS | ANSWERS | HOSTS,
    "heartbeat": NODES,
    "goodbye": NODES,
    "ready": UP,
    "task": DOWN,
    "get_chunk": UP | DOWN | PEERS,
    "chunk": UP | DOWN | PEERS,
    "update": UP,
    "declined": UP,
    "report": REPORTS,
    "receipt": ANSWERS | PEERS,
    **dict.fromkeys(GOSSIP, PEERS),
    **{tag: set() for tag, kind in m.BY_TAG.items() if kind.lane is m.Lane.DIRECTORY},
}
"""Who may say what to whom, by the tag of the message, written down once more."""


def examples() -> Any:
    """One message of each kind, those of tests/protocol."""
    spec = importlib.util.spec_from_file_location("examples", ROOT / "tests" / "protocol" / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXAMPLES


EXAMPLES = examples()
NAMED = ("client", "coordinator", "peer", "launcher", "broker", "baseline", "monitor", "host")


def test_every_kind_of_message_has_a_row() -> None:
    assert set(TABLE) == set(m.BY_TAG)
    assert set(BETWEEN) == set(m.BY_TAG.values())


@pytest.mark.parametrize("tag", m.BY_TAG)
def test_a_message_is_taken_from_those_whose_business_it_is(tag: str) -> None:
    kind = m.BY_TAG[tag]
    taken = {pair for pair in itertools.product(NAMED, ROLES - {"aggregator"}) if wrong_pair(kind, *pair) is None}
    assert taken == TABLE[tag]


def offered(delivered: list[Any], sender: str, message: Any) -> None:
    """Stands for the transport, which takes an offer of shared memory for itself."""
    delivered.append(Arrival(sender, message, None, 0))


@pytest.mark.parametrize("tag", m.BY_TAG)
def test_from_anybody_else_it_is_dropped_and_reported(tag: str) -> None:
    message, array = EXAMPLES[tag]
    for sender, receiver in itertools.product(NAMED, ROLES - {"aggregator"}):
        delivered: list[Any] = []
        endpoint = Endpoint("me", receiver, "demo", 1, Limits())
        endpoint.open = True
        endpoint._receiver = delivered.append
        taken_by_transport = partial(offered, delivered)
        endpoint.shared.offered = taken_by_transport  # type: ignore[method-assign]
        endpoint.refused = delivered.append  # type: ignore[method-assign]
        endpoint.deliver("somebody", sender, message.lane, (message, array, 10, 1), Arrivals())
        (item,) = delivered
        allowed = (sender, receiver) in TABLE[tag] or tag == "refused"
        assert type(item) is (Arrival if allowed else ConnectionRefused), (sender, receiver)


@pytest.mark.parametrize("tag", m.BY_TAG)
def test_the_document_has_a_row_for_it(tag: str) -> None:
    section = DOCUMENT[DOCUMENT.index("## 12. Who may say what") :]
    assert f"`{tag}`" in section


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_node_has_the_name_of_a_service(name: str) -> None:
    assert wrong_caller(name, "peer", "peer") is not None
    assert wrong_caller(name, "client", "coordinator") is not None
    assert (wrong_caller(name, name, "launcher") is None) == (name in ("broker", "baseline"))
