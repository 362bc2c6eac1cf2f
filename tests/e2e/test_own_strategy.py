"""Somebody's own strategy in real processes, from the folder in which the command is given."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_strategy.py"
SMALL = ("--data", "iris", "--nodes", 5, "--set", "evaluation.baseline=false")


@pytest.fixture(autouse=True)
def like_a_console_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the command nor what it starts finds the current folder on the path by itself."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")


def test_a_module_in_the_current_folder_is_found_in_every_process(launch: Start, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    strategy = "own_strategy:TrimmedMomentum"
    run = launch(*SMALL, "--rounds", 6, "--strategy", strategy, "--set", "federated.server_momentum=0.5").ok()
    assert run.summary()["completed_rounds"] == 6
    assert run.summary()["accuracy"] > 0.8
    assert "server_momentum = 0.5" in (run.folder / "experiment.toml").read_text()


def test_what_it_raises_fails_the_run_by_name(launch: Start, tmp_path: Path) -> None:
    (tmp_path / "mine_raising.py").write_text(
        "from nervenet.nodes.federated.strategies import Composed\n"
        "class Mine(Composed):\n"
        "    def apply(self, state, weights, contributions):\n"
        "        return super().apply(state, weights, contributions).nothing\n"
    )
    run = launch(*SMALL, "--rounds", 3, "--strategy", "mine_raising:Mine")
    assert run.wait() == 1
    assert "Mine.apply raised AttributeError: 'Outcome' object has no attribute 'nothing'" in run.text
    assert "(mine_raising.py, line 4)" in run.text
