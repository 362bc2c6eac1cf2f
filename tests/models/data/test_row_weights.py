"""Row weights as users hand them over."""

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.data.row_weights import LARGEST, as_weights, counting, relative
from nervenet.models.site_rows import SiteRows

X, Y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])


def test_numbers_of_any_type_are_weights() -> None:
    for given in ([1, 2, 0, 3], np.array([1, 2, 0, 3], np.float32), np.array([[1], [2], [0], [3]]), [True, 2, 0, 3.0]):
        found = as_weights("w", given, 4)
        assert found.dtype == np.float64
        assert found.tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("given", "finding"),
    [
        ([1, 2, 3], r"w has shape \(3,\), expected \(4,\): a weight for each row"),
        (1.0, r"w has shape \(\)"),
        (["a", "b", "c", "d"], "w holds <U1 values, expected numbers"),
        ([None, 1, 2, "x"], "w holds something that is no number"),
        ([1, np.nan, 1, 1], "w, row 1: found an empty cell, expected a weight of at least 0$"),
        ([1, 1, -0.5, 1], "w, row 2: found -0.5, expected a weight of at least 0$"),
        ([1, 1, 1, np.inf], r"w, row 3: found inf, expected .* of at most 1e\+80$"),
        ([0, 0, 0, 0], "w: all 4 weights are 0, expected one above 0"),
    ],
)
def test_what_is_no_weight_is_refused_by_row(given: object, finding: str) -> None:
    with pytest.raises(DataError, match=finding):
        as_weights("w", given, 4)
    with pytest.raises(DataError, match="the sample_weight of X"):
        SiteRows.of("X", X, Y, given)


def test_rows_of_weight_0_are_not_there() -> None:
    rows = SiteRows.of("X", X, Y, [1, 0, 2, 0])
    assert (rows.X.tolist(), rows.y.tolist(), len(rows)) == ([[0, 1], [4, 5]], [0, 0], 2)
    assert rows.weight is not None
    assert rows.weight.tolist() == [1, 2]
    assert counting(rows.weight) is None


def test_relative_weights_are_1_on_average_whatever_their_size() -> None:
    for size in (1e-300, 1.0, LARGEST):
        np.testing.assert_allclose(relative(size * np.array([1.0, 2, 3])), [0.5, 1, 1.5], rtol=1e-12)
