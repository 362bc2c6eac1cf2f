"""A model that is worth less than none is said to be, with the cause that the figures tell."""

from typing import Any

import pytest
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.results.summary import summarize
from nervenet.nodes.results.verdict import doubt
from nervenet.nodes.runtime.node_stats import NodeStats

PLAIN = Experiment()
FINE = {"coordinator": {"train": (1.0, 0.1), "test": (1.0, 0.2)}}


def found(experiment: Experiment = PLAIN, task: str = "regression", **known: Any) -> str:
    given = {"score": 0.5, "majority": None, "losses": FINE} | known
    return doubt(experiment, task, **given, evaluators=["coordinator"]) or ""


def test_nothing_is_said_of_a_model_that_has_learned() -> None:
    assert found() == found(score=None) == found(task="classification", score=0.5, majority=0.4) == ""
    assert found(task="classification", score=0.5) == "", "the majority is not known"
    assert found(losses={"coordinator": {"test": (0.0, 1e-4)}}) == "", "from nothing to next to nothing"


def test_a_model_that_is_worse_than_no_learning_is_named() -> None:
    assert found(score=-0.5).startswith("it is worse than predicting the mean (R² -0.5): no cause was found")
    said = found(task="classification", score=0.1, majority=0.11)
    assert said.startswith("it is worse than predicting the most frequent label, which 0.110 of the rows have: ")


def test_the_cause_is_the_rate_the_scale_or_the_site() -> None:
    grown = {"coordinator": {"test": (1.0, 2e3)}}
    rate = "training diverged at every site; a smaller learning rate may help"
    assert found(losses=grown) == f"the test loss grew from 1 to 2e+03: {rate}"
    assert found(score=-1e29).endswith(rate)
    raw = Experiment.from_dict({"data": {"scale": "none"}})
    assert found(raw, losses=grown).endswith("inputs and targets are not scaled (data.scale = 'none')")
    sites = {f"client-{k}": {"train": (1.0, 1e9 if k == 2 else 0.5)} for k in range(4)}
    assert found(losses=grown | sites).endswith("client-2 is over 100 times the median site's; look at its rows")


def check_a_model_without_steps_is_not_blamed_on_its_scale() -> None:
    for name in ("sklearn.naive_bayes.GaussianNB", "sklearn.ensemble.RandomForestClassifier"):
        parts = {"model": {"name": name}, "data": {"scale": "none"}}
        said = found(Experiment.from_dict(parts), task="classification", score=0.1, majority=0.5)
        assert said.endswith("other parameters of the model, or another model may help")


def test_a_model_without_steps_is_not_blamed_on_its_scale() -> None:
    check_a_model_without_steps_is_not_blamed_on_its_scale()


def test_a_model_without_steps_would_be_blamed_on_its_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.results.verdict.summed_model", lambda experiment: None)
    with pytest.raises(AssertionError):
        check_a_model_without_steps_is_not_blamed_on_its_scale()


def check_a_diverged_regression_is_said_in_the_summary() -> None:
    stats = NodeStats("coordinator")
    for number, loss in [(1, 0.5), (2, 1e5)]:
        stats.event("round.completed", {"round": number, "duration_s": 0.1, "loss": loss})
        stats.event("metric.test", {"round": number, "r2": -1e29, "loss": loss})

    class Counters:
        bytes_sent = bytes_received = 0
        sent_by_kind: dict[str, int] = {}  # noqa: RUF012

    summary = summarize(PLAIN, RunResult({"coordinator": stats.report(Counters())}, task="regression"))
    assert summary["status"] == "completed"
    assert "the test loss grew from 0.5 to 1e+05" in summary.get("doubt", "")


def test_a_diverged_regression_is_said_in_the_summary() -> None:
    check_a_diverged_regression_is_said_in_the_summary()


def test_a_diverged_regression_would_end_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.results.summary.doubt", lambda *given: None)
    with pytest.raises(AssertionError):
        check_a_diverged_regression_is_said_in_the_summary()


def test_the_result_line_says_it() -> None:
    from nervenet.scripts.result_table import result_line

    summary = {"r2": -1e29, "completed_rounds": 2, "rounds": 2, "wall_s": 1.0, "doubt": "it is worse: a cause"}
    assert result_line(summary).endswith(", but it is worse: a cause")
