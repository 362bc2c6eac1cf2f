"""Data sets of several sites side by side."""

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables.load import load_file
from nervenet.models.tables.pooling import aligned, stacked
from nervenet.models.tables.table import Table


@pytest.fixture
def sites(written):
    """Load files by the names of their sites."""

    def load(**texts: str):
        return {site: load_file(written(text, f"{site}.csv")) for site, text in texts.items()}

    return load


def test_columns_are_matched_by_name_and_numbers_stay_an_array(sites):
    found = aligned(sites(north="a,b,y\n1,2,0\n3,4,1\n", south="y,b,a\n1,6,5\n"))
    assert [one.columns for one in found.values()] == [("a", "b")] * 2
    assert found["south"].X.tolist() == [[5, 6]]
    whole = stacked(list(found.values()), "sites")
    assert (whole.X.tolist(), whole.y.tolist()) == ([[1, 2], [3, 4], [5, 6]], [0, 1, 1])


def test_where_one_site_has_gaps_all_are_tables(sites):
    found = aligned(sites(north="a,b,y\n1,u,0\n3,v,1\n", south="b,a,y\n,5,1\nNA,,0\n"))
    assert all(isinstance(one.X, Table) for one in found.values())
    whole = stacked(list(found.values()), "sites")
    assert whole.X.kinds == ("number", "category")
    assert whole.X.gaps("b").tolist() == [False, False, True, True]
    assert np.isnan(whole.X["a"]).tolist() == [False, False, False, True]


def test_the_task_is_that_of_all_targets(sites):
    quantities = {"north": "a,y\n1,1\n2,2\n", "south": "a,y\n1,0.5\n2,2\n"}
    found = aligned(sites(**quantities))
    assert {one.task for one in found.values()} == {"regression"}
    assert found["north"].y.dtype == np.float64
    whole = aligned(sites(north="a,y\n1,1\n2,2\n", south="a,y\n1,1\n2,3\n"))
    assert whole["south"].y.dtype == np.int64


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (
            {"north": "a,b,y\n1,2,0\n", "south": "a,b,y\n1,2,0\n", "west": "a,c,y\n1,2,0\n"},
            r"site west .west\.csv. lacks b and adds c; north has a, b",
        ),
        (
            {"north": "a,y\n1,0\n", "south": "a,y\n2,0\n", "west": "a,y\nhigh,0\nlow,1\n"},
            r'column "a" is a category at site west .high., and a number at north .1\.0.: --categorical a',
        ),
        (
            {"north": "a,y\n1,no\n", "south": "a,y\n2,yes\n", "west": "a,y\n3,1\n"},
            r"site west .west\.csv. has numbers .1. as targets; north has text .no.",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_site(sites, texts, reason):
    with pytest.raises(DataError, match=reason):
        aligned(sites(**texts))
