"""docs/using-models.md: its Python blocks are run one after the other, on the runs that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nervenet.models import SiteModel, load_model, save_model
from nervenet.models.data.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.registry import named_model
from nervenet.models.site_statistics import agree

PAGE = (Path(__file__).parents[1] / "docs" / "using-models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    iris = load("iris")
    makers: dict[str, Callable[[], object]] = {
        "first": lambda: MLP(hidden=(4,)),
        "sgd": lambda: named_model("sklearn.linear_model.SGDClassifier", {}),
    }
    for name, make in makers.items():
        one = SiteModel(make(), iris.X, iris.y, columns=iris.columns)
        one.build(agree({"only": one.statistics()}), 0)
        save_model(f"runs/{name}", one)


def test_every_block_runs(runs: None, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas")
    known: dict[str, object] = {}
    for block in BLOCKS:
        exec(block, known)
    out = capsys.readouterr().out
    assert "'weight.0': (4, 4)" in out
    assert "prediction" in out
    assert len(BLOCKS) == 3


def test_without_pandas_the_others_run(runs: None) -> None:
    known: dict[str, object] = {}
    for block in (block for block in BLOCKS if "pandas" not in block):
        exec(block, known)
    model = load_model("runs/first")
    assert np.asarray(model.predict([[5.1, 3.5, 1.4, 0.2]])).shape == (1,)
