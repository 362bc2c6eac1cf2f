"""docs/tables.md: the walk of three sites and the requests, run as they are printed; the pipeline that it shows."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from nervenet.models import MLP, SiteModel

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")


def readme() -> ModuleType:
    """The player of console blocks."""
    spec = importlib.util.spec_from_file_location("play_readme", Path(__file__).with_name("test_readme.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.e2e
def test_the_walk_is_as_it_is_printed(tmp_path: Path, three_free_ports: Callable[[], int]) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    player = readme()
    bodies = [body for language, body in player.blocks(PAGE) if language == "console"]
    assert len(bodies) == 2
    for body in bodies:
        for port in dict.fromkeys(player.PORT.findall(body)):
            body = body.replace(f"127.0.0.1:{port}", f"127.0.0.1:{three_free_ports()}")
        player.play(body, tmp_path)


def test_the_pipeline_that_is_shown_can_be_fitted_over_sites() -> None:
    known: dict[str, object] = {}
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(block, known)
    assert SiteModel(MLP(), preprocess=known["prepare"]).preprocess is known["prepare"]
