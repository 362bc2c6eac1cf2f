"""Runs side by side: their figures, what they differ in, and one page; a folder that is no run is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from nervenet.nodes.report.comparison import compared_rows, comparison_page, differences, labels_of
from nervenet.nodes.report.record import read_record
from nervenet.scripts.main import execute

OTHER = 'mode = "gossip"\nrounds = 4\n\n[training]\nlearning_rate = 0.1\n\n[gossip]\ntopology = "full"\n'


@pytest.fixture
def two(gossip_run: Callable[..., Path]) -> list[Path]:
    odd = {"status": "failed", "reason": "<b>no</b>", "accuracy": None, "accuracy_min": None, "accuracy_max": None}
    return [gossip_run("one"), gossip_run("two", summary=odd, experiment=OTHER)]


def test_the_table_has_a_column_a_run_and_what_differs(two: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["compare", *map(str, two)]) == 0
    cells = {line[:27].strip(): line[27:].split() for line in capsys.readouterr().out.splitlines() if line[27:].strip()}
    assert cells["status"] == ["completed", "failed"]
    assert cells["accuracy"] == ["0.950"]
    assert cells["accuracy, worst to best"] == ["0.900", "to", "0.970"]
    assert cells["rounds a second"] == ["1", "1"]
    assert cells["training.learning_rate"] == ["0.05", "0.1"]
    assert cells["gossip.topology"] == ["ring", "full"]
    assert "gossip.algorithm" not in cells


def test_json_has_the_figures_and_the_differences(two: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["compare", *map(str, two), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["accuracy"] for run in found["runs"]] == [0.95, None]
    assert found["runs"][0]["rounds_per_s"] == 1.0
    assert found["differences"]["gossip.topology"] == ["ring", "full"]


def test_the_page_has_the_curves_of_all_runs_over_each_other(two: list[Path], tmp_path: Path) -> None:
    assert execute(["compare", *map(str, two), "--out", str(tmp_path / "c.html")]) == 0
    text = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert text == comparison_page([read_record(run) for run in two])
    assert 'class="l0 line"' in text
    assert 'class="l1 line"' in text
    assert "<b>" not in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text
    assert not any(word in text for word in ("src=", "href=", "<script"))


def test_runs_of_one_name_are_told_apart_by_their_paths(gossip_run: Callable[..., Path]) -> None:
    one, other = read_record(gossip_run("one")), read_record(gossip_run("one/../other"))
    assert labels_of([one, other]) == ["one", "other"]
    assert labels_of([one, one]) == [str(one.path)] * 2


def test_a_run_that_goes_on_has_no_summary_yet(gossip_run: Callable[..., Path]) -> None:
    run = gossip_run()
    (run / "summary.json").unlink()
    record = read_record(run)
    rows = {label: cells for label, *cells in compared_rows([record])}
    assert rows["status"] == ["unfinished"]
    assert rows["mode"] == ["gossip"]
    assert differences([record]) == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: there is no such folder; expected a run folder"),
        ([], "Missing argument"),
        (["one", "--out", "c.pdf"], "--out c.pdf: expected the name of an .html file"),
        (["one", "--out", "no/such/c.html"], "cannot be written: No such file or directory"),
    ],
)
def test_mistakes_are_named(
    two: list[Path],
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(two[0].parent)
    assert execute(["compare", *arguments]) == 2
    assert said in capsys.readouterr().err
