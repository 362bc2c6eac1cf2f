"""Flat vectors and their layouts."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models import generator
from nervenet.models.weights import BLOCK, IncompatibleWeights, Layout, consensus_distance, is_finite, sketch

LAYOUT = Layout(("weight", "bias"), ((3, 2), (2,)), "float32")

layouts = st.lists(
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), min_size=1, max_size=5
).flatmap(
    lambda shapes: st.builds(
        Layout,
        st.just(tuple(f"array.{i}" for i in range(len(shapes)))),
        st.just(tuple(shapes)),
        st.sampled_from(["float32", "float64"]),
    )
)  # fmt: skip


@given(layouts)
def test_a_layout_survives_json(layout):
    again = Layout.from_dict(json.loads(json.dumps(layout.to_dict())))
    assert again == layout
    assert again.hash == layout.hash


@given(layouts)
def test_views_cover_the_vector_once_and_share_its_memory(layout):
    vector = np.zeros(layout.size, layout.dtype)
    for view in layout.views(vector).values():
        view += 1
    assert (vector == 1).all()


def test_the_hash_knows_names_shapes_order_and_dtype():
    others = [
        Layout(("weight", "other"), LAYOUT.shapes, "float32"),
        Layout(("weight", "bias"), ((2, 3), (2,)), "float32"),
        Layout(("bias", "weight"), ((2,), (3, 2)), "float32"),
        Layout(LAYOUT.names, LAYOUT.shapes, "float64"),
    ]
    assert len({LAYOUT.hash, *(other.hash for other in others)}) == 5
    # Nodes of different versions compare this value: it must never change for the same layout.
    assert LAYOUT.hash == "2c744f40371de6fb"


@pytest.mark.parametrize(
    ("vector", "reason", "said"),
    [
        (np.zeros(8), "dtype", "float64, expected float32"),
        (np.zeros(7, "f"), "length", "7 elements, expected 8"),
        (np.zeros((1, 8), "f"), "shape", "2 dimensions"),
        (np.array([0, 1, np.nan, 3, np.inf, 5, 6, 7], "f"), "finite", "2 of 8"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused_with_what_was_found(vector, reason, said):
    with pytest.raises(IncompatibleWeights, match=said) as refusal:
        LAYOUT.check(vector)
    assert refusal.value.reason == reason


def test_a_vector_that_fits_is_not_refused():
    LAYOUT.check(np.full(8, 3e38, np.float32))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"names": ["a"], "shapes": [[1]], "dtype": "int8"},
        {"names": ["a"], "shapes": [[0]], "dtype": "float32"},
        {"names": ["a", "a"], "shapes": [[1], [1]], "dtype": "float32"},
        {"names": ["a"], "shapes": [[1], [2]], "dtype": "float32"},
        {"names": [], "shapes": [], "dtype": "float32"},
        {"names": ["a"], "shapes": [["x"]], "dtype": "float32"},
        {"names": ["a"], "shapes": 3, "dtype": "float32"},
        {"names": ["a"], "shapes": [[2]], "dtype": ["float32"]},
    ],
)
def test_a_malformed_layout_is_refused(fields):
    with pytest.raises(IncompatibleWeights) as refusal:
        Layout.from_dict(fields)
    assert refusal.value.reason == "layout"


def test_large_but_finite_values_are_finite():
    vector = np.full(1000, 1e38, np.float32)  # their squares overflow
    assert is_finite(vector)
    vector[500] = -np.inf
    assert not is_finite(vector)
    vector[500] = np.nan
    assert not is_finite(vector)


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from([1, 7, 64, 1000, BLOCK + 3]),
    dtype=st.sampled_from(["float32", "float64"]),
    stride=st.sampled_from([-3, -1, 1, 2]),
    large=st.booleans(),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    data=st.data(),
)
def test_what_is_not_finite_is_found_wherever_it_lies(size, dtype, stride, large, bad, data):
    vector = np.full(size * abs(stride), np.finfo(dtype).max if large else 1.0, dtype)[::stride]
    assert is_finite(vector)
    vector[data.draw(st.integers(0, size - 1))] = bad
    assert not is_finite(vector)


def test_consensus_distance_is_the_root_mean_square_distance_to_the_mean():
    vectors = list(generator(1).random((5, 2 * BLOCK + 3)))
    mean = np.mean(vectors, axis=0)
    expected = np.sqrt(np.mean([np.sum((v - mean) ** 2) for v in vectors]))
    assert consensus_distance(vectors) == pytest.approx(expected, rel=1e-12)
    assert consensus_distance(vectors[:1]) == 0
    assert np.isnan(consensus_distance([np.array([np.nan, 1.0]), np.array([0.0, 1.0])]))


def test_sketches_keep_distances_in_the_mean():
    x, y = generator(2).standard_normal((2, 5000)).astype(np.float32)
    true = float(np.sum((x.astype(float) - y) ** 2))
    found = [float(np.sum((np.array(sketch(x, seed)) - np.array(sketch(y, seed))) ** 2)) for seed in range(40)]
    assert np.mean(found) == pytest.approx(true, rel=0.1)
    assert all(type(number) is float for number in sketch(x, 0))
    assert sketch(x, 0) == sketch(x.copy(), 0)
    assert len(sketch(x[:10], 0, width=64)) == 64


def test_a_generator_is_addressed_and_not_consumed():
    first = generator(0, "node-1", 3, "batches").random(4)
    generator(0, "node-2", 3, "batches").random(100)
    np.testing.assert_array_equal(generator(0, "node-1", 3, "batches").random(4), first)
    addresses = [(), ("a",), ("a", "b"), ("ab",), ("a", 1), ("a", "1"), (1, "a"), ("a", -1), ("a", 11), ("a", 1, 1)]
    draws = {generator(0, *address).random() for address in addresses} | {generator(1).random(), generator(-1).random()}
    assert len(draws) == len(addresses) + 2
    # A run that is repeated with a later version must start from the same weights.
    assert generator(0, "init").integers(1_000_000) == 459072
