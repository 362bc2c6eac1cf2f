"""A graph is fitted to who is here now, touching few edges, and alike by all who know the same members."""

from __future__ import annotations

import networkx as nx
import pytest
from graphs import neighbors
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.gossip.membership.graph_repair import repair


def changes(before, after):
    """Edges that only one of two graphs has."""
    one, other = ({frozenset((i, j)) for i, around in graph.items() for j in around} for graph in (before, after))
    return len(one ^ other)


def names(n: int) -> list[str]:
    return [f"m{i:03d}" for i in range(n)]


def test_without_a_change_the_graph_is_the_founding_one():
    for topology in ("ring", "torus", "star", "complete"):
        graph = neighbors(topology, names(12))
        assert repair(graph, names(12)) == graph


def test_a_ring_closes_over_a_gap_of_any_width():
    graph = neighbors("ring", names(8))
    assert repair(graph, [n for n in names(8) if n not in ("m003", "m004")]) == neighbors(
        "ring", [n for n in names(8) if n not in ("m003", "m004")]
    )


def test_a_newcomer_is_put_into_one_edge_of_a_ring():
    graph = neighbors("ring", names(8))
    after = repair(graph, [*names(8), "new"], seed=3)
    assert {len(around) for around in after.values()} == {2}
    assert changes(graph, after) == 3
    assert nx.is_connected(nx.Graph(after))


@pytest.mark.parametrize("seed", range(5))
def test_a_regular_graph_loses_one_and_changes_few_edges(seed):
    graph = neighbors("random-regular", names(16), degree=4, seed=seed)
    after = repair(graph, names(16)[:-1], seed=seed)
    degrees = sorted(map(len, after.values()))
    assert degrees[0] >= 3
    assert degrees.count(4) >= 13
    assert changes(graph, after) <= 4 + 2
    assert nx.is_connected(nx.Graph(after))


@pytest.mark.parametrize("seed", range(5))
def test_one_more_change_moves_few_edges(seed):
    graph = neighbors("random-regular", names(32), degree=4, seed=seed)
    here = [*names(32), "new-a", "new-b"]
    before = repair(graph, here[2:], seed=seed)
    moved = [
        changes(before, repair(graph, now, seed=seed)) for now in (here[3:], [*here[2:], "new-c"], here[1:], here[2:-1])
    ]
    assert max(moved) <= 24, f"of {sum(map(len, before.values())) // 2} edges; found {moved}"


@settings(max_examples=60, deadline=None)
@given(
    topology=st.sampled_from(["ring", "star", "random-regular", "complete"]),
    n=st.integers(5, 12),
    gone=st.sets(st.integers(0, 11)),
    new=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_whoever_is_here_is_connected_and_all_agree(topology, n, gone, new, seed):
    founding = neighbors(topology, names(n), degree=4, seed=seed)
    here = [name for i, name in enumerate(names(n)) if i not in gone] + [f"new{i}" for i in range(new)]
    graph = repair(founding, here, seed=seed)
    assert repair(founding, reversed(here), seed=seed) == graph
    assert sorted(graph) == sorted(here)
    assert all(node not in around for node, around in graph.items())
    assert all(node in graph[other] for node, around in graph.items() for other in around)
    if here:
        assert nx.is_connected(nx.Graph(graph))
