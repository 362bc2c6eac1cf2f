"""Rows of any form as a table of the agreed columns."""

import numpy as np
import pytest
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables.rows import BadCell, conform, table_of_numbers, table_of_rows
from nervenet.models.tables.schema import Schema
from nervenet.models.tables.table import DATES, GAP, Table

SCHEMA = Schema(("age", "ward", "day"), ("number", "category", "date"), (True, True, True), {})


def cells(table):
    return [[None if cell != cell else cell for cell in table[name].tolist()] for name in table.columns]


def test_rows_come_in_the_order_of_the_columns_or_by_name():
    listed = table_of_rows([[50, "eye", "2026-01-31"], [None, None, None]], SCHEMA)
    named = table_of_rows([{"day": "2026-01-31", "age": 50.0, "ward": "eye"}, {}], SCHEMA)
    assert listed.kinds == SCHEMA.kinds
    assert cells(listed)[:2] == cells(named)[:2] == [[50.0, None], ["eye", None]]
    assert listed["day"].astype(str).tolist() == named["day"].astype(str).tolist() == ["2026-01-31T00:00:00", "NaT"]


def test_a_whole_number_counts_as_the_text_of_a_category():
    assert table_of_rows([[1, 2, None]], SCHEMA)["ward"].tolist() == ["2"]


def test_further_names_are_ignored_where_no_column_is_lacking():
    whole = {"id": 7, "age": 50, "ward": None, "outcome": "good", "day": None}
    assert cells(table_of_rows([whole], SCHEMA))[:2] == [[50.0], [None]]
    with pytest.raises(BadCell, match=r"row 0, column 'wards': found a column .* \(did you mean ward\?\)"):
        table_of_rows([{"age": 50, "wards": "eye", "day": None}], SCHEMA)


def test_texts_are_taken_without_the_blanks_around_them_as_from_a_file():
    assert cells(table_of_rows([[1, " eye ", None], [1, "", None], [1, " ", None]], SCHEMA))[1] == ["eye", None, None]


def test_no_rows_make_an_empty_table():
    assert len(table_of_rows([], SCHEMA)) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["old", "eye", None], r"row 1, column 'age': found 'old', expected a number or null"),
        ([True, "eye", None], r"row 1, column 'age': found true, expected a number or null"),
        ([1e400, "eye", None], r"row 1, column 'age': found inf, expected a number or null"),
        ([10**400, "eye", None], r"row 1, column 'age': found 1000"),
        ([1, 2.5, None], r"row 1, column 'ward': found 2.5, expected a text or null"),
        ([1, "eye", "soon"], r"row 1, column 'day': found 'soon', expected a date such as 2026-01-31, or null"),
        ([1, "eye", 20260131], r"row 1, column 'day': found 20260131"),
        ([1, "eye"], r"row 1: found 2 values, expected 3 \(age, ward, day\)"),
        ("eye", r"row 1: found 'eye', expected a list of 3 values"),
        ({"agee": 1}, r"row 1, column 'agee': found a column that the model does not know \(did you mean age\?\)"),
    ],
)
def test_what_does_not_fit_is_named_by_row_and_column(row, message):
    with pytest.raises(BadCell, match=message):
        table_of_rows([[1, "eye", None], row], SCHEMA)


def test_a_sites_own_table_has_its_columns_put_in_order_and_further_ones_left_out():
    days = np.array(["2026-01-31"], DATES)
    own = Table(
        ("day", "id", "ward", "age"),
        ("date", "category", "category", "number"),
        (days, np.array(["p1"], object), np.array(["eye"], object), np.array([50.0])),
    )
    found = conform(own, SCHEMA)
    assert (found.columns, found.kinds) == (SCHEMA.columns, SCHEMA.kinds)
    assert found["age"].tolist() == [50.0]


def test_a_column_of_gaps_takes_the_agreed_kind_and_another_does_not():
    def site(ward):
        kinds = ("number", "number", "date")
        return Table(SCHEMA.columns, kinds, (np.array([1.0]), np.array([ward]), np.array(["2026-01-31"], DATES)))

    assert conform(site(GAP), SCHEMA)["ward"].dtype == object
    with pytest.raises(IncompatibleSites, match=r"column 'ward' is a number here; agreed was a category"):
        conform(site(1.0), SCHEMA)


def test_an_array_of_numbers_becomes_a_table_of_numbers():
    table = table_of_numbers(np.array([[1, 2], [3, 4]], np.float32), ("a", "b"))
    assert table["b"].tolist() == [2.0, 4.0]
    assert table["b"].dtype == np.float64
