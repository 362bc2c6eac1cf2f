"""Who talks to whom, in which round."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from graphs import neighbors
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.topology import (
    TOPOLOGIES,
    Neighbors,
    Schedule,
    TopologyError,
    components,
    default_degree,
    every_neighbor,
    incoming,
    schedule,
)

DEGREE = {"degree": 3}
PLAIN = ["ring", "line", "star", "complete", "torus", "hypercube", "random-regular", "erdos-renyi", "small-world"]
LAID = [name for name in TOPOLOGIES if name != "edges"]


def members(n: int) -> list[str]:
    return [f"peer-{i:02}" for i in range(n)]


def graph_of(around: Neighbors) -> nx.Graph:
    return nx.Graph([(i, j) for i, js in around.items() for j in js])


def rounds_of(made: Schedule) -> range:
    return range(1, (made.period or 5) + 1)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("n", [4, 8, 16, 64])
def test_fixed_graphs_are_connected_undirected_and_without_loops(name: str, n: int) -> None:
    made = schedule(name, members(n), seed=3)
    assert (made.fixed, made.directed, made.period, made.weights(1)) == (True, False, 1, None)
    around = made.out(1)
    assert around == made.out(7) == neighbors(name, members(n), seed=3)
    assert list(around) == members(n)
    for i, js in around.items():
        assert i not in js
        assert list(js) == sorted(set(js))
        assert all(i in around[j] for j in js)
    assert nx.is_connected(graph_of(around))


@pytest.mark.parametrize("name", LAID)
@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_every_round_of_every_graph_is_what_its_schedule_says(name: str, n: int) -> None:
    if (name, n) == ("torus", 2):
        pytest.skip("there is none")
    made = schedule(name, members(n), seed=1)
    assert made.fixed == (made.period == 1)
    met: dict[str, set[str]] = {i: set() for i in members(n)}
    for number in rounds_of(made):
        out = made.out(number)
        assert list(out) == members(n)
        for i, js in out.items():
            assert i not in js
            assert list(js) == sorted(set(js))
            assert made.directed or all(i in out[j] for j in js)
            met[i] |= {*js, *incoming(out)[i]}
        if (rows := made.weights(number)) is not None:
            heard = incoming(out)
            assert {i: set(row) for i, row in rows.items()} == {i: {i, *heard[i]} for i in out}
    ever = every_neighbor(made)
    assert all(met[i] <= set(ever[i]) for i in ever)
    if made.period is not None:
        assert {i: tuple(sorted(js)) for i, js in met.items()} == ever
    assert len(components(ever)) == 1


@pytest.mark.parametrize(
    ("name", "n", "reference"),
    [
        ("ring", 8, nx.cycle_graph(8)),
        ("line", 7, nx.path_graph(7)),
        ("complete", 5, nx.complete_graph(5)),
        ("star", 6, nx.star_graph(5)),
        ("torus", 12, nx.grid_2d_graph(3, 4, periodic=True)),
        ("torus", 16, nx.grid_2d_graph(4, 4, periodic=True)),
        ("torus", 4, nx.cycle_graph(4)),
        ("hypercube", 2, nx.path_graph(2)),
        ("hypercube", 16, nx.hypercube_graph(4)),
    ],
)
def test_graphs_are_what_their_names_say(name: str, n: int, reference: nx.Graph) -> None:
    assert nx.is_isomorphic(graph_of(neighbors(name, members(n))), reference)


@pytest.mark.parametrize("degree", [2, 3, 4, 7])
def test_random_regular_gives_everybody_the_same_number_of_neighbors(degree: int) -> None:
    around = neighbors("random-regular", members(8), degree=degree, seed=1)
    assert {len(js) for js in around.values()} == {degree}


@pytest.mark.parametrize(("n", "hops"), [(2, [1]), (5, [1, 2, 4]), (6, [1, 2, 4]), (8, [1, 2, 4]), (12, [1, 2, 4, 8])])
def test_exponential_graphs_hop_by_powers_of_two(n: int, hops: list[int]) -> None:
    names = members(n)
    static, one = schedule("static-exponential", names), schedule("one-peer-exponential", names)
    assert (static.directed, one.directed, one.period) == (True, True, len(hops))
    assert static.out(1) == {names[i]: tuple(sorted(names[(i + h) % n] for h in hops)) for i in range(n)}
    for number, hop in enumerate(hops * 2, start=1):
        assert one.out(number) == {names[i]: (names[(i + hop) % n],) for i in range(n)}


def test_the_small_world_is_a_ring_of_nearest_with_shortcuts() -> None:
    still = schedule("small-world", members(20), degree=4, probability=0.0).out(1)
    assert nx.is_isomorphic(graph_of(still), nx.circulant_graph(20, [1, 2]))
    moved = graph_of(schedule("small-world", members(20), degree=4, probability=0.3).out(1))
    assert moved.number_of_edges() == 40
    near = nx.average_shortest_path_length
    assert near(moved) < near(graph_of(still)), "shortcuts shorten the way"


def test_erdos_renyi_has_about_the_edges_it_should() -> None:
    graph = graph_of(schedule("erdos-renyi", members(64), probability=0.25).out(1))
    assert abs(graph.number_of_edges() - 0.25 * 64 * 63 / 2) < 3 * (0.25 * 0.75 * 64 * 63 / 2) ** 0.5


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES if "seed" in TOPOLOGIES[name].takes])
def test_all_who_know_the_names_and_the_seed_see_one_graph(name: str) -> None:
    one = schedule(name, members(12), seed=5)
    same, other = schedule(name, members(12)[::-1], seed=5), schedule(name, members(12), seed=6)
    assert [one.out(r) for r in (1, 2, 9)] == [same.out(r) for r in (1, 2, 9)]
    assert one.out(1) != other.out(1)


@pytest.mark.parametrize("name", ["epidemic-oracle", "epidemic-local"])
def test_epidemic_graphs_are_fresh_in_each_round_and_depend_on_no_other(name: str) -> None:
    made = schedule(name, members(16), degree=3, seed=2)
    assert (made.fixed, made.period, made.directed) == (False, None, name == "epidemic-local")
    drawn = {number: made.out(number) for number in range(1, 21)}
    assert len({str(out) for out in drawn.values()}) == 20
    assert {len(js) for out in drawn.values() for js in out.values()} == {3}
    again = schedule(name, members(16), degree=3, seed=2)
    assert all(again.out(number) == out for number, out in reversed(drawn.items()))


def test_an_epidemic_node_draws_its_targets_without_knowing_of_the_draws_of_others() -> None:
    few, many = (schedule("epidemic-local", members(n), degree=2, seed=4) for n in (9, 9))
    heard = np.zeros(9)
    for number in range(1, 201):
        out = few.out(number)
        assert out == many.out(number)
        heard += [len(js) for js in incoming(out).values()]
    assert abs(heard / 200 - 2).max() < 0.4, "everybody is drawn as often as everybody else"


@pytest.mark.parametrize("name", ["ring", "line", "complete", "star", "small-world", "erdos-renyi", "random-regular"])
@pytest.mark.parametrize("n", [2, 3])
def test_two_and_three_are_enough(name: str, n: int) -> None:
    around = neighbors(name, members(n))
    assert nx.is_connected(graph_of(around))
    assert around[members(n)[0]] == tuple(members(n)[1 : 2 if name == "line" else n])


@pytest.mark.parametrize("name", LAID)
def test_one_alone_has_no_neighbors(name: str) -> None:
    made = schedule(name, ["only"])
    assert made.out(1) == every_neighbor(made) == {"only": ()}


@pytest.mark.parametrize(
    ("name", "names", "more", "words"),
    [
        ("rign", members(4), {}, r"topology = 'rign': expected one of ring, line, star.*did you mean ring\?"),
        ("exponential", members(4), {}, r"did you mean static-exponential\?"),
        ("ring", ["a", "b", "a"], {}, "two have one name; found a, a, b"),
        ("ring", members(4), DEGREE, "degree = 3: is for topology = 'random-regular', 'small-world', .*not 'ring'"),
        ("ring", members(4), {"edges": "x"}, "edges = 'x': is for topology = 'edges', not 'ring'"),
        ("torus", members(7), {}, "nodes = 7: .* expected for example 6 or 8 or 9"),
        ("torus", members(2), {}, "nodes = 2: .* expected for example 4"),
        ("hypercube", members(12), {}, "nodes = 12: a hypercube has a power of two .* 8 or 16"),
        ("random-regular", members(5), DEGREE, "degree = 3: .*must be even, and nodes = 5; .* 2 or 4"),
        ("epidemic-oracle", members(5), DEGREE, "degree = 3: .*must be even, and nodes = 5; .* 2 or 4"),
        ("random-regular", members(4), {"degree": 4}, "degree = 4: expected fewer neighbors than nodes = 4"),
        ("base-k", members(4), {"degree": 4}, "degree = 4: expected fewer neighbors than nodes = 4"),
        ("random-regular", members(4), {"degree": 0}, "degree = 0: expected at least 1"),
        ("random-regular", members(8), {"degree": 1}, "degree = 1: expected 2 or more"),
        ("small-world", members(8), DEGREE, "degree = 3: .* an even number"),
        ("erdos-renyi", members(8), {"probability": 0.0}, "probability = 0: expected above 0"),
        ("small-world", members(8), {"probability": 1.5}, "probability = 1.5: expected .* at most 1"),
        ("erdos-renyi", members(64), {"probability": 0.01}, "no connected erdos-renyi graph over 64 .* 0.13"),
        ("edges", members(4), {}, "edges = None: .* needs the path of a file"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_with_what_was_found_and_what_could_be(
    name: str, names: list[str], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(TopologyError, match=words):
        schedule(name, names, **more)


def test_rounds_count_from_one() -> None:
    for name in ("ring", "base-k", "epidemic-local"):
        with pytest.raises(ValueError, match="count from 1"):
            schedule(name, members(6)).out(0)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(data=st.data())
def test_components_are_those_of_networkx(data: st.DataObject) -> None:
    names = members(data.draw(st.integers(1, 8)))
    out = {i: tuple(sorted(data.draw(st.sets(st.sampled_from(names), max_size=3)) - {i})) for i in names}
    expected = nx.strongly_connected_components(nx.DiGraph({i: list(js) for i, js in out.items()}))
    assert sorted(map(sorted, components(out))) == sorted(map(sorted, expected))


def test_the_default_degree_fits_few_nodes() -> None:
    assert [default_degree("random-regular", n) for n in (2, 3, 4, 5, 9)] == [1, 2, 3, 4, 4]
    assert [default_degree("small-world", n) for n in (3, 4, 5, 9)] == [2, 2, 4, 4]
    assert (default_degree("base-k", 9), default_degree("ring", 9)) == (1, None)


@pytest.mark.e2e
def test_what_is_not_drawn_loads_neither_networkx_nor_numpy() -> None:
    code = (
        "import sys; from nervenet.nodes.topology import schedule; n = [f'{i:02}' for i in range(12)];"
        "[schedule(t, n).out(1) for t in ('ring', 'torus', 'base-k', 'one-peer-exponential')]; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"networkx", "numpy", "asyncio", "zmq"} & set(loaded)


# ------------------------------------------------------------------------------------------------------ a file of edges


def written(folder: Path, text: str) -> Path:
    file = folder / "graph.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_of_edges_by_name_or_number_with_commas_or_spaces(tmp_path: Path) -> None:
    file = written(tmp_path, "# mine\npeer-00, peer-01\n1 2   # by number\n\n'peer-02',\"peer-03\"\npeer-03\tpeer-00\n")
    made = schedule("edges", members(4), edges=file)
    assert (made.fixed, made.directed) == (True, False)
    assert made.out(1) == neighbors("ring", members(4))


def test_a_directed_file_of_edges(tmp_path: Path) -> None:
    made = schedule("edges", members(3), edges=written(tmp_path, "directed\n0,1\n1,2\n2,0\n"))
    assert made.directed
    assert made.out(1) == {"peer-00": ("peer-01",), "peer-01": ("peer-02",), "peer-02": ("peer-00",)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1\n2 3\n", r"not connected but falls into 2 components: peer-00, peer-01; peer-02, peer-03; join them"),
        (
            "directed\n0 1\n1 0\n1 2\n2 3\n3 2\n",
            "not strongly connected .* 2 components: peer-00, peer-01; peer-02, peer-0",
        ),
        ("0 1\n1 1\n", "line 2: joins peer-01 with itself"),
        ("0 1\npeer-01 peer-9\n", "line 2: there is no member 'peer-9' .did you mean peer-0.*or a number from 0 to 3"),
        ("0 1\n1 4\n", "line 2: there is no member '4'; expected one of peer-00, .*or a number from 0 to 3"),
        ("0 1 2\n", "line 1: expected two members .*; found '0 1 2'"),
        ("0 1\ndirected\n", "line 2: expected two members .*'directed' before the first edge; found 'directed'"),
        ("# nothing\n", "holds no edge"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_by_file_line_and_word(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(TopologyError, match=words) as caught:
        schedule("edges", members(4), edges=file)
    assert str(file) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    for file, words in (("none.csv", "No such file"), ("bytes.csv", "not UTF-8"), ("", "Is a directory")):
        with pytest.raises(TopologyError, match=words):
            schedule("edges", members(4), edges=tmp_path / file)


def test_of_many_components_the_first_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    file = written(tmp_path, "0 1\n")
    with pytest.raises(TopologyError, match=r"falls into 29 components: peer-00, peer-01; peer-02; .* and 21 more"):
        schedule("edges", members(30), edges=file)
