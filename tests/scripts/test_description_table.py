"""A description in the terminal: plain lines, or a table drawn by rich, with the same figures."""

import io

import numpy as np
import pytest
from nervenet.models.agreement.questions import settle
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.tables.table import Table
from nervenet.scripts.description_table import print_description

EXPECTED = """\
4 columns, 30 rows of 1 site; 1 site has not answered

column  count  gaps  mean     std  min    q1  median     q3  max
────────────────────────────────────────────────────────────────
x          30     0  15.5  8.8034    1  8.25    15.5  22.75   30

column  count  gaps        mean         min          q1      median          q3         max
───────────────────────────────────────────────────────────────────────────────────────────
when       30     0  2024-02-28  2024-01-01  2024-01-30  2024-02-28  2024-03-28  2024-04-26

column  count  gaps  categories
──────────────────────────────────────────
c          30     0  \\x1b[2Jred 15, red 15
"""


def description():
    rows = np.arange(1.0, 31.0)
    days = np.datetime64("2024-01-01", "s") + (rows - 1).astype(int) * np.timedelta64(4 * 86400, "s")
    words = np.array(["red", "\x1b[2Jred"] * 15, dtype=object)
    arrays = (rows, days, words, np.where(rows < 9, rows, np.nan))
    table = Table(("x", "when", "c", "few"), ("number", "date", "category", "number"), arrays)
    sites = {"a": table, "b": table.take(np.arange(3))}
    answers = {name: SiteDescriber(own).answer for name, own in sites.items()}
    return settle(describe_questions(DescribeOptions(correlations=True)), answers).to_dict()


def printed(*, rich):
    file = io.StringIO()
    print_description(description(), file, rich=rich)
    return file.getvalue()


def test_plain_lines():
    text = printed(rich=False)
    assert text.startswith(EXPECTED)
    assert "few: a: fewer than 10 values" in text
    assert text.splitlines()[-1] == "b           nothing: it has fewer than 10 rows"


def test_rich_shows_the_same_figures():
    pytest.importorskip("rich")
    plain, rich = printed(rich=False), printed(rich=True)
    for word in ("8.8034", "2024-02-28", "red 15", "nothing: it has fewer than 10 rows"):
        assert word in plain
        assert word in rich


@pytest.mark.parametrize("rich", [False, True])
def test_no_text_of_a_site_reaches_the_terminal_as_anything_but_text(rich):
    assert "\x1b" not in printed(rich=rich)


def test_of_many_correlations_the_strongest_are_shown():
    names = [f"x{number}" for number in range(6)]
    matrix = [[1.0 if i == j else (i - j) / 10 for j in range(6)] for i in range(6)]
    matrix[5][0] = None
    found = description() | {"correlations": {"columns": names, "pooled": matrix, "sites": {}}}
    file = io.StringIO()
    print_description(found, file, rich=False)
    assert "x4      x0          0.40" in file.getvalue()
    assert "of 14 pairs the 10 that correlate most" in file.getvalue()
