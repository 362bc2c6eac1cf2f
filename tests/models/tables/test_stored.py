"""Rows that stay on disk: the same table, agreement and training as in memory, to the bit."""

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models import datasets
from nervenet.models.agreement.questions import settle
from nervenet.models.data import prepared
from nervenet.models.data.data import DataError
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.tables import arrow_csv, batched, column_store, csv_file
from nervenet.models.tables.options import ColumnOptions, ReadOptions
from nervenet.models.tables.stored_table import StoredTable
from nervenet.models.tables.table import Table

NEVER, ALWAYS = None, 0.0
ROWS = 420


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """So that a small file has many blocks, spans and segments, none of a round size."""
    monkeypatch.setattr(arrow_csv, "SLAB", 2_000)
    monkeypatch.setattr(csv_file, "BLOCK", 90)
    monkeypatch.setattr(batched, "BLOCK_BYTES", 8 * 6 * 37)
    monkeypatch.setattr(prepared, "SPAN", 4 * 6 * 111)
    monkeypatch.setattr(prepared, "SEGMENT", 4 * 6 * 7)
    monkeypatch.setattr("nervenet.models.tables.stored.SAMPLE", 64)


def mixed_rows(rows=ROWS, gaps=True):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=rows).round(3), (rng.normal(size=rows) + 1e6).round(2)
    ward = rng.choice(["a", "b", "c c"], rows)
    label = np.where(x + (ward == "a") + rng.normal(size=rows) / 2 > 0.5, "poor", "good")
    columns = {
        "id": [f"p{row}" for row in range(rows)],
        "when": [str(day) for day in np.datetime64("2026-01-01") + rng.integers(0, 400, rows)],
        "x": x.tolist(),
        "z": z.tolist(),
        "ward": ward.tolist(),
        "n": rng.integers(0, 50, rows).tolist(),
        "outcome": label.tolist(),
    }
    if gaps:
        for name, every in (("x", 11), ("ward", 13), ("when", 17)):
            for row in range(0, rows, every):
                columns[name][row] = ""
    return columns


def write_csv(path, columns):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def written(folder, kind, columns):
    path = folder / f"site{kind}"
    if kind == ".csv":
        return write_csv(path, columns)
    if kind == ".parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        cells = {name: [None if cell == "" else cell for cell in cells] for name, cells in columns.items()}
        if "when" in cells:
            cells["when"] = [None if day is None else np.datetime64(day).item() for day in cells["when"]]
        parquet.write_table(pa.table(cells), path, row_group_size=100)
        return path
    kinds = {name: "U12" if isinstance(cells[0], str) else "f8" for name, cells in columns.items()}
    records = np.array(list(zip(*columns.values(), strict=True)), list(kinds.items()))
    np.save(path, records)
    return path


def plain(columns):
    return {name: columns[name] for name in ("x", "z", "n", "outcome")}


def both(path, **said):
    options = ReadOptions(**said)
    return (datasets.load(path, options=options, in_memory_mb=limit) for limit in (NEVER, ALWAYS))


def cells_of(X):
    columns = X.T if isinstance(X, np.ndarray) else [X[name] for name in X.columns]
    return [[None if cell != cell else cell for cell in column.tolist()] for column in columns]


def check_the_same(memory, disk):
    assert isinstance(disk.X, StoredTable)
    assert not isinstance(memory.X, StoredTable)
    assert disk.X.plain == isinstance(memory.X, np.ndarray)
    assert (disk.columns, disk.task, disk.target, disk.notes) == (
        memory.columns,
        memory.task,
        memory.target,
        memory.notes,
    )
    assert disk.y.dtype == memory.y.dtype
    assert disk.y.tolist() == memory.y.tolist()
    assert cells_of(disk.X) == cells_of(memory.X)
    if isinstance(memory.X, Table):
        assert disk.X.kinds == memory.X.kinds


FILES = [(".csv", "mixed"), (".csv", "plain"), (".parquet", "mixed"), (".parquet", "plain"), (".npy", "mixed")]


