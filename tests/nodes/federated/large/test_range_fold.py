"""Folded range by range a model has the bits that it has folded whole; in files as in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker.messages import Payload
from nervenet.models.aggregate import weighted_mean
from nervenet.nodes.federated.coordinator_worker import Aggregator
from nervenet.nodes.federated.large import range_fold
from nervenet.nodes.federated.strategies import Contribution, Outcome
from nervenet.nodes.federated.strategies.averaging import FedAdam, FedAvg, FedAvgM, FedYogi
from nervenet.nodes.federated.strategies.client_drift import FedNova, FedProx
from nervenet.nodes.federated.strategies.robust import Median, TrimmedMean
from nervenet.nodes.large import vectors
from nervenet.nodes.large.vectors import Received, Room
from nervenet.nodes.runtime import effects as e

SUITED = [FedAvg(), FedAvgM(), FedAdam(), FedYogi(), FedProx(), FedNova(), Median(), TrimmedMean(f=1)]


def updates(weights: Any, count: int, seed: int) -> list[Contribution]:
    rng = np.random.default_rng(seed)
    return [
        Contribution(
            f"c{k}",
            (weights + rng.normal(0, 0.1, weights.size)).astype(weights.dtype),
            weights,
            int(rng.integers(1, 100)),
            {"fednova_normalizer": float(rng.integers(1, 9))},
        )
        for k in range(count)
    ]


def by_ranges(aggregator: Aggregator, weights: Any, given: list[Contribution], length: int, number: int) -> Any:
    for start in range(0, weights.size, length):
        here = slice(start, start + length)
        parts = tuple(Contribution(c.client, c.body[here], weights, c.examples, c.metrics) for c in given)
        answer = aggregator.fold_range(e.FoldRange(number, number, 0, start, weights, parts))
        assert answer.rejected == {}
    return aggregator.close_fold(e.CloseFold(number, number, 0)).body


@pytest.mark.parametrize("strategy", SUITED, ids=lambda strategy: type(strategy).__name__)
def test_the_bits_are_those_of_the_whole(strategy: Any, tmp_path: Path) -> None:
    @settings(max_examples=4)
    @given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 2**32), st.sampled_from(["float32", "float64"]))
    def check(size: int, length: int, seed: int, dtype: str) -> None:
        start = np.random.default_rng(seed).normal(size=size).astype(dtype)
        whole, parts, mapped = (Aggregator(strategy, 4, room=room) for room in (None, Room(), Room(tmp_path)))
        weights = dict.fromkeys((whole, parts, mapped), start)
        for aggregator in weights:
            aggregator.begin(start)
        for number in (1, 2):
            given = updates(weights[whole], 4, seed + number)
            weights[whole] = whole.fold(e.Fold(number, 0, weights[whole], tuple(given))).body
            for aggregator in (parts, mapped):
                weights[aggregator] = by_ranges(aggregator, weights[aggregator], given, length, number)
                assert weights[aggregator].tobytes() == weights[whole].tobytes()
        assert {name: array.tobytes() for name, array in parts.state.items()} == {
            name: array.tobytes() for name, array in whole.state.items()
        }

    check()


def test_with_a_base_of_its_own_a_range_would_have_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """FedNova adds up what it takes from one base: it must see that clients started from the same."""
    made = range_fold._range_of

    def apart(contribution: Contribution, whole: Any, weights: Any, here: slice) -> Contribution:
        found = made(contribution, whole, weights, here)
        return Contribution(found.client, found.body, found.base.copy(), found.examples, found.metrics)

    weights = np.random.default_rng(0).normal(size=300).astype(np.float32)
    given = updates(weights, 4, 1)
    whole, parts = Aggregator(FedNova(), 4), Aggregator(FedNova(), 4)
    for aggregator in (whole, parts):
        aggregator.begin(weights)
    expected = whole.fold(e.Fold(1, 0, weights, tuple(given))).body
    monkeypatch.setattr(range_fold, "_range_of", apart)
    assert by_ranges(parts, weights, given, 100, 1).tobytes() != expected.tobytes()


class Remembering(FedAvg):
    """Goes half of the way, and remembers the whole: what the sum was made in is no part of the next model."""

    def init(self, weights: Any, population: int) -> Any:
        return {"mean": weights}

    def apply(self, state: Any, weights: Any, contributions: Any) -> Outcome:
        mean = weighted_mean([c.weights() for c in contributions], [c.examples for c in contributions])
        return Outcome((weights + mean) / 2, {"mean": mean})


def test_what_a_strategy_made_in_the_place_of_a_range_is_not_lost() -> None:
    weights = np.random.default_rng(0).normal(size=300).astype(np.float32)
    given = updates(weights, 3, 1)
    whole, parts = Aggregator(Remembering(), 3), Aggregator(Remembering(), 3)
    for aggregator in (whole, parts):
        aggregator.begin(weights)
    expected = whole.fold(e.Fold(1, 0, weights, tuple(given))).body
    assert by_ranges(parts, weights, given, 100, 1).tobytes() == expected.tobytes()
    assert parts.state["mean"].tobytes() == whole.state["mean"].tobytes()


def test_the_sum_of_a_range_is_made_where_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.zeros(300, np.float32)
    aggregator = Aggregator(FedAvg(), 3)
    aggregator.begin(weights)
    found: list[bool] = []
    at = range_fold._is_at
    monkeypatch.setattr(range_fold, "_is_at", lambda *given: found.append(at(*given)) or found[-1])
    by_ranges(aggregator, weights, updates(weights, 3, 1), 100, 1)
    assert found == [True, True, True]


def test_a_new_number_begins_again_from_the_state_of_the_round_before() -> None:
    weights = np.arange(6, dtype=np.float32)
    aggregator, again = Aggregator(FedAvgM(), 2), Aggregator(FedAvgM(), 2)
    for each in (aggregator, again):
        each.begin(weights)
    given = updates(weights, 3, 0)
    aggregator.fold_range(
        e.FoldRange(1, 1, 0, 0, weights, tuple(Contribution(c.client, c.body[:3], weights, 1) for c in given))
    )
    found = by_ranges(aggregator, weights, given[:2], 3, 2)
    assert np.array_equal(found, by_ranges(again, weights, given[:2], 3, 2))
    assert np.array_equal(aggregator.state["momentum"], again.state["momentum"])


def test_an_update_whose_values_no_model_has_is_rejected_by_its_range() -> None:
    weights = np.zeros(6, np.float32)
    aggregator = Aggregator(FedAvg(), 2)
    aggregator.begin(weights)
    bodies = {"c0": np.ones(3, np.float32), "c1": np.full(3, 1e30, np.float32)}
    parts = tuple(Contribution(name, body, weights, 1) for name, body in bodies.items())
    answer = aggregator.fold_range(e.FoldRange(1, 1, 0, 0, weights, parts))
    assert list(answer.rejected) == ["c1"]


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("large", [0, 1 << 23])
def test_what_is_received_in_any_order_is_the_vector(
    mapped: bool, large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_LARGE", large)  # from 0 on in large pages
    received = Received(Room(tmp_path if mapped else None))
    payload = Payload("a1b2", "float64", 5_000)
    whole = np.random.default_rng(0).normal(size=5_000)
    for start in (2_000, 0, 4_000):
        answer = received.keep(e.KeepRange(1, start, whole[start : start + 2_000], payload))
    assert np.array_equal(answer.body, whole)
    assert not answer.body.flags.writeable
    assert list(tmp_path.iterdir()) == []  # nobody else sees the file, and it ends with its vector
    other = received.keep(e.KeepRange(2, 0, whole[:2_000], payload)).body
    assert np.array_equal(answer.body, whole)
    assert other is not answer.body


def test_small_vectors_stay_in_memory(tmp_path: Path) -> None:
    room = Room(tmp_path, above=8_000)
    assert room.new(1_000, "float64").base is None
    assert room.new(1_001, "float64").base is not None
    weights = np.arange(2_000.0)
    moved = room.moved(weights)
    assert np.array_equal(moved, weights)
    assert not moved.flags.writeable
    assert Room().moved(weights) is weights
