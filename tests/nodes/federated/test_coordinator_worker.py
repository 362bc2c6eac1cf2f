"""What the coordinator's half of the worker remembers from fold to fold."""

import numpy as np
import pytest
from nervenet.nodes.federated.coordinator_worker import Aggregator
from nervenet.nodes.federated.strategies import Contribution, StrategyError
from nervenet.nodes.federated.strategies.registry import build_strategy
from nervenet.nodes.runtime import effects as e


def a_fold(weights: np.ndarray, number: int, attempt: int, answer: float) -> e.Fold:
    given = (Contribution("a", np.full(3, answer, np.float32), weights, 10),)
    return e.Fold(number, attempt, weights, given)


def check_a_fold_that_did_not_count_leaves_nothing_behind() -> None:
    start = np.zeros(3, np.float32)
    found = []
    for first_fails in (False, True):
        aggregator = Aggregator(build_strategy("fedavgm", {}))
        aggregator.begin(start)
        weights = aggregator.fold(a_fold(start, 1, 0, 1.0)).body
        if first_fails:
            aggregator.fold(a_fold(weights, 2, 0, 900.0))
        folded = aggregator.fold(a_fold(weights, 2, int(first_fails), 2.0))
        found.append((folded.body.tobytes(), {name: a.tobytes() for name, a in aggregator.arrays(2).items()}))
    assert found[0] == found[1]


def test_a_fold_that_did_not_count_leaves_nothing_behind() -> None:
    check_a_fold_that_did_not_count_leaves_nothing_behind()


def test_a_fold_that_did_not_count_would_leave_its_momentum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Aggregator, "_rewind", lambda self, number: None)
    with pytest.raises(AssertionError):
        check_a_fold_that_did_not_count_leaves_nothing_behind()


def test_an_update_that_is_not_finite_fails_the_fold_by_the_name_of_its_client() -> None:
    aggregator = Aggregator(build_strategy("fedavg", {}))
    aggregator.begin(np.zeros(3, np.float32))
    with pytest.raises(StrategyError, match="a: values must be finite"):
        aggregator.fold(a_fold(np.zeros(3, np.float32), 1, 0, float("nan")))
