"""Data sets by name: packaged ones are scikit-learn's to the bit, synthetic is the paper's, images are IDX files."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from nervenet.models.data.data import DataError, Dataset, infer_task
from nervenet.models.data.idx import read_idx, write_idx
from nervenet.models.data.synthetic import synthetic
from nervenet.models.datasets import NAMES, load
from nervenet.models.tables.options import ReadOptions


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "diabetes"])
def test_packaged_values_and_names_are_those_of_scikit_learn(name: str) -> None:
    import sklearn.datasets

    theirs = getattr(sklearn.datasets, f"load_{name}")()
    ours = load(name)
    assert np.array_equal(ours.X, theirs.data)
    assert np.array_equal(ours.y, theirs.target)
    assert ours.columns == tuple(theirs.feature_names)
    assert ours.task == ("regression" if name == "diabetes" else "classification")


@pytest.mark.e2e
def test_packaged_data_loads_without_scikit_learn() -> None:
    program = (
        "import sys; from nervenet.models.datasets import load\n"
        "from nervenet.models.data.splits import split\n"
        "for name in ('iris', 'digits', 'diabetes', 'synthetic'): split(load(name))\n"
        "heavy = {'sklearn', 'scipy', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "raise SystemExit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_unknown_name_lists_what_there_is_and_the_near_one() -> None:
    with pytest.raises(DataError, match=r"no data set .irsi. .did you mean iris..; allowed: iris, wine.*parquet"):
        load("irsi")


def test_an_option_of_files_is_refused_for_a_name() -> None:
    with pytest.raises(DataError, match="target 'species' is for files; iris"):
        load("iris", target="species")


def refuses_a_column_that_is_said_with_the_rest(load: Callable[..., Dataset]) -> None:
    with pytest.raises(DataError, match="target 'species' is for files; iris"):
        load("iris", options=ReadOptions(target="species"))


def test_a_target_among_the_options_is_refused_for_a_name() -> None:
    refuses_a_column_that_is_said_with_the_rest(load)


def test_a_target_that_is_passed_over_is_noticed() -> None:
    def passing_over(source: str, options: ReadOptions) -> Dataset:  # as it was: --target was ignored
        return load(source, options=replace(options, target=None))

    with pytest.raises(pytest.fail.Exception):
        refuses_a_column_that_is_said_with_the_rest(passing_over)


def test_a_column_can_become_the_sites() -> None:
    whole, cut = load("wine"), load("wine", sites="hue")
    assert "hue" not in cut.columns
    assert cut.X.shape == (178, 12)
    assert np.array_equal(cut.sites, whole.X[:, whole.columns.index("hue")])
    with pytest.raises(DataError, match=r"no column .hues. in wine .did you mean hue..; it has: alcohol"):
        load("wine", sites="hues")


def test_a_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"table\.xlsx.*allowed: \.npz, \.csv, \.parquet"):
        load(tmp_path / "table.xlsx")


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="X has 3 rows, y has 2"):
        Dataset("odd", np.zeros((3, 1)), np.zeros(2), ("a",), "regression")


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array(["a", "b"]), "classification"),
        (np.array([True, False]), "classification"),
        (np.arange(10), "classification"),
        (np.arange(11), "regression"),
        (np.repeat(np.arange(26), 4), "classification"),
        (np.repeat(np.arange(51), 9), "regression"),
        (np.array([0.0, 1.0]), "classification"),
        (np.array([0.0, 1.5]), "regression"),
    ],
)
def test_the_task_is_inferred_from_the_targets(y: np.ndarray, task: str) -> None:
    assert infer_task(y) == task


# synthetic(alpha, beta)


def test_synthetic_has_the_sizes_of_the_paper() -> None:
    drawn = synthetic(0.5, 0.5, seed=3)
    rows = np.bincount(drawn.sites)
    assert drawn.X.shape == (len(drawn), 60)
    assert len(rows) == 30
    assert rows.min() >= 50
    # lognormal(4, 2) has the median e^4 = 55: a heavy tail over a floor of 50.
    assert 60 < np.median(rows) < 250
    assert set(drawn.y.tolist()) <= set(range(10))
    assert drawn.task == "classification"


def test_synthetic_inputs_have_the_variances_of_the_paper() -> None:
    drawn = synthetic(0, 0, seed=1)
    largest = int(np.bincount(drawn.sites).argmax())
    X = drawn.X[drawn.sites == largest]
    assert len(X) > 500
    assert np.allclose(X.var(axis=0), np.arange(1, 61) ** -1.2, rtol=0.35)


def test_iid_sites_share_one_model_and_others_do_not() -> None:
    def explained(drawn: Dataset) -> float:
        """How well one linear map, fitted to the first half of the sites, predicts the scores' argmax on the rest."""
        known = drawn.sites < 15
        onehot = np.eye(10)[drawn.y]
        weights, *_ = np.linalg.lstsq(np.c_[drawn.X, np.ones(len(drawn))][known], onehot[known], rcond=None)
        guessed = (np.c_[drawn.X, np.ones(len(drawn))] @ weights).argmax(axis=1)
        return float((guessed == drawn.y)[~known].mean())

    assert explained(synthetic(iid=True)) > 0.6
    assert explained(synthetic(0, 0)) < 0.4


