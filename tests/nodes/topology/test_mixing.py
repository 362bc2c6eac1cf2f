"""Mixing weights: exact facts about the matrix, and what happens to the weight of a missing neighbor."""

from typing import Any

import numpy as np
import pytest
from graphs import neighbors
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.topology import Neighbors, incoming, schedule
from nervenet.nodes.topology.mixing import (
    RULES,
    MixingError,
    coefficients,
    columns_sum_to_one,
    doubly_stochastic,
    metropolis_hastings,
    push_sum_columns,
    rows_sum_to_one,
    symmetric,
    uniform,
    weigh,
)

PLAIN = ("ring", "line", "torus", "hypercube", "complete", "star", "random-regular", "erdos-renyi", "small-world")


def matrix(graph: Neighbors) -> np.ndarray:
    names = sorted(graph)
    rows = metropolis_hastings(graph)
    return np.array([[rows[i].get(j, 0.0) for j in names] for i in names])


def laid(name: str, n: int) -> Neighbors:
    return neighbors(name, [f"peer-{i:02}" for i in range(n)], seed=1, degree=2 if name == "small-world" else 3)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("n", [4, 8, 16, 64])
def test_the_matrix_is_symmetric_and_doubly_stochastic_and_mixes(name: str, n: int) -> None:
    W = matrix(laid(name, n))
    assert (W == W.T).all()
    assert (W >= 0).all()
    assert (np.diag(W) > 0).all(), "nobody forgets himself"
    np.testing.assert_allclose(W.sum(axis=0), 1.0, atol=1e-15)
    np.testing.assert_allclose(W.sum(axis=1), 1.0, atol=1e-15)
    eigenvalues = np.sort(np.abs(np.linalg.eigvalsh(W)))
    assert eigenvalues[-1] == pytest.approx(1.0)
    assert eigenvalues[-2] < 1.0 - 1e-6, "repeated mixing leads to the mean"


def test_one_alone_keeps_its_model() -> None:
    for rule in RULES.values():
        assert rule({"only": ()}) == {"only": {"only": 1.0}}


@given(data=st.data())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_weight_of_whoever_is_missing_goes_to_oneself(data: st.DataObject) -> None:
    graph = laid(data.draw(st.sampled_from(sorted(PLAIN))), data.draw(st.sampled_from([4, 8, 16])))
    rows = metropolis_hastings(graph)
    me = data.draw(st.sampled_from(sorted(graph)))
    present = data.draw(st.sets(st.sampled_from(graph[me])))
    found = coefficients(me, rows[me], present)
    assert list(found) == sorted(present | {me}), "summed in name order whoever came first"
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-15)
    assert {j: rows[me][j] for j in present} == {j: w for j, w in found.items() if j != me}
    assert found[me] >= rows[me][me] - 1e-15


def test_an_edge_that_fails_on_both_sides_keeps_the_mean() -> None:
    graph = laid("ring", 8)
    rows = metropolis_hastings(graph)
    one, other = "peer-02", "peer-03"
    names = sorted(graph)
    W = np.zeros((8, 8))
    for i in names:
        present = [j for j in graph[i] if {i, j} != {one, other}]
        for j, weight in coefficients(i, rows[i], present).items():
            W[names.index(i), names.index(j)] = weight
    np.testing.assert_allclose(W.sum(axis=0), 1.0, atol=1e-15)


# --------------------------------------------------------------------------------------- any graph, and what is refused


@st.composite
def connected(draw: st.DrawFn, directed: bool = False) -> Neighbors:
    """Each node joined with an earlier one (a directed one: in a circle), and further edges anywhere."""
    n = draw(st.integers(1, 12))
    names = [f"peer-{i:02}" for i in range(n)]
    edges = {(i, (i + 1) % n if directed else draw(st.integers(0, i - 1))) for i in range(not directed, n)}
    edges |= draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=2 * n))
    both = edges if directed else edges | {(j, i) for i, j in edges}
    return {me: tuple(names[j] for j in range(n) if (i, j) in both and i != j) for i, me in enumerate(names)}


@given(graph=connected())
@settings(deadline=None, derandomize=True, max_examples=80)
def test_metropolis_hastings_is_symmetric_doubly_stochastic_and_mixes_on_any_connected_graph(graph: Neighbors) -> None:
    W = matrix(graph)
    assert (W == W.T).all()
    assert (W >= 0).all()
    np.testing.assert_allclose(W.sum(axis=0), 1.0, atol=1e-14)
    np.testing.assert_allclose(W.sum(axis=1), 1.0, atol=1e-14)
    assert np.sort(np.abs(np.linalg.eigvalsh(W)))[:-1].max(initial=0.0) < 1 - 1e-6


