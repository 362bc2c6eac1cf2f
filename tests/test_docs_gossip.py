"""The page on gossip names every algorithm with its paper, its knobs, and when not to use it."""

import re
from pathlib import Path

import pytest
from nervenet.nodes.described import Described
from nervenet.nodes.gossip.algorithms.registry import NAMES, describe

DOCS = Path(__file__).parent.parent / "docs"
PAGE = next(page for page in (DOCS / "gossip.md", DOCS / "gossip-algorithms.part.md") if page.exists()).read_text()


@pytest.mark.parametrize("algorithm", describe(), ids=list(NAMES))
def test_every_algorithm_is_there_with_its_paper_its_knobs_and_when_not_to_use_it(algorithm: Described) -> None:
    row = re.search(rf"^\| `{algorithm.name}` \|.*$", PAGE, re.MULTILINE)
    assert row, f"docs/gossip.md has no row about {algorithm.name}"
    _, _, what, arguments, needs, not_for, _ = (cell.strip() for cell in row.group().split("|"))
    assert re.search(r"\(the same\)", what) or algorithm.paper.split(" et al.")[0] in what
    assert set(re.findall(r"`(\w+)`", arguments)) == set(algorithm.arguments)
    assert needs
    assert not_for


def test_no_algorithm_is_there_that_does_not_exist() -> None:
    table = PAGE.split("### Names, papers, knobs")[1].split("\n###")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == set(NAMES)
