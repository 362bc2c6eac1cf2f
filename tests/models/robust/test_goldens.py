"""The rules on rows small enough to check by hand, and on published figures."""

from math import sqrt

import numpy as np
import pytest
from nervenet.models import robust
from nervenet.models.aggregate import combine, weighted_mean

THREE = [np.array(row, "d") for row in ([1, 2, 3], [4, 5, 6], [7, 8, 9])]
FIVE = [*THREE, np.array([2.0, 3, 4]), np.array([100.0, 100, 100])]


def test_the_middle_of_three_rows_is_the_same_by_every_rule_that_has_one():
    middle = [4, 5, 6]
    np.testing.assert_allclose(weighted_mean(THREE, [1, 1, 1]), middle, rtol=1e-15)
    np.testing.assert_array_equal(robust.coordinate_median(THREE), middle)
    np.testing.assert_array_equal(robust.trimmed_mean(THREE, 1), middle)
    np.testing.assert_allclose(robust.geometric_median(THREE, tolerance=0.0), middle, rtol=1e-12)


def test_krum_and_multi_krum_leave_out_the_row_that_is_far_away():
    np.testing.assert_array_equal(robust.krum(FIVE, 1), [2, 3, 4])
    np.testing.assert_array_equal(robust.multi_krum(FIVE, 1, 1), [2, 3, 4])
    np.testing.assert_array_equal(robust.multi_krum(FIVE, 1, 4), [3.5, 4.5, 5.5])
    np.testing.assert_array_equal(robust.multi_krum(FIVE, 1, 2), [1.5, 2.5, 3.5])


def test_krum_scores_the_nearest_others_and_not_itself():
    # n - f - 2 = 2 others. Counting oneself as one of them would let either of the two twins at 10 win.
    rows = [np.array([x]) for x in (0.0, 1.0, 2.0, 10.0, 10.0)]
    assert robust.krum(rows, 1) == [1.0]


def test_the_median_of_an_even_number_is_the_mean_of_the_two_in_the_middle():
    np.testing.assert_array_equal(robust.coordinate_median(FIVE[:4]), [3, 4, 5])
    np.testing.assert_array_equal(robust.coordinate_median(FIVE), [4, 5, 6])
    np.testing.assert_array_equal(robust.trimmed_mean(FIVE, 1), np.array([13, 16, 19]) / 3)


def test_bulyan_by_hand():
    # n = 7, f = 1: Krum selects 5, of which the 3 nearest to the median count. The last row is near enough to be
    # selected, in this order: 2, 1, 3, 6, 4. In the one coordinate where it stands apart it does not count.
    rows = [np.array([x, 0.0]) for x in (0.0, 1.0, 2.0, 3.0, 4.0, 50.0)] + [np.array([2.0, 1.0])]
    assert robust.bulyan_selection(rows, 1) == [1, 2, 3, 4, 6]
    np.testing.assert_allclose(robust.bulyan(rows, 1), [5 / 3, 0.0], rtol=1e-15)


def test_the_values_nearest_to_the_median_are_averaged():
    from nervenet.models.robust.coordinate_wise import mean_around_median

    rng = np.random.default_rng(0)
    rows = list(rng.standard_normal((9, 50)))
    for kept in (1, 4, 9):
        for count in (9, 8) if kept < 9 else (9,):
            stack = np.array(rows[:count])
            nearest = np.abs(stack - np.median(stack, axis=0)).argsort(axis=0, kind="stable")[:kept]
            if count % 2 or kept > 1:  # otherwise two are equally near
                expected = np.take_along_axis(stack, nearest, axis=0).mean(axis=0)
                np.testing.assert_allclose(mean_around_median(rows[:count], kept), expected, rtol=1e-12)


