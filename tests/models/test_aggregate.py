"""Merging vectors: what is computed, in which order, from what."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from nervenet.models import aggregate, generator, parallel
from nervenet.models.aggregate import combine, plain_mean, weighted_mean
from nervenet.models.weights import BLOCK, IncompatibleWeights


def vectors(count, size, dtype="float32"):
    return list(generator(0, count).standard_normal((count, size)).astype(dtype))


@pytest.mark.parametrize("size", [1, 1000, BLOCK, 2 * BLOCK + 13])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_is_weighted_by_examples(size, dtype):
    given, weights = vectors(5, size, dtype), [10, 20, 0, 5, 65]
    mean = weighted_mean(given, weights)
    assert mean.dtype == dtype
    exact = np.average(np.array(given, np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(mean, exact, atol=1e-6 if dtype == "float32" else 1e-14)


def test_terms_are_added_in_the_order_given():
    given, coefficients = vectors(7, BLOCK + 5), [0.3, -0.1, 0.2, 0.7, 1e3, -1e3, 0.5]
    expected = np.float32(coefficients[0]) * given[0]
    for vector, coefficient in zip(given[1:], coefficients[1:], strict=True):
        expected = expected + np.float32(coefficient) * vector
    np.testing.assert_array_equal(combine(given, coefficients), expected)
    backwards = combine(given[::-1], coefficients[::-1])
    assert not np.array_equal(backwards, expected)  # or the test above would pass in any order
    np.testing.assert_allclose(backwards, expected, atol=1e-3)


def test_the_same_inputs_give_the_same_bits_wherever_they_lie_in_memory():
    given, weights = vectors(6, BLOCK + 3), [1, 2, 3, 4, 5, 6]
    shifted = []
    for vector in given:
        room = np.empty(vector.size + 1, vector.dtype)
        room[1:] = vector
        shifted.append(room[1:])
    assert weighted_mean(given, weights).tobytes() == weighted_mean(shifted, weights).tobytes()


def test_inputs_may_be_read_only_and_are_not_changed():
    given = vectors(3, 100)
    received = [np.frombuffer(vector.tobytes(), vector.dtype) for vector in given]
    mean = weighted_mean(received, [1, 1, 2])
    mean += 1
    for vector, original in zip(received, given, strict=True):
        np.testing.assert_array_equal(vector, original)


def test_the_result_may_overwrite_an_input():
    given, expected = vectors(3, 2 * BLOCK), combine(vectors(3, 2 * BLOCK), [0.2, 0.3, 0.5])
    for i in range(3):
        copies = [vector.copy() for vector in given]
        assert combine(copies, [0.2, 0.3, 0.5], out=copies[i]) is copies[i]
        np.testing.assert_array_equal(copies[i], expected)


@settings(max_examples=40, deadline=None)
@drawn(
    count=st.integers(1, 9),
    size=st.sampled_from([1, 2, 63, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 13]),
    dtype=st.sampled_from(["float32", "float64"]),
    stride=st.sampled_from([-2, -1, 1, 3]),
    weight=st.sampled_from([0.1, 1.0, 600.0]),
    over=st.booleans(),
)
def test_vectors_that_count_the_same_are_added_in_order_and_their_sum_is_divided(
    count, size, dtype, stride, weight, over
):
    given = [vector[::stride] for vector in vectors(count, size * abs(stride), dtype)]
    expected = given[0]
    for vector in given[1:]:
        expected = expected + vector
    expected = expected / np.array(count, dtype)
    out = given[-1] if over else None
    mean = weighted_mean(given, [weight] * count, out=out)
    assert mean.dtype == dtype
    assert mean.tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [100, 2 * BLOCK + 13])
def test_what_counts_once_is_added_as_it_lies(size):
    given, coefficients = vectors(4, size), [1.0, -0.5, 1.0, 2.0]
    expected = given[0] + np.float32(-0.5) * given[1] + given[2] + np.float32(2) * given[3]
    assert combine(given, coefficients).tobytes() == expected.tobytes()
    turned = given[1] * np.float32(-0.5) + given[0]
    assert combine([given[1], given[0]], [-0.5, 1.0], out=given[0]).tobytes() == turned.tobytes()


def test_a_range_of_the_mean_is_the_mean_of_the_ranges():
    """As where a model comes in chunks: whoever folds them has the bits of whoever folds whole updates."""
    given = vectors(5, 2 * BLOCK + 13)
    for weights in ([2, 2, 2, 2, 2], [3, 1, 4, 1, 5]):
        whole = weighted_mean(given, weights)
        for part in (slice(0, 7), slice(7, BLOCK + 8), slice(BLOCK + 8, None)):
            assert weighted_mean([vector[part] for vector in given], weights).tobytes() == whole[part].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", [[3, 1, 4, 1, 5], [2, 2, 2, 2, 2]], ids=["unlike", "alike"])
def test_the_number_of_cores_changes_no_bit(dtype, weights, monkeypatch):
    given = vectors(5, 3 * BLOCK + 7, dtype)
    expected = weighted_mean(given, weights)
    monkeypatch.setattr(parallel, "WORTH_THREADS", 0)
    monkeypatch.setattr(aggregate, "WORTH_THREADS", 0)
    monkeypatch.setattr(aggregate, "LONG_BLOCK", BLOCK // 2)
    for cores in (1, 2, 3):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        np.testing.assert_array_equal(weighted_mean(given, weights), expected)
        np.testing.assert_array_equal(weighted_mean(given, weights, out=np.empty_like(given[0])), expected)
        copies = [vector.copy() for vector in given]
        np.testing.assert_array_equal(weighted_mean(copies, weights, out=copies[2]), expected)


def test_memory_beside_the_inputs_is_less_than_two_models():
    given = vectors(4, 1_000_000)
    tracemalloc.start()
    try:
        weighted_mean(given, [1, 2, 3, 4])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert given[0].nbytes <= peak <= 2 * given[0].nbytes


def test_equal_vectors_stay_themselves_under_mixing_to_rounding():
    one = vectors(1, 1000)[0]
    np.testing.assert_allclose(combine([one] * 3, [1 / 3] * 3), one, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "weights", "said"),
    [
        ([], [], "no vectors"),
        (vectors(2, 3), [1], "1 coefficients for 2"),
        (vectors(2, 3), [0, 0], "not all zero"),
        (vectors(2, 3), [2, -1], "none negative"),
        (vectors(2, 3), [1, float("nan")], "finite"),
        (vectors(2, 3), [1, float("inf")], "finite"),
    ],
)
def test_impossible_weights_are_refused(given, weights, said):
    with pytest.raises(ValueError, match=said):
        weighted_mean(given, weights)


def test_vectors_that_differ_are_refused_rather_than_broadcast():
    with pytest.raises(IncompatibleWeights, match=r"shape \(1,\), expected \(3,\)"):
        combine([np.zeros(3), np.zeros(1)], [1, 1])
    with pytest.raises(IncompatibleWeights, match="float32, expected float64"):
        combine([np.zeros(3), np.zeros(3, "f")], [1, 1])
    with pytest.raises(IncompatibleWeights):
        combine([np.zeros(3), np.zeros(3)], [1, 1], out=np.zeros(4))
    with pytest.raises(ValueError, match="not finite"):
        combine([np.zeros(3)], [float("nan")])


def test_the_mean_of_copies_is_the_copy():
    """Which a weighted mean need not be, by its last digit."""
    (vector,) = vectors(1, 1000)
    np.testing.assert_array_equal(plain_mean([vector.copy() for _ in range(3)]), vector)
    assert (weighted_mean([vector] * 3, [1.0] * 3) != vector).any()
    one, other = vectors(2, 1000)
    np.testing.assert_array_equal(plain_mean([one, other]), weighted_mean([one, other], [1.0, 1.0]))
