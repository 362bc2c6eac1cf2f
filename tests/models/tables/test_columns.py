"""Files of which every column counts, as they are described."""

import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables.columns import read_columns
from nervenet.models.tables.options import ReadOptions


def test_every_column_counts_and_none_is_the_target(tmp_path):
    file = tmp_path / "site.csv"
    file.write_text("day;color;target\n2024-01-31;red;1,5\n2024-02-29;;2\n")
    table, notes = read_columns(file)
    assert dict(zip(table.columns, table.kinds, strict=True)) == {
        "day": "date",
        "color": "category",
        "target": "number",
    }
    assert table["target"].tolist() == [1.5, 2.0]
    assert len(notes) == 1
    assert "decimal commas in target" in notes[0]


def test_one_column_is_a_table(tmp_path):
    file = tmp_path / "site.csv"
    file.write_text("value\n1\n2\n")
    assert read_columns(file)[0]["value"].tolist() == [1.0, 2.0]


def test_columns_are_dropped_and_take_the_kinds_that_are_said(tmp_path):
    file = tmp_path / "site.csv"
    file.write_text("code,id,x\n1,7,1\n2,8,2\n")
    table, _ = read_columns(file, ReadOptions(drop=("x",), id="id", categorical=("code",)))
    assert (table.columns, table.kinds) == (("code",), ("category",))


def test_a_column_that_is_not_there_is_named(tmp_path):
    file = tmp_path / "site.csv"
    file.write_text("code,x\n1,1\n")
    with pytest.raises(DataError, match=r"site\.csv: no column 'cod'.*code"):
        read_columns(file, ReadOptions(drop=("cod",)))
