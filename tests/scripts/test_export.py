"""`nervenet export`: a saved model as a file for scikit-learn and skops alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import skops.io
from nervenet.models import MLP, LocalWork, Pegasos, SiteModel, extras, generator, load_model, save_model
from nervenet.models.agreement.questions import settle
from nervenet.models.datasets import load
from nervenet.models.tables.table import Table
from nervenet.scripts.main import execute

pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


def saved(folder: str, model: object, X: object, y: object, **options: object) -> SiteModel:
    site = SiteModel(model, X, y, **options)
    site.build(settle(site.questions(), {"only": site.answer}).preprocessing, 0)
    site.train(LocalWork(epochs=5), generator(0))
    save_model(folder, site)
    return site


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteModel:
    monkeypatch.chdir(tmp_path)
    iris = load("iris")
    site = saved("run", MLP((6,)), iris.X, iris.y, columns=iris.columns)
    save_model("run", site, vector=site.get_weights() * 0, stem="best")
    return site


def loaded(said: str) -> object:
    """Do what is printed."""
    _, call = said.splitlines()
    return eval(call, {"skops": skops})


def test_what_is_printed_loads_a_model_that_predicts_the_same(
    run: SiteModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["export", "run"]) == 0
    said = capsys.readouterr().out
    assert said == 'run/model.skops\nskops.io.load("run/model.skops")\n'
    X = load("iris").X
    assert np.array_equal(loaded(said).predict(X), run.predict(X))  # type: ignore[attr-defined]
    assert np.array_equal(load_model("run/model.skops").predict(X), run.predict(X))  # the model it came from


def test_of_a_table_it_says_what_is_to_be_trusted(run: SiteModel, capsys: pytest.CaptureFixture[str]) -> None:
    columns = np.array(["a", "b", "c"] * 10, object), np.arange(30.0)
    saved("table", MLP((4,)), Table(("word", "number"), ("category", "number"), columns), [0, 1, 1] * 10)
    assert execute(["export", "table", "--to", "skops", "--out", "mine.skops"]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"mine\.skops\nskops\.io\.load\(\"mine\.skops\", trusted=\['numpy\..*\]\)\n", said)
    assert [name for name, _ in loaded(said).steps] == ["prepare", "float32", "model"]  # type: ignore[attr-defined]


def test_the_best_model_has_a_file_of_its_own(run: SiteModel, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["export", "run", "--best"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("run/best.skops\n")
    assert not loaded(said)[-1].coefs_[0].any()  # type: ignore[index]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run --out model.pickle", "--out model.pickle: expected the name of a .skops file"),
        ("run --out missing/model.skops", "--out missing/model.skops: cannot be written: No such file or directory"),
        ("run --to onnx", "--to onnx: expected one of skops, mlflow, tensorboard, wandb, opentelemetry"),
        ("run --to skop", "--to skop: expected one of skops, mlflow, tensorboard, wandb, opentelemetry (did you mean"),
        ("run --to mlflow --best", "--to mlflow: --out, --best and --own are of a model; figures go to --where"),
        ("run --where there", "--where there: is of figures, with --to; a model goes to --out"),
        ("none", "none: no such file or folder"),
        ("other", "pegasos has no counterpart in scikit-learn; those that have one are mlp and the estimators of"),
    ],
)
def test_a_users_mistake_is_a_line_that_names_it(
    run: SiteModel, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    saved("other", Pegasos(), load("breast_cancer").X, load("breast_cancer").y)
    assert execute(["export", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"nervenet: {message}")
    assert len(err.splitlines()) == 1
    assert out == ""


def test_without_skops_it_says_how_to_install_it(
    run: SiteModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "installed", lambda package: package != "skops")
    assert execute(["export", "run"]) == 2
    assert "nervenet export needs skops; skops is not installed: pip install" in capsys.readouterr().err
