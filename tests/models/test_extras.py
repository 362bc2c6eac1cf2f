"""What only some uses need may be missing; whoever needs it is told how to install it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models import extras
from nervenet.models.data.data import DataError
from nervenet.models.extras import EXTRAS, MissingExtra, how_to_install, require
from nervenet.models.registry import named_model
from nervenet.models.sklearn.skops_file import export
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.results.run_dir import RunDir, not_written
from nervenet.nodes.topology import TOPOLOGIES, TopologyError, schedule

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
NAMES = list("abcdef")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without any extra."""
    monkeypatch.setattr(extras, "find_spec", lambda package: None)


def test_each_package_is_in_the_extra_that_is_named_and_no_dependency_of_all() -> None:
    for package, extra in EXTRAS.items():
        name = package.replace("_", "-")  # as distributions are called
        assert any(line.startswith(name) for line in PROJECT["optional-dependencies"][extra])
        assert not any(line.startswith(name) for line in PROJECT["dependencies"])
    together = PROJECT["optional-dependencies"]["all"][0].partition("[")[2].rstrip("]")
    there_already = {"dask", "mlflow", "opentelemetry", "tensorboard", "torch", "wandb"}  # see pyproject.toml
    only_faster = {"serve"}  # of which no message is: what it brings, `nervenet serve` does without
    assert set(together.split(",")) == set(EXTRAS.values()) - there_already | only_faster


def test_the_command_that_installs_it_is_named(plain: None) -> None:
    with pytest.raises(MissingExtra, match=r'a picture needs matplotlib; .*: pip install "nervenet\[plot\]"'):
        require("a picture", "matplotlib")
    assert how_to_install("rich") == 'rich is not installed: pip install "nervenet[launch]"'


@pytest.mark.parametrize("name", sorted(TOPOLOGIES.builtin))
def test_a_graph_that_networkx_draws_is_refused_and_others_are_not(plain: None, name: str) -> None:
    members = [*NAMES, "g", "h"]
    if TOPOLOGIES[name].drawn:
        with pytest.raises(TopologyError, match=rf'{name}\': is drawn by networkx; .*"nervenet\[launch\]"'):
            schedule(name, members)
    elif name != "edges":
        assert schedule(name, members).out(1).keys() == set(members)


def test_what_a_run_folder_will_lack_is_said(plain: None, tmp_path: Path) -> None:
    sgd = load_experiment(overrides={"model.name": "sklearn.linear_model.SGDClassifier"})
    assert [line.partition(":")[0] for line in not_written(sgd)] == ["no curves.png", "no model.skops"]
    with RunDir(tmp_path / "run") as run_dir:
        run_dir.write_rounds("federated", {})
    assert not (tmp_path / "run" / "curves.png").exists()


def test_nothing_is_said_where_all_is_there() -> None:
    assert not_written(load_experiment()) == []


def test_an_estimator_is_saved_without_skops(plain: None) -> None:
    from nervenet.models.preprocessing import Preprocessing
    from nervenet.models.rng import generator

    model = named_model("sklearn.linear_model.SGDClassifier", {})
    model.build(2, 3, generator(0, "init"))
    preprocessing = Preprocessing(("a", "b"), (0, 1, 2), np.zeros(2), np.ones(2))
    content, note = export(model, preprocessing, model.get_weights())
    assert content is None
    assert note is not None
    assert 'pip install "nervenet[launch]"' in note


def test_what_answers_over_http_needs_no_extra() -> None:
    """A page to look at and predictions are what an installation is for, wherever it is."""
    assert {"starlette", "uvicorn"} <= {line.partition(">")[0] for line in PROJECT["dependencies"]}
    assert not {"starlette", "uvicorn"} & EXTRAS.keys()


def test_a_parquet_file_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    from nervenet.models.tables.inputs import read_numbers

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "rows.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r'needs pyarrow; pyarrow is not installed: pip install "nervenet\[tables\]"'):
        read_numbers(tmp_path / "rows.parquet", ("a",))
