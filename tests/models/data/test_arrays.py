"""Arrays, frames and sparse matrices are taken as scikit-learn takes them; what is refused names the first bad cell."""

from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP, SiteModel
from nervenet.models.data.arrays import as_table, as_targets, column_names, unmasked
from nervenet.models.data.data import DataError
from nervenet.models.data.row_weights import as_weights
from nervenet.models.site_statistics import agree


class Frame:
    """What is used of a data frame: names, and the values that NumPy makes of it."""

    def __init__(self, values: Any, names: list[Any]) -> None:
        self.values, self.columns = np.array(values, dtype=object), names

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values if dtype is None else self.values.astype(dtype)


class Sparse:
    def toarray(self) -> Any:
        return np.eye(2)


def test_truth_values_beside_floats_and_nullable_integers_are_numbers() -> None:
    table = as_table("X", Frame([[True, 0.5, 3], [False, 1.5, 4]], ["a", "b", "c"]))
    assert table.dtype == np.float64
    assert table.tolist() == [[1.0, 0.5, 3.0], [0.0, 1.5, 4.0]]
    assert as_table("X", Sparse()).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_numpy_alone_would_make_objects_of_them() -> None:
    assert np.asarray(Frame([[True, 0.5], [False, 1.5]], ["a", "b"])).dtype == object


def test_names_are_text_unless_they_only_count() -> None:
    assert column_names(Frame([[1, 2]], [2019, 2020])) == ("2019", "2020")
    assert column_names(Frame([[1, 2]], [0, 1])) is None
    assert column_names(np.eye(2)) is None


@pytest.mark.parametrize(
    ("y", "kind", "values"),
    [
        (np.array([1, 2], dtype=object), "i", [1, 2]),
        (np.array([1, 2.5], dtype=object), "f", [1.0, 2.5]),
        (np.array(["a", "b"], dtype=object), "U", ["a", "b"]),
        (np.array([[0], [1]]), "i", [0, 1]),
        ([True, False], "b", [True, False]),
    ],
)
def test_targets_that_are_objects_are_what_they_hold(y: Any, kind: str, values: list[Any]) -> None:
    found = as_targets("y", y)
    assert found.dtype.kind == kind
    assert found.tolist() == values


@pytest.mark.parametrize(
    ("X", "reason"),
    [
        (Frame([[1, "x"], [2, 3]], ["a", "b"]), "X, row 0, column \"b\": found 'x', expected a number"),
        (Frame([[1, 2], [None, 3]], ["a", "b"]), 'X, row 1, column "a": found None, expected a number'),
        (np.array([[1.0], [np.nan]]), "X, row 1, column 1: found nan, expected a finite number"),
        (np.array([[1], [2**53 + 1]]), r"X, row 1, column 1: found 9007199254740993, .* at most 2\*\*53"),
        (Frame([[1], [2**53 + 1]], ["id"]), r"column \"id\": found 9007199254740993, .* at most 2\*\*53"),
        (np.array([["a"]]), "X holds <U1 values, expected numbers"),
    ],
)
def test_a_cell_that_is_no_number_is_named(X: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        as_table("X", X)


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (np.array(["a", 1], dtype=object), "y, row 1: found 1; expected all numbers or all text"),
        (np.array([1.0, np.inf]), "y, row 1: found inf"),
        (np.eye(2), "y has 2 dimensions; expected 1"),
    ],
)
def test_targets_of_two_kinds_are_named(y: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        as_targets("y", y)


MASKED = np.ma.masked_array([[1.0, 9.97e36], [2.0, 3.0]], [[False, True], [False, False]])
"""As netCDF4 returns a variable with a gap: the fill value lies beneath."""


def test_what_is_masked_is_a_gap() -> None:
    with pytest.raises(DataError, match="X, row 0, column 2: found nan, expected a finite number"):
        as_table("X", MASKED)
    assert np.isnan(as_table("X", MASKED, finite=False)[0, 1])
    with pytest.raises(DataError, match="y, row 0: found nan"):
        as_targets("y", MASKED[:, 1])
    with pytest.raises(DataError, match="y, row 1: found None; expected all numbers or all text"):
        as_targets("y", np.ma.masked_array(["a", "b"], [False, True]))
    with pytest.raises(DataError, match="weights, row 1: found an empty cell"):
        as_weights("weights", np.ma.masked_array([1, 2], [False, True]), 2)


def test_numpy_alone_would_take_what_lies_beneath_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.data.arrays.unmasked", lambda values: values)
    assert as_table("X", MASKED)[0, 1] == 9.97e36


def test_a_mask_that_hides_nothing_changes_nothing() -> None:
    whole = np.ma.masked_array([[1, 2], [3, 4]])
    assert as_table("X", whole).dtype == whole.dtype
    assert type(unmasked(whole)) is np.ndarray
    assert unmasked(Frame([[1]], ["a"])).columns == ["a"]


def test_a_frame_is_predicted_by_the_names_of_its_columns() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal([0, 50], [1, 9], (40, 2))
    one = SiteModel(MLP((4,)), X, (X[:, 0] > 0).astype(int), columns=("a", "b"))
    one.build(agree({"only": one.statistics()}), 0)
    turned = Frame(X[:, ::-1], ["b", "a"])
    assert np.array_equal(one.predict(turned), one.predict(X))
    assert not np.array_equal(one.predict_proba(X[:, ::-1]), one.predict_proba(X)), "by position they would differ"
    with pytest.raises(ValueError, match="X has nan in row"):
        one.predict(np.ma.masked_less(X, X.min() + 1e-9))
    with pytest.raises(ValueError, match="X has no column 'b'"):
        one.predict(Frame(X, ["a", "c"]))
    with pytest.raises(ValueError, match="X has a column 'c' that the model does not know"):
        one.predict(Frame(np.c_[X, X[:, 0]], ["a", "b", "c"]))


def test_a_site_with_its_columns_in_another_order_trains_on_the_same_inputs() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal([0, 50], [1, 9], (40, 2)), np.arange(40) % 2
    one, other = (SiteModel(MLP((4,)), X[:, o], y, columns=n) for o, n in (([0, 1], ("a", "b")), ([1, 0], ("b", "a"))))
    agreed = agree({"1": one.statistics(), "2": other.statistics()})
    for site in (one, other):
        site.build(agreed, 0)
    assert np.array_equal(one._training_rows()[0], other._training_rows()[0])
