"""The table of all strategies at their defaults: the script runs, and the page has a row for each."""

import importlib.util
from pathlib import Path

import pytest
from nervenet.nodes.federated.strategies.asynchronous import FedBuff
from nervenet.nodes.federated.strategies.fairness import QFedAvg
from nervenet.nodes.federated.strategies.registry import STRATEGIES

ROOT = Path(__file__).parents[1]
SCRIPT = importlib.util.spec_from_file_location("strategies", ROOT / "benchmarks" / "strategies.py")
assert SCRIPT is not None
assert SCRIPT.loader is not None
strategies = importlib.util.module_from_spec(SCRIPT)
SCRIPT.loader.exec_module(strategies)


def check_qfedavg_learns_at_its_defaults() -> None:
    assert strategies.run("qfedavg", "iid", 0, rounds=5) > 0.9


def test_qfedavg_learns_at_its_defaults() -> None:
    check_qfedavg_learns_at_its_defaults()


def test_by_the_clients_learning_rate_it_would_hardly_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "build_strategy", lambda name, arguments: QFedAvg(step=0.05))
    with pytest.raises(AssertionError):
        check_qfedavg_learns_at_its_defaults()


def check_fedbuff_learns_at_its_defaults() -> None:
    assert strategies.run("fedbuff", "iid", 0) > 0.9


def test_fedbuff_learns_at_its_defaults() -> None:
    check_fedbuff_learns_at_its_defaults()


def test_with_steps_as_long_as_averagings_it_would_overshoot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "build_strategy", lambda name, arguments: FedBuff(server_rate=1.0))
    with pytest.raises(AssertionError):
        check_fedbuff_learns_at_its_defaults()


def test_the_page_has_a_row_for_each_strategy_and_explains_what_falls_short() -> None:
    page = (ROOT / "docs" / "federated.md").read_text()
    table = page[page.index("| strategy | IID | of `fedavg` |") :].partition("\n\n")[0]
    rows = {line.split("`")[1]: line for line in table.splitlines()[2:]}
    assert set(rows) == set(STRATEGIES.builtin)
    for name, line in rows.items():
        shares = [float(cell.split()[0]) for cell in (line.split("|")[3], line.split("|")[5])]
        assert all(("*" in line) == (min(shares) < strategies.LEAST) for _ in shares), line
        assert min(shares) >= strategies.LEAST or f"`{name}`" in page.partition(table)[2][:1500], line
