"""The clock of a model that is made of several."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.schedule import mean_clock, median_clock

PAIRS = st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 1000)), min_size=1, max_size=9)


def test_the_mean_and_the_median_by_hand():
    assert mean_clock([1.0, 4.0], [2, 1]) == 2.0
    assert median_clock([9.0, 1.0, 2.0], [1, 1, 1]) == 2.0
    assert median_clock([9.0, 1.0, 2.0], [5, 1, 1]) == 9.0
    assert median_clock([4.0, 2.0], [3, 3]) == 3.0


@given(PAIRS)
def test_what_is_one_clock_for_all_stays_it(pairs):
    clock = pairs[0][0]
    weights = [weight for _, weight in pairs]
    assert median_clock([clock] * len(pairs), weights) == clock
    assert mean_clock([clock] * len(pairs), weights) == pytest.approx(clock)


@given(PAIRS, st.floats(0, 2**53))
def test_no_minority_sets_the_median(pairs, lie):
    weight = sum(weight for _, weight in pairs)
    honest = [clock for clock, _ in pairs]
    found = median_clock([*honest, lie], [*(weight for _, weight in pairs), weight - 0.5])
    assert min(honest) <= found <= max(honest)


def test_a_minority_would_set_the_mean():
    assert mean_clock([5.0, 5.0, 2.0**53], [1, 1, 1]) > 1e15
