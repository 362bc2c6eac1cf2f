"""Files of other kinds: the same rows give the same table, whatever they are written in."""

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pytest
from nervenet.models import datasets
from nervenet.models.data.data import DataError
from nervenet.models.data.written import Written
from nervenet.models.tables import arrow_files
from nervenet.models.tables.inputs import read_inputs
from nervenet.models.tables.read import ReadOptions, read_table

CSV = "day,ward,dose,seen,note,y\n2026-01-31,a,1.5,true,x,0\n,?,,false,,1\n2026-02-01,b,3,,y z,1\n"
ARFF = """% as Weka writes them
@RELATION 'some wards'
@attribute day date "yyyy-MM-dd"
@attribute 'ward' {a,b}
@attribute dose NUMERIC
@attribute seen {true,false}
@attribute note string
@attribute y {0,1}

@DATA
2026-01-31,a,1.5,true,x,0
% nothing is known of this one
?,?,?,false,?,1
"2026-02-01", b, 3, ?, 'y z',1
"""


def arrow(**columns):
    import pyarrow as pa

    return pa.table(columns)


def of_types():
    import pyarrow as pa

    days = [dt.date(2026, 1, 31), None, dt.date(2026, 2, 1)]
    ward = pa.array(["a", None, "b"]).dictionary_encode()
    return arrow(day=days, ward=ward, dose=[1.5, None, 3], seen=[True, False, None], note=["x", "", "y z"], y=[0, 1, 1])


def same(one, other):
    assert one.table.columns == other.table.columns
    assert one.table.kinds == other.table.kinds
    for left, right in zip(one.table.arrays, other.table.arrays, strict=True):
        assert left.dtype == right.dtype
        assert [None if cell != cell else cell for cell in left.tolist()] == [
            None if cell != cell else cell for cell in right.tolist()
        ]
    assert one.target.tolist() == other.target.tolist()


def test_parquet_and_feather_hold_the_same_table(written, tmp_path):
    from pyarrow import feather, parquet

    expected = read_table(written(CSV))
    assert expected.table.kinds == ("date", "category", "number", "number", "category")
    parquet.write_table(of_types(), tmp_path / "site.parquet")
    feather.write_feather(of_types(), tmp_path / "site.feather")
    feather.write_feather(of_types(), tmp_path / "site.arrow", compression="uncompressed")
    for name in ("site.parquet", "site.feather", "site.arrow"):
        same(read_table(tmp_path / name), expected)


def test_text_in_parquet_is_read_as_text_in_csv(written, tmp_path):
    from pyarrow import parquet

    rows = [line.split(",") for line in CSV.splitlines()]
    columns = {name: [row[place] for row in rows[1:]] for place, name in enumerate(rows[0])}
    parquet.write_table(arrow(**columns), tmp_path / "site.parquet")
    same(read_table(tmp_path / "site.parquet"), read_table(written(CSV)))


def test_arff_holds_the_same_table(written):
    found = read_table(written(ARFF, "site.arff"), ReadOptions(numeric=("seen",)))
    same(found, read_table(written(CSV)))
    assert read_table(written(ARFF, "site.arff.gz")).table.kind("seen") == "category"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@relation r\n@attribute a numeric\n@attribute y numeric\n@data\n1,2\n1\n", "line 6 has 1 cells, the header"),
        ("@relation r\n@attribute a numeric\n@attribute y numeric\n@data\n{0 1}\n", "line 5 is a sparse row"),
        ("@relation r\n@attribute a numeric\n@attribute a numeric\n", "line 3: two columns are called 'a'"),
        ("@relation r\n@attribute a numeric\n1,2\n", 'line 3: found "1,2", expected @relation'),
        ("@relation r\n@attribute a numeric\n@attribute y numeric\n@data\n", "no rows below @data"),
        (
            "@relation r\n@attribute a numeric\n@attribute y numeric\n@data\n1,'b\n",
            'line 5: found "\'b", expected a value',
        ),
    ],
)
def test_what_is_wrong_with_an_arff_file_is_named(written, text, reason):
    with pytest.raises(DataError, match=rf"site\.arff: {reason}"):
        read_table(written(text, "site.arff"))


def test_libsvm_files_have_dense_columns(written):
    found = read_table(written("1 1:0.5 3:2\n-1 2:1 # a note\n", "site.svm"))
    assert found.table.columns == ("x1", "x2", "x3")
    assert found.table.block(found.table.columns).tolist() == [[0.5, 0, 2], [0, 1, 0]]
    assert found.target.tolist() == [1, -1]
    with pytest.raises(DataError, match=r"site\.svm: not a readable LIBSVM file .*begin with 1"):
        read_table(written("1 0:0.5 3:2\n", "site.svm"))
    with pytest.raises(DataError, match=r"site\.libsvm\.gz: not a readable LIBSVM file"):
        read_table(written("1 a:0.5\n", "site.libsvm.gz"))


def test_an_npz_file_may_have_gaps(tmp_path):
    np.savez(tmp_path / "site.npz", X=[[1, np.nan], [2, 3]], y=["a", "b"], columns=["u", "v"], sites=[7, 8])
    found = read_table(tmp_path / "site.npz", ReadOptions(categorical=("u",)))
    assert (found.table.columns, found.table.kinds) == (("u", "v"), ("category", "number"))
    assert found.table["u"].tolist() == ["1", "2"]
    assert found.sites.tolist() == [7, 8]
    assert found.target.tolist() == ["a", "b"]


