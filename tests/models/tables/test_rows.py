"""Rows of any form as a table of the agreed columns."""

import math
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest
from nervenet.models.data.written import Written
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables import rows
from nervenet.models.tables.dates import parse_dates
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


def test_a_number_counts_as_the_text_of_a_category_as_a_file_has_it():
    rows = [[1, code, None] for code in (2, 2.0, 2.5, True, np.int64(7), np.float32(0.5))]
    assert table_of_rows(rows, SCHEMA)["ward"].tolist() == ["2", "2", "2.5", "true", "7", "0.5"]


def test_truth_values_are_numbers_as_in_files():
    assert table_of_rows([[True, None, None], [np.False_, None, None]], SCHEMA)["age"].tolist() == [1.0, 0.0]


class NAType:
    """As pandas' NA, which does not say whether it is itself."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize("gap", [None, math.nan, np.datetime64("NaT", "s"), NAType(), "", " ", "NA", "?"])
def test_what_is_a_gap_in_a_file_is_one_in_a_row(gap):
    assert cells(table_of_rows([[gap, gap, gap]], SCHEMA))[:2] == [[None], [None]]
    assert np.isnat(table_of_rows([[gap, gap, gap]], SCHEMA)["day"]).all()


DAYS = [
    (date(2026, 1, 31), "2026-01-31T00:00:00"),
    (datetime(2026, 1, 31, 12, 0, 0, 197000), "2026-01-31T12:00:00"),  # noqa: DTZ001 - without a zone
    (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1))), "2026-01-31T11:00:00"),
    (np.datetime64("1969-12-31T23:59:59.5"), "1969-12-31T23:59:59"),
    ("2026-01-31 12:00:00.1970", "2026-01-31T12:00:00"),
    ("2026-01-31 12:00:00.1970+01", "2026-01-31T11:00:00"),
]


@pytest.mark.parametrize(("day", "expected"), DAYS)
def test_days_are_texts_or_python_dates_and_times(day, expected):
    assert table_of_rows([[1, None, day]], SCHEMA)["day"].astype(str).tolist() == [expected]


def test_as_texts_alone_python_dates_would_be_refused(monkeypatch):
    monkeypatch.setattr(rows, "_date", lambda cell, formats: parse_dates([cell])[0] if isinstance(cell, str) else None)
    for day, _ in DAYS[:4]:
        with pytest.raises(BadCell, match="expected a date"):
            table_of_rows([[1, None, day]], SCHEMA)


WRITTEN = {
    "age": Written(gaps=("-999",)),
    "ward": Written(gaps=("unknown",)),
    "day": Written(("%m/%d/%Y",)),
}


def test_texts_are_read_as_the_sites_files_write_them():
    schema = replace(SCHEMA, written=WRITTEN)
    found = table_of_rows([[-999, "unknown", "01/02/2026"], [1, "NA", "2026-01-02"], [-999.0, "eye", None]], schema)
    assert cells(found)[:2] == [[None, 1.0, None], [None, None, "eye"]]
    assert found["day"].astype(str).tolist() == ["2026-01-02T00:00:00", "2026-01-02T00:00:00", "NaT"]
    with pytest.raises(BadCell, match="found '31/01/2026'"):
        table_of_rows([[1, "eye", "31/01/2026"]], schema)
    either = replace(SCHEMA, written={"day": Written(("%m/%d/%Y", "day/month/year"))})
    assert table_of_rows([[1, None, "31/01/2026"]], either)["day"].astype(str).tolist() == ["2026-01-31T00:00:00"]
    with pytest.raises(BadCell, match="found '01/02/2026'"):
        table_of_rows([[1, None, "01/02/2026"]], either)


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
        (["1.5", "eye", None], r"row 1, column 'age': found '1.5', expected a number or null"),
        ([1e400, "eye", None], r"row 1, column 'age': found inf, expected a number or null"),
        ([10**400, "eye", None], r"row 1, column 'age': found 1000"),
        ([1, ["eye"], None], r"row 1, column 'ward': found a list, expected a text or null"),
        ([1, "eye", "01/02/2026"], r"row 1, column 'day': found '01/02/2026', expected a date such as 2026-01-31"),
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
