"""docs/describe.md lists every field of a description, and no other."""

import re
from pathlib import Path

import numpy as np
from nervenet.models.agreement.questions import settle
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.tables.table import Table

PAGE = Path(__file__).parents[3] / "docs" / "describe.md"


def described():
    rows = np.arange(30.0)
    days = np.datetime64("2024-01-01", "s") + rows.astype(int) * np.timedelta64(86400, "s")
    words = np.array(["red", "blue"] * 15, dtype=object)
    table = Table(("x", "c", "d"), ("number", "category", "date"), (rows, words, days))
    few = Table(("x", "c"), ("number", "category"), (np.where(rows < 5, rows, np.nan), words))
    sites = {"a": table, "b": few, "c": table.take(np.arange(3))}
    answers = {name: SiteDescriber(own).answer for name, own in sites.items()}
    return settle(describe_questions(DescribeOptions(correlations=True)), answers).to_dict()


def fields(value, path=""):
    """Dotted names of the fields, the names of columns and sites replaced; a site's figures are those of all."""
    path = re.sub(r"^(columns)\.[^.]+", r"\1.NAME", path)
    path = re.sub(r"^(sites|correlations\.sites|columns\.NAME\.sites)\.[^.]+", r"\1.SITE", path)
    path = path.replace("columns.NAME.sites.SITE.", "columns.NAME.pooled.")
    found = {path}
    if path.endswith(".categories"):
        return found
    if isinstance(value, dict):
        for key, below in value.items():
            found |= fields(below, f"{path}.{key}".strip("."))
    elif path.endswith(".gave"):
        for line in value:
            found |= fields(line, path)
    return found


def test_every_field_is_documented_and_every_documented_field_is_there():
    text = PAGE.read_text(encoding="utf-8").partition("## description.json")[2]
    table = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    within = {"", "sites", "columns", "correlations", "columns.NAME", "columns.NAME.sites", "correlations.sites"}
    within |= {"sites.SITE", "columns.NAME.pooled.histogram"}
    assert fields(described()) - within == table
