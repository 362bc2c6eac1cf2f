"""`nervenet predict`: the rows of a file, by a saved model, columns by name."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from nervenet.models.artifact import load_model, save_model
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.scripts.main import execute

SPECIES = np.array(["setosa", "versicolor", "virginica"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved model of iris, and a file of its rows with the columns in another order."""
    monkeypatch.chdir(tmp_path)
    iris = load("iris")
    one = SiteModel(MLP(hidden=(6,)), iris.X, SPECIES[iris.y], columns=iris.columns)
    one.build(agree({"only": one.statistics()}), 0)
    one.train(LocalWork(epochs=20), generator(0))
    save_model("run", one)
    save_model("run", one, vector=one.get_weights() * 0, stem="best")
    with Path("rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["species", *reversed(iris.columns)])
        writer.writerows([label, *reversed(row)] for label, row in zip(SPECIES[iris.y], iris.X.tolist(), strict=True))
    return tmp_path


def printed(text: str) -> tuple[list[str], list[list[str]]]:
    header, *lines = csv.reader(text.splitlines())
    return header, lines


def test_each_row_is_predicted_with_the_columns_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["predict", "run", "rows.csv"]) == 0
    out, err = capsys.readouterr()
    header, lines = printed(out)
    assert header == ["prediction"]
    assert [label for (label,) in lines] == load_model("run").predict(load("iris").X).tolist()
    assert err == "ignored: species\n"


def test_by_their_place_columns_would_be_mistaken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.models.tables import inputs
    from nervenet.models.tables.table import Table

    def by_place(path: Path, columns: tuple[str, ...], _: object) -> inputs.Inputs:
        rows = [[float(cell) for cell in row[1:]] for row in csv.reader(path.read_text().splitlines()[1:])]
        return inputs.Inputs(Table(columns, ("number",) * len(columns), tuple(np.array(rows).T)), ())

    monkeypatch.setattr(inputs, "read_numbers", by_place)
    assert execute(["predict", "run", "rows.csv", "--out", "mistaken.csv"]) == 0
    _, lines = printed(Path("mistaken.csv").read_text())
    assert [label for (label,) in lines] != load_model("run").predict(load("iris").X).tolist()


def test_probabilities_are_those_of_the_model_to_the_last_bit(folder: Path) -> None:
    assert execute(["predict", "run", "rows.csv", "--proba", "--out", "found.csv"]) == 0
    header, lines = printed(Path("found.csv").read_text())
    assert header == ["prediction", *(f"probability {label}" for label in SPECIES)]
    expected = load_model("run").predict_proba(load("iris").X)
    assert expected is not None
    assert np.array_equal(np.array([row[1:] for row in lines], float), expected.astype(float))


def test_the_best_rounds_model_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["predict", "run", "rows.csv", "--best"]) == 0
    assert {label for (label,) in printed(capsys.readouterr().out)[1]} == {"setosa"}


def into_its_own_rows(capsys: pytest.CaptureFixture[str]) -> tuple[int, bool, str]:
    """What comes of predictions that are to be written where the rows are: and whether those are still there."""
    Path("link.csv").symlink_to("rows.csv")
    before = Path("rows.csv").read_text()
    code = execute(["predict", "run", "link.csv", "--out", "rows.csv"])
    return code, Path("rows.csv").read_text() == before, capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_predictions_replace_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    why = "is the file of the rows, which predictions would replace; expected another"
    assert into_its_own_rows(capsys) == (2, True, f"nervenet: --out rows.csv: {why}\n")


@pytest.mark.usefixtures("folder")
def test_unless_the_files_are_compared_the_rows_are_gone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "samefile", lambda self, other: False)
    assert into_its_own_rows(capsys)[:2] == (0, False)


def test_a_quantity_has_no_probabilities(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load("diabetes")
    one = SiteModel(MLP(hidden=()), data.X, data.y, columns=data.columns)
    one.build(agree({"only": one.statistics()}), 0)
    save_model("heights", one)
    np.savez("rows.npz", X=data.X)
    assert execute(["predict", "heights", "rows.npz", "--proba"]) == 2
    assert "--proba: this model, mlp, predicts a quantity" in capsys.readouterr().err
    assert execute(["predict", "heights", "rows.npz"]) == 0
    lines = printed(capsys.readouterr().out)[1]
    assert np.array_equal(np.array(lines, float).ravel(), load_model("heights").predict(data.X))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("run none.csv", "none.csv: no such file"),
        (". rows.csv", ".: holds no model; expected model.json and model.safetensors, as a run leaves them"),
        ("run rows.csv --out nowhere/found.csv", "--out nowhere/found.csv: cannot be written: No such file"),
        ("run/model.json rows.csv --best", "--best: needs a run folder; run/model.json is a model file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    folder: Path, line: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["predict", *line.split()]) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def nameless(folder: Path) -> Path:
    """A model that has learned from arrays, and a file whose columns stand in the arrays' order."""
    iris = load("iris")
    one = SiteModel(MLP(hidden=(6,)), iris.X, SPECIES[iris.y])
    one.build(agree({"only": one.statistics()}), 0)
    one.train(LocalWork(epochs=20), generator(0))
    save_model("nameless", one)
    with Path("ordered.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(iris.columns)
        writer.writerows(iris.X.tolist())
    return folder


def test_a_model_of_columns_without_names_takes_those_of_a_file_by_their_places(
    nameless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["predict", "nameless", "ordered.csv"]) == 0
    out, err = capsys.readouterr()
    assert [label for (label,) in printed(out)[1]] == load_model("nameless").predict(load("iris").X).tolist()
    assert "taken by their places: x1 is sepal" in err


def test_it_would_look_for_names_that_nobody_gave(nameless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.tables.inputs._by_place", lambda _, columns: columns)
    assert execute(["predict", "nameless", "ordered.csv"]) == 2


def test_other_than_as_many_columns_without_names_are_refused(
    nameless: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["predict", "nameless", "rows.csv"]) == 2
    said = capsys.readouterr().err
    assert "rows.csv: has 5 columns (species, " in said
    assert "learned from 4 without names: give as many, in their order, or name them x1, x2, x3, x4" in said


def test_names_like_those_made_up_are_names(nameless: Path, capsys: pytest.CaptureFixture[str]) -> None:
    iris = load("iris")
    lines = ["id,x2,x1,x3,x4", *(f"7,{row[1]},{row[0]},{row[2]},{row[3]}" for row in iris.X.tolist())]
    Path("named.csv").write_text("\n".join(lines))
    assert execute(["predict", "nameless", "named.csv"]) == 0
    out, err = capsys.readouterr()
    assert [label for (label,) in printed(out)[1]] == load_model("nameless").predict(iris.X).tolist()
    assert err == "ignored: id\n"