def test_the_index_that_pandas_wrote_is_set_aside_unless_it_is_asked_for(tmp_path):
    from pyarrow import parquet

    table = arrow(a=[1.0, 2.0], y=[0, 1], __index_level_0__=[3, 8])
    metadata = {"pandas": json.dumps({"index_columns": ["__index_level_0__"]})}
    parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "site.parquet")
    found = read_table(tmp_path / "site.parquet")
    assert found.table.columns == ("a",)
    assert found.notes == ("site.parquet: column '__index_level_0__' is left out: pandas wrote it as the index",)
    asked = read_table(tmp_path / "site.parquet", ReadOptions(target="y", numeric=("__index_level_0__",)))
    assert (asked.table.columns, asked.notes) == (("a", "__index_level_0__"), ())


def test_types_that_no_table_can_hold_are_named_unless_they_are_dropped(tmp_path):
    from pyarrow import parquet

    parquet.write_table(arrow(a=[1, 2], b=[[1], [2]], y=[0, 1]), tmp_path / "site.parquet")
    with pytest.raises(DataError, match=r'column "b": found list.*, expected numbers, text, truth values or dates'):
        read_table(tmp_path / "site.parquet")
    assert read_table(tmp_path / "site.parquet", ReadOptions(drop=("b",))).table.columns == ("a",)


def test_inputs_have_the_kinds_that_are_agreed(written):
    path = written("a,b,id\n1,7,x\n,8,y\n")
    found = read_inputs(path, ("b", "a"), ("category", "number"))
    assert found.ignored == ("id",)
    assert found.table.columns == ("b", "a")
    assert found.table["b"].tolist() == ["7", "8"]
    with pytest.raises(DataError, match=r"no column 'c'.*; the model expects a, c"):
        read_inputs(path, ("a", "c"), ("number", "number"))
    with pytest.raises(DataError, match='line 2, column "id": found text "x", expected a number'):
        read_inputs(path, ("id",), ("number",))
    days = {"b": Written(("%m",))}
    assert read_inputs(path, ("b",), ("date",), days).table["b"][0].astype(str) == "1900-07-01T00:00:00"


def test_numbers_that_a_file_calls_categories_are_named_alike_with_gaps_and_without():
    pa = pytest.importorskip("pyarrow")
    from nervenet.models.tables.frames import table_of

    for cells in ([1, 2, None], [1.0, 2.0, None], [1, 2, 1], [1.0, 2.0, 1.0]):
        found = table_of(pa.table({"code": pa.array(cells).dictionary_encode(), "age": [1, 2, 3]}))
        assert found.kind("code") == "category"
        assert found["code"].tolist()[:2] == ["1", "2"]


ARFF_STRINGS = "@relation r\n@attribute ticket string\n@attribute day string\n@attribute y {0,1}\n@data\n" + "".join(
    f"{ticket},{day},{place % 2}\n"
    for place, (ticket, day) in enumerate([("110", "2026-01-31"), ("112", "2026-02-01"), ("'PC 17'", "?")])
)


def test_strings_of_arff_are_no_numbers(tmp_path, monkeypatch):
    (tmp_path / "a.arff").write_text(ARFF_STRINGS)
    found = read_table(tmp_path / "a.arff")
    assert found.table.kinds == ("category", "date")
    monkeypatch.setattr("nervenet.models.tables.arff_file.looks_like_date", lambda _: True)  # nothing is known of them
    with pytest.raises(DataError, match='column "ticket": found text "PC 17", expected a number'):
        read_table(tmp_path / "a.arff")


def old_dates(folder):
    """A Parquet file with dates in the type that Spark, Hive and Impala had for them, one of them for ever."""
    parquet = pytest.importorskip("pyarrow.parquet")
    days = [dt.datetime(2026, 1, 31, 10), dt.datetime(9999, 12, 31), None, dt.datetime(1, 1, 1)]  # noqa: DTZ001
    path = folder / "old.parquet"
    parquet.write_table(arrow(until=days, y=[0, 1, 1, 0]), path, use_deprecated_int96_timestamps=True)
    return path, days


@pytest.mark.parametrize("limit", [None, 0.0])
def test_dates_of_96_bits_are_those_that_were_written(tmp_path, limit):
    path, days = old_dates(tmp_path)
    assert datasets.load(path, in_memory_mb=limit).X["until"].tolist() == days


def test_in_nanoseconds_the_year_9999_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow_files, "INT96_UNIT", "ns")
    path, days = old_dates(tmp_path)
    assert datasets.load(path).X["until"].tolist() != days


@pytest.mark.parametrize("limit", [None, 0.0])
def test_decimals_without_a_fraction_are_whole_numbers(tmp_path, limit):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def site(last, kind=None):
        numbers = pa.array([Decimal(1), Decimal(2), Decimal(last)], kind or pa.decimal128(38, 0))
        parquet.write_table(pa.table({"a": numbers, "y": [0, 1, 1]}), tmp_path / "site.parquet")
        return datasets.load(tmp_path / "site.parquet", in_memory_mb=limit)

    for kind in (pa.decimal32(9, 0), pa.decimal64(18, 0), pa.decimal128(38, 0), pa.decimal256(50, 0)):
        X = site(3, kind).X
        assert (X if isinstance(X, np.ndarray) else X["a"]).ravel().tolist() == [1, 2, 3]
    for beyond in (2**53 + 1, 10**20 + 1):
        with pytest.raises(DataError, match=r'column "a": found .*, expected a whole number of at most 2\*\*53'):
            site(beyond)
