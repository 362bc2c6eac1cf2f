"""`nervenet predict` with a model of tables: gaps and unknown categories as agreed, what does not fit by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nervenet.models import MLP, SiteModel, load_model, save_model
from nervenet.models.agreement.questions import settle
from nervenet.models.tables.read import ReadOptions, read_table
from nervenet.scripts.main import execute

SITE = """patient,age,ward,day,outcome
p1,50,eye,2026-01-31,good
p2,,ear,2026-02-01,poor
p3,70,,,poor
p4,40,eye,2026-03-01,good
"""


def learned(text: str) -> SiteModel:
    """A model of one site's file."""
    Path("site.csv").write_text(text)
    rows = read_table(Path("site.csv"), ReadOptions(id="patient", target="outcome"))
    site = SiteModel(MLP(hidden=(4,)), rows.table, rows.target, written=rows.written)
    site.build(settle(site.questions(), {"only": site.answer}).preprocessing, seed=0)
    return site


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved model of a small mixed table."""
    monkeypatch.chdir(tmp_path)
    save_model("run", learned(SITE))
    return tmp_path


def test_columns_are_found_by_name_and_gaps_are_filled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.csv").write_text("ward,day,age,note\near,2026-02-01,,x\nnowhere,,60,y\n")
    assert execute(["predict", "run", "rows.csv"]) == 0
    out, err = capsys.readouterr()
    wanted = load_model("run").predict([{"ward": "ear", "day": "2026-02-01"}, {"age": 60}])
    assert out.splitlines() == ["prediction", *wanted.tolist()]
    assert err == "ignored: note\n"


@pytest.mark.parametrize("saved", ["run", "run/model.json"])
def test_the_formats_of_the_sites_are_part_of_the_model(
    folder: Path, saved: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rows.csv").write_text("age,ward,day\n50,eye,02/01/2026\n")
    assert execute(["predict", saved, "rows.csv"]) == 2  # which is the month?
    error = capsys.readouterr().err
    assert 'column "day": "02/01/2026" can be' in error
    assert "--" not in error  # no option of this command's
    save_model("run", learned(SITE.replace("2026-01-31", "01/31/2026")))
    assert execute(["predict", saved, "rows.csv"]) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ward,day\near,2026-02-01\n", ["rows.csv: no column 'age'", "the model expects age, ward, day"]),
        ("age,ward,day\n50,eye,\nold,eye,\n", ['line 3, column "age"', 'found text "old"', "expected a number"]),
        ("age,ward,day\n50,eye,soon\n", ['line 2, column "day"', 'found text "soon"', "expected a date"]),
    ],
)
def test_what_does_not_fit_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    Path("rows.csv").write_text(text)
    assert execute(["predict", "run", "rows.csv"]) == 2
    err = capsys.readouterr().err
    assert [word for word in words if word not in err] == []
    assert len(err.splitlines()) <= 2


def test_a_run_that_starts_from_a_model_of_plain_numbers_needs_plain_numbers(folder: Path) -> None:
    from nervenet.models.artifact import read_model
    from nervenet.models.initial_model import UnsuitableStart, start_from

    saved, other = read_model("run"), SiteModel(MLP(hidden=(4,)), np.array([[1.0], [2.0]]), [0, 1], columns=["age"])
    agreed = settle(other.questions(), {"only": other.answer}).preprocessing
    with pytest.raises(UnsuitableStart, match=r"was trained on 3 columns .* they lack ward, day"):
        start_from(saved, other, agreed, "standard", 0)
    names = saved.preprocessing.columns
    plain = SiteModel(MLP(hidden=(4,)), np.arange(12.0).reshape(4, 3) % 5, ["good", "poor"] * 2, columns=names)
    plain.build(settle(plain.questions(), {"only": plain.answer}).preprocessing, 0)
    save_model("plain", plain)
    site = load_model("run")
    with pytest.raises(
        UnsuitableStart, match="was trained on plain numbers; the sites have text, dates or empty cells"
    ):
        start_from(read_model("plain"), SiteModel(MLP(hidden=(4,))), site.preprocessing, "standard", 0)


def test_a_run_starts_from_a_model_of_tables_with_its_pipeline(folder: Path) -> None:
    from nervenet.models.artifact import read_model
    from nervenet.models.initial_model import start_from

    rows = read_table(Path("site.csv"), ReadOptions(target="outcome"))
    few = SiteModel(MLP(hidden=(4,)), rows.table.take(np.arange(2)), rows.target[:2])
    agreed = settle(few.questions(), {"only": few.answer}).preprocessing
    start_from(read_model("run"), few, agreed, "standard", 0)
    assert few.preprocessing == load_model("run").preprocessing
    assert np.array_equal(few.get_weights(), load_model("run").get_weights())