def test_the_geometric_median_of_a_triangle_is_its_fermat_point():
    corners = [np.array([0.0, 0.0]), np.array([1.0, 0.0]), np.array([0.5, sqrt(3) / 2])]
    found = robust.geometric_median(corners, iterations=500, tolerance=0.0)
    np.testing.assert_allclose(found, [0.5, sqrt(3) / 6], rtol=1e-7)
    # A right triangle: from the point every side is seen under 120 degrees.
    corners = [np.array([0.0, 0.0]), np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    found = robust.geometric_median(corners, iterations=500, tolerance=0.0)
    np.testing.assert_allclose(found, [(1 - 1 / sqrt(3)) / 2] * 2, rtol=1e-7)


def test_a_vector_with_more_than_half_of_the_weight_is_the_geometric_median():
    found = robust.geometric_median(FIVE, [10, 1, 1, 1, 1], iterations=500, tolerance=0.0)
    np.testing.assert_allclose(found, FIVE[0], atol=1e-5)
    stays = robust.geometric_median(FIVE, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(stays, FIVE[0])


def test_one_step_of_weiszfeld_by_hand():
    # From the median 1.5 the distances are 1.5, 0.5, 0.5 and 11.5; cut at 1.5, that of more than half of the rows, the
    # differences cancel, and so it starts there. Smoothing at 1 leaves 1.5, 1, 1 and 11.5.
    rows = [np.array([x]) for x in (0.0, 1.0, 2.0, 13.0)]
    pulls = np.array([1 / 1.5, 1, 1, 1 / 11.5])
    expected = (pulls * [0, 1, 2, 13]).sum() / pulls.sum()
    np.testing.assert_allclose(robust.geometric_median(rows, iterations=1, smoothing=1.0), [expected], rtol=1e-14)


def test_centered_clipping_by_hand():
    start = np.zeros(3)
    # Norms sqrt(14), sqrt(77), sqrt(194): with τ = 5 the first counts in full.
    expected = (THREE[0] + 5 * THREE[1] / sqrt(77) + 5 * THREE[2] / sqrt(194)) / 3
    once = robust.centered_clipping(THREE, start, 5.0)
    np.testing.assert_allclose(once, expected, rtol=1e-14)
    factors = [min(1.0, 5 / float(np.linalg.norm(row - once))) for row in THREE]
    then = once + sum(factor * (row - once) for factor, row in zip(factors, THREE, strict=True)) / 3
    np.testing.assert_allclose(robust.centered_clipping(THREE, start, 5.0, 2), then, rtol=1e-14)
    np.testing.assert_allclose(robust.centered_clipping(THREE, start, 1e9), [4, 5, 6], rtol=1e-14)


def test_a_norm_bound_shortens_what_is_longer_and_gives_back_the_rest_as_it_is():
    start = np.array([1.0, 0.0])
    given = [np.array([4.0, 4.0]), np.array([1.0, 1.0])]
    far, near = robust.clip_by_norm(given, 2.5, start)
    np.testing.assert_allclose(far, [2.5, 2.0], rtol=1e-15)
    assert near is given[1]
    np.testing.assert_allclose(robust.clip_by_norm(given, 1.0)[0], [sqrt(0.5)] * 2, rtol=1e-15)
    # The factors folded into one sum give the mean of the clipped ones.
    factors = robust.clip_factors(given, 2.5, start) / 2
    folded = combine([start, *given], [1 - float(factors.sum()), *factors.tolist()])
    np.testing.assert_allclose(folded, (far + near) / 2, rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: robust.centered_clipping(THREE, np.zeros(3), 0.0), "positive and finite, not 0"),
        (lambda: robust.centered_clipping(THREE, np.zeros(3), 1.0, 0), "at least 1, not 0"),
        (lambda: robust.clip_by_norm(THREE, float("nan")), "positive and finite"),
        (lambda: robust.geometric_median(THREE, iterations=0), "at least 1"),
        (lambda: robust.geometric_median(THREE, smoothing=0.0), "positive"),
        (lambda: robust.geometric_median(THREE, [1, -1, 1]), "none negative"),
        (lambda: robust.centered_clipping(THREE, np.zeros(4), 1.0), "expected"),
        (lambda: robust.coordinate_median([]), "no vectors"),
        (lambda: robust.trimmed_mean([], 0), "no vectors"),
        (lambda: robust.krum([], 0), "no vectors"),
        (lambda: robust.coordinate_median([np.zeros(3), np.zeros(1)]), r"shape \(1,\)"),
        (lambda: robust.squared_distances([np.zeros(3), np.zeros(3, "f")]), "dtype float32"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()
