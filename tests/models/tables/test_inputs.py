"""The rows of a file to predict from: the model's columns by name, in its order, whatever else is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables.inputs import read_numbers

WANTED = ("a", "b")


def written(path: Path) -> Path:
    """A file of the columns b, id, a, with two rows."""
    if path.suffix == ".csv":
        path.write_text("b,id,a\n2,7,1\n4,8,3\n")
    elif path.suffix == ".npz":
        np.savez(path, X=[[2, 7, 1], [4, 8, 3]], columns=["b", "id", "a"])
    else:
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pa.table({"b": [2, 4], "id": [7, 8], "a": [1, 3]}), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_columns_are_found_by_name_and_others_ignored(tmp_path: Path, suffix: str) -> None:
    found = read_numbers(written(tmp_path / f"rows{suffix}"), WANTED)
    assert found.X.tolist() == [[1, 2], [3, 4]]
    assert found.ignored == ("id",)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet"])
def test_a_column_that_is_missing_is_named(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match=r"no column 'ida' \(did you mean id\?\); the model expects a, ida"):
        read_numbers(written(tmp_path / f"rows{suffix}"), ("a", "ida"))


def check_an_index_that_is_expected_is_read(folder: Path) -> None:
    """A frame whose index pandas wrote as column a, which the model has learned from, beside one that nobody wants."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"b": [2, 4], "a": [1, 3], "row": [7, 8]})
    metadata = {"pandas": json.dumps({"index_columns": ["a", "row"]})}
    parquet.write_table(table.replace_schema_metadata(metadata), folder / "rows.parquet")
    assert read_numbers(folder / "rows.parquet", WANTED).X.tolist() == [[1, 2], [3, 4]]


def test_a_column_that_pandas_wrote_as_index_is_read_where_the_model_expects_it(tmp_path: Path) -> None:
    check_an_index_that_is_expected_is_read(tmp_path)


def test_an_array_without_names_is_taken_as_it_stands(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", X=[[1.0, 2.0]])
    assert read_numbers(tmp_path / "rows.npz", WANTED).X.tolist() == [[1, 2]]
    with pytest.raises(DataError, match=r"X has 2 columns; expected 3 \(a, b, c\)"):
        read_numbers(tmp_path / "rows.npz", ("a", "b", "c"))


def test_a_table_of_one_column_is_enough_for_a_model_of_one(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    assert read_numbers(tmp_path / "rows.csv", ("a",)).X.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("rows.csv", "a,b\n1,x\n", 'line 2, column "b": found text "x", expected a number'),
        ("rows.csv", "a,b\n1,\n", 'line 2, column "b": found an empty cell'),
        ("rows.csv", "a,b\n", "no rows below the header"),
        ("rows.xls", "a,b\n1,2\n", "cannot read .xls; allowed: .npz, .csv, .parquet"),
        ("rows", "", "cannot read a file without ending"),
    ],
)
def test_what_cannot_be_predicted_from_is_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=reason):
        read_numbers(tmp_path / name, WANTED)
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_numbers(tmp_path / "none.csv", WANTED)


def test_text_beside_the_inputs_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("name,a,b\nann,1,2\n,3,4\n")
    assert read_numbers(tmp_path / "rows.csv", WANTED).X.tolist() == [[1, 2], [3, 4]]


def test_a_number_that_is_none_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", X=[[1.0, np.nan]])
    with pytest.raises(DataError, match='row 1, column "b": found nan, expected a number'):
        read_numbers(tmp_path / "rows.npz", WANTED)
