"""pyarrow reads a CSV file as the standard library does, or leaves it to that."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models.data.data import DataError
from nervenet.models.tables import arrow_csv
from nervenet.models.tables.arrow_csv import read_large_csv
from nervenet.models.tables.csv_file import read_csv
from nervenet.models.tables.load import as_dataset
from nervenet.models.tables.read import ColumnOptions, ReadOptions, site_table
from nervenet.models.tables.slabs import NoEnd, slabs
from nervenet.models.tables.table import Table

pytest.importorskip("pyarrow")

FILES = [
    "a,b,y\n1,x,0\n2.5,,1\n",
    "a,b,y\r\n1,x,0\r\n\r\nNA,NaN,1\r\n",
    "a;b;y\n1,5;x;0\n2;u;1\n",
    'a,b,y\n"1","two\nlines",0\n 2 ,"say ""x""",1\n',
    "a,b,y\n+1,true,0\n2,false,1\n",
    "a,b,y\n1e3,2026-01-31,0\n.5,2026-02-01,1\n",
    "a,b,y\n01,01,0\n02,02,1\n",
    "a,b,y\nNan,?,0\n1, NA ,1\n",
    "a,b,y\n,,0\n,,1\n",
    f"a,b,y\n{2**53 + 1},1,0\n1,1,1\n",
    "a,b,y\n1,inf,0\n1,1,1\n",
    "a,b,y\n1,2,0\n1,1\n",
    "a,b,y\n" + "".join(f"{row},{row / 4},{row % 2}\n" for row in range(400)) + "x,1,0\n",
    "a,b,y\n" + "".join(f"{row},{row / 4},{row % 2}\n" for row in range(400)) + "5,x,0\n",
    "a,b,y\n1_0,2,0\n3,4,1\n",
    "a\n1\n",
    "",
    "1,2\n3,4\n",
    ",a,y\n1,2,0\n2,4,1\n",
    ",a,,y\n1,2,3,0\n",
]


def outcome(raw, options):
    """A table, or what is said of the file."""
    try:
        found = site_table(raw(), options)
    except DataError as error:
        return str(error)
    cells = [[None if cell != cell else cell for cell in array.tolist()] for array in found.table.arrays]
    kinds = (found.table.columns, found.table.kinds, found.target_name, found.notes)
    return kinds, cells, found.target.tolist(), found.target.dtype.kind


def check_the_same(path, options):
    quick = outcome(lambda: read_large_csv(path, options.as_text(), least=0), options)
    assert quick == outcome(lambda: read_csv(path), options)


@pytest.mark.parametrize("text", FILES)
@pytest.mark.parametrize("said", [{}, {"categorical": ("a",)}, {"columns": {"a": ColumnOptions(gaps=())}}])
def test_both_give_the_same_table_or_say_the_same(written, text, said):
    check_the_same(written(text), ReadOptions(**said))
    check_the_same(written(text, "site.csv.gz"), ReadOptions(**said))


def test_other_encodings_are_left_to_the_standard_library(written):
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        check_the_same(written("a,b,y\n1,ü,0\n2,ß,1\n", encoding=encoding), ReadOptions())


CELLS = st.sampled_from(["1", "2.5", "-3e2", "x", "", "NA", "true", "2026-01-31", "1,5", '"q,1"', " 7", "inf", "00"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_any_table_is_the_same_by_both(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(["a;b;y", *(";".join(row) for row in rows)]))
    check_the_same(path, ReadOptions())


def test_plain_columns_do_come_from_pyarrow(written, monkeypatch):
    def refused(path):
        raise AssertionError("read by the standard library")

    path = written(FILES[0])
    monkeypatch.setattr(arrow_csv, "read_csv", refused)
    raw = read_large_csv(path, (), least=0)
    assert raw.cells("a").dtype == np.float64
    assert raw.place(1) == "line 3"
    with pytest.raises(AssertionError):
        read_large_csv(path, ())  # small: pyarrow is not even imported


@pytest.mark.parametrize("size", [1, 7, 40])
@pytest.mark.parametrize("text", FILES)
def test_a_file_in_pieces_is_the_same_table(written, monkeypatch, text, size):
    monkeypatch.setattr(arrow_csv, "SLAB", size)
    check_the_same(written(text), ReadOptions())


def test_pieces_end_with_rows_and_not_within_quotes():
    text = b'a,y\n"1\n2",0\n3,"x ""y""\n"\n4,1'
    pieces = list(slabs(io.BytesIO(text), 5))
    assert b"".join(pieces) == text
    assert [piece.count(b'"') % 2 for piece in pieces] == [0] * len(pieces)
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])
    with pytest.raises(NoEnd):
        list(slabs(io.BytesIO(b'"' + b"1\n" * 100), 2))


def test_numbers_are_put_side_by_side_as_they_are_read(written):
    """So that the table is never there twice; one with a gap, or an input of text, is not plain."""
    raw = read_large_csv(written("a,b,y\n1,2,0\n3,4,1\n"), (), least=0)
    assert raw.matrix.tolist() == [[1, 2], [3, 4]]
    found = as_dataset(raw, ReadOptions())
    assert np.shares_memory(found.X, raw.matrix)
    assert isinstance(as_dataset(read_large_csv(written("a,b,y\n1,2,0\n,4,1\n"), (), least=0), ReadOptions()).X, Table)
    assert read_large_csv(written("a,b,y\n1,x,0\n3,4,1\n"), (), least=0).matrix is None
