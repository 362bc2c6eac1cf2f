"""`make test-quick` starts no process: a test that is not marked e2e is kept from it."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
TESTS = """
import subprocess, sys
from contextlib import suppress
import pytest

def test_unmarked():
    with suppress(RuntimeError):
        subprocess.run([sys.executable, "-c", ""])

@pytest.mark.e2e
def test_marked():
    subprocess.run([sys.executable, "-c", ""], check=True)
"""


def spawn() -> None:
    multiprocessing.get_context("spawn").Process(target=print).start()


@pytest.mark.parametrize(
    "start",
    [lambda: subprocess.run([sys.executable, "-c", ""]), os.fork, lambda: os.system("true"), spawn],
    ids=["subprocess", "fork", "system", "multiprocessing"],
)
def test_an_unmarked_test_cannot_start_a_process(start: Callable[[], Any], refused: list[str]) -> None:
    with pytest.raises(RuntimeError, match=r"test_an_unmarked_test_cannot_start_a_process.* mark it e2e"):
        start()
    refused.clear()


@pytest.mark.e2e
def test_nor_is_it_enough_to_swallow_the_refusal(tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_two.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = e2e\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert "FAILED test_two.py::test_unmarked" in ended.stdout
    assert "1 failed, 1 passed" in ended.stdout