@given(graph=connected(directed=True), data=st.data())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_push_sum_conserves_values_and_mass_and_tends_to_the_mean(graph: Neighbors, data: st.DataObject) -> None:
    names = sorted(graph)
    rows = push_sum_columns(graph)
    assert {i: set(row) for i, row in rows.items()} == {i: {i, *senders} for i, senders in incoming(graph).items()}
    P = np.array([[rows[i].get(j, 0.0) for j in names] for i in names])
    x = np.array(data.draw(st.lists(st.floats(-1, 1), min_size=len(names), max_size=len(names))))
    total, w = x.sum(), np.ones(len(names))
    mean = total / len(names)
    for _ in range(600):
        x, w = P @ x, P @ w
        assert abs(x.sum() - total) < 1e-12
        assert abs(w.sum() - len(names)) < 1e-12
    np.testing.assert_allclose(x / w, mean, atol=1e-6)


@given(graph=connected(directed=True))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_uniform_weights_sum_to_one_over_what_is_heard(graph: Neighbors) -> None:
    rows = rows_sum_to_one(uniform(graph))
    for node, row in rows.items():
        assert set(row) == {node, *incoming(graph)[node]}
        assert len(set(row.values())) == 1


def test_uniform_is_doubly_stochastic_where_all_have_as_many_neighbors() -> None:
    for graph in (laid("ring", 9), laid("random-regular", 8), laid("complete", 5)):
        assert uniform(graph, doubly=True) == doubly_stochastic(uniform(graph))
    with pytest.raises(MixingError, match=r"peer-01 hears 1, peer-00 4; expected mixing = 'metropolis-hastings'"):
        uniform(laid("star", 5), doubly=True)


def test_metropolis_hastings_is_refused_where_an_edge_goes_one_way() -> None:
    with pytest.raises(MixingError, match="a sends to b but b not to a; expected mixing = 'push-sum'"):
        metropolis_hastings({"a": ("b",), "b": ("c",), "c": ("a",)})


@pytest.mark.parametrize("n", [2, 5, 6, 8, 11])
def test_graphs_that_bring_weights_use_them_whatever_the_rule(n: int) -> None:
    names = [f"peer-{i:02}" for i in range(n)]
    for name in ("static-exponential", "one-peer-exponential", "base-k"):
        made = schedule(name, names)
        for number in range(1, (made.period or 0) + 1):
            rows = weigh(made, number, "push-sum")
            assert rows == weigh(made, number) == made.weights(number)
            heard = incoming(made.out(number))
            if name != "base-k":
                assert rows == uniform(made.out(number)) == push_sum_columns(made.out(number))
            assert {i: set(row) for i, row in rows.items()} == {i: {i, *heard[i]} for i in names}


def test_a_rule_decides_where_the_graph_brings_none() -> None:
    star = schedule("star", ["a", "b", "c"])
    assert weigh(star, 1) == metropolis_hastings(star.out(1))
    assert weigh(star, 1, "uniform") == uniform(star.out(1))
    assert weigh(star, 1, "push-sum") == push_sum_columns(star.out(1))
    with pytest.raises(MixingError, match="mixing = 'rumour': expected one of metropolis-hastings, uniform, push-sum"):
        weigh(star, 1, "rumour")
    with pytest.raises(MixingError, match="regular"):
        weigh(star, 1, "uniform", doubly=True)


HALF = {"a": {"a": 0.5, "b": 0.5}, "b": {"a": 0.5, "b": 0.5}}


@pytest.mark.parametrize(
    ("check", "rows", "words"),
    [
        (rows_sum_to_one, HALF | {"b": {"b": 0.9}}, "row b: .* found 0.9"),
        (columns_sum_to_one, {"a": {"a": 1.0}, "b": {"a": 0.5, "b": 0.5}}, "column a: .* found 1.5"),
        (rows_sum_to_one, HALF | {"a": {"a": 1.5, "b": -0.5}}, "a weighs b with -0.5"),
        (columns_sum_to_one, HALF | {"a": {"a": float("nan")}}, "a weighs a with nan"),
        (symmetric, HALF | {"b": {"b": 1.0}}, "a weighs b with 0.5, and is weighed with 0"),
        (doubly_stochastic, {"a": {"a": 1.0}, "b": {"a": 1.0}}, "column a: .* found 2"),
    ],
)
def test_a_matrix_that_is_not_what_it_must_be_is_named_by_node(check: Any, rows: Any, words: str) -> None:
    assert check(HALF) is HALF
    with pytest.raises(MixingError, match=words):
        check(rows)
