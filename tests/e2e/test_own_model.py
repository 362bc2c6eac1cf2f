"""Somebody's own model in real processes, from the folder in which the command is given, and back from its files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]

MINE = """
import numpy as np
from nervenet.models import FlatModel

class Mine(FlatModel):
    name = "mine"

    def __init__(self, rate=0.1):
        self.rate = rate

    def shapes(self, n_features, n_classes):
        return {"slope": (n_features, n_classes)}

    def step(self, X, y):
        scores = X @ self.arrays["slope"]
        likely = np.exp(scores - scores.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        loss = -np.log(likely[np.arange(len(y)), y]).sum()
        likely[np.arange(len(y)), y] -= 1
        self.arrays["slope"] -= (self.rate * (X.T @ likely) / len(y)).astype(self.dtype)
        return float(loss)

    def predict(self, X):
        return np.argmax(self.checked(X) @ self.arrays["slope"], axis=1)
"""


def test_it_is_launched_and_its_model_predicts(launch: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    (tmp_path / "mine.py").write_text(MINE)
    few = ("--data", "iris", "--nodes", 2, "--rounds", 3, "--set", "evaluation.baseline=false", "--set", "model.rate=1")
    run = launch(*few, "--model", "mine:Mine").ok()
    assert run.summary()["accuracy"] > 0.7
    (tmp_path / "rows.csv").write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"
    )
    command = [sys.executable, "-m", "nervenet.scripts.main", "predict", str(run.folder), "rows.csv"]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (refused.returncode, "on the command line --model mine:Mine" in refused.stderr) == (2, True)
    answered = subprocess.run(
        [*command, "--model", "mine:Mine"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    assert answered.stdout == "prediction\n0\n"
