"""Who talks to whom."""

import networkx as nx
import pytest
from nervenet.nodes.gossip.topology import TOPOLOGIES, Neighbours, TopologyError, neighbours


def members(n: int) -> list[str]:
    return [f"peer-{i:02}" for i in range(n)]


def graph_of(around: Neighbours) -> nx.Graph:
    return nx.Graph([(i, j) for i, js in around.items() for j in js])


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("n", [4, 6, 8, 12, 16, 64])
def test_every_graph_is_connected_undirected_and_without_loops(name: str, n: int) -> None:
    around = neighbours(name, members(n), seed=3, degree=3)
    assert list(around) == members(n)
    for i, js in around.items():
        assert i not in js
        assert list(js) == sorted(set(js))
        assert all(i in around[j] for j in js)
    assert nx.is_connected(graph_of(around))


@pytest.mark.parametrize(
    ("name", "n", "reference"),
    [
        ("ring", 8, nx.cycle_graph(8)),
        ("complete", 5, nx.complete_graph(5)),
        ("star", 6, nx.star_graph(5)),
        ("torus", 12, nx.grid_2d_graph(3, 4, periodic=True)),
        ("torus", 16, nx.grid_2d_graph(4, 4, periodic=True)),
        ("torus", 4, nx.cycle_graph(4)),
    ],
)
def test_graphs_are_what_their_names_say(name: str, n: int, reference: nx.Graph) -> None:
    assert nx.is_isomorphic(graph_of(neighbours(name, members(n))), reference)


@pytest.mark.parametrize("degree", [2, 3, 4, 7])
def test_random_regular_gives_everybody_the_same_number_of_neighbours(degree: int) -> None:
    around = neighbours("random-regular", members(8), degree=degree, seed=1)
    assert {len(js) for js in around.values()} == {degree}


def test_all_who_know_the_names_and_the_seed_see_one_graph() -> None:
    one = neighbours("random-regular", members(12), seed=5)
    assert one == neighbours("random-regular", members(12)[::-1], seed=5)
    assert one != neighbours("random-regular", members(12), seed=6)


@pytest.mark.parametrize("name", ["ring", "complete", "star"])
@pytest.mark.parametrize("n", [2, 3])
def test_two_and_three_are_enough(name: str, n: int) -> None:
    around = neighbours(name, members(n))
    assert nx.is_connected(graph_of(around))
    assert around[members(n)[0]] == tuple(members(n)[1:])


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_one_alone_has_no_neighbours(name: str) -> None:
    assert neighbours(name, ["only"]) == {"only": ()}


@pytest.mark.parametrize(
    ("name", "names", "degree", "words"),
    [
        ("rign", members(4), 4, r"must be one of ring, torus, complete, star, random-regular; found 'rign'"),
        ("ring", ["a", "b", "a"], 4, "two members have one name"),
        ("torus", members(7), 4, "7 is not"),
        ("torus", members(2), 4, "2 is not"),
        ("random-regular", members(5), 3, "nodes 5, degree 3"),
        ("random-regular", members(4), 4, "nodes 4, degree 4"),
        ("random-regular", members(4), 0, "nodes 4, degree 0"),
        ("random-regular", members(8), 1, "no connected random-regular graph of degree 1 over 8 nodes"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_with_the_reason(
    name: str, names: list[str], degree: int, words: str
) -> None:
    with pytest.raises(TopologyError, match=words):
        neighbours(name, names, degree=degree)
