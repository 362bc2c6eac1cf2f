"""Mixing weights: exact facts about the matrix, and what happens to the weight of a missing neighbour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.gossip.mixing import coefficients, metropolis_hastings
from nervenet.nodes.gossip.topology import Neighbours, neighbours

PLAIN = ("ring", "line", "torus", "hypercube", "complete", "star", "random-regular", "erdos-renyi", "small-world")


def matrix(graph: Neighbours) -> np.ndarray:
    names = sorted(graph)
    rows = metropolis_hastings(graph)
    return np.array([[rows[i].get(j, 0.0) for j in names] for i in names])


def laid(name: str, n: int) -> Neighbours:
    return neighbours(name, [f"peer-{i:02}" for i in range(n)], seed=1, degree=2 if name == "small-world" else 3)


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


@pytest.mark.parametrize("n", [4, 5, 8, 16, 33])
def test_a_ring_mixes_with_thirds_and_a_gap_of_two_thirds_of_one_minus_cosine(n: int) -> None:
    W = matrix(laid("ring", n))
    assert set(np.round(W[W > 0], 12)) == {np.round(1 / 3, 12)}
    second = np.sort(np.linalg.eigvalsh(W))[-2]
    assert 1 - second == pytest.approx(2 / 3 * (1 - np.cos(2 * np.pi / n)))


@pytest.mark.parametrize(
    ("name", "n", "gap"),
    [
        ("complete", 8, 1.0),  # one mixing is the mean
        ("star", 8, 1 / 8),  # every edge weighs 1/n
        ("torus", 16, 2 / 5),  # fifths: 1 - (3 + 2 cos(pi/2)) / 5
    ],
)
def test_gaps_of_other_graphs_that_are_known_in_closed_form(name: str, n: int, gap: float) -> None:
    assert 1 - np.sort(np.linalg.eigvalsh(matrix(laid(name, n))))[-2] == pytest.approx(gap)


def test_one_alone_keeps_its_model() -> None:
    assert metropolis_hastings({"only": ()}) == {"only": {"only": 1.0}}


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
