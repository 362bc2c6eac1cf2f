"""Moments of columns with gaps: a merge of any parts is what one site would have told of all rows."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.agreement import column_moments
from nervenet.models.agreement.column_moments import ColumnMoments
from nervenet.models.moments import IncompatibleSites

CELLS = st.one_of(
    st.just(float("nan")), st.floats(-1e3, 1e3).map(lambda x: x + 1e6), st.sampled_from([0.0, 0.1, 1e6, 5e-324])
)


def exact(values):
    """Mean and sum of squared deviations without any rounding."""
    numbers = [Fraction(value) for value in values if value == value]
    mean = sum(numbers) / len(numbers)
    return mean, sum((number - mean) ** 2 for number in numbers)


@given(st.lists(st.lists(CELLS, max_size=9), min_size=1, max_size=7))
def test_parts_merge_to_the_moments_of_all_rows(parts):
    sent = [ColumnMoments.of(np.array(part, float).reshape(-1, 1)).vector() for part in parts]
    found = ColumnMoments.merged(ColumnMoments.from_vector("a", vector) for vector in sent)
    values = [value for part in parts for value in part]
    n = sum(value == value for value in values)
    assert found.n == [n]
    if not n:
        assert np.isnan(found.variance[0])
        return
    mean, m2 = exact(values)
    assert abs(Fraction(float(found.mean[0])) - mean) <= abs(mean) * Fraction(1e-15) + Fraction(5e-324)
    assert abs(Fraction(float(found.m2[0])) - m2) <= m2 * Fraction(1e-12) + Fraction(1e-18)


def test_blocks_of_rows_are_merged_as_sites_are(monkeypatch):
    X = np.random.default_rng(0).normal(1e6, 1, (300, 3))
    X[::7, 1] = np.nan
    whole = ColumnMoments.of(X)
    monkeypatch.setattr(column_moments, "BLOCK", 30)
    assert np.allclose(ColumnMoments.of(X).m2, whole.m2, rtol=1e-14, atol=0)


def test_a_mean_of_one_number_would_cost_the_variance_its_digits():
    """The second of a pair: without what a mean has above one float64, a merge at 1e6 is off by more than 1e-12."""
    rng = np.random.default_rng(0)
    parts = [(1e6 + site + rng.normal(size=rows))[:, None] for site, rows in enumerate((400, 37, 90, 5, 211))]
    _, m2 = exact(np.concatenate(parts).ravel())

    def off(found):
        return float(abs(Fraction(float(ColumnMoments.merged(found).m2[0])) / m2 - 1))

    whole = [ColumnMoments.of(part) for part in parts]
    cut = [ColumnMoments(one.n, one.mean, one.m2, np.zeros(1)) for one in whole]
    assert off(whole) < 1e-15
    assert off(cut) > 1e-12


@pytest.mark.parametrize(
    "vector",
    [
        [0.5, 1, 1, 0],
        [-1, 1, 1, 0],
        [2.0**60, 1, 1, 0],
        [1, 1e200, 1, 0],
        [1, 1, -1, 0],
        [1, 1, 1e200, 0],
        [1, 1, 1, 0.1],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
    ],
)
def test_what_no_rows_can_have_is_refused_by_name(vector):
    with pytest.raises(IncompatibleSites, match="site b has sent") as caught:
        ColumnMoments.from_vector("b", np.array(vector, float))
    assert caught.value.site == "b"
