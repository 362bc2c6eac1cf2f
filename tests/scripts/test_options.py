"""Options that take several values, and where the files of sites stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.scripts.options import _value, columns_of
from nervenet.scripts.running import experiment_file


def test_columns_are_separated_by_commas_or_stand_in_quotes() -> None:
    assert columns_of('age, "weight, kg",sex,') == ["age", "weight, kg", "sex"]
    assert columns_of("") == []


def test_files_behind_the_first_are_sites_and_an_experiment_is_told_by_its_ending(tmp_path: Path) -> None:
    files = (Path("b.csv"), Path("run.toml"), Path("c.parquet"))
    file, overrides = experiment_file(files, {"data.sites": ["a.csv"]})
    assert (file, overrides) == (Path("run.toml"), {"data.sites": ["a.csv", "b.csv", "c.parquet"]})
    assert experiment_file((tmp_path,), {"data.sites": ["a.csv"]})[0] == tmp_path
    (tmp_path / "west.csv").mkdir()
    _, overrides = experiment_file((tmp_path / "west.csv",), {"data.sites": ["a.csv"]})
    assert overrides["data.sites"] == ["a.csv", str(tmp_path / "west.csv")], "which is refused as a site's file"
    with pytest.raises(ExperimentError, match="one experiment file at most"):
        experiment_file((Path("run.toml"), Path("b.csv")), {})


def test_sites_may_stand_behind_one_another_with_commas_unless_a_file_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _value("data.sites", ("a.csv, b.csv", "c.csv")) == ["a.csv", "b.csv", "c.csv"]
    Path("a, b.csv").touch()
    assert _value("data.sites", ("a, b.csv",)) == ["a, b.csv"]
    assert _value("data.sites", ("nowhere.csv",)) == ["nowhere.csv"]


MANY = [f"hospital-{number:02}.csv" for number in range(30)]


def test_sites_behind_one_another_may_be_more_than_a_path_has_room_for() -> None:
    assert _value("data.sites", (",".join(MANY),)) == MANY


def test_by_a_look_that_minds_they_would_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", os.stat)
    with pytest.raises(OSError, match="name too long"):
        _value("data.sites", (",".join(MANY),))
