"""``nervenet describe``: a process for each file, and figures as of all rows in one table."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import wait_until

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]


def write(folder: Path, name: str, values: Any) -> Path:
    path = folder / f"{name}.csv"
    path.write_text("value,k\n" + "\n".join(f"{float(value)!r},1" for value in values) + "\n")
    return path


def test_three_files_of_which_one_is_below_the_floor(nervenet: Start, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.lognormal(3, 2, 400), rng.normal(1e6, 5, 151), rng.normal(0, 1, 4)
    files = [write(tmp_path, name, values) for name, values in (("a", a), ("b", b), ("c", c))]
    done = nervenet("describe", "--data", *files, "--json", "--correlations", "--out", "study").ok()
    found = json.loads("".join(done.out))
    rows, pooled = np.concatenate([a, b]), found["columns"]["value"]["pooled"]
    assert pooled["count"] == 551
    assert pooled["mean"] == pytest.approx(rows.mean(), rel=1e-12)
    assert pooled["median"] == np.median(rows)
    assert found["columns"]["value"]["sites"].keys() == {"a", "b"}
    assert found["sites"]["c"] == {"answered": False, "reason": "has fewer than 10 rows", "gave": []}
    assert json.loads((tmp_path / "study" / "description.json").read_text()) == found
    assert (tmp_path / "study" / "page.html").read_text().startswith("<!doctype html>")
    wait_until(lambda: not done.family(), "all processes have ended")


def test_a_bad_cell_at_one_site_ends_it_in_a_line_or_two(nervenet: Start, tmp_path: Path) -> None:
    good = write(tmp_path, "good", range(40))
    bad = tmp_path / "bad.csv"
    bad.write_text("value,k\n" + "\n".join(["1,1"] * 30 + ["one,1"]) + "\n")
    done = nervenet("describe", "--data", good, bad)
    assert done.wait() == 2
    assert "bad.csv" in done.text
    assert "line 32" in done.text
    assert "Traceback" not in done.text
    assert len(done.err) <= 2


HELD = """
import pathlib, time
folder = pathlib.Path(__file__).parents[1]
(folder / "reading").touch()
while not (folder / "signaled").exists():
    time.sleep(0.01)
raise ImportError("no such library here")
"""


def test_ctrl_c_ends_it_in_order(nervenet: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One site reads its file until the signal has been sent: before that the command cannot end."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "pyarrow").mkdir()
    (tmp_path / "pyarrow" / "__init__.py").write_text(HELD)
    (tmp_path / "b.parquet").touch()
    files = (write(tmp_path, "a", range(50)), tmp_path / "b.parquet")
    command = nervenet("describe", "--data", *files, fresh=True)  # a warm one has the true library already
    wait_until((tmp_path / "reading").exists, "a site reads its file")
    command.kill(signal.SIGINT)
    (tmp_path / "signaled").touch()
    assert command.wait() == 130
    wait_until(lambda: not command.family(), "all processes have ended")
    assert "Traceback" not in command.text, command.text
