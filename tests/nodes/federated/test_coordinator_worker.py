"""What the coordinator's half of the worker remembers from fold to fold."""

from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.federated import coordinator_worker
from nervenet.nodes.federated.coordinator_worker import Aggregator
from nervenet.nodes.federated.strategies import Contribution, StrategyError
from nervenet.nodes.federated.strategies.registry import build_strategy
from nervenet.nodes.roles.coordinator import Coordinator
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


def remembered_of_a_resumed_region() -> dict[str, Any]:
    """Return what it has to write of its last round, when it has been told again what all regions agreed on."""
    aggregator, weights = Aggregator(build_strategy("fedavg", {})), np.zeros(3)
    aggregator.restore(7, weights, {})
    aggregator.begin(weights)
    return aggregator.arrays(7)


def test_a_resumed_region_that_makes_no_further_round_remembers_its_last() -> None:
    assert remembered_of_a_resumed_region() == {}


def test_forgotten_with_the_agreement_its_last_checkpoint_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Aggregator.begin

    def anew(self: Aggregator, weights: np.ndarray) -> Any:
        self._kept = {}
        return begin(self, weights)

    monkeypatch.setattr(Aggregator, "begin", anew)
    with pytest.raises(RuntimeError, match=r"round 7 is not remembered; rounds \[0\] are"):
        remembered_of_a_resumed_region()


def check_fedbuffs_steps_follow_from_those_at_work() -> None:
    strategy, start = build_strategy("fedbuff", {"buffer": 4}), np.zeros(3)
    for participation, length in ((1.0, 0.1), (0.1, 1.0)):
        population = coordinator_worker.population_of(strategy, 40, participation)
        updates = [Contribution(name, np.ones(3), start, 1) for name in "abcd"]
        outcome = strategy.apply(strategy.init(start, population), start, updates)
        np.testing.assert_allclose(outcome.weights, length, rtol=1e-12)


def test_fedbuffs_steps_follow_from_those_at_work() -> None:
    check_fedbuffs_steps_follow_from_those_at_work()
    assert coordinator_worker.population_of(build_strategy("scaffold", {}), 40, 0.1) == 40


def test_by_all_clients_they_would_be_a_tenth_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator_worker, "population_of", lambda strategy, nodes, participation: nodes)
    with pytest.raises(AssertionError):
        check_fedbuffs_steps_follow_from_those_at_work()


@pytest.mark.parametrize(("strategy", "population"), [("fedbuff", 4), ("scaffold", 40)])
async def test_the_coordinator_tells_its_strategy(strategy: str, population: int) -> None:
    plan = Experiment.from_dict({"nodes": 40, "federated": {"strategy": strategy, "participation": 0.1}})
    role = Coordinator(MLP((4,)), broker="tcp://127.0.0.1:1", run="r", experiment=plan)
    await role.session.close("")
    assert role._worker.aggregator.population == population
