"""When a run may end before its last round: the rules alone, without machine or clock."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.nodes.config.schema import EvaluationConfig
from nervenet.nodes.federated.early_stopping import EarlyStopping, Goal, GoalError, Stop, reported

accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def run(rules: EvaluationConfig, values: list[float], metric: str = "accuracy") -> tuple[int, Stop] | None:
    """The first round at which the rules stop, with the verdict."""
    stopping = EarlyStopping(rules)
    for number, value in enumerate(values, 1):
        stop = stopping.judge(number, {metric: value})
        if stop:
            return number, stop
    return None


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("accuracy=0.97", Goal("accuracy", 0.97)),
        (" r2 >= 0.4 ", Goal("r2", 0.4)),
        ("loss=0.1", Goal("loss", 0.1)),
        ("loss<=1e-3", Goal("loss", 0.001)),
        ("neg_log_loss=-0.3", Goal("neg_log_loss", -0.3)),
    ],
)
def test_a_goal_is_read(text: str, goal: Goal) -> None:
    assert Goal.parse(text) == goal
    assert Goal.parse(str(goal)) == goal


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accuracy", "expected METRIC=THRESHOLD"),
        ("", "expected METRIC=THRESHOLD"),
        ("accuracy=", "expected METRIC=THRESHOLD"),
        ("accuracy=high", "expected a number for the threshold, found 'high'"),
        ("accuracy=nan", "expected a number"),
        ("accuracy<=0.9", "a score is to rise: expected accuracy>=0.9"),
        ("loss>=0.1", "a loss is to fall: expected loss<=0.1"),
    ],
)
def test_what_is_no_goal_is_refused(text: str, words: str) -> None:
    with pytest.raises(GoalError, match=words):
        Goal.parse(text)


def test_a_metric_that_nobody_reports_is_named_with_the_near_one() -> None:
    known = reported(None, ("f1_macro", "accuracy"))
    assert known == ("accuracy", "loss", "r2", "f1_macro")
    with pytest.raises(
        GoalError, match=r"acuracy is not reported, accuracy, loss, r2, f1_macro are .did you mean accuracy\?"
    ):
        Goal("acuracy", 0.9).check(known)
    with pytest.raises(GoalError, match=r"accuracy is not reported, r2, loss are$"):
        Goal("accuracy", 0.9).check(reported("regression"))


def test_a_score_must_come_to_the_threshold_and_a_loss_fall_to_it() -> None:
    assert run(EvaluationConfig(until="accuracy=0.9"), [0.5, 0.89, 0.9, 0.95]) == (
        3,
        Stop("until", "accuracy >= 0.9 was reached in round 3: 0.9"),
    )
    number, stop = run(EvaluationConfig(until="loss=0.1"), [1.0, 0.2, 0.05], "loss") or (0, None)
    assert (number, stop and stop.by) == (3, "until")
    assert run(EvaluationConfig(until="accuracy=0.9"), [0.95], "loss") is None


def test_patience_counts_evaluations_without_improvement() -> None:
    rules = EvaluationConfig(patience=2)
    assert run(rules, [0.5, 0.6, 0.6, 0.7, 0.7, 0.8]) is None
    number, stop = run(rules, [0.5, 0.6, 0.6, 0.55, 0.9]) or (0, None)
    assert number == 4
    assert stop == Stop(
        "patience", "accuracy has not improved in 2 evaluations, up to round 4; the best was 0.6 in round 2"
    )
    # Small steps add up: what counts is how far it has come since the last improvement that counted.
    assert run(EvaluationConfig(patience=2, min_delta=0.05), [0.5, 0.54, 0.58, 0.62, 0.66]) is None
    assert run(EvaluationConfig(patience=2, min_delta=0.05), [0.5, 0.52, 0.54]) is not None


def test_a_metric_that_is_missing_or_not_finite_is_no_improvement() -> None:
    stopping = EarlyStopping(EvaluationConfig(patience=2))
    assert stopping.judge(1, {"accuracy": 0.5}) is None
    assert stopping.judge(2, {"loss": 3.0, "examples": 9}) is None
    stop = stopping.judge(3, {"accuracy": float("nan")})
    assert stop is not None
    assert stop.by == "patience"
    assert stopping.best == (1, 0.5)


def test_the_score_is_watched_where_no_goal_says_otherwise() -> None:
    for metrics, metric in (({"loss": 1.0, "r2": 0.1}, "r2"), ({"loss": 1.0}, "loss")):
        stopping = EarlyStopping(EvaluationConfig())
        stopping.judge(1, metrics)
        assert stopping.metric == metric


def test_a_round_that_is_judged_again_counts_once_and_gets_the_same_verdict() -> None:
    stopping = EarlyStopping(EvaluationConfig(until="accuracy=0.9", patience=2))
    for number, value, stops in ((1, 0.5, False), (2, 0.5, False), (3, 0.5, True), (4, 0.95, True)):
        first = stopping.judge(number, {"accuracy": value})
        assert (first is not None) is stops
        assert stopping.judge(number, {"accuracy": value}) == first
    assert stopping.judge(2, {"accuracy": 0.99}) is None
    assert stopping.best == (4, 0.95)


@given(accuracies)
def test_the_best_is_the_first_of_the_highest(values: list[float]) -> None:
    stopping = EarlyStopping(EvaluationConfig())
    for number, value in enumerate(values, 1):
        assert stopping.judge(number, {"accuracy": value}) is None
    assert stopping.best == (values.index(max(values)) + 1, max(values))


@given(accuracies, st.floats(0, 1), st.floats(0, 1))
def test_a_lower_threshold_never_stops_later(values: list[float], one: float, other: float) -> None:
    easy, hard = (
        (run(EvaluationConfig(until=f"accuracy={t}"), values) or (len(values) + 1, None))[0]
        for t in sorted((one, other))
    )
    assert easy <= hard


@given(accuracies, st.integers(1, 5), st.integers(1, 5), st.floats(0, 0.2))
def test_more_patience_never_stops_earlier_and_asking_for_larger_steps_never_later(
    values: list[float], one: int, other: int, step: float
) -> None:
    def at(patience: int, delta: float = 0.0) -> int:
        return (run(EvaluationConfig(patience=patience, min_delta=delta), values) or (len(values) + 1, None))[0]

    assert at(min(one, other)) <= at(max(one, other))
    assert at(one, step) <= at(one)


@given(accuracies, st.integers(0, 20), st.floats(0, 0.1))
def test_who_is_restored_judges_as_who_went_on(values: list[float], cut: int, delta: float) -> None:
    rules = EvaluationConfig(until="accuracy=0.95", patience=2, min_delta=delta)
    whole, first = EarlyStopping(rules), EarlyStopping(rules)
    for number, value in enumerate(values[:cut], 1):
        whole.judge(number, {"accuracy": value})
        first.judge(number, {"accuracy": value})
    second = EarlyStopping(rules)
    second.restore(json.loads(json.dumps(first.to_dict(0.0))))
    for number, value in enumerate(values[cut:], cut + 1):
        assert second.judge(number, {"accuracy": value}) == whole.judge(number, {"accuracy": value})
    assert second.best == whole.best


def test_what_was_best_by_another_metric_is_forgotten() -> None:
    old = EarlyStopping(EvaluationConfig(until="loss=0.0"))
    old.judge(3, {"loss": 0.5})
    new = EarlyStopping(EvaluationConfig(until="accuracy=0.9"))
    new.restore(old.to_dict(0.0))
    assert (new.metric, new.best, new.judged) == ("accuracy", None, 0)


def test_a_budget_runs_on_over_incarnations() -> None:
    assert EarlyStopping(EvaluationConfig()).begin(5.0) is None
    first = EarlyStopping(EvaluationConfig(budget_s=60.0))
    assert first.begin(100.0) == 160.0
    second = EarlyStopping(EvaluationConfig(budget_s=60.0))
    second.restore(first.to_dict(125.0))
    assert second.begin(7.0) == 42.0
    assert second.out_of_time() == Stop("budget", "the budget of 60 s is spent")
