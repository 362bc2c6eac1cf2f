"""Tables from files: what is read, and that every refusal names file, place and what was found there."""

import builtins
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models.data.arrays import as_table
from nervenet.models.data.data import DataError
from nervenet.models.data.partition import partition
from nervenet.models.datasets import load
from nervenet.models.tables import kinds
from nervenet.models.tables import load as loading
from nervenet.models.tables.load import load_file
from nervenet.models.tables.options import ReadOptions
from nervenet.models.tables.table import Table


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_is_read(tmp_path: Path) -> None:
    found = load(csv_file(tmp_path, "a, b,kind\n1,2.5,cat\n\n-3e2, 4,dog\n"))
    assert found.name == "table.csv"
    assert found.columns == ("a", "b")
    assert np.array_equal(found.X, [[1, 2.5], [-300, 4]])
    assert found.y.tolist() == ["cat", "dog"]
    assert found.task == "classification"


@pytest.mark.parametrize(
    ("header", "options", "target"),
    [
        ("a,b,c", {}, "c"),
        ("a,y,c", {}, "y"),
        ("label,y,c", {}, "y"),
        ("a,Class,c", {}, "Class"),
        ("a,y,c", {"target": "a"}, "a"),
        ("a,b,y", {"sites": "y"}, "b"),
    ],
)
def test_the_target_is_the_named_the_usual_or_the_last_column(
    tmp_path: Path, header: str, options: dict[str, str], target: str
) -> None:
    found = load(csv_file(tmp_path, f"{header}\n1,2,3\n4,5,6\n"), **options)
    place = header.split(",").index(target)
    assert (found.target, found.y.tolist()) == (target, [1 + place, 4 + place])
    assert target not in found.columns


@pytest.mark.parametrize(
    ("cells", "task", "kind"),
    [
        (["0", "1", "1"], "classification", "i"),
        (["0.0", "1.0", "1.0"], "classification", "i"),
        (["0.5", "1.0", "1.0"], "regression", "f"),
        (["no", "yes", "yes"], "classification", "U"),
    ],
)
def test_whole_numbers_are_integers_and_the_task_follows(
    tmp_path: Path, cells: list[str], task: str, kind: str
) -> None:
    found = load(csv_file(tmp_path, "a,y\n" + "".join(f"1,{cell}\n" for cell in cells)))
    assert (found.task, found.y.dtype.kind) == (task, kind)


def test_the_task_can_be_named(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "a,y\n1,0\n2,1\n")
    assert load(path, task="regression").y.dtype == np.float64
    mixed = csv_file(tmp_path, "a,y\n1,0\n2,3a\n")
    assert load(mixed, task="classification").y.tolist() == ["0", "3a"]
    with pytest.raises(DataError, match=r"task .classify. is unknown .did you mean classification"):
        load(path, task="classify")


