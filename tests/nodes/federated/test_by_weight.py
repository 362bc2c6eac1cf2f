"""Sites whose rows have weights count by the sum of these."""

from collections.abc import Iterable
from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.federated.by_weight import by_weight
from nervenet.nodes.federated.round import site_metrics
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev


def update(name: str, examples: int, **metrics: float) -> Contribution:
    return Contribution(name, None, None, examples, metrics)


def examples(updates: Iterable[Contribution]) -> list[float]:
    return [update.examples for update in updates]


def fold(effects: Iterable[e.Effect]) -> e.Fold:
    (found,) = [effect for effect in effects if isinstance(effect, e.Fold)]
    return found


def test_without_weights_updates_stay_as_they_are() -> None:
    given = [update("a", 10), update("b", 30)]
    counted, lines = by_weight(given, 2.0)
    assert [one is other for one, other in zip(counted, given, strict=True)] == [True, True]
    assert lines == {}


def test_weights_take_the_place_of_rows_and_a_row_without_one_counts_as_1() -> None:
    counted, lines = by_weight([update("a", 10, weight=2.5), update("b", 30), update("c", 7, weight=70.0)], 100.0)
    assert examples(counted) == [2.5, 30, 70]
    assert list(lines) == ["b"]
    assert "the rows of b have no weights" in lines["b"]
    assert "by its 30 rows, beside sums of weights of 30 in the median" in lines["b"]


def test_no_weight_counts_for_more_than_others_have() -> None:
    given = [update("a", 10, weight=0.5), update("b", 10, weight=0.25), update("c", 10, weight=1e90)]
    counted, lines = by_weight(given, 10.0)
    assert examples(counted) == [0.5, 0.25, 5.0]
    assert list(lines) == ["c"]
    assert "sum to 1e+90, more than 10 times the median client's (0.5): it counts as 5" in lines["c"]


def test_a_round_folds_by_weights(coordinator: Any) -> None:
    harness = coordinator().settle()
    harness.answer("client-0", examples=10, loss=1.0, weight=5.0)
    harness.answer("client-1", examples=20, loss=2.0, weight=5.0)
    effects = harness.answer("client-2", examples=10, loss=4.0)
    assert [(c.client, c.examples) for c in fold(effects).contributions] == [
        ("client-0", 5.0),
        ("client-1", 5.0),
        ("client-2", 10.0),
    ]


def test_a_claim_that_is_cut_is_warned_of_once(coordinator: Any) -> None:
    harness = coordinator().settle()
    for number in (1, 2):
        for name in harness.names:
            effects = harness.answer(name, number, weight=1e6 if name == "client-2" else 1.0)
        assert max(examples(fold(effects).contributions)) == 100.0
        harness.tell(ev.Folded(number, 0, f"w{number}"))
    warnings = [fields for fields in harness.published("warning") if "sum to" in fields["reason"]]
    assert [fields["subject"] for fields in warnings] == ["client-2"]


def test_a_site_without_weights_among_sites_that_have_some_is_warned_of_once(coordinator: Any) -> None:
    harness = coordinator().settle()
    for number in (1, 2):
        for name in harness.names:
            harness.answer(name, number, **({} if name == "client-2" else {"weight": 1.0}))
        harness.tell(ev.Folded(number, 0, f"w{number}"))
    warnings = [fields for fields in harness.published("warning") if "have no weights" in fields["reason"]]
    assert [fields["subject"] for fields in warnings] == ["client-2"]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e101])
def test_a_weight_that_is_none_is_refused_by_name(coordinator: Any, weight: float) -> None:
    harness = coordinator().settle()
    effects = harness.answer("client-0", weight=weight)
    (sent,) = [effect.message for effect in effects if isinstance(effect, e.Send)]
    assert isinstance(sent, m.Refused)
    assert (sent.code, sent.reason.startswith("the weight of all rows must be above 0")) == ("examples", True)


def test_an_asynchronous_step_goes_by_weights_as_well() -> None:
    from nervenet.nodes.federated.async_tasks import OpenTask, UpdateBuffer, WaitingUpdate

    buffer = UpdateBuffer(2)
    for number, name in enumerate("ba", 1):
        task = OpenTask(number, 0, None, 0.0)
        buffer.waiting.append(WaitingUpdate(task, update(name, 10, weight=float(number))))
    step = buffer.take(0, 0)
    assert step is not None
    counted = by_weight([waiting.update for waiting in step.taken], 100.0)[0]
    assert [(one.client, one.examples) for one in buffer.counted_as(counted).contributions()] == [
        ("a", 2.0),
        ("b", 1.0),
    ]


def test_figures_of_sites_are_averaged_by_the_weight_of_their_rows() -> None:
    of = {"holdout_examples": 10.0, "holdout_accuracy": 0.5}
    admitted = {
        "a": update("a", 10, **of, holdout_weight=1.0),
        "b": update("b", 10, **(of | {"holdout_accuracy": 1.0}), holdout_weight=3.0),
    }
    found = site_metrics(admitted)
    assert (found["examples"], found["weight"], found["accuracy"]) == (20, 4.0, 0.875)
    hostile = admitted | {"c": update("c", 10, **of, holdout_weight=float("nan"))}
    assert site_metrics(hostile)["weight"] == 14.0
    assert "weight" not in site_metrics({"a": update("a", 10, **of)})


def test_the_mean_is_by_weight() -> None:
    import numpy as np

    updates = [
        Contribution(name, np.array([value]), np.zeros(1), 10, {"weight": weight})
        for name, value, weight in (("a", 1.0, 3.0), ("b", 5.0, 1.0))
    ]
    counted = by_weight(updates, 100.0)[0]
    assert FedAvg().apply({}, np.zeros(1), counted).weights.tolist() == [2.0]


def test_sums_over_rows_count_alike_whatever_a_site_claims(coordinator: Any) -> None:
    harness = coordinator(alike=True).settle()
    harness.answer("client-0", examples=1, loss=1.0, weight=50.0)
    harness.answer("client-1", examples=20, loss=2.0)
    effects = harness.answer("client-2", examples=10, loss=4.0)
    assert examples(fold(effects).contributions) == [1, 1, 1]
    assert not [effect for effect in effects if isinstance(effect, e.Publish) and effect.type == "warning"]
