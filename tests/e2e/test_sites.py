"""The sites' own files, as they are: text, gaps and dates, columns in another order at each, to predictions."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.scripts.main import execute

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]

COLUMNS = ("patient", "admitted", "age", "crp", "ward", "outcome")
PATIENT = ("--set", "network.join_deadline_s=120", "--set", "network.suspect_after_s=20")  # scikit-learn loads slowly


def site(folder: Path, name: str, rows: int, columns: tuple[str, ...], wards: tuple[str, ...]) -> Path:
    draws = random.Random(name)
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, delimiter=";" if name == "south" else ",")
        writer.writeheader()
        for number in range(rows):
            age, ward = draws.gauss(60, 15), draws.choice(wards)
            outcome = "poor" if age + 20 * (ward == "geriatrics") > 62 else "good"
            cells = {"patient": f"{name}-{number}", "admitted": f"2026-03-{number % 28 + 1:02d}", "ward": ward}
            cells |= {"age": f"{age:.1f}".replace(".", "," if name == "south" else "."), "outcome": outcome}
            if name == "west":  # as a system of another country writes it
                cells["admitted"] = f"03/{number % 9 + 1:02d}/2026"
            cells["crp"] = "" if number % 7 == 0 else str(draws.randrange(200))
            writer.writerow(cells)
    return path


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_three_files_become_a_model_that_predicts_for_raw_rows(
    mode: str, tmp_path: Path, launch_here: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    files = (
        site(tmp_path, "north", 90, COLUMNS, ("surgery", "cardiology")),
        site(tmp_path, "south", 60, COLUMNS[::-1], ("surgery", "geriatrics")),
        site(tmp_path, "west", 50, (*COLUMNS[3:], *COLUMNS[:3]), ("cardiology", "geriatrics", "rehabilitation")),
    )
    said = ("--target", "outcome", "--set", "data.columns.admitted.format=%m/%d/%Y")
    run = launch_here("--mode", mode, "--sites", *files, *said, "--rounds", 15, *PATIENT).ok()
    summary = run.summary()
    assert (summary["data"], summary["nodes"], summary["status"]) == ("sites", 3, "completed")
    assert {"north", "south", "west"} <= set(summary["by_node"])
    assert summary["accuracy"] >= 0.8
    assert summary["baseline"]["centralised"] >= 0.8
    told = "".join(path.read_text() for path in (run.folder / "events.jsonl",))
    assert "south.csv: cells separated by semicolons, decimal commas in age" in told
    assert execute(["predict", str(run.folder), str(files[2])]) == 0
    header, *labels = capsys.readouterr().out.split()
    assert (header, len(labels), set(labels)) == ("prediction", 50, {"good", "poor"})


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"age": "old"}, ['north.csv: line 3, column "age": found text "old"', "--categorical age"]),
        ({"admitted": "2026-02-30"}, ['north.csv: line 3, column "admitted"', "expected a date"]),
        ({"outcome": ""}, ['north.csv: line 3, column "outcome": found an empty cell', "data.missing_target"]),
        ({"age": "inf"}, ['north.csv: line 3, column "age": found inf, expected a finite number']),
    ],
)
def test_what_is_wrong_at_a_site_is_said_before_anything_starts(
    cells: dict[str, str], words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = site(tmp_path, "north", 30, COLUMNS, ("surgery", "cardiology"))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    rows[1] |= cells
    path.write_text("\n".join([",".join(COLUMNS), *(",".join(row[name] for name in COLUMNS) for row in rows)]))
    other = site(tmp_path, "west", 30, COLUMNS, ("surgery", "cardiology"))
    line = ["launch", "--sites", str(path), str(other), "--target", "outcome", "--out", str(tmp_path / "run")]
    assert execute(line) == 2
    _, err = capfd.readouterr()
    assert 1 <= len(err.splitlines()) <= 2
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert not (tmp_path / "run").exists()
