"""What a run is set beside."""

from typing import Any

import numpy as np
import pytest
from nervenet.broker.events import Publisher
from nervenet.models import datasets
from nervenet.models.data.data import infer_task
from nervenet.models.data.splits import split
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import baselines
from nervenet.nodes.launching.baselines import ROW_BUDGET, local_only, too_large, train_and_score
from nervenet.nodes.launching.shared_arrays import pack

COLUMNS = ("a", "b")


def never() -> bool:
    return False


def iris(**keys: Any) -> tuple[Experiment, Any, Any, tuple[str, ...]]:
    experiment = Experiment.from_dict({"data": {"name": "iris"}, "rounds": 10, **keys})
    train, test = split(datasets.load("iris"), 0.2, seed=42)
    return experiment, (train.X, train.y), (test.X, test.y), tuple(train.columns)


def test_all_rows_in_one_place_score_higher_than_each_nodes_alone() -> None:
    experiment, rows, test, columns = iris()
    together = train_and_score(experiment, rows, test, columns, "classification", never)
    parts = [np.arange(k, 120, 12) for k in range(12)]
    apart = local_only(experiment, rows, parts, test, columns, "classification", never)[0]
    assert together is not None
    assert apart is not None
    assert together >= 0.9
    assert 0.5 < apart <= together


def test_the_same_run_has_the_same_baseline() -> None:
    experiment, rows, test, columns = iris()
    scores = {train_and_score(experiment, rows, test, columns, "classification", never) for _ in range(2)}
    assert len(scores) == 1


def test_a_node_that_never_met_a_class_is_measured_on_all_of_them() -> None:
    experiment, rows, test, columns = iris()
    order = np.argsort(rows[1], kind="stable")
    score = local_only(experiment, rows, np.array_split(order, 3), test, columns, "classification", never)[0]
    assert score == pytest.approx(1 / 3, abs=0.05)  # each knows its own class and no other


def test_what_diverged_is_unknown_and_no_number() -> None:
    experiment, rows, test, columns = iris(training={"learning_rate": 1e30})
    assert train_and_score(experiment, rows, test, columns, "regression", never) is None
    parts = [np.arange(60), np.arange(60, 120)]
    assert local_only(experiment, rows, parts, test, columns, "regression", never)[0] is None


def many_classes() -> tuple[tuple[Any, Any], list[Any]]:
    labels = np.repeat(np.arange(20), 8)
    X = np.c_[labels % 5, labels // 5] + np.random.default_rng(0).normal(size=(160, 2)) * 0.05
    return (X, labels), [np.arange(k, 160, 8) for k in range(8)]


def test_few_rows_of_many_classes_are_not_taken_for_quantities() -> None:
    rows, parts = many_classes()
    experiment = Experiment.from_dict({"rounds": 20})
    score = local_only(experiment, rows, parts, rows, COLUMNS, "classification", never)[0]
    assert score is not None
    assert score > 0.5


def test_without_the_task_given_they_would_be() -> None:
    rows, parts = many_classes()
    assert infer_task(rows[1][parts[0]]) == "regression"


def test_a_baseline_over_the_row_budget_is_left_out_with_a_reason() -> None:
    experiment = Experiment.from_dict({"rounds": 10, "training": {"epochs": 2}})
    assert too_large(experiment, ROW_BUDGET // 20, 10) is None
    reason = too_large(experiment, ROW_BUDGET // 20 + 1, 10)
    assert reason is not None
    assert f"{ROW_BUDGET:,}" in reason


async def trained_for(monkeypatch: pytest.MonkeyPatch, rounds: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the baselines' process, of a run of 40 rounds that made so many; return its report, and what it published."""
    experiment, (X, y), (X_test, y_test), columns = iris(rounds=40)
    reports: list[Any] = []
    published: list[dict[str, Any]] = []

    async def report_once(*given: Any, **_: Any) -> None:
        reports.append(given[-1])

    def publish(_: object, kind: str, **fields: Any) -> None:
        published.append({"type": kind, **fields})

    monkeypatch.setattr(baselines, "report_once", report_once)
    monkeypatch.setattr(Publisher, "publish", publish)
    parts = np.array_split(np.random.default_rng(0).permutation(len(y)), 3)
    whole = pack([X, y, X_test, y_test, np.concatenate(parts), np.array([len(part) for part in parts])])
    job = {"experiment": experiment.to_dict(), "columns": list(columns), "task": "classification", "rounds": rounds}
    job |= {"run": "r", "report_server": {}, "events_in": "tcp://127.0.0.1:9"}
    assert await baselines.report_baselines(job, [whole]) == 0
    return reports[0], published


async def test_after_an_early_stop_the_baselines_train_for_as_many_rounds_as_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, rows, test, columns = iris()
    scores = {n: train_and_score(iris(rounds=n)[0], rows, test, columns, "classification", never) for n in (1, 40)}
    assert scores[1] != scores[40], "else this test shows nothing"
    found, published = await trained_for(monkeypatch, 1)
    assert found["centralised"] == scores[1]
    assert found["seconds"] > 0
    assert published == [{"type": "baseline.progress", "done": done, "models": 4, "rounds": 1} for done in range(5)]


async def test_for_all_that_were_planned_they_would_be_set_beside_a_longer_run(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rows, test, columns = iris()
    one = train_and_score(iris(rounds=1)[0], rows, test, columns, "classification", never)
    found, _ = await trained_for(monkeypatch, 40)
    assert found["centralised"] != one


def test_it_stops_when_asked() -> None:
    experiment, rows, test, columns = iris(rounds=100_000)
    assert train_and_score(experiment, rows, test, columns, "classification", lambda: True) is not None


def check_a_node_whose_rows_alone_have_no_fit_is_unknown() -> None:
    experiment, rows, test, columns = iris(
        model={"name": "sklearn.discriminant_analysis.LinearDiscriminantAnalysis"},
        data={"name": "iris", "scale": "none"},
    )
    parts = np.array_split(np.argsort(rows[1], kind="stable"), 3)
    assert local_only(experiment, rows, parts, test, columns, "classification", never)[0] is None
    assert train_and_score(experiment, rows, test, columns, "classification", never) is not None


def test_a_node_whose_rows_alone_have_no_fit_is_unknown() -> None:
    check_a_node_whose_rows_alone_have_no_fit_is_unknown()


def test_it_would_end_all_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "is_summed", lambda model: False)
    with pytest.raises(ValueError, match="on 0 rows of class 1"):
        check_a_node_whose_rows_alone_have_no_fit_is_unknown()
