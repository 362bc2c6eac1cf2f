"""Data frames as tables."""

import datetime as dt
from decimal import Decimal

import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables import frames
from nervenet.models.tables.frames import is_frame, table_of

DAY = dt.datetime(2026, 1, 31, 10)  # noqa: DTZ001 - as frames have them
ROWS = {
    "n": [1, 2, 3],
    "f": [0.5, None, 2.0],
    "b": [True, None, False],
    "w": ["a", None, "b"],
    "d": [DAY, None, DAY],
    "t": ["2026-01-31", "2026-02-01", None],
}
EXPECTED = {
    "n": ("number", [1, 2, 3]),
    "f": ("number", [0.5, None, 2]),
    "b": ("number", [1, None, 0]),
    "w": ("category", ["a", None, "b"]),
    "d": ("date", [DAY, None, DAY]),
    "t": ("date", [dt.datetime(2026, 1, 31), dt.datetime(2026, 2, 1), None]),  # noqa: DTZ001
}


def listed(table):
    return {
        name: (kind, [None if cell != cell else cell for cell in array.tolist()])
        for name, kind, array in zip(table.columns, table.kinds, table.arrays, strict=True)
    }


def of_pyarrow():
    return pytest.importorskip("pyarrow").table(ROWS)


def of_pandas():
    return pytest.importorskip("pandas").DataFrame(ROWS)


def of_pandas_nullable():
    return pytest.importorskip("pandas").DataFrame(ROWS).convert_dtypes()


def of_polars():
    return pytest.importorskip("polars").DataFrame(ROWS)


@pytest.mark.parametrize("frame", [of_pyarrow, of_pandas, of_pandas_nullable, of_polars])
def test_every_kind_of_frame_is_the_same_table(frame):
    assert is_frame(frame())
    assert listed(table_of(frame())) == EXPECTED


def test_through_narwhals_too():
    nw = pytest.importorskip("narwhals")
    known = nw.from_native(of_pyarrow(), eager_only=True)
    raw = frames._raw("X", known.columns, 3, lambda name: frames._narwhals(nw, name, known[name]))
    columns = {name: frames.recognized(raw, name, frames.ColumnOptions()) for name in raw.columns}
    found = {
        name: [None if cell != cell else cell for cell in column.array.tolist()] for name, column in columns.items()
    }
    assert {name: (columns[name].kind, cells) for name, cells in found.items()} == EXPECTED


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_type_of_categories_says_that_numbers_are_none(package):
    module = pytest.importorskip(package)
    codes = module.Series(["1", "2", None])
    codes = codes.astype("category") if package == "pandas" else codes.cast(module.Categorical)
    assert listed(table_of(module.DataFrame({"c": codes}))) == {"c": ("category", ["1", "2", None])}


def test_kinds_can_be_known_already():
    pa = pytest.importorskip("pyarrow")
    frame = pa.table({"a": [1, 2], "b": ["1", "2"]})
    assert listed(table_of(frame, {"a": "category"})) == {"a": ("category", ["1", "2"]), "b": ("number", [1, 2])}
    with pytest.raises(DataError, match='X: row 0, column "b": found text "x", expected a number'):
        table_of(pa.table({"b": ["x", "2"]}), {"b": "number"})


def test_what_is_no_frame_is_refused():
    assert not is_frame([[1]])
    with pytest.raises(DataError, match="X is a list; expected a data frame"):
        table_of([[1]])


def test_cells_of_several_types_are_refused():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(
        DataError, match=r'X: column "a", row 1: found .*, expected numbers, text, truth values or dates'
    ):
        table_of(pandas.DataFrame({"a": ["x", {}]}))


def only_gaps_of_pyarrow():
    return pytest.importorskip("pyarrow").table({"d": [None, None]})


def only_gaps_of_pandas():
    return pytest.importorskip("pandas").DataFrame({"d": [float("nan")] * 2})


def only_gaps_of_polars():
    return pytest.importorskip("polars").DataFrame({"d": [None, None]})


@pytest.mark.parametrize("frame", [only_gaps_of_pyarrow, only_gaps_of_pandas, only_gaps_of_polars])
@pytest.mark.parametrize("kind", ["number", "category", "date"])
def test_a_column_of_gaps_alone_is_of_any_kind(frame, kind):
    assert listed(table_of(frame(), {"d": kind})) == {"d": (kind, [None, None])}


def test_a_column_with_a_number_is_none_of_dates():
    frame = pytest.importorskip("pandas").DataFrame({"d": [float("nan"), 20260131.0]})
    with pytest.raises(DataError, match="found numbers, expected dates"):
        table_of(frame, {"d": "date"})


def decimals_of_pyarrow(values):
    pa = pytest.importorskip("pyarrow")
    return pa.table({"n": pa.array(values, pa.decimal128(38, 0 if values[0] == int(values[0]) else 2))})


def decimals_of_pandas(values):
    return pytest.importorskip("pandas").DataFrame({"n": values})


def decimals_of_polars(values):
    polars = pytest.importorskip("polars")
    scale = 0 if values[0] == int(values[0]) else 2
    return polars.DataFrame({"n": polars.Series(values, dtype=polars.Decimal(38, scale))})


DECIMALS = [decimals_of_pyarrow, decimals_of_pandas, decimals_of_polars]
NUMBERS = [Decimal(20) ** 16, Decimal(20) ** 16 + 1]  # beyond int64, and one number to float64


@pytest.mark.parametrize("frame", DECIMALS)
def test_decimals_are_numbers(frame):
    for values in ([Decimal("1.25"), None], [Decimal(3), None], [Decimal(3), Decimal(4)]):
        expected = [None if value is None else float(value) for value in values]
        assert listed(table_of(frame(values))) == {"n": ("number", expected)}


@pytest.mark.parametrize("frame", DECIMALS)
def test_whole_decimals_keep_their_digits(frame):
    assert listed(table_of(frame(NUMBERS), {"n": "category"})) == {"n": ("category", [str(n) for n in NUMBERS])}
    with pytest.raises(DataError, match=f'X: row 1, column "n": found {NUMBERS[1]}, expected a whole number of at'):
        table_of(frame(NUMBERS))


def test_by_way_of_floats_two_of_them_would_be_one(monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("nervenet.models.tables.arrow_cells.of_decimals", lambda column: column.cast("float64"))
    names = listed(table_of(decimals_of_pyarrow(NUMBERS), {"n": "category"}))["n"][1]
    assert len(set(names)) == 1


def of_128_bits():
    """Both kinds of integers in one sum: polars has no smaller type for it, and NumPy not even this one."""
    polars = pytest.importorskip("polars", minversion="2")
    frame = polars.DataFrame({"a": [1, 2]}).with_columns(n=polars.col("a").cast(polars.UInt64) + polars.col("a"))
    assert frame.schema["n"] == polars.Int128
    return frame


def test_integers_of_128_bits_are_numbers():
    polars = pytest.importorskip("polars", minversion="2")
    assert listed(table_of(of_128_bits()))["n"] == ("number", [2, 4])
    with pytest.raises(DataError, match=r"row 1, .* found 1180591620717411303425, expected a whole number"):
        table_of(polars.DataFrame({"n": polars.Series([1, 2**70 + 1, None], dtype=polars.Int128)}))


def test_as_other_integers_are_read_they_would_raise():
    polars = pytest.importorskip("polars", minversion="2")
    with pytest.raises(polars.exceptions.InvalidOperationError, match="i128"):
        frames._numbers(of_128_bits()["n"], of_128_bits()["n"].is_null().to_numpy(), "i")