@pytest.mark.parametrize(("kind", "which"), [*FILES, (".npy", "plain")])
def test_the_table_is_the_same(tmp_path, kind, which):
    columns = mixed_rows() if which == "mixed" else plain(mixed_rows(gaps=False))
    check_the_same(*both(written(tmp_path, kind, columns)))


@pytest.mark.parametrize("arrow", [True, False])
def test_a_file_of_another_encoding_or_without_pyarrow_is_the_same(tmp_path, monkeypatch, arrow):
    if not arrow:
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    columns = mixed_rows(200)
    path = write_csv(tmp_path / "site.csv", columns)
    check_the_same(*both(path))
    path.write_bytes(path.read_bytes().replace(b"c c", "ü;".encode("cp1252")))
    check_the_same(*both(path))


CASES = {
    "words among numbers further down": ({"a": [*map(str, range(300)), "x"], "y": ["0", "1", "1"] * 100 + ["1"]}, {}),
    "a number that float64 changes": ({"a": [*map(str, range(300)), "9007199254740993"], "y": ["0"] * 301}, {}),
    "an infinity": ({"a": [*map(str, range(300)), "inf"], "y": ["0"] * 301}, {}),
    "a target with gaps": ({"a": ["1", "2", "3"] * 50, "y": ["0", "", "1"] * 50}, {}),
    "rows left out": ({"a": ["1", "2", "3"] * 50, "y": ["0", "", "1"] * 50}, {"missing_target": "drop"}),
    "decimal commas": ({"a": ["1,5", "2,25", "3"] * 50, "y": ["0", "1", "1"] * 50}, {}),
    "codes": ({"a": ["01", "02", "3"] * 50, "y": ["0", "1", "1"] * 50}, {"categorical": ("a",)}),
    "weights": ({"a": ["1", "2", "4"] * 50, "w": ["0", "1", "2.5"] * 50, "y": ["0", "1", "1"] * 50}, {"weight": "w"}),
    "gaps of its own": ({"a": ["1", "none", "4"] * 50, "y": ["0", "1", "1"] * 50},
                        {"columns": {"a": ColumnOptions(gaps=("none",))}}),
    "a column dropped": ({"a": ["1", "2", "4"] * 50, "b": ["x"] * 150, "y": ["0", "1", "1"] * 50}, {"drop": ("b",)}),
    "a quantity": ({"a": ["1", "2", "4"] * 50, "y": ["0.5", "1", "1"] * 50}, {}),
    "an odd line": ({"a": ["1", "2", "4"] * 50, "y": ["0", "1", '1,2'] * 50}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_same_is_said_of_a_file(tmp_path, case):
    columns, said = CASES[case]
    lines = [",".join(columns), *(",".join(f'"{c}"' if "," in c and case != "an odd line" else c for c in row)
                                  for row in zip(*columns.values(), strict=True))]  # fmt: skip
    path = tmp_path / "site.csv"
    path.write_text("\n".join(lines) + "\n")

    def outcome(limit):
        try:
            found = datasets.load(path, options=ReadOptions(**said), in_memory_mb=limit)
        except DataError as error:
            return str(error)
        weight = None if found.weight is None else found.weight.tolist()
        return cells_of(found.X), found.columns, found.y.tolist(), found.task, found.notes, weight

    assert outcome(ALWAYS) == outcome(NEVER)


def agreed(path, preprocess="auto", limit=NEVER, model=None, holdout=0.2, **said):
    found = datasets.load(path, options=ReadOptions(**said), in_memory_mb=limit)
    site = SiteModel(
        model or named("mlp"),
        found.X,
        found.y,
        found.weight,
        columns=found.columns,
        task=None,
        holdout=holdout,
        preprocess=preprocess,
    )
    site.build(settle(site.questions(), {"site": site.answer}).preprocessing, 3)
    return site


def named(name, **parameters):
    from nervenet.models.registry import named_model

    return named_model(name, parameters)


def pipeline():
    pytest.importorskip("sklearn")
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, QuantileTransformer, RobustScaler

    return ColumnTransformer(
        [
            ("robust", make_pipeline(SimpleImputer(strategy="median"), RobustScaler()), ["x", "z"]),
            ("even", make_pipeline(SimpleImputer(), QuantileTransformer(n_quantiles=50), MinMaxScaler()), ["x", "n"]),
            ("bins", make_pipeline(SimpleImputer(strategy="most_frequent"), KBinsDiscretizer(encode="ordinal")), ["n"]),
            ("words", OneHotEncoder(handle_unknown="ignore", min_frequency=5), ["ward"]),
        ]
    )


@pytest.mark.parametrize(("kind", "which"), FILES)
@pytest.mark.parametrize("own", [False, True])
def test_what_is_agreed_is_the_same_to_the_bit(tmp_path, kind, which, own):
    if own and which == "plain":
        pytest.skip("its columns are not those of the pipeline")
    columns = mixed_rows() if which == "mixed" else plain(mixed_rows(gaps=False))
    path = written(tmp_path, kind, columns)
    preprocess = pipeline() if own else "auto"
    memory, disk = (agreed(path, preprocess, limit) for limit in (NEVER, ALWAYS))
    assert disk.preprocessing == memory.preprocessing
    assert disk.held_out == memory.held_out
    assert np.array_equal(disk._train[0][:], memory._train[0])
    assert np.array_equal(disk._train[1], memory._train[1])


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from([0.0, -0.0, 1e6, 1e6 + 1e-3])
CELLS = st.tuples(st.none() | NUMBERS, st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["0", "1"]))


@settings(max_examples=15, deadline=None)
@given(st.lists(CELLS, min_size=30, max_size=80))
def test_any_table_is_agreed_on_alike(rows):
    rows = [*rows, (1.0, "a", "0"), (2.0, "b", "1"), (None, "", "1")]
    with tempfile.TemporaryDirectory() as folder:
        columns = {"x": ["" if x is None else repr(x) for x, _, _ in rows]}
        columns |= {"k": [k for _, k, _ in rows], "y": [y for _, _, y in rows]}
        path = write_csv(Path(folder) / "any.csv", columns)
        memory, disk = (agreed(path, limit=limit, holdout=0.0) for limit in (NEVER, ALWAYS))
    assert disk.preprocessing == memory.preprocessing


MODELS = [
    ("mlp", {"hidden": (5,)}),
    ("mlp", {"hidden": (5,), "optimizer": "adam", "dtype": "float64"}),
    ("pegasos", {}),
    ("sklearn.linear_model.SGDClassifier", {"loss": "log_loss"}),
    ("sklearn.neural_network.MLPClassifier", {"hidden_layer_sizes": (5,)}),
]


@pytest.mark.parametrize(("name", "parameters"), MODELS)
@pytest.mark.parametrize("work", [LocalWork(epochs=3, batch_size=7), LocalWork(local_steps=9, batch_size=32)])
@pytest.mark.parametrize("weighted", [False, True])
def test_training_ends_at_the_same_weights_and_figures(tmp_path, name, parameters, work, weighted):
    if name.startswith("sklearn"):
        pytest.importorskip("sklearn")
    if weighted and name == "pegasos":
        pytest.skip("it takes no weights")
    columns = mixed_rows()
    columns["w"] = np.random.default_rng(1).integers(1, 5, ROWS).tolist()
    path = write_csv(tmp_path / "site.csv", columns)
    said = {"target": "outcome"} | ({"weight": "w"} if weighted else {"drop": ("w",)})
    sites = [agreed(path, limit=limit, model=named(name, **parameters), **said) for limit in (NEVER, ALWAYS)]
    reports = [site.train(work, generator(0)) for site in sites]
    memory, disk = sites
    assert np.array_equal(disk.get_weights(), memory.get_weights())
    assert [(one.steps, one.examples, one.cancelled) for one in reports] == [
        (reports[0].steps, reports[0].examples, False)
    ] * 2
    assert reports[1].loss == pytest.approx(reports[0].loss, rel=1e-5)
    assert disk.evaluate("holdout") == memory.evaluate("holdout")
    assert disk.training_loss() == pytest.approx(memory.training_loss(), rel=1e-6)


def test_rows_are_fetched_in_any_order():
    rows = np.arange(600.0).reshape(100, 6).astype("float32")
    stored = prepared.PreparedRows(6, "float32")
    stored.append(rows[:33])
    stored.append(rows[33:])
    rng = np.random.default_rng(0)
    for order in (rng.permutation(100), rng.integers(0, 100, 37), np.empty(0, np.int64)):
        assert np.array_equal(stored[order], rows[order])
        pieces = np.array_split(order, 5)
        found = [X for _, X in prepared.fetched(stored, pieces)]
        assert np.array_equal(np.concatenate(found), rows[order])
    assert np.array_equal(stored[7:50], rows[7:50])
    assert np.array_equal(stored[::3], rows[::3])


def test_what_trains_on_all_rows_at_once_is_refused_by_name(tmp_path):
    pytest.importorskip("sklearn")
    path = write_csv(tmp_path / "site.csv", mixed_rows())
    with pytest.raises(
        DataError, match=r"LogisticRegression trains on all rows at once.*mlp.*SGDClassifier.*in_memory_mb"
    ):
        agreed(path, limit=ALWAYS, model=named("sklearn.linear_model.LogisticRegression"))


def test_a_step_that_takes_all_rows_is_refused_by_name(tmp_path):
    pytest.importorskip("sklearn")
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import TargetEncoder

    path = write_csv(tmp_path / "site.csv", mixed_rows())
    with pytest.raises(DataError, match=r"TargetEncoder.*needs all rows at once.*data.in_memory_mb"):
        agreed(path, make_column_transformer((TargetEncoder(), ["ward"])), ALWAYS)


def test_more_words_than_are_kept_are_numbers_or_dates_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(column_store, "MOST_WORDS", 50)
    columns = {
        "amount": [f"{row},5" for row in range(200)],
        "when": [f"2026-01-01T00:{row // 60:02}:{row % 60:02}" for row in range(200)],
        "y": [str(row / 4) for row in range(200)],
    }
    path = write_csv(tmp_path / "site.csv", columns)
    check_the_same(*both(path))
    with pytest.raises(DataError, match=r'site.csv: column "id": more than 50 different texts.*--id id.*--drop id'):
        datasets.load(write_csv(path, mixed_rows()), in_memory_mb=ALWAYS)
    check_the_same(*both(path, drop=("when", "n", "z", "id")))
    columns["when"][150] = "later"
    with pytest.raises(DataError, match=r'line 152, column "when": found text "later", expected a date'):
        datasets.load(write_csv(path, columns), in_memory_mb=ALWAYS)


def test_the_rows_lie_in_a_file_without_a_name_that_others_cannot_read(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    site = agreed(write_csv(tmp_path / "site.csv", mixed_rows()), limit=ALWAYS)
    stored = site._rows.X.store._scratch.descriptor
    assert os.fstat(stored).st_nlink == 0
    assert os.fstat(stored).st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["site.csv"]


def test_a_full_disk_is_said_with_what_to_do(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    stored = prepared.PreparedRows(2, "float32")
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DataError, match="No space left on device after 0 MB of rows; TMPDIR names another folder"):
        stored.append(np.zeros((3, 2), "float32"))


def test_targets_lie_beside_an_array(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(300, 4)), np.arange(300) % 3
    np.save(tmp_path / "X_north.npy", X)
    np.save(tmp_path / "y_north.npy", y)
    memory, disk = both(tmp_path / "X_north.npy")
    check_the_same(memory, disk)
    assert np.array_equal(memory.X, X)
    assert memory.y.tolist() == y.tolist()
    np.save(tmp_path / "y_north.npy", y[:7])
    with pytest.raises(DataError, match=r"y_north.npy: found shape \(7,\).*for each of 300 rows"):
        datasets.load(tmp_path / "X_north.npy")
    np.save(tmp_path / "alone.npy", np.column_stack([X, y]))
    assert datasets.load(tmp_path / "alone.npy").target == "x5"
    np.save(tmp_path / "odd.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"not a \.npy file"):
        datasets.load(tmp_path / "odd.npy")
