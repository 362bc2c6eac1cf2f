"""Kinds of columns: what the values look like, what a user says, and what is neither."""

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables.read import ColumnOptions, ReadOptions, read_table


@pytest.fixture
def column(written):
    """Read one column of a CSV file, by values and by what is said of it."""

    def read(*cells: str, **options: object):
        path = written("\n".join(["x,y", *(f'"{cell}",{row % 2}' for row, cell in enumerate(cells))]))
        table = read_table(path, ReadOptions(**options)).table
        return table.kind("x"), [None if cell != cell else cell for cell in table["x"].tolist()]

    return read


def test_numbers(column):
    assert column("1", " -2.5e1", "+.5") == ("number", [1, -25, 0.5])


@pytest.mark.parametrize("gap", ["", "NA", "NaN", "nan", "null", "NULL", "n/a", "N/A", "?", "#N/A", "<NA>"])
def test_gaps_of_every_kind(column, gap):
    assert column("1", gap) == ("number", [1, None])
    assert column("a", gap) == ("category", ["a", None])
    kind, cells = column("2026-01-31", gap)
    assert (kind, cells[1]) == ("date", None)


def test_further_gaps_are_said_and_usual_ones_can_be_switched_off(column):
    assert column("1", "-", columns={"x": ColumnOptions(gaps=("-",))}) == ("number", [1, None])
    assert column("NA", "DE", "", columns={"x": ColumnOptions(gaps=())}) == ("category", ["NA", "DE", None])


def test_a_column_of_gaps_is_a_number_that_nobody_knows(column):
    assert column("", "NA") == ("number", [None, None])


def test_truth_values_are_numbers_as_in_every_other_kind_of_file(column):
    assert column("True", "false", "") == ("number", [1, 0, None])
    assert column("yes", "no") == ("category", ["yes", "no"])
    assert column("True", "false", categorical=("x",)) == ("category", ["True", "false"])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("2026-01-31", "2026-02-01"), "2026-01-31T00:00:00"),
        (("2026-01-31T10:20", "2026-02-01"), "2026-01-31T10:20:00"),
        (("2026-01-31 10:20:30.123Z", "2026-02-01"), "2026-01-31T10:20:30"),
        (("2026-01-31T01:00+02:00", "2026-02-01"), "2026-01-30T23:00:00"),
        (("0990-01-31T01:00+02:00", "2026-02-01"), "0990-01-30T23:00:00"),
        (("31.01.2026", "1.2.2026"), "2026-01-31T00:00:00"),
        (("03.04.2026", "1.2.2026"), "2026-04-03T00:00:00"),
        (("03/04/2026", "31/1/2026"), "2026-04-03T00:00:00"),
        (("03/04/2026", "1/31/2026"), "2026-03-04T00:00:00"),
    ],
)
def test_dates_are_recognized_where_they_can_be_read_one_way_only(column, cells, expected):
    kind, found = column(*cells)
    assert kind == "date"
    assert found[0].isoformat() == expected


def test_where_day_and_month_can_be_either_a_format_is_asked_for(column):
    with pytest.raises(DataError, match=r'column "x": "03/04/2026" can be day/month/year or month/day/year: say which'):
        column("03/04/2026", "05/06/2026")
    for form, month in (("%d/%m/%Y", 4), ("%m/%d/%Y", 3)):
        kind, found = column("03/04/2026", "05/06/2026", columns={"x": ColumnOptions(format=form)})
        assert (kind, found[0].month) == ("date", month)


def test_beside_a_format_iso_dates_are_taken_too(column):
    kind, found = column("03/04/2026", "2026-05-06", columns={"x": ColumnOptions(format="%d/%m/%Y")})
    assert (kind, [date.month for date in found]) == ("date", [4, 5])


def test_a_format_of_dates_without_a_year_is_refused(column):
    for form in ("%d.%m.", "%d %B"):
        with pytest.raises(DataError, match=r"column 'x': the format '%d.+' has no year; it needs %Y or %y"):
            column("03.04.", "05.06.", columns={"x": ColumnOptions(format=form)})


def test_a_date_that_is_none_is_named(column):
    with pytest.raises(DataError, match='line 3, column "x": found text "2026-02-30", expected a date'):
        column("2026-01-31", "2026-02-30", "2026-03-01")
    with pytest.raises(DataError, match=r'line 3, column "x": found text "2026-02-03T10:00\+99:99", expected a date'):
        column("2026-01-31", "2026-02-03T10:00+99:99")
    with pytest.raises(DataError, match='found text "soon", expected a date'):
        column("2026-01-31", "soon", date=("x",))


def test_numbers_are_dates_by_their_format_only(column):
    assert column("20260131", "20260201")[0] == "number"
    kind, found = column("20260131", "20260201", columns={"x": ColumnOptions("date", "%Y%m%d")})
    assert (kind, found[0].isoformat()) == ("date", "2026-01-31T00:00:00")
    with pytest.raises(DataError, match=r'found text "20261331", expected a date of the form %Y%m%d'):
        column("20260131", "20261331", columns={"x": ColumnOptions("date", "%Y%m%d")})


def test_a_few_words_among_numbers_are_shown_with_their_lines(column):
    with pytest.raises(DataError) as refusal:
        column("1", "2", "low", "3", "4", "high", "high", "5", "6", "low", "7")
    message = str(refusal.value)
    assert (
        'line 4, column "x": found text "low", expected a number (also line 7 "high", line 8 "high", 1 more)' in message
    )
    assert "--categorical x takes them all as categories" in message
    assert '\'data.columns.x.gaps=["high", "low"]\' takes these for gaps' in message
    with pytest.raises(DataError) as refusal:
        column("a", "b", "c", "d", "1", numeric=("x",))
    assert "--categorical x takes them all as categories" in str(refusal.value)
    assert "gaps" not in str(refusal.value), "which three of them would not be enough for"
    words = ("1", "2", "low", "3")
    assert column(*words, categorical=("x",)) == ("category", list(words))
    assert column(*words, columns={"x": ColumnOptions(gaps=("low",))}) == ("number", [1, 2, None, 3])


def test_a_second_header_is_recognized_by_its_place(column):
    with pytest.raises(DataError, match=r"line 2, .*delete the line if it is a second header"):
        column("years", "1", "2")


def test_mostly_words_are_categories(column):
    assert column("a", "b", "3")[0] == "category"
    assert column("1", "2", categorical=("x",)) == ("category", ["1", "2"])
    with pytest.raises(DataError, match='found text "a", expected a number'):
        column("a", "b", "3", numeric=("x",))


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_infinities_are_refused(column, cell):
    with pytest.raises(DataError, match=f'line 3, column "x": found {cell}, expected a finite number'):
        column("1", cell)


def test_whole_numbers_that_float64_would_confuse_are_refused(column):
    with pytest.raises(DataError, match=r"found 9007199254740993, expected a whole number of at most 2\*\*53"):
        column("1", "9007199254740993")
    assert column("1", str(2**60)) == ("number", [1, 2.0**60])


def test_kinds_that_contradict_each_other_are_refused():
    with pytest.raises(DataError, match="column 'x' cannot be both a category and a date"):
        ReadOptions(categorical=("x",), date=("x",))
    with pytest.raises(DataError, match="kind 'text' is unknown; allowed: number, category, date"):
        ColumnOptions("text")


def test_the_array_of_each_kind_is_that_of_a_table(written):
    table = read_table(written("a,b,c,y\n1,u,2026-01-01,0\n2,v,2026-01-02,1\n")).table
    assert [array.dtype for array in table.arrays] == [np.float64, object, np.dtype("datetime64[s]")]
