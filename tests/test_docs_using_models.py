"""docs/using-models.md: its Python blocks are run one after the other, on the runs that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from nervenet.models import SiteModel, load_model, save_model
from nervenet.models.datasets import load
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
        "first": MLP,
        "sgd": lambda: named_model("sklearn.linear_model.SGDClassifier", {}),
    }
    for name, make in makers.items():
        one = SiteModel(make(), iris.X, iris.y, columns=iris.columns)
        one.build(agree({"only": one.statistics()}), 0)
        save_model(f"runs/{name}", one)


@pytest.mark.e2e
def test_every_block_runs(runs: None, capsys: pytest.CaptureFixture[str]) -> None:
    known: dict[str, object] = {}
    has_pandas = find_spec("pandas") is not None
    for block in BLOCKS:
        if has_pandas or "pandas" not in block:
            exec(block, known)
    out = capsys.readouterr().out
    assert "'weight.0': (4, 64)" in out
    assert ("prediction" in out) == has_pandas
    assert "RunResult(status='completed'" in out
    assert len(BLOCKS) == 4
    first, second = (load_model(f"runs/{name}") for name in ("first", "second"))
    assert second.preprocessing == first.preprocessing
