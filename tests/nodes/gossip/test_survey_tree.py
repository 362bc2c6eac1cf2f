"""The tree by which many peers meet, and the messages that carry the answers of many."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.broker.codec import decode, encode
from nervenet.nodes.gossip.survey_batches import BYTES_AT_ONCE, NUMBERS_AT_ONCE, answers_of, messages_of
from nervenet.nodes.gossip.survey_tree import FAN, SpanningTree, TreeRelay
from nervenet.nodes.runtime.site_answer import SiteAnswer
from nervenet.nodes.topology import every_neighbor, schedule

VALUES = st.one_of(st.integers(-5, 5), st.sampled_from([1.0, True, "1", None]), st.lists(st.integers(0, 3), max_size=3))


@given(
    n=st.integers(17, 60),
    topology=st.sampled_from(
        ["ring", "random-regular", "star", "complete", "static-exponential", "one-peer-exponential"]
    ),
)
@settings(max_examples=40, deadline=None)
def test_the_sides_of_an_edge_are_all_members_and_every_member_is_reached(n: int, topology: str) -> None:
    names = [f"p{i:02d}" for i in range(n)]
    degree = {"degree": 4} if topology == "random-regular" else {}
    near = every_neighbor(schedule(topology, names, seed=3, **degree))
    tree = SpanningTree.along(near)
    assert tree is not None
    edges = 0
    for me in names:
        for peer, side in tree.sides(me).items():
            edges += 1
            assert peer in near[me], "along edges of the graph alone"
            assert side >> tree.numbers[me] & 1
            assert side + tree.sides(peer)[me] == (1 << n) - 1, "each member is on one side"
    assert edges == 2 * (n - 1)
    if topology == "complete":
        assert max(len(tree.sides(me)) for me in names) <= FAN + 1


def near_of(topology: str, n: int) -> dict[str, tuple[str, ...]]:
    degree = {"degree": 4} if topology == "random-regular" else {}
    return every_neighbor(schedule(topology, [f"p{i:03d}" for i in range(n)], seed=3, **degree))


@given(n=st.integers(1, 600))
@settings(max_examples=40, deadline=None)
def test_a_tree_of_links_of_its_own_is_shallow_and_keeps_names_together(n: int) -> None:
    names = [f"p{i:03d}" for i in range(n)]
    tree = SpanningTree.across(names)
    assert sorted(tree.above) == names
    assert tree.depth <= math.ceil(math.log(n, FAN)) + 1
    below = Counter(tree.above.values())
    assert below.pop("") == 1
    assert not below or max(below.values()) <= FAN
    for name, members in tree.below.items():
        run = (members >> tree.numbers[name]) + 1
        assert run & (run - 1) == 0, "who is below one are the next by name"


@pytest.mark.parametrize(
    ("topology", "n", "own"),
    [
        ("ring", 17, False),
        ("ring", 31, True),
        ("ring", 500, True),
        ("torus", 64, False),
        ("random-regular", 256, False),
    ],
)
def test_where_ways_along_the_graph_are_long_the_tree_has_links_of_its_own(topology: str, n: int, own: bool) -> None:
    near = near_of(topology, n)
    tree = SpanningTree.over(near)
    assert tree is not None
    assert tree.above == (SpanningTree.across(near) if own else SpanningTree.along(near)).above
    linked = {me: tree.shortcuts(me, near[me]) for me in near}
    assert any(linked.values()) == own
    for me, above in tree.above.items():
        assert not above or above in (*near[me], *linked[me]), "who is below one links it"


@pytest.mark.parametrize(("n", "patience"), [(17, 0), (31, 0), (64, 2), (500, 15)])
def test_many_that_start_at_once_are_waited_for_longer(n: int, patience: int) -> None:
    tree = SpanningTree.over(near_of("ring", n))
    assert tree is not None
    assert (tree.patience, TreeRelay(tree, "p005").patience) == (patience, patience)


def test_a_graph_of_two_parts_has_no_tree() -> None:
    assert SpanningTree.over({"a": ("b",), "b": ("a",), "c": ("d",), "d": ("c",)}) is None


@given(
    fields=st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1, max_size=6), data=st.data()
)
@settings(max_examples=60, deadline=None)
def test_answers_come_out_of_a_message_as_they_went_in(fields: list[dict[str, Any]], data: st.DataObject) -> None:
    """By type, too: what is alike is said once only if it is the same on the wire."""
    sizes = data.draw(st.lists(st.integers(0, 4), min_size=len(fields), max_size=len(fields)))
    sent = [
        SiteAnswer.of(f"p{i}", f, np.arange(n) + 0.5 * i) for i, (f, n) in enumerate(zip(fields, sizes, strict=True))
    ]
    found: list[SiteAnswer] = []
    for message, body in messages_of(sent, 1):
        came, array = decode([bytes(frame) for frame in encode(message, body)])
        if isinstance(came, m.PeerSurvey):
            found.append(SiteAnswer.of(came.origin, came.fields, array))
        else:
            assert isinstance(came, m.PeerSurveys)
            found += answers_of(came, array)
    assert [(a.origin, repr(sorted(a.fields.items()))) for a in found] == [
        (a.origin, repr(sorted(a.fields.items()))) for a in sent
    ]
    assert all(np.array_equal(one.body, other.body) for one, other in zip(found, sent, strict=True))


@pytest.mark.parametrize(
    ("body", "fields"),
    [(range(NUMBERS_AT_ONCE // 2 + 1), {}), ((1.0,), {"columns": ["x" * (BYTES_AT_ONCE // 2 + 1)]})],
)
def test_large_answers_are_divided_over_messages(body: Any, fields: dict[str, Any]) -> None:
    sent = [SiteAnswer.of(origin, fields, body) for origin in "abc"]
    assert [type(message) for message, _ in messages_of(sent, 0)] == [m.PeerSurvey] * 3


def test_two_answers_of_one_member_are_refused() -> None:
    answers = tuple(m.SiteFields(origin, 0, {}) for origin in "aba")
    with pytest.raises(ValueError, match="it has 2 answers of a, allowed is one"):
        answers_of(m.PeerSurveys(answers, {}, m.Payload("survey", "float64", 0)), np.zeros(0))


def too_much_in_common() -> m.PeerSurveys:
    """A message of 30 kB whose answers would take 20 MB: each holds what is common."""
    common = {f"f{place}": 1 for place in range(2_000)}
    answers = tuple(m.SiteFields(f"p{place}", 0, {}) for place in range(300))
    return m.PeerSurveys(answers, common, m.Payload("survey", "float64", 0))


def test_what_is_common_counts_for_each_answer() -> None:
    with pytest.raises(ValueError, match="the fields of 300 answers take 600,000 bytes, allowed are 500,000"):
        answers_of(too_much_in_common(), np.zeros(0))


def test_else_a_short_message_takes_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.gossip.survey_batches._check_size", lambda *_: None)
    assert sum(len(answer.fields) for answer in answers_of(too_much_in_common(), np.zeros(0))) == 600_000


def test_lengths_that_do_not_add_up_are_refused() -> None:
    payload = m.Payload("survey", "float64", 3)
    message = m.PeerSurveys((m.SiteFields("a", 1, {}), m.SiteFields("b", 1, {})), {}, payload)
    with pytest.raises(ValueError, match="its answers have 2 numbers, found 3 in its payload"):
        answers_of(message, np.zeros(3))
