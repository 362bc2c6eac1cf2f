"""Sites with files of their own, of numbers with gaps, words and dates: agreed in several questions, both ways."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.models.artifact import read_model
from nervenet.nodes import launch, load_experiment
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler

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


OWN = make_column_transformer(
    (
        make_pipeline(SimpleImputer(strategy="median"), RobustScaler()),
        make_column_selector(dtype_include="number"),
    ),
    (OneHotEncoder(handle_unknown="ignore"), ["ward"]),
)


def test_a_pipeline_given_as_an_object_reaches_all_processes_and_the_folder_repeats_the_run(tmp_path: Path) -> None:
    words = {"data.target": "y", "rounds": 2, "network.suspect_after_s": 20.0, "network.join_deadline_s": 120.0}
    words |= {"data.sites": [str(file) for file in write_sites(tmp_path)], "evaluation.baseline": True}
    first, again = tmp_path / "first", tmp_path / "again"
    result = asyncio.run(launch(load_experiment(overrides=words), preprocess=OWN, out=first))
    assert result["baseline"]["centralised"] is not None
    asyncio.run(launch(load_experiment(str(first)), out=str(again)))  # paths may be text
    found = read_model(first).preprocessing
    assert set(found.columns) == {"age", "dose", "seen", "ward"}  # a selector may ask for any
    assert {name.partition("__")[0] for name in found.fitted.names} == {"pipeline", "onehotencoder"}
    for file in ("model.json", "model.safetensors", "preprocess.json"):
        assert (first / file).read_bytes() == (again / file).read_bytes()
