"""Weights of rows and of classes, from files with text and gaps, to what a run leaves."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.models.artifact import read_model
from nervenet.scripts.main import execute

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]

PATIENT = ("--set", "network.join_deadline_s=120", "--set", "network.suspect_after_s=20")  # scikit-learn loads slowly


def site(folder: Path, name: str, rows: int, rare: float) -> Path:
    draws, path = random.Random(name), folder / f"{name}.csv"
    lines = ["age,ward,times,outcome"]
    for number in range(rows):
        poor = number < rare * rows
        age = "" if number % 11 == 5 else f"{draws.gauss(70 if poor else 50, 10):.1f}"
        lines.append(f"{age},{draws.choice('ab')},{(0, 0.5, 1, 2)[number % 4]},{'poor' if poor else 'good'}")
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_a_run_goes_by_weights_and_says_so(mode: str, tmp_path: Path, launch_here: Start) -> None:
    files = [
        site(tmp_path, name, rows, rare) for name, rows, rare in (("n", 120, 0.1), ("s", 60, 0.2), ("w", 60, 0.05))
    ]
    said = ("--target", "outcome", "--weight", "times", "--class-weight", "balanced", "--epochs", 1)
    run = launch_here("--mode", mode, "--sites", *files, *said, "--rounds", 3, *PATIENT).ok()
    summary = run.summary()
    weights = summary["class_weights"]
    assert summary["status"] == "completed"
    assert weights["poor"] > 3 > 1 > weights["good"]
    assert summary["report"]["weighted"]["weight"] > 0
    assert set(summary["report"]["weighted"]["per_class"]) == {"good", "poor"}
    # Of all training rows, times as often as they count, both classes have half of n: n/2 of each, over its weight.
    assert 1 / weights["poor"] + 1 / weights["good"] == pytest.approx(2.0)
    assert "n.csv: 30 rows of weight 0 left out" in (run.folder / "events.jsonl").read_text()
    agreed = read_model(run.folder).preprocessing
    assert agreed.columns == ("age", "ward")
    assert agreed.class_weights == tuple(weights[label] for label in ("good", "poor"))


def test_what_cannot_be_weighed_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site(tmp_path, "n", 40, 0.1)
    path.write_text(path.read_text().replace(",0.5,", ",-0.5,", 1))
    launch = ["launch", "--data", str(path), "--nodes", "2", "--target", "outcome", "--out", str(tmp_path / "run")]
    for more, finding in (
        (["--weight", "times"], f'{path}: line 3, column "times": found -0.5, expected a weight of at least 0'),
        (["--weight", "time"], f"{path}: no column 'time' (did you mean times?)"),
        (["--set", "training.class_weight.bad=2"], "training.class_weight.bad: there is no such class"),
    ):
        assert execute([*launch, *more]) == 2
        assert finding in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["n.csv"]