def test_synthetic_is_addressed_by_seed_and_site() -> None:
    whole, few = synthetic(1, 1, seed=5), synthetic(1, 1, seed=5, sites=3)
    assert np.array_equal(whole.X[whole.sites < 3], few.X)
    assert not np.array_equal(few.X[:50], synthetic(1, 1, seed=6, sites=3).X[:50])


def test_synthetic_inputs_are_uncorrelated_with_variances_j_to_the_minus_1_2() -> None:
    whole = synthetic(iid=True, seed=1)
    X = whole.X[whole.sites == np.bincount(whole.sites).argmax()]
    covariance = np.cov(X.T)
    expected = np.arange(1, 61) ** -1.2
    error = np.abs(covariance - np.diag(expected)) / np.sqrt(np.outer(expected, expected))
    assert error.max() < 6 / np.sqrt(len(X))
    assert np.abs(X.mean(axis=0) / np.sqrt(expected)).max() < 5 / np.sqrt(len(X))


def test_synthetic_takes_its_parameters_in_its_name() -> None:
    assert np.array_equal(load("synthetic(0.5, 1)", seed=2).X, synthetic(0.5, 1, seed=2).X)
    assert np.array_equal(load("synthetic(iid)").X, synthetic(iid=True).X)
    assert np.array_equal(load("synthetic").X, synthetic().X)
    with pytest.raises(DataError, match="expected two numbers"):
        load("synthetic(a, b)")
    with pytest.raises(DataError, match="alpha must be a number of at least 0, found -1"):
        load("synthetic(-1, 0)")


# Images


@pytest.fixture
def no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no NERVENET_DATA."""
    monkeypatch.delenv("NERVENET_DATA", raising=False)
    monkeypatch.setattr("nervenet.models.data.images.cache_folder", lambda: tmp_path / "cache")
    return tmp_path


def write_images(folder: Path, train: int = 12, test: int = 5) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, rows in (("train", train), ("t10k", test)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (rows, 4, 4), dtype=np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", rng.integers(0, 10, rows, dtype=np.uint8))


@pytest.mark.parametrize("place", ["given", "cache"])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_images_come_from_either_folder(
    no_images: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    write_images(no_images / place / name)
    if place == "given":
        monkeypatch.setenv("NERVENET_DATA", str(no_images / place))
    found = load(name)
    pixels = read_idx(no_images / place / name / "train-images-idx3-ubyte.gz", 3)
    assert found.X.dtype == np.float32
    assert np.array_equal(found.X, pixels.reshape(12, 16).astype(np.float32) / np.float32(255))
    assert found.y.dtype == np.int64
    assert found.test is not None
    assert len(found.test) == 5
    assert found.columns[-1] == "pixel_3_3"


def test_a_download_is_kept_in_the_cache(no_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.arange(14 * 4).reshape(14, 4).astype(float)
    labels = np.array([str(n % 10) for n in range(14)], dtype=object)
    asked = []

    def fetch(name: str, **_: object) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(data=data, target=labels)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    for _ in range(2):
        found = load("mnist")
        assert found.test is not None
        assert np.array_equal(np.r_[found.y, found.test.y], labels.astype(int))
        assert np.allclose(np.r_[found.X, found.test.X] * 255, data)
    assert asked == ["mnist_784"]
    assert [path.name for path in (no_images / "cache").iterdir()] == ["mnist"]


def test_without_any_source_the_error_says_where_to_put_the_files(
    no_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(DataError, match=r"no route to host.*train-images-idx3-ubyte\.gz.*NERVENET_DATA"):
        load("mnist")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda good: good[:40], "gzip"),
        (lambda _: b"plain", "gzip"),
        (lambda _: __import__("gzip").compress(b"\0\0\x0d\x03" + bytes(12)), "00000d03, expected 00000803"),
        (lambda _: __import__("gzip").compress(b"\0\0\x08\x03\0"), "within the header"),
        (lambda _: __import__("gzip").compress(b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + bytes(7)), "7 bytes, .* = 8"),
        (lambda _: __import__("gzip").compress(b"\0\0\x08\x03" + b"\xff\xff\xff\xff" * 3), "holds 0 bytes"),
    ],
)
def test_a_damaged_image_file_is_named(no_images: Path, content, reason: str) -> None:
    write_images(no_images / "cache" / "mnist")
    path = no_images / "cache" / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte.gz.*{reason}"):
        load("mnist")


def test_every_name_is_known_to_load(no_images: Path) -> None:
    for name in ("mnist", "fashion_mnist"):
        write_images(no_images / "cache" / name)
    assert [load(name).name.partition("(")[0] for name in NAMES] == list(NAMES)
