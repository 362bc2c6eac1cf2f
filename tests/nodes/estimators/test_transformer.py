"""FederatedTransformer: what is fitted over sites is what is fitted on all rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.tables.frames import table_of
from nervenet.nodes import FederatedTransformer
from nervenet.nodes.estimators import tables, transformer
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, FastICA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

RNG = np.random.default_rng(0)
X = RNG.normal(1e3, 5.0, (60, 4))
Y = RNG.integers(0, 3, 60)
OWNERS = np.sort(RNG.integers(0, 4, 60))  # sites of unlike sizes


def test_what_is_masked_is_a_gap_to_impute() -> None:
    masked = np.ma.masked_less(X, 998)
    masked.data[masked.mask] = 9.97e36
    over = FederatedTransformer(SimpleImputer(), n_clients=3).fit(masked)
    assert np.allclose(over.estimator_.statistics_, masked.mean(axis=0))
    assert np.array_equal(over.transform(masked), over.transform(masked.filled(np.nan)))
    with pytest.raises(ValueError, match="contains NaN"):
        FederatedTransformer(PCA(2), n_clients=3).fit(masked)


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        MinMaxScaler(),
        PCA(2),
        TruncatedSVD(2, algorithm="arpack"),
        SelectKBest(k=2),
        make_pipeline(StandardScaler(), PCA(2)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_is_fitted_over_sites_is_what_is_fitted_on_all_rows(transformer: Any) -> None:
    pooled = clone(transformer).fit(X, Y).transform(X)
    for given in ({"n_clients": 7}, {"n_clients": 1}):
        over = FederatedTransformer(transformer, **given).fit(X, Y).transform(X)
        assert np.abs(over - pooled).max() <= 1e-9 * np.abs(pooled).max()
    over = FederatedTransformer(transformer).fit(X, Y, clients=OWNERS)
    assert list(over.clients_) == [0, 1, 2, 3]
    assert np.abs(over.transform(X) - pooled).max() <= 1e-9 * np.abs(pooled).max()


def test_a_frame_of_texts_numbers_and_gaps_is_taken_by_its_names() -> None:
    frame = pd.DataFrame({"age": [1.0, np.nan, 3.0, 4.0], "ward": ["a", "b", "a", "c"]})
    parts = [("n", SimpleImputer(), ["age"]), ("c", OneHotEncoder(sparse_output=False), ["ward"])]
    over = FederatedTransformer(ColumnTransformer(parts), n_clients=2).set_output(transform="pandas").fit(frame)
    pooled = ColumnTransformer(parts).set_output(transform="pandas").fit_transform(frame)
    pd.testing.assert_frame_equal(over.transform(frame), pooled)
    assert list(over.feature_names_in_) == ["age", "ward"]
    assert list(over.get_feature_names_out()) == list(pooled.columns)


def test_an_array_of_texts_is_taken() -> None:
    rows = np.array([["a", 1], ["b", 2], ["a", None]], object)
    over = FederatedTransformer(OrdinalEncoder(), n_clients=3).fit(rows[:2].repeat(2, axis=0))
    assert [list(some) for some in over.estimator_.categories_] == [["a", "b"], [1.0, 2.0]]


def test_an_encoder_of_the_target_has_the_original_classes() -> None:
    words = np.array(["low", "mid", "high"])[Y]
    over = FederatedTransformer(TargetEncoder(cv=2)).fit(np.round(X[:, :1] / 5), words)
    assert list(over.estimator_.classes_) == ["high", "low", "mid"]


def test_methods_are_those_of_the_wrapped_transformer() -> None:
    over = FederatedTransformer(StandardScaler())
    with pytest.raises(NotFittedError):
        over.transform(X)
    over.fit(X)
    assert np.allclose(over.inverse_transform(over.transform(X)), X)
    assert not hasattr(FederatedTransformer(SelectKBest()), "partial_fit")
    assert not hasattr(over.estimator_, "feature_names_in_")
    assert list(over.get_feature_names_out()) == ["x0", "x1", "x2", "x3"]


def test_a_step_without_an_exact_merge_is_refused_with_the_nearest_that_has_one() -> None:
    with pytest.raises(TypeError, match=r"FastICA has no exact merge over sites; the nearest .* PCA"):
        FederatedTransformer(FastICA()).fit(X)


def test_fewer_rows_than_sites_are_refused() -> None:
    with pytest.raises(ValueError, match="n_samples=3 rows are fewer than n_clients=5"):
        FederatedTransformer(StandardScaler()).fit(X[:3])


LIKE_A_FILE = {
    "gaps": ["", "NA", "?", "nan"],
    "codes": ["01", "1", "02", "1.0"],
    "blanks": ["a", " a", "a ", "b"],
    "dates": ["2026-01-31", "2026-02-28", "x", "y"],
    "truth": ["true", "false", "True", "False"],
}


def difference_from_all_rows(cells: list[str]) -> float:
    """How far what is encoded over sites is from what `fit` on all rows makes of texts that a file's reader would take
    for gaps, numbers, dates, or for each other.
    """
    frame = pd.DataFrame({"word": pd.Series(cells * 10, dtype=object)})
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    pooled, over = clone(encoder).fit_transform(frame), FederatedTransformer(encoder).fit(frame).transform(frame)
    return float(np.abs(pooled - over).max()) if pooled.shape == over.shape else 1.0


@pytest.mark.parametrize("cells", LIKE_A_FILE.values(), ids=LIKE_A_FILE)
def test_texts_of_a_frame_are_what_they_are(cells: list[str]) -> None:
    assert difference_from_all_rows(cells) == 0


@pytest.mark.parametrize("cells", [LIKE_A_FILE["gaps"], LIKE_A_FILE["codes"], LIKE_A_FILE["blanks"]])
def test_texts_that_were_read_as_in_a_file_would_be_others(cells: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "as_table", lambda X, **_: table_of(X))
    assert difference_from_all_rows(cells) == 1


def test_dates_are_taken_in_the_unit_in_which_they_are_counted() -> None:
    days = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=20).astype("datetime64[s]")})
    over = FederatedTransformer(MinMaxScaler()).fit(days)
    assert np.allclose(over.transform(days).ravel(), np.arange(20) / 19, atol=1e-12)
    with pytest.raises(ValueError, match=r"column 'day' holds dates, which are counted in seconds here"):
        FederatedTransformer(MinMaxScaler()).fit(days.astype("datetime64[ns]"))


def test_dates_are_told_by_the_place_of_their_column_whatever_it_is_called() -> None:
    days = pd.DataFrame({0: pd.date_range("2026-01-01", periods=20).astype("datetime64[s]")})
    over = FederatedTransformer(MinMaxScaler()).fit(days)
    assert np.allclose(over.transform(days).ravel(), np.arange(20) / 19, atol=1e-12)


def test_dates_of_other_libraries_are_refused_by_name() -> None:
    days = {"day": pd.date_range("2026-01-01", periods=20).to_pydatetime().tolist()}
    for frame in (pytest.importorskip("polars").DataFrame(days), pytest.importorskip("pyarrow").table(days)):
        with pytest.raises(ValueError, match=r"column 'day' holds dates, .* give them as datetime64"):
            FederatedTransformer(MinMaxScaler()).fit(frame)


def test_dates_are_no_categories() -> None:
    days = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=20).astype("datetime64[s]")})
    with pytest.raises(DataError, match="column 'day' has dates, whose values are not counted"):
        FederatedTransformer(OneHotEncoder()).fit(days)


WITH_GAPS = {"word": ["a", None, "b"] * 5, "kind": ["x", "y", None] * 5, "number": [float(n) for n in range(15)]}


def of_polars_categories() -> Any:
    pl = pytest.importorskip("polars")
    return pl.DataFrame(WITH_GAPS).with_columns(pl.col("word").cast(pl.Categorical))


FRAMES: dict[str, Callable[[], Any]] = {
    "objects": lambda: pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in WITH_GAPS.items()}),
    "NaN": lambda: pd.DataFrame(WITH_GAPS).replace({None: np.nan}),
    "categories": lambda: pd.DataFrame(WITH_GAPS).astype({"word": "category"}),
    "polars": lambda: pytest.importorskip("polars").DataFrame(WITH_GAPS),
    "polars categories": of_polars_categories,
    "arrow": lambda: pytest.importorskip("pyarrow").table(WITH_GAPS),
}


def encoder_of_columns() -> ColumnTransformer:
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("words", words, ["word", "kind"]), ("numbers", MinMaxScaler(), ["number"])])


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_a_gap_among_texts_has_its_column_however_it_is_written(make: Callable[[], Any]) -> None:
    frame, pooled = make(), encoder_of_columns()
    over = FederatedTransformer(encoder_of_columns(), n_clients=3).fit(frame)
    assert np.array_equal(over.transform(frame), pooled.fit_transform(frame))
    assert over.transform(frame)[1].tolist()[:3] == [0, 0, 1], "of word: a, b, and a gap"


def test_of_pandas_na_and_of_an_array_too_and_rows_are_left_as_they_are() -> None:
    frame = pd.DataFrame({"word": pd.array(["a", None, "b"] * 5, dtype="string")})
    words = FederatedTransformer(OneHotEncoder(sparse_output=False), n_clients=3).fit(frame)
    assert words.transform(frame)[1].tolist() == [0, 0, 1]
    cells = frame["word"].astype(object).to_numpy(object, na_value=None).reshape(-1, 1)
    words = FederatedTransformer(OneHotEncoder(sparse_output=False), n_clients=3).fit(cells)
    assert words.transform(cells)[1].tolist() == [0, 0, 1]
    assert cells[1, 0] is None
    assert frame["word"][1] is pd.NA


def test_none_would_be_unknown_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "gaps_as_nan", lambda X: X)
    frame = FRAMES["objects"]()
    over = FederatedTransformer(encoder_of_columns(), n_clients=3).fit(frame)
    assert over.transform(frame)[1].tolist()[:3] == [0, 0, 0]


def test_dates_of_another_unit_would_be_scaled_by_the_seconds_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "as_table", lambda X, **_: table_of(X))
    days = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=20).astype("datetime64[ns]")})
    assert FederatedTransformer(MinMaxScaler()).fit(days).transform(days).max() > 1e9


def test_whole_numbers_that_float64_confuses_are_no_categories() -> None:
    large = np.array([[2**53], [2**53 + 1], [5]])
    for rows in (large, large.astype(object), np.array([[2**53], [2**53 + 1], [None]], object)):
        with pytest.raises(ValueError, match=r"whole numbers beyond 2\*\*53, .* give texts"):
            FederatedTransformer(OneHotEncoder(), n_clients=1).fit(rows)
    FederatedTransformer(MinMaxScaler(), n_clients=1).fit(large)


def test_whole_numbers_would_be_one_category(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_check_apart", lambda *_: None)
    over = FederatedTransformer(OneHotEncoder(), n_clients=1).fit(np.array([[2**53], [2**53 + 1], [5]]))
    assert len(over.estimator_.categories_[0]) == 2
