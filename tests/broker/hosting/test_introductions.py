"""What another process may name: which nodes it speaks for, and which it greets, is bounded."""

from __future__ import annotations

import pytest
from nervenet.broker.hosting import introductions
from nervenet.broker.hosting.introductions import Introductions
from nervenet.broker.messages import Hello
from nervenet.broker.versions import hello

MOST = 3


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introductions, "allowed", lambda _: MOST)


def said(node: str, incarnation: int = 1) -> Hello:
    return hello(node, "peer", "demo", incarnation)


def kept(many: int) -> int:
    """Return how many HELLOs are kept of a process that greets so many nodes in the names of as many."""
    made = Introductions()
    for number in range(many):
        made.keep("host-1", said(f"x-{number}"), f"nobody-{number}")
    return sum(len(made.take(f"nobody-{number}")) for number in range(many))


@pytest.mark.usefixtures("few")
def test_of_a_process_that_greets_nodes_without_end_so_much_is_kept() -> None:
    assert kept(50) == MOST


def test_without_a_bound_all_of_it_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introductions, "allowed", lambda _: 10**9)
    assert kept(50) == 50


@pytest.mark.usefixtures("few")
def test_a_hello_that_is_said_again_takes_no_more_room() -> None:
    made = Introductions()
    for incarnation in range(1, 9):
        assert made.keep("host-1", said("x", incarnation), "a") is None
    assert [(host, each.incarnation) for host, each in made.take("a")] == [("host-1", 8)]
    assert made.take("a") == []
    for number in range(MOST):
        assert made.keep("host-1", said("x"), f"b-{number}") is None, "what was taken is not counted any more"


@pytest.mark.usefixtures("few")
def test_each_process_has_room_of_its_own_and_none_once_it_is_gone() -> None:
    made = Introductions()
    for host in ("host-1", "host-2"):
        reasons = [made.keep(host, said(f"{host}-{number}"), "a") for number in range(MOST + 1)]
        assert reasons == [None] * MOST + [f"{host} greets nodes that are not open more than {MOST} times"]
    made.forget("host-1")
    assert {host for host, _ in made.take("a")} == {"host-2"}
    assert made.keep("host-1", said("x"), "a") is None


@pytest.mark.usefixtures("few")
def test_a_process_speaks_for_so_many_nodes_and_the_same_ones_again() -> None:
    made = Introductions()
    reasons = [made.refusal("host-1", f"x-{number}") for number in range(MOST + 1)]
    assert reasons == [None] * MOST + [f"host-1 speaks for more than {MOST} nodes"]
    assert made.refusal("host-1", "x-0") is None
    assert made.refusal("host-2", "x-9") is None
    made.forget("host-1")
    assert made.refusal("host-1", "x-9") is None, "it is another process of that name"


def test_a_process_of_a_launch_names_nodes_of_the_run_alone() -> None:
    made = Introductions({"a": "peer", "c": "peer"})
    assert made.refusal("host-1", "c") is None
    assert made.refusal("host-1", "x" * 1_000) == "host-1 speaks for a node that is not of the run"
    assert made.keep("host-1", said("c"), "a") is None
    assert made.keep("host-1", said("c"), "nobody") == "host-1 greets a node that is not of the run"