def test_a_column_of_sites_may_be_text_and_is_no_input(tmp_path: Path) -> None:
    found = load(csv_file(tmp_path, "a,hospital,y\n1,north,0\n2,south,1\n"), sites="hospital")
    assert found.columns == ("a",)
    assert found.sites is not None
    assert found.sites.tolist() == ["north", "south"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b,y\n1,x,0\n2,3,1\n", 'line 2, column "b": found text "x", expected a number'),
        ("a,b,y\n1,2,0\n2,-inf,1\n", 'line 3, column "b": found -inf'),
        ("a,b,y\n1,2,\n2,3,1\n", 'line 2, column "y": found an empty cell, expected a value'),
        ("a,b,y\n1,2,NaN\n2,3,1\n", 'line 2, column "y": found NaN'),
        ("a,b,y\n1,2,0\n2,3,one\n", 'line 3, column "y": found text "one", expected a number as elsewhere'),
        ("a,b,y\n1,2\n2,3,1\n", "line 2 has 2 cells, the header names 3 columns"),
        ("a,b,y\n", "no rows below the header"),
        ("", "line 1 is empty"),
        ("1,2,3\n4,5,6\n", "line 1 holds numbers only, expected the names"),
        ("a,,y\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,a,y\n1,2,3\n", "line 1: two columns are called 'a'"),
        ("a b y\np q r\n", "line 1: only one column .'a b y'.; cells are separated by commas"),
        ('a,b,y\n1,"2,3\n', "not a readable .csv file"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"table\.csv: {reason}"):
        load(csv_file(tmp_path, text))


def test_lines_are_those_of_the_file_where_a_cell_spans_two(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='line 4, column "a": found text "x"'):
        load(csv_file(tmp_path, 'a,y\n1,"two\nlines"\nx,one\n'))


def test_only_gaps_categories_and_dates_make_it_a_table(tmp_path: Path) -> None:
    for text in ("a,b,y\n1,2,0\n\n2,,1\n", "a,y\n1,0\nnan,1\n", "a,y\nx,0\nz,1\n", "a,y\n2026-01-31,0\n,1\n"):
        found = load(csv_file(tmp_path, text))
        assert isinstance(found.X, Table)
        assert found.X.columns == found.columns
        assert found.y.tolist() == [0, 1]
        assert len(found.take(np.array([1])).X) == 1
    assert isinstance(load(csv_file(tmp_path, "a,y\n1,0\n2,1\n"), options=ReadOptions(categorical=("a",))).X, Table)
    assert load(csv_file(tmp_path, "a,b,y\n1,,0\n2,3,1\n"), options=ReadOptions(drop=("b",))).X.tolist() == [[1], [2]]


def test_a_table_is_cut_by_a_column_of_it(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path, "clinic,age,y\n" + "".join(f"{'nsn'[row % 3]},{row or ''},{row % 2}\n" for row in range(9))
    )
    parts = partition(load(path), 2, "column", column="clinic")
    assert [part.tolist() for part in parts] == [[0, 2, 3, 5, 6, 8], [1, 4, 7]]
    whole = load(path, sites="clinic")
    assert whole.columns == ("age",)
    again = load(path).with_sites("clinic")
    assert (again.columns, again.sites.tolist()) == (("age",), whole.sites.tolist())
    assert [part.tolist() for part in partition(again, 2, "column")] == [part.tolist() for part in parts]


WEIGHTED = "a,w,y\n1,2,0\n2,0,7\n3,0.5,1\n4,,\n"


def test_a_column_of_weights_is_no_input_and_a_row_of_weight_0_as_if_it_were_not_there(tmp_path: Path) -> None:
    found = load(csv_file(tmp_path, WEIGHTED.replace("4,,\n", "")), options=ReadOptions(weight="w"))
    assert found.columns == ("a",)
    assert (found.X.tolist(), found.y.tolist(), found.weight.tolist()) == ([[1], [3]], [0, 1], [2, 0.5])
    assert found.notes == ("table.csv: 1 row of weight 0 left out",)
    assert found.take(np.array([1])).weight.tolist() == [0.5]


def test_the_weights_of_a_npz_file_are_its_sample_weight(tmp_path: Path) -> None:
    X, path = np.arange(6.0).reshape(3, 2), tmp_path / "a.npz"
    np.savez(path, X=X, y=[0, 1, 1], sample_weight=[1.0, 0, 3], sites=["n", "n", "s"])
    found = load(path)
    assert (found.X.tolist(), found.weight.tolist(), found.sites.tolist()) == ([[0, 1], [4, 5]], [1, 3], ["n", "s"])
    np.savez(path, X=X, y=[0, 1, 1], sample_weight=[1, 2])
    with pytest.raises(DataError, match=r"a\.npz: X has 3 rows, sample_weight has 2"):
        load(path)
    np.savez(path, X=X, y=[0, 1, 1], sample_weight=["1", "2", "3"])
    with pytest.raises(DataError, match=r"a\.npz: sample_weight must be one row of numbers, found 1 dimensions of <U1"):
        load(path)
    np.savez(path, X=X, y=[0, 1, 1], sample_weight=[1, -2, 1])
    with pytest.raises(DataError, match=r'a\.npz: row 2, column "sample_weight": found -2, expected a weight'):
        load(path)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "a,w,y\n1,2,0\n2,,1\n",
            r'table\.csv: line 3, column "w": found an empty cell, expected a weight',
        ),
        ("a,w,y\n1,2,0\n2,-1,1\n", r'line 3, column "w": found -1, expected a weight of at least 0'),
        ("a,w,y\n1,2,0\n2,inf,1\n", r'line 3, column "w": found inf'),
        ("a,w,y\n1,2,0\n2,1e300,1\n", r'line 3, column "w": found 1e\+300, expected .* of at most 1e\+80'),
        ("a,w,y\n1,2,0\n2,heavy,1\n", r'column "w".*heavy'),
        ("a,w,y\n1,0,0\n2,0,1\n", r'table\.csv: column "w": all 2 weights are 0, expected one above 0'),
    ],
)
def test_what_is_no_weight_is_named_with_file_column_and_line(tmp_path: Path, text: str, finding: str) -> None:
    with pytest.raises(DataError, match=finding):
        load(csv_file(tmp_path, text), options=ReadOptions(weight="w"))


def test_weights_of_rows_without_a_target_do_not_count(tmp_path: Path) -> None:
    said = ReadOptions(weight="w", missing_target="drop")
    path = csv_file(tmp_path, "a,w,y\n1,0,1\n2,3,\n3,0,0\n")
    with pytest.raises(DataError, match=r"table\.csv: all 2 rows with a target have weight 0"):
        load(path, options=said)


