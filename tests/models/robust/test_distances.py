"""Distances between vectors: right to the last digits that the dtype can give, also where they are hard to get."""

import numpy as np
import pytest
from nervenet.models import generator
from nervenet.models.robust import distances_to, krum_order, squared_distances
from nervenet.models.robust.distances import COLUMNS


def exact(vectors):
    stack = np.asarray(vectors, np.longdouble)
    return ((stack[:, None] - stack) ** 2).sum(axis=2).astype(float)


def draw(n, size, dtype="float32", spread=1.0, offset=0.0):
    values = generator(0, n, size).standard_normal((n, size)) * spread + offset
    return list(values.astype(dtype))


@pytest.mark.parametrize("size", [1, 100, 2 * COLUMNS + 3])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_all_pairs_are_measured_also_beside_a_large_common_offset(size, dtype, rtol, offset):
    vectors = draw(6, size, dtype, offset=offset)
    found = squared_distances(vectors)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact(vectors), rtol=rtol, atol=rtol / 10)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(found.diagonal(), 0)


@pytest.mark.parametrize("where", [0, 3, 7])
@pytest.mark.parametrize("far", [1e4, 1e8, 3e25])
def test_a_far_away_vector_costs_the_others_no_digits(where, far):
    vectors = draw(7, 500, spread=0.01, offset=1.0)
    expected = exact(vectors)
    vectors.insert(where, np.full(500, far, "f"))
    found = squared_distances(vectors)
    others = np.delete(np.delete(found, where, 0), where, 1)
    np.testing.assert_allclose(others, expected, rtol=2e-3)
    np.testing.assert_allclose(np.delete(found[where], where), 500 * far**2, rtol=1e-3)


def test_beyond_the_range_of_float64_a_distance_is_infinite_and_the_others_are_not():
    vectors = [np.full(4, 1e200), *draw(6, 4, "float64")]
    found = squared_distances(vectors)
    assert np.isinf(found[0, 1:]).all()
    np.testing.assert_allclose(found[1:, 1:], exact(vectors[1:]), rtol=1e-9, atol=1e-12)
    assert krum_order(vectors, 1)[-1] == 0


def test_equal_vectors_have_no_distance():
    assert not squared_distances([np.full(10_000, np.float32(0.1))] * 5).any()
    assert squared_distances([np.zeros(3)]).tolist() == [[0.0]]


def test_distances_to_a_point_do_not_overflow():
    vectors = [np.array([3e30, 4e30], "f"), np.array([3, 4], "f"), np.zeros(2, "f")]
    np.testing.assert_allclose(distances_to(vectors), [5e30, 5, 0], rtol=1e-6)
    np.testing.assert_allclose(distances_to(vectors, vectors[1]), [5e30, 0, 5], rtol=1e-6)
    np.testing.assert_allclose(distances_to([np.array([3e200, 4e200])]), [5e200], rtol=1e-15)
    assert np.isnan(distances_to([np.array([1.0, np.nan])])).all()
