"""Tables: columns by name, gaps by kind."""

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables.table import GAP, Table


@pytest.fixture
def table():
    arrays = (
        np.array([1.5, np.nan, 3.0]),
        np.array(["a", GAP, "b"], object),
        np.array(["2026-01-01", "NaT", "2026-01-02T10:00"], "datetime64[s]"),
    )
    return Table(("dose", "ward", "day"), ("number", "category", "date"), arrays)


def test_each_kind_has_its_own_gap(table):
    assert [table.gaps(name).tolist() for name in table.columns] == [[False, True, False]] * 3


def test_columns_are_chosen_by_name(table):
    assert table.select(["day", "dose"]).kinds == ("date", "number")
    with pytest.raises(DataError, match=r"no column 'wart' \(did you mean ward\?\)"):
        table.select(["wart"])


def test_a_block_of_one_kind_keeps_its_type(table):
    assert table.block(["dose"]).dtype == np.float64
    assert table.block(["dose", "ward"]).tolist()[2] == [3.0, "b"]


def test_rows_are_taken_by_index_or_mask(table):
    assert len(table.take(np.array([0, 2]))) == 2
    assert table.take(~table.gaps("ward"))["ward"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.array([1, 2]), "expected float64, found int64"), (np.array([[1.0]]), "shape")],
)
def test_parts_that_do_not_fit_are_refused(array, message):
    with pytest.raises(DataError, match=message):
        Table(("x",), ("number",), (array,))
