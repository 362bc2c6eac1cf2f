"""Sites with files of their own, of numbers with gaps, words and dates: agreed in several questions, both ways."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.models.artifact import read_model

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]

OPTIONS = ("--target", "y", "--rounds", 4, "--set", "evaluation.baseline=false", "--set", "network.suspect_after_s=20")


def write_sites(folder: Path) -> list[Path]:
    drawn, found = random.Random(1), []
    for k in range(3):
        lines = ["age,dose,ward,seen,y"]
        for _ in range(60):
            age = "" if drawn.random() < 0.2 else f"{drawn.gauss(50 + k, 10):.2f}"
            dose, ward = drawn.gauss(0, 1), drawn.choice(["north", "south", f"only-{k}", ""])
            day = f"2024-0{drawn.randint(1, 9)}-1{drawn.randint(0, 9)}"
            lines.append(f"{age},{dose:.4f},{ward},{day},{'yes' if dose + (ward == 'north') > 0 else 'no'}")
        found.append(folder / f"site-{k}.csv")
        found[-1].write_text("\n".join(lines) + "\n")
    return found


def test_both_modes_agree_on_the_same_preprocessing_bit_for_bit(launch_here: Start, tmp_path: Path) -> None:
    files = write_sites(tmp_path)
    agreed = []
    for mode in ("federated", "gossip"):
        run = launch_here("--mode", mode, "--sites", *files, *OPTIONS, out=mode).ok()
        assert run.summary()["completed_rounds"] == 4
        assert run.summary()["nodes_lost"] == []
        agreed.append(read_model(run.folder).preprocessing.to_dict())
    assert agreed[0] == agreed[1]
