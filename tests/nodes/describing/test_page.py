"""The page of a description: complete in itself, and of hostile names and texts it shows the characters alone."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from nervenet.models.agreement.questions import settle
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.tables.table import GAP, Table
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.describing.figures_text import figure, outline
from nervenet.nodes.describing.files import check_out, write_description
from nervenet.nodes.describing.page import page_of
from nervenet.nodes.describing.svg import strip

HOSTILE = "<script>alert('x')</script>\x1b[2J\u202e"
VOID = {"meta", "br"}


class Balance(HTMLParser):
    """Collects tags that are opened and not closed, and everything that would load something."""

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href") and not value.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def described(name="x", word="red", **options):
    rng = np.random.default_rng(0)

    def site(rows, rare):
        words = np.array([word] * (rows - rare) + ["rare"] * (rare - 1) + [GAP], dtype=object)
        days = np.datetime64("2024-01-01", "s") + rng.integers(0, 10**7, rows).astype("timedelta64[s]")
        arrays = (rng.lognormal(3, 2, rows), words, days, np.full(rows, np.nan), np.full(rows, 7.0))
        return Table((name, "c", "d", "empty", "same"), ("number", "category", "date", "number", "number"), arrays)

    sites = {"a": site(300, 20), "b": site(40, 5), "c": site(4, 1)}
    answers = {name: SiteDescriber(table).answer for name, table in sites.items()}
    return settle(describe_questions(DescribeOptions(**options)), answers).to_dict()


def parsed(page):
    found = Balance()
    found.feed(page)
    return found


def test_the_page_is_whole_and_loads_nothing():
    page = page_of(described(correlations=True))
    found = parsed(page)
    assert found.open == []
    assert found.loads == []
    assert "script" not in found.tags
    assert not re.search(r"https?:|@import|url\(", page)


def test_names_and_categories_are_shown_as_text():
    page = page_of(described(name=HOSTILE, word=HOSTILE, correlations=True))
    assert "script" not in parsed(page).tags
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_every_column_and_site_is_there_with_what_it_gave_away():
    description = described()
    page = page_of(description)
    for name in (*description["columns"], *description["sites"]):
        assert f">{name}<" in page
    assert "nothing: it has fewer than 10 rows" in page
    assert page.count("<svg") >= 4


def test_a_hidden_count_is_a_word_and_not_a_bar():
    page = page_of(described())
    assert "hidden" in page
    assert "None" not in page
    assert "nan" not in page


def test_the_page_of_the_plainest_description():
    table = Table(("x",), ("number",), (np.full(12, np.nan),))
    description = settle(describe_questions(), {"a": SiteDescriber(table).answer}).to_dict()
    assert parsed(page_of(description)).open == []


def test_both_files_are_written(tmp_path):
    check_out(tmp_path / "new" / "folder")
    paths = write_description(described(), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["description.json", "page.html"]
    assert all(path.stat().st_size for path in paths)


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="cannot be used as a folder"):
        check_out(tmp_path / "file" / "folder")


@pytest.mark.parametrize(
    ("value", "text"),
    [(551, "551"), (1234567.0, "1,234,567"), (0.000123456, "0.00012346"), (3.0, "3"), (None, ""), (1e300, "1e+300")],
)
def test_figures_have_five_digits_that_matter(value, text):
    assert figure(value) == text


def test_the_outline_counts_who_has_answered():
    assert outline(described()) == "5 columns, 340 rows of 2 sites; 1 site has not answered"


def test_the_histogram_of_a_site_stands_below_that_of_all_on_one_scale():
    edges = [0.0, 1.0, 2.0, 3.0, 100.0]
    pooled = {"histogram": {"edges": edges, "counts": [10, 10, 10, 10]}}
    whole, half = (
        strip({"histogram": {"edges": own, "counts": [10] * (len(own) - 1)}}, pooled)
        for own in (edges, edges[:1] + edges[2:])
    )
    starts, others = ([float(x) for x in re.findall(r'x="([0-9.]+)"', picture)] for picture in (whole, half))
    assert starts == [0.0, 30.0, 60.0, 90.0]
    assert others == [0.0, 60.0, 90.0]


@pytest.mark.parametrize("year", [-500, 1, 1815, 12000])
def test_dates_of_any_year_are_drawn(year):
    days = np.datetime64(f"{year:05d}-01-01" if year < 0 else f"{year:04d}-01-01", "s") + np.arange(
        30
    ) * np.timedelta64(3, "D")
    table = Table(("d",), ("date",), (days.astype("datetime64[s]"),))
    description = settle(describe_questions(), {"a": SiteDescriber(table).answer}).to_dict()
    assert str(days[0]).partition("T")[0] in page_of(description)


def test_a_category_that_is_called_other_is_not_the_rest():
    words = np.array(["other"] * 20 + ["red"] * 15 + ["a", "b", "c"] * 7, dtype=object)
    table = Table(("c",), ("category",), (words,))
    page = page_of(settle(describe_questions(), {"a": SiteDescriber(table).answer}).to_dict())
    rows = dict(re.findall(r"<tr><td>(?:<i>)?([a-z ]+)(?:</i>)?</td><td>(\d+)</td>", page))
    assert (rows["other"], rows["red"]) == ("20", "15")
    assert rows["any other"] == "21"
