"""docs/federated.md, from which users choose, says what the code does."""

import re
from pathlib import Path

import pytest
from nervenet.models.compress import supported
from nervenet.nodes.federated.strategies.registry import STRATEGIES, PluginInfo, describe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "federated.md").read_text(encoding="utf-8")
CHOICE = PAGE[PAGE.index("## The strategies") : PAGE.index("## Who takes part")]
ROWS = {found[1]: found[0] for found in re.finditer(r"^\| `([a-z-]+)` \| .*$", CHOICE, re.MULTILINE)}


@pytest.mark.parametrize("strategy", describe(), ids=lambda strategy: strategy.name)
def test_every_strategy_is_there_with_its_paper_its_knobs_and_when_not_to_use_it(strategy: PluginInfo) -> None:
    _, _, what, knobs, against, _ = ROWS[strategy.name].split("|")
    assert against.strip(), "when not to use it"
    assert re.search(r"\d{4}|the same", what), "its paper"
    for name, default in strategy.arguments.items():
        assert f"`{name}`" in knobs
        if isinstance(default, (int, float)) and default is not None:
            number = re.search(rf"`{name}` ([\d.e-]+)", knobs)
            assert number is not None, f"the default of {name}"
            assert float(number[1]) == default


def test_no_strategy_is_made_up() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)`", CHOICE, re.MULTILINE)) == set(STRATEGIES.builtin)


def test_every_stage_of_compression_is_there() -> None:
    table = PAGE[PAGE.index("## Compression") : PAGE.index("## A coordinator that dies")]
    assert set(supported()) <= {stage.partition(":")[0] for stage in re.findall(r"`([a-z0-9:.-]+)`", table)}


def test_the_strategy_shown_is_the_one_in_the_examples() -> None:
    shown = re.search(r"^```python\n# own_strategy.py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown[1] in (ROOT / "examples" / "own_strategy.py").read_text(encoding="utf-8")