def test_what_is_there_and_no_file_is_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("nowhere.csv")
    found = {
        "folder": "is a folder, expected a file",
        "pipe": "is a pipe or a device",
        "link": "a link to no such file",
    }
    for name, why in found.items():
        with pytest.raises(DataError, match=rf"{name}\.csv: {why}"):
            load(tmp_path / f"{name}.csv")


def test_a_missing_file_and_an_unknown_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        load(tmp_path / "absent.csv")
    path = csv_file(tmp_path, "a,b,species\n1,2,3\n")
    with pytest.raises(DataError, match=r"no column .specie. .did you mean species..; it has: a, b, species"):
        load(path, target="specie")
    with pytest.raises(DataError, match="cannot be both the target and the sites"):
        load(path, target="a", sites="a")
    with pytest.raises(DataError, match="no columns are left for the inputs"):
        load(csv_file(tmp_path, "a,y\n1,2\n"), sites="a")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='ab1.,"\n\r -e', max_size=60))
def test_any_text_is_read_or_refused_by_name(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = csv_file(tmp_path_factory.getbasetemp(), text)
    try:
        found = load_file(path)
    except DataError as refusal:
        named = str(refusal).startswith(str(path))
    else:
        plain = isinstance(found.X, Table) or np.isfinite(found.X).all()
        named = plain and len(found.X) == len(found.y) > 0
    assert named


# .npz


def npz_file(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "table.npz", **arrays)
    return folder / "table.npz"


def test_an_npz_file_is_read(tmp_path: Path) -> None:
    X = np.array([[1, 2], [3, 4]], dtype=np.float32)
    found = load(npz_file(tmp_path, X=X, y=np.array(["a", "b"]), columns=np.array(["u", "v"]), sites=np.array([0, 1])))
    assert found.X.dtype == np.float32
    assert np.array_equal(found.X, X)
    assert found.columns == ("u", "v")
    assert found.sites is not None
    plain = load(npz_file(tmp_path, X=X.astype(int), y=np.array([0.5, 1.5])))
    assert (plain.X.dtype, plain.columns, plain.task) == (np.float64, ("x1", "x2"), "regression")


def test_a_column_of_an_npz_file_may_be_its_sites(tmp_path: Path) -> None:
    path = npz_file(tmp_path, X=np.array([[1, 7], [2, 8]]), y=np.array([0, 1]))
    found = load(path, sites="x2")
    assert found.columns == ("x1",)
    assert found.X.tolist() == [[1], [2]]
    assert found.sites is not None
    assert found.sites.tolist() == [7, 8]
    with pytest.raises(DataError, match="target 'y' is for tables with named columns"):
        load(path, target="y")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"X": np.eye(2)}, "no array y; it has: X"),
        ({"X": np.eye(2), "y": np.array([{}, {}], dtype=object)}, "not a .npz file of plain arrays"),
        ({"X": np.ones(2), "y": np.ones(2)}, "X must be a table of numbers, found 1 dimensions"),
        ({"X": np.eye(2), "y": np.eye(2)}, "y must be one row"),
        ({"X": np.eye(2), "y": np.ones(3)}, "X has 2 rows, y has 3"),
        ({"X": np.array([[1.0, np.inf]]), "y": np.ones(1)}, 'row 1, column "x2": found inf'),
        ({"X": np.eye(2), "y": np.array([1.0, np.inf])}, 'row 2, column "y": found inf'),
        ({"X": np.empty((0, 2)), "y": np.empty(0)}, "no rows"),
    ],
)
def test_what_is_wrong_with_an_npz_file_is_named(tmp_path: Path, arrays: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError, match=rf"table\.npz: {reason}"):
        load(npz_file(tmp_path, **arrays))


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    for content in (b"no archive", b"", b"PK\x03\x04 cut"):
        (tmp_path / "table.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"table\.npz: not a \.npz file"):
            load(tmp_path / "table.npz")


# .parquet


def parquet_file(folder: Path, **columns: list[object]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), folder / "table.parquet")
    return folder / "table.parquet"


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    path = parquet_file(tmp_path, a=[1, 2], clinic=["n", "s"], b=[0.5, 1.5], y=["no", "yes"])
    found = load(path, sites="clinic")
    assert found.columns == ("a", "b")
    assert np.array_equal(found.X, [[1, 0.5], [2, 1.5]])
    assert found.y.tolist() == ["no", "yes"]
    assert found.sites is not None
    assert found.sites.tolist() == ["n", "s"]


