"""A plain installation, without any extra: what it cannot do is said in a line, and the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.models.extras import EXTRAS

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]

HIDING = f"""
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *where: None if name in {set(EXTRAS)} else found(name, *where))
"""


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_a_run_goes_on_without_what_only_some_uses_need(
    launch: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    few = ("--data", "iris", "--nodes", 2, "--rounds", 2, "--set", "evaluation.baseline=false")
    run = launch("--mode", mode, *few, fresh=True).ok()
    assert 'warning: no curves.png: matplotlib is not installed: pip install "nervenet[plot]"' in run.text
    assert not (run.folder / "curves.png").exists()
    assert run.summary()["status"] == "completed"
    refused = launch("--mode", "gossip", *few, "--topology", "random-regular", "--nodes", 6, fresh=True)
    assert refused.wait() == 2
    assert 'is drawn by networkx; networkx is not installed: pip install "nervenet[launch]"' in refused.text
