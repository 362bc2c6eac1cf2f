"""The arithmetic of an all-reduce is that of federated averaging, part by part, to the bit."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.models.aggregate import combine
from nervenet.nodes.federated.coordinator_worker import Aggregator
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.federated.strategies.base import Contribution
from nervenet.nodes.gossip.all_reduce import worker as room
from nervenet.nodes.gossip.all_reduce.exchange import Contribution as Mine
from nervenet.nodes.gossip.all_reduce.exchange import Exchange
from nervenet.nodes.runtime import effects as e

EXAMPLES = (120, 7, 1, 3001)
SIZE = 100_003


def in_parts(vectors: list[Any]) -> Any:
    """Return what the parts of all owners come to."""
    group = tuple("abcd")
    whole = m.Payload("a1b2", str(vectors[0].dtype), SIZE)
    ends = Exchange(1, m.Call("a", 1, 1), 1, group, "a", whole, Mine(vectors[0], 1, 0.0)).ends
    return np.concatenate(
        [room.reduced([vector[start:end] for vector in vectors], EXAMPLES) for start, end in pairwise((0, *ends))]
    )


def updates(dtype: str) -> list[Any]:
    draws = np.random.default_rng(3)
    return [(draws.standard_normal(SIZE) * 10.0 ** draws.integers(-6, 6)).astype(dtype) for _ in EXAMPLES]


def averaged(vectors: list[Any]) -> Any:
    start = np.zeros(SIZE, vectors[0].dtype)
    contributions = [Contribution(name, v, start, n) for name, v, n in zip("abcd", vectors, EXAMPLES, strict=True)]
    return Aggregator(FedAvg()).fold(e.Fold(1, 0, start, contributions)).body


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_has_the_bits_of_federated_averaging(dtype: str) -> None:
    vectors = updates(dtype)
    assert in_parts(vectors).tobytes() == averaged(vectors).tobytes()


def test_another_order_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself can fail."""

    def backwards(vectors: list[Any], weights: list[float]) -> Any:
        return combine(vectors[::-1], weights[::-1])

    monkeypatch.setattr(room, "weighted_mean", backwards)
    vectors = updates("float32")
    assert in_parts(vectors).tobytes() != averaged(vectors).tobytes()


def test_where_nobody_has_examples_all_count_alike() -> None:
    assert room.reduced([np.zeros(3), np.full(3, 2.0)], [0, 0]).tolist() == [1.0, 1.0, 1.0]


def test_what_is_not_finite_is_no_mean() -> None:
    with pytest.raises(ArithmeticError, match="the mean of a part"):
        room.reduced([np.array([np.inf]), np.array([1.0])], [1, 1])
