"""The dashboard and the page name the families that there are, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

from nervenet.nodes.exporting.metrics import RunMetrics

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"\bnervenet_\w+")


def families() -> set[str]:
    """Return the names of all families, of which none needs an event to be there."""
    return {line.split()[2] for line in RunMetrics().text().decode().splitlines() if line.startswith("# TYPE")}


def named(dashboard: str) -> set[str]:
    """Return the families that the queries of a dashboard ask for."""
    found = json.loads(dashboard)
    queries = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in found["templating"]["list"] if variable["type"] == "query"]
    return {re.sub(r"_(bucket|sum|count)$", "", name) for query in queries for name in NAME.findall(query)}


DASHBOARD = (ROOT / "examples" / "monitoring" / "grafana-dashboard.json").read_text(encoding="utf-8")


def test_the_dashboard_shows_every_family_and_no_other() -> None:
    assert named(DASHBOARD) == families()


def test_a_family_that_is_called_otherwise_would_be_noticed() -> None:
    assert named(DASHBOARD.replace("nervenet_wait_seconds", "nervenet_waiting_seconds")) != families()


def test_its_panels_lie_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD)["panels"]]
    cells = [(p["x"] + x, p["y"] + y) for p in places for x in range(p["w"]) for y in range(p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_the_page_lists_every_family_and_no_other() -> None:
    page = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
    assert {name for name in NAME.findall(page) if not name.startswith("nervenet_request")} == families()
