"""Strategies by name, by import path, composed of parts; and what happens if somebody's own goes wrong."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.robust import clip_by_norm
from nervenet.nodes.config.arguments import arguments_of
from nervenet.nodes.config.compatibility import check_same_run
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import FederatedConfig
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import checked_experiment
from nervenet.nodes.federated.coordinator_worker import Aggregator
from nervenet.nodes.federated.strategies import Composed, Contribution, Outcome, Pipeline, StrategyError
from nervenet.nodes.federated.strategies.pipeline import Mean, equally
from nervenet.nodes.federated.strategies.registry import STRATEGIES, build_strategy, describe
from nervenet.nodes.federated.strategies.robust_parts import KrumSelection, Trimmed
from nervenet.nodes.federated.strategies.safeguards import guarded
from nervenet.nodes.federated.strategies.server_optimizers import Momentum
from nervenet.nodes.runtime import effects as e

EXAMPLE = Path(__file__).parents[4] / "examples" / "own_strategy.py"
BASE = "from nervenet.nodes.federated.strategies import Composed\nclass Mine(Composed):\n    "
X = np.zeros(2)


def reports(*rows: Sequence[float], x: Any = X, **more: Any) -> list[Contribution]:
    return [Contribution(f"c{i}", np.array(row, float), x, 1, **more) for i, row in enumerate(rows)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, which is not on the path, as for a console script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_the_example_is_short_and_does_what_it_says(folder: Path) -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 30
    shutil.copy(EXAMPLE, folder)
    tables = {"strategy": "own_strategy:TrimmedMomentum", "f": 1, "server_momentum": 0.5}
    federated = checked_experiment({"federated": tables}).federated
    strategy = build_strategy(federated.strategy, federated.arguments)
    first = strategy.apply(strategy.init(X, 3), X, reports([1, 2], [3, 4], [1e9, -1e9]))
    np.testing.assert_array_equal(first.weights, [3, 2])
    second = strategy.apply(first.state, first.weights, reports(*[first.weights] * 3, x=first.weights))
    np.testing.assert_array_equal(second.weights, [4.5, 3])
    with pytest.raises(ExperimentError, match=r"f = 4 Byzantine among n = 8"):
        checked_experiment({"federated": {**tables, "f": 4}})
    with pytest.raises(ExperimentError, match=r"did you mean federated.server_momentum\?"):
        checked_experiment({"federated": {**tables, "server_momentun": 0.4}})


def test_importing_from_the_current_folder_leaves_the_path_as_it_was(folder: Path) -> None:
    (folder / "beside.py").write_text("LIMIT = 3\n")
    (folder / "mine_here.py").write_text(
        "import beside\nfrom nervenet.nodes.federated.strategies import Composed\nclass Mine(Composed): pass\n"
    )
    before = list(sys.path)
    assert STRATEGIES["mine_here:Mine"].__name__ == "Mine"
    assert sys.path == before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "cannot be imported: No module named 'mine_wrong'"),
        ("other = 1", "has no attribute 'Mine'"),
        ("def Mine(): pass", "is no class|lacks demands"),
        ("class Mine: demands = init = None", "lacks check, apply"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        (f"{BASE}def check(self, clients): raise KeyError(clients)", "its check raised KeyError: 8"),
        (f"{BASE}def __init__(self): raise ValueError('no license')", "no license"),
    ],
)
def test_what_is_wrong_with_somebodys_own_is_said(folder: Path, source: str | None, said: str) -> None:
    if source is not None:
        (folder / "mine_wrong.py").write_text(source)
    with pytest.raises(ExperimentError, match=rf"(?s)'mine_wrong:Mine': .*({said})"):
        checked_experiment({"federated": {"strategy": "mine_wrong:Mine"}})


def test_all_are_described() -> None:
    found = {one.name: one for one in describe()}
    assert list(found) == list(STRATEGIES.builtin)
    assert found["fedbuff"].paper == "Nguyen et al. 2022, arXiv 2106.06639"
    assert found["multi-krum"].arguments == {"f": 1, "m": None}
    assert all(one.summary and "\n" not in one.summary for one in found.values())


@pytest.mark.parametrize("name", tuple(STRATEGIES.builtin))
def test_no_argument_is_called_like_a_key_that_all_have(name: str) -> None:
    assert not set(arguments_of(STRATEGIES[name])) & {field.name for field in dataclasses.fields(FederatedConfig)}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"strategy": "krum", "f": -1}, "federated.f = -1: expected a whole number >= 0"),
        ({"strategy": "krum", "g": 1}, "federated.g: .*krum has f"),
        ({"strategy": "multi-krum", "m": 0}, "federated.m = 0: expected a whole number >= 1"),
        ({"strategy": "fedprox", "mu": -0.1}, "federated.mu = -0.1: expected a number >= 0"),
        ({"strategy": "qfedavg", "step": 0}, "federated.step = 0: expected a number > 0"),
        ({"strategy": "fedasync", "staleness": "hing"}, r"federated.staleness = 'hing': .*did you mean hinge\?"),
        ({"strategy": "fedasync", "alpha": 1.5}, "federated.alpha = 1.5: expected a number <= 1"),
        ({"strategy": "fedbuff", "buffer": 9}, "buffer of 9 updates needs as many clients at least, found 8"),
        ({"strategy": "bulyan", "f": 2}, "at most f = 1 for n = 8"),
        ({"strategy": "trimed-mean"}, r"did you mean trimmed-mean\?"),
    ],
)
def test_arguments_that_cannot_be_are_named(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        checked_experiment({"federated": tables})


def test_parts_compose() -> None:
    clip = lambda vectors, start: clip_by_norm(vectors, 1.0, start)  # noqa: E731
    leave_out = lambda contributions: {"c3": "I say so"}  # noqa: E731
    pipeline = Pipeline(leave_out, clip, weigh=equally, combine=Trimmed(1), step=Momentum(0.5, 0.9))
    for x, relative in ((np.array([1.0, 0]), False), (np.zeros(2), True)):
        rows = [np.add(x, row) for row in ([1.8, 2.4], [0.5, 0.2], [-7.0, 0.0], [9.0, 9.0])]
        outcome = pipeline.apply(pipeline.step.init(x), x, reports(*rows, x=x, relative=relative))
        np.testing.assert_allclose(outcome.weights, np.add(x, [0.25, 0.1]), rtol=1e-14)
        assert outcome.rejected == {"c3": "I say so"}
    krum_by_examples = Pipeline(select=KrumSelection(1), step=Momentum(1.0, 0.0))
    outcome = krum_by_examples.apply({"momentum": X}, X, reports([0, 1], [0, 2], [0, 3], [0, 2], [50, 0]))
    np.testing.assert_allclose(outcome.weights, [0, 2])
    assert outcome.metrics["selected"] == ["c0", "c1", "c2", "c3"]


def test_a_screen_that_leaves_nobody_fails_the_round_by_the_reasons() -> None:
    pipeline = Pipeline(screen=lambda contributions: {c.client: "too late" for c in contributions})
    with pytest.raises(StrategyError, match="no update is left to combine; c0: too late; c1: too late"):
        pipeline.apply({}, X, reports([1, 2], [3, 4]))


def test_updates_from_different_models_are_combined_as_differences() -> None:
    @dataclass(frozen=True)
    class Late(Composed):
        pass

    old = np.array([10.0, 10.0])
    contributions = [Contribution("a", np.array([2.0, 0.0]), X, 1), Contribution("b", old + 4, old, 1, staleness=1)]
    np.testing.assert_array_equal(Late().apply({}, X, contributions).weights, [3.0, 2.0])


class Wrong(Composed):
    """Returns whatever it was made with."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def apply(self, state: Any, weights: Any, contributions: Any) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (KeyError("gone"), r"Wrong.apply raised KeyError: 'gone' \(test_own.py, line \d+\)"),
        (StrategyError("as I said"), "^as I said$"),
        (X, "must give an Outcome, found ndarray"),
        (Outcome(np.zeros(3)), r"must give 2 numbers of a floating dtype, found \(3,\)"),
        (Outcome([0.0, 0.0]), "found list"),  # type: ignore[arg-type]
        (Outcome(X, {"seen": 3}), "state 'seen' must be an array of numbers, found int"),  # type: ignore[dict-item]
        (Outcome(X, outgoing=(X,)), "demands 0 further parts, and apply gave 1"),
        (Outcome(X, {"sum": np.array([np.inf])}), "the strategy's 'sum' must be finite.*largest value is 4, from c1"),
        (Outcome(X * np.nan), "the next global model must be finite.*largest value is 4, from c1"),
    ],
)
def test_what_no_model_can_be_made_of_fails_the_round_by_name(outcome: Any, said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        guarded(Wrong(outcome), {}, X, reports([1, 2], [3, 4]))


def test_weights_of_another_precision_are_cast() -> None:
    x = X.astype("f")
    outcome = guarded(Wrong(Outcome(np.array([1.0, 2.0]))), {}, x, reports([1, 2], x=x))
    assert outcome.weights.dtype == np.float32


def test_an_update_that_is_not_finite_is_rejected_and_the_round_goes_on() -> None:
    outcome = guarded(Composed(), {}, X, reports([1, 2], [np.nan, 0], [3, 4]))
    np.testing.assert_array_equal(outcome.weights, [2, 3])
    assert outcome.rejected == {"c1": "values must be finite, found NaN or infinity"}


def test_differences_that_overflow_fail_the_round_and_not_the_model() -> None:
    x = np.full(2, -3e38, "f")
    huge = Contribution("big", np.full(2, 3e38, "f"), x, 1)
    with pytest.raises(StrategyError, match=r"must be finite.*3e\+38, from big"):
        guarded(build_strategy("fedavgm", {}), {"momentum": np.zeros_like(x)}, x, [huge])


@pytest.mark.parametrize(
    "federated",
    [
        {"strategy": "fedprox", "mu": float("nan")},
        {"strategy": "fedavg", "f": 1},
        {"strategy": "fedavg", "argument": 1},
        {"strategy": "krum", "f": "x"},
        {"strategy": "krum", "g": 1},
    ],
)
def test_nobody_hears_of_the_place_where_arguments_are_gathered(federated: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError) as raised:
        checked_experiment({"federated": federated})
    assert "arguments" not in str(raised.value)


@pytest.mark.parametrize(
    ("strategy", "training", "said"),
    [
        ("fednova", {"optimizer": "adam"}, "federated.strategy = 'fednova': mlp cannot say how far its steps reach"),
        ("scaffold", {"carry_optimizer": True}, "carry_optimizer must be off"),
    ],
)
def test_a_training_that_no_client_could_do_for_a_strategy_is_refused_at_once(
    strategy: str, training: dict[str, Any], said: str
) -> None:
    checked_experiment({"federated": {"strategy": strategy}})
    with pytest.raises(ExperimentError, match=said):
        checked_experiment({"federated": {"strategy": strategy}, "training": training})


def test_without_rounds_it_is_said_what_has_no_effect() -> None:
    tables = {"strategy": "fedasync", "quorum": 0.5, "over_selection": 1.5}
    reported = [line for line in warnings(checked_experiment({"federated": tables})) if "fedasync" in line]
    assert [line.split()[0] for line in reported] == ["federated.over_selection", "federated.quorum"]
    assert not warnings(checked_experiment({"federated": {**tables, "strategy": "fedavg"}}))[1:]


def test_a_resumed_run_names_an_argument_as_the_file_does() -> None:
    one, other = (checked_experiment({"federated": {"strategy": "krum", "f": f}}) for f in (1, 2))
    with pytest.raises(ExperimentError, match=r"found federated.f = 1, expected 2"):
        check_same_run("here", one, other)


def check_a_huge_update_fails_no_round_that_others_can_make() -> None:
    x = np.zeros(2, "f")
    rows = [np.full(2, value, "f") for value in (1.0, 3.0, 3e38)]
    strategy = build_strategy("fedadam", {})
    outcome = guarded(strategy, strategy.init(x, 3), x, [Contribution(f"c{i}", r, x, 1) for i, r in enumerate(rows)])
    assert np.isfinite(outcome.weights).all()
    assert list(outcome.rejected) == ["c2"]
    assert "found 3e+38" in outcome.rejected["c2"]


def test_a_huge_update_fails_no_round_that_others_can_make() -> None:
    check_a_huge_update_fails_no_round_that_others_can_make()


def test_a_huge_update_would_fail_round_after_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.strategies.safeguards._huge", lambda contributions: {})
    with pytest.raises(StrategyError, match="must be finite"):
        check_a_huge_update_fails_no_round_that_others_can_make()


def check_a_huge_update_makes_no_model_with_which_nobody_can_train() -> None:
    """Its mean with others is finite; all clients would overflow in the next round, and the run would end."""
    x = np.zeros(2, "f")
    for value in (3e38, 1e18, 1e12):
        rows = [np.full(2, one, "f") for one in (1.0, 3.0, value, 2.0)]
        contributions = [Contribution(f"c{i}", row, x, 1) for i, row in enumerate(rows)]
        outcome = guarded(build_strategy("fedavg", {}), {}, x, contributions)
        np.testing.assert_array_equal(outcome.weights, [2.0, 2.0])
        assert list(outcome.rejected) == ["c2"]


def test_a_huge_update_makes_no_model_with_which_nobody_can_train() -> None:
    check_a_huge_update_makes_no_model_with_which_nobody_can_train()


def test_a_huge_update_would_be_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.strategies.safeguards._is_huge", lambda weights: False)
    with pytest.raises(AssertionError):
        check_a_huge_update_makes_no_model_with_which_nobody_can_train()


def test_weights_that_are_large_at_every_site_are_believed() -> None:
    x = np.zeros(2, "f")
    contributions = [Contribution(f"c{i}", np.full(2, 1e11 * (i + 1), "f"), x, 1) for i in range(3)]
    outcome = guarded(build_strategy("fedavg", {}), {}, x, contributions)
    assert not outcome.rejected


def test_the_aggregator_tells_the_strategy_how_many_there_are_and_reports() -> None:
    aggregator = Aggregator(build_strategy("scaffold", {}), 4, report=True)
    going_out = aggregator.begin(X)
    np.testing.assert_array_equal(going_out, np.zeros(4))
    contributions = [Contribution(f"c{i}", np.array([1.0, 0, 2, 0]), X, 1) for i in range(2)]
    folded = aggregator.fold(e.Fold(1, 0, X, contributions))
    np.testing.assert_array_equal(folded.outgoing, [1, 0, 1, 0])
    assert folded.metrics == {"norms": {"c0": 1.0, "c1": 1.0}, "cosines": {"c0": 1.0, "c1": 1.0}}
    assert "norms" not in Aggregator(Composed()).fold(e.Fold(1, 0, X, reports([1, 2]))).metrics


def test_a_mean_needs_no_theory() -> None:
    Mean().check(1)
