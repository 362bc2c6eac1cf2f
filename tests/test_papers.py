"""The scripts under benchmarks/papers, two rounds of them on a few rows."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from nervenet.models import MLP, generator
from nervenet.models.local import LocalSettings
from nervenet.nodes.federated.sampling import uniform

PAPERS = Path(__file__).parents[1] / "benchmarks" / "papers"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PAPERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    return script("harness")


def rows(number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(0, "rows", number)
    X = rng.normal(size=(count, 4)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def model() -> MLP:
    return MLP(hidden=(5,), optimizer="sgd", learning_rate=0.1, l2=0.0)


def test_the_plain_loop_and_the_deployed_machines_make_the_same_model(harness: ModuleType) -> None:
    sites, test = {f"client-{k}": rows(k, 20 + k) for k in range(4)}, rows(9, 50)
    simulated = harness.Simulated(
        sites, test, model, seed=3, rounds=2, participation=0.5, settings={"epochs": 2, "batch_size": 8}
    )
    reports = list(simulated.rounds())
    federation = harness.Federation(sites, test, model, seed=3)
    before = federation.accuracy()
    for number in (1, 2):
        asked = uniform(list(sites), 2, seed=3, round=number, attempt=0)
        assert reports[number - 1]["participants"] == list(asked)
        settings = LocalSettings(epochs=2, batch_size=8)
        federation.fold(federation.train(dict.fromkeys(asked, settings), number), number)
        assert federation.accuracy() == reports[number - 1]["accuracy"] != before
    assert (federation.weights == simulated.coordinator.machine.run.weights).all()


def test_what_is_sent_encoded_is_folded_as_it_decodes(harness: ModuleType) -> None:
    sites, test = {f"client-{k}": rows(k, 20) for k in range(3)}, rows(9, 50)
    after = {}
    for encoding in ("", "delta+int8"):
        federation = harness.Federation(sites, test, model, seed=3)
        sent = federation.train(dict.fromkeys(sites, LocalSettings(epochs=1, encoding=encoding)), 1)
        assert [c.relative for c in sent] == [bool(encoding)] * 3
        federation.fold(sent, 1)
        after[encoding] = federation.weights
    assert not np.array_equal(*after.values())
    np.testing.assert_allclose(*after.values(), atol=1e-2)


def test_a_notebook_goes_on_where_it_stopped(harness: ModuleType, tmp_path: Path) -> None:
    first = harness.Notebook(tmp_path / "results.jsonl")
    assert first.get(("a", 1), lambda: [0.5, float("nan")])[0] == 0.5
    second = harness.Notebook(tmp_path / "results.jsonl", compute=False)
    assert second.get(("a", 1), lambda: pytest.fail("computed twice"))[0] == 0.5
    assert second.get(("a", 2), lambda: pytest.fail("computed")) is None


@pytest.mark.parametrize("attack", ["none", "sign flip", "Gaussian", "IPM", "ALIE", "NaN", "inflation"])
def test_every_attack_meets_its_rules(harness: ModuleType, monkeypatch: pytest.MonkeyPatch, attack: str) -> None:
    monkeypatch.setitem(sys.modules, "harness", harness)
    monkeypatch.setitem(sys.modules, "attacks", script("attacks"))
    rules = script("rules_attacks")
    sites = {f"client-{k:02}": rows(k, 12) for k in range(20)}
    monkeypatch.setattr(rules, "data", lambda scheme, seed: (sites, rows(99, 50)))
    found = {rule: rules.run("iid", 4, rule, attack, 0, 2) for rule in ("fedavg", "centered-clipping", "bulyan")}
    assert all(0 <= found[rule] <= 1 for rule in ("fedavg", "centered-clipping"))
    assert (found["bulyan"] == "n=16") is (attack in {"NaN", "inflation"}), "4 of 20 are screened, 16 are too few"
