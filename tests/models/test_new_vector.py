"""New vectors lie in memory that is lent, where somebody lends some, in this thread and no longer."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP
from nervenet.models.aggregate import weighted_mean
from nervenet.models.new_vector import laid_out, made_in, new_vector


class Lender:
    """Memory for one vector."""

    def __init__(self, nbytes: int = 1 << 16) -> None:
        self.memory = np.zeros(nbytes, np.uint8)

    def __call__(self, nbytes: int) -> Any:
        return self.memory[:nbytes] if nbytes <= self.memory.nbytes else None

    def has(self, vector: Any) -> bool:
        return np.shares_memory(self.memory, vector)


@pytest.fixture
def lender() -> Lender:
    return Lender()


def test_they_lie_there_and_no_longer_than_that(lender: Lender) -> None:
    with made_in(lender):
        inside = new_vector(10, "float32")
        too_long = new_vector(1 << 16, "float32")
    assert (inside.shape, inside.dtype) == ((10,), np.float32)
    assert lender.has(inside)
    assert not lender.has(too_long)
    assert not lender.has(new_vector(10, "float32"))


def test_other_threads_are_lent_nothing(lender: Lender) -> None:
    made: list[Any] = []
    with made_in(lender):
        other = threading.Thread(target=lambda: made.append(new_vector(10, "float32")))
        other.start()
        other.join()
    assert not lender.has(made[0])


def test_a_mean_and_the_weights_of_a_model_are_made_there_with_the_same_bits(lender: Lender) -> None:
    model = MLP((5,))
    model.build(3, 2, np.random.default_rng(0))
    vectors = [np.random.default_rng(seed).random(50, np.float32) for seed in range(3)]
    with made_in(lender):
        weights = model.get_weights()
        assert lender.has(weights)
        assert np.array_equal(weights, model.get_weights())
        mean = weighted_mean(vectors, [1.0, 2.0, 3.0])
        assert lender.has(mean)
    assert np.array_equal(mean, weighted_mean(vectors, [1.0, 2.0, 3.0]))


def test_arrays_are_laid_out_in_c_order_and_as_a_copy() -> None:
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray([[1.0, 2.0], [3.0, 4.0]], np.float32)]
    vector = laid_out(arrays)
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 1, 2, 3, 4]
    assert not np.shares_memory(vector, arrays[0])
    assert laid_out([np.zeros(1, np.float32)] * 200).dtype == np.float32
    assert laid_out([np.zeros(1, np.float32), np.zeros(1)]).dtype == np.float64
