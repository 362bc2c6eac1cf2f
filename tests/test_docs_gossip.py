"""docs/gossip.md, from which users choose, says what the code does."""

import re
from pathlib import Path

import pytest
from nervenet.models.plugins import PluginInfo
from nervenet.nodes.gossip.algorithms.registry import SYNCHRONOUS, describe
from nervenet.nodes.topology import TOPOLOGIES, default_degree, schedule
from nervenet.nodes.topology.analysis import measure
from nervenet.nodes.topology.mixing import RULES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "gossip.md").read_text(encoding="utf-8")
FIGURES = PAGE[PAGE.index("## The graphs") : PAGE.index("![")]
ADVICE = PAGE[PAGE.index("| name | when |") : PAGE.index("## A graph of your own")]


def rows(text: str) -> dict[str, list[str]]:
    """Each row of a table by the name in its first cell."""
    found = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in found}


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES if name != "edges"])
def test_the_figures_are_those_of_the_code(name: str) -> None:
    found = measure(name, schedule(name, [f"peer-{i:02}" for i in range(16)]))
    least, mean, most = found.degree
    rounds = found.exact or found.rounds
    assert rounds is not None
    assert rows(FIGURES)[name][:5] == [
        f"{least}" if least == most else f"{least}-{most}",
        f"{found.edges:.0f}" + (" →" if found.directed else ""),
        f"{found.gap:.4f}",
        f"{rounds}" + ("!" if found.exact else ""),
        f"{rounds * mean:.0f}",
    ]


def test_every_topology_is_there_with_its_arguments_and_no_other() -> None:
    figures, advice = rows(FIGURES), rows(ADVICE)
    assert list(figures) == [name for name in TOPOLOGIES if name != "edges"]
    assert list(advice) == list(TOPOLOGIES)
    for name, cells in figures.items():
        assert re.findall(r"`([a-z]+)`", cells[5]) == list(TOPOLOGIES[name].takes)
        degree = default_degree(name, 16)
        assert degree is None or f"`degree` {degree}" in cells[5]


def test_every_paper_is_named() -> None:
    advice = rows(ADVICE)
    for name, kind in TOPOLOGIES.items():
        for paper in kind.paper.split(", ") if kind.paper and advice[name][2] != "the same" else ():
            assert paper in advice[name][2]


def test_every_rule_is_there() -> None:
    assert set(rows(PAGE[PAGE.index("## Mixing weights") : PAGE.index("## The algorithms")])) == set(RULES)


def test_the_figure_shows_every_topology() -> None:
    drawn = (ROOT / "docs" / "consensus.svg").read_text(encoding="utf-8")
    assert [name for name in TOPOLOGIES if name != "edges" and f">{name}<" not in drawn] == []


@pytest.mark.parametrize("algorithm", describe(), ids=list(SYNCHRONOUS))
def test_every_algorithm_is_there_with_its_paper_its_knobs_and_when_not_to_use_it(algorithm: PluginInfo) -> None:
    row = re.search(rf"^\| `{algorithm.name}` \|.*$", PAGE, re.MULTILINE)
    assert row, f"docs/gossip.md has no row about {algorithm.name}"
    _, _, what, arguments, needs, not_for, _ = (cell.strip() for cell in row.group().split("|"))
    assert re.search(r"\(the same\)", what) or algorithm.paper.split(" et al.")[0] in what
    assert set(re.findall(r"`(\w+)`", arguments)) == set(algorithm.arguments)
    assert needs
    assert not_for


def test_no_algorithm_is_there_that_does_not_exist() -> None:
    table = PAGE.split("### Names, papers, knobs")[1].split("\n###")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == set(SYNCHRONOUS)