def filtered_frame(folder: Path) -> Path:
    """What pandas writes of a filtered frame: its index is the last column, and named in the metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"a": [1.0, 2.0], "b": [3.0, 4.5], "kind": [0, 1], "__index_level_0__": [3, 8]})
    metadata = {"pandas": json.dumps({"index_columns": ["__index_level_0__"]})}
    parquet.write_table(table.replace_schema_metadata(metadata), folder / "filtered.parquet")
    return folder / "filtered.parquet"


def test_the_index_of_a_pandas_frame_is_left_out_with_a_word(tmp_path: Path) -> None:
    found = load(filtered_frame(tmp_path))
    assert found.columns == ("a", "b")
    assert found.y.tolist() == [0, 1]
    assert found.notes == ("filtered.parquet: column '__index_level_0__' is left out: pandas wrote it as the index",)
    asked_for = load(filtered_frame(tmp_path), target="__index_level_0__")
    assert asked_for.y.tolist() == [3, 8]


def test_without_its_metadata_it_would_be_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.tables.arrow_files.pandas_index", lambda _: [])
    assert load(filtered_frame(tmp_path)).y.tolist() == [3, 8]


def test_a_column_of_ids_is_told(tmp_path: Path) -> None:
    rows = [f"{1000 + row},{row / 8},{row % 3},{row % 2}" for row in range(24)]
    found = load(csv_file(tmp_path, "\n".join(["patient,dose,ward,y", *rows])))
    assert found.notes == (
        "table.csv: column 'patient' has another whole number in every row: if it is an id, say --id patient",
    )


BEYOND = 2**53 + 1


def test_whole_numbers_that_float64_would_confuse_are_refused_as_inputs_and_kept_as_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'line 3, column "id": found 9007199254740993, expected .* at most 2\*\*53'):
        load(csv_file(tmp_path, f"id,y\n1,0\n{BEYOND},1\n"))
    with pytest.raises(DataError, match=r'column "id": found 9007199254740993, expected .* at most 2\*\*53'):
        load(parquet_file(tmp_path, id=[1, BEYOND], y=[0, 1]))
    np.savez(tmp_path / "a.npz", X=np.array([[1], [BEYOND]]), y=[0, 1])
    with pytest.raises(DataError, match="X: found 9007199254740993"):
        load(tmp_path / "a.npz")
    for path in (
        csv_file(tmp_path, f"a,y\n1,{BEYOND}\n2,{BEYOND - 1}\n"),
        parquet_file(tmp_path, a=[1, 2], y=[BEYOND, BEYOND - 1]),
    ):
        assert load(path).y.tolist() == [BEYOND, BEYOND - 1]
        with pytest.raises(DataError, match="found 9007199254740993"):
            load(path, task="regression")


def check_what_float64_holds_is_taken(folder: Path) -> None:
    """Every kind of input takes a large whole number that float64 does not change: one rule for all."""
    np.savez(folder / "a.npz", X=np.array([[1], [-(2**60)]]), y=[0, 1])
    of_files = [csv_file(folder, f"id,y\n1,0\n{-(2**60)},1\n"), parquet_file(folder, id=[1, -(2**60)], y=[0, 1])]
    for path in (*of_files, folder / "a.npz"):
        assert load(path).X.tolist() == [[1.0], [-(2.0**60)]]
    for table in (np.array([[2**62]]), np.array([[2**63]], np.uint64), np.array([[2**62]], object)):
        assert as_table("X", table).astype(float).tolist() == [[float(table[0, 0])]]


def test_whole_numbers_that_float64_holds_are_taken_whatever_their_size(tmp_path: Path) -> None:
    check_what_float64_holds_is_taken(tmp_path)
    for odd in (np.array([[2**63 - 1]]), np.array([[2**64 - 1]], np.uint64), np.array([[10**400]], object)):
        with pytest.raises(DataError, match=r"at most 2\*\*53"):
            as_table("X", odd)


def test_by_their_size_alone_some_kinds_would_refuse_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def beyond(values: np.ndarray) -> np.ndarray:
        return (values > 2**53) | (values < -(2**53))

    for module in (kinds, loading):
        monkeypatch.setattr(module, "changed_by_float64", beyond)
    with pytest.raises(DataError):
        check_what_float64_holds_is_taken(tmp_path)


def test_as_float64_they_would_collapse() -> None:
    assert len({float(BEYOND), float(BEYOND - 1)}) == 1


def test_what_is_wrong_with_a_parquet_file_is_named(tmp_path: Path) -> None:
    assert isinstance(load(parquet_file(tmp_path, a=[1.0, None], y=[0, 1])).X, Table)
    with pytest.raises(DataError, match='row 2, column "a": found text "x", expected a number'):
        load(parquet_file(tmp_path, a=["1", "x"], y=[0, 1]))
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"table\.parquet: not a readable"):
        load(tmp_path / "table.parquet")


def test_a_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet_file(tmp_path, a=[1], y=[0])
    real = builtins.__import__

    def without_pyarrow(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(DataError, match=r"needs pyarrow; .*pip install .nervenet\[tables\]"):
        load(path)
