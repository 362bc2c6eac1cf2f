"""What holds for the rules whatever the vectors are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models import generator, parallel, robust
from nervenet.models.robust import coordinate_wise

N, F = 11, 2
RULES = {
    "coordinate median": robust.coordinate_median,
    "trimmed mean": lambda xs: robust.trimmed_mean(xs, F),
    "krum": lambda xs: robust.krum(xs, F),
    "multi-krum": lambda xs: robust.multi_krum(xs, F, 5),
    "bulyan": lambda xs: robust.bulyan(xs, F),
    "geometric median": lambda xs: robust.geometric_median(xs, iterations=200, tolerance=1e-12),
}
EXACT = ("coordinate median", "trimmed mean", "krum", "bulyan")

some_rules = pytest.mark.parametrize("name", RULES)
draws = settings(max_examples=15, deadline=None)
seeds, dtypes = st.integers(0, 2**32), st.sampled_from(["float32", "float64"])


def draw(seed, dtype="float64", n=N, size=30):
    return list(generator(seed, "vectors").standard_normal((n, size)).astype(dtype))


def rounding(dtype, name=""):
    """What may differ. An iteration that ends where the objective stands still ends at the root of the rounding."""
    digits = 1e-5 if dtype == "float32" else 1e-9
    digits *= 100 if name == "geometric median" else 2
    return {"rtol": digits, "atol": digits}


@some_rules
@draws
@given(seed=seeds, dtype=dtypes)
def test_the_order_of_clients_does_not_matter(name, seed, dtype):
    vectors = draw(seed, dtype)
    order = generator(seed, "order").permutation(N)
    merged, permuted = RULES[name](vectors), RULES[name]([vectors[i] for i in order])
    assert merged.dtype == dtype
    if name in EXACT:
        np.testing.assert_array_equal(merged, permuted)
    else:
        np.testing.assert_allclose(merged, permuted, **rounding(dtype, name))


@some_rules
@draws
@given(seed=seeds, shift=st.floats(-100, 100))
def test_a_common_shift_shifts_the_result(name, seed, shift):
    vectors = draw(seed)
    moved = RULES[name]([vector + shift for vector in vectors])
    np.testing.assert_allclose(moved, RULES[name](vectors) + shift, **rounding("float64", name))


@some_rules
@draws
@given(seed=seeds, factor=st.floats(-50, 50).filter(lambda x: abs(x) > 0.02))
def test_a_common_factor_scales_the_result(name, seed, factor):
    vectors = draw(seed)
    scaled = RULES[name]([vector * factor for vector in vectors])
    np.testing.assert_allclose(scaled, RULES[name](vectors) * factor, rtol=1e-4, atol=1e-5)


@some_rules
@draws
@given(seed=seeds, dtype=dtypes)
def test_equal_vectors_stay_what_they_are(name, seed, dtype):
    one = draw(seed, dtype, n=1)[0]
    merged = RULES[name]([one] * N)
    if name in EXACT:
        np.testing.assert_array_equal(merged, one)
    else:
        np.testing.assert_allclose(merged, one, **rounding(dtype))
    zero = np.zeros_like(one)
    np.testing.assert_array_equal(RULES[name]([zero] * N), zero)


@draws
@given(seed=seeds, dtype=dtypes, tau=st.floats(0.1, 10))
def test_centered_clipping_stays_where_all_are_and_moves_by_tau_at_most(seed, dtype, tau):
    vectors, start = draw(seed, dtype), draw(seed + 1, dtype, n=1)[0]
    np.testing.assert_allclose(robust.centered_clipping([start] * N, start, tau, 3), start, **rounding(dtype))
    merged = robust.centered_clipping(vectors, start, tau)
    assert merged.dtype == dtype
    assert np.linalg.norm(merged - start) <= tau * (1 + 1e-5)
    backwards = robust.centered_clipping(vectors[::-1], start, tau)
    np.testing.assert_allclose(merged, backwards, **rounding(dtype))
    byzantine = [*vectors[1:], start + np.asarray(1e6, dtype)]
    assert np.linalg.norm(robust.centered_clipping(byzantine, start, tau) - merged) <= 2 * tau / N + 1e-3


@some_rules
def test_inputs_may_be_read_only_and_are_not_changed(name):
    vectors = draw(3)
    received = [np.frombuffer(vector.tobytes(), vector.dtype) for vector in vectors]
    merged = RULES[name](received)
    merged += 1  # the result is none of the inputs
    for vector, original in zip(received, vectors, strict=True):
        np.testing.assert_array_equal(vector, original)
    start = np.frombuffer(vectors[0].tobytes())
    robust.centered_clipping(received, start, 1.0)[:] = 0
    robust.clip_by_norm(received, 0.5, start)
    np.testing.assert_array_equal(start, vectors[0])


@draws
@given(seed=seeds, dtype=dtypes, large=st.sampled_from([1.0, 1e3, 1e30]))
def test_a_byzantine_minority_does_not_move_a_coordinate_out_of_the_honest_range(seed, dtype, large):
    honest = draw(seed, dtype, n=6)
    low, high = np.min(honest, axis=0), np.max(honest, axis=0)
    # 5 of 11; some coordinates far above, some far below, some within.
    byzantine = [vector * np.asarray(large, dtype) for vector in draw(seed + 1, dtype, n=5)]
    for merged in (robust.coordinate_median(byzantine + honest), robust.trimmed_mean(byzantine + honest, 5)):
        assert (low <= merged).all()
        assert (merged <= high).all()
    mean = np.mean(byzantine + honest, axis=0)
    assert large < 100 or not ((low <= mean) & (mean <= high)).all()  # or the test above could not fail


@some_rules
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("large", [1e6, 1e25])
def test_far_away_byzantine_vectors_leave_the_result_among_the_honest(name, dtype, large):
    offset = np.asarray(10, dtype)
    honest = [offset + vector for vector in draw(5, dtype, n=N - F)]
    byzantine = [np.full(30, -large, dtype), np.full(30, large, dtype)]
    for vectors in (byzantine + honest, honest + byzantine):
        merged = RULES[name](vectors)
        assert np.abs(merged - np.mean(honest, axis=0)).max() < 4, name


def far_from_the_honest(f, large, weights=None):
    """How far the geometric median, as it is by default, is from the honest vectors, in units of the longest of them;
    f of 2f + 1 are far away, or have as much weight as two of ten thousand.
    """
    honest = draw(8, n=f + 1)
    byzantine = [np.full(30, large)] * f
    merged = robust.geometric_median([*byzantine, *honest], weights)
    return np.linalg.norm(merged) / max(np.linalg.norm(vector) for vector in honest)


@pytest.mark.parametrize("f", [1, 2, 10])
@pytest.mark.parametrize("large", [1e3, 1e6, 1e12, 1e30])
def test_the_geometric_median_is_among_the_honest_however_far_away_the_others_are(f, large):
    assert far_from_the_honest(f, large) < 2


def test_weights_say_who_is_the_majority_of_a_geometric_median():
    assert far_from_the_honest(3, 1e12, [1, 1, 1, 10, 10, 10, 10]) < 2
    assert far_from_the_honest(3, 1e12, [1, 1, 1, 1.5, 1, 0, 1]) < 2
    assert far_from_the_honest(3, 1e12, [9, 9, 9, 1, 1, 1, 1]) > 1e6


def test_a_geometric_median_that_starts_from_the_mean_would_be_moved_far_away(monkeypatch):
    from nervenet.models.robust import geometric

    def mean(vectors, _):
        return np.mean(vectors, axis=0)

    monkeypatch.setattr(geometric, "_among_most", mean)
    with pytest.raises(AssertionError):
        test_the_geometric_median_is_among_the_honest_however_far_away_the_others_are(10, 1e6)


@pytest.mark.parametrize("size", [1, coordinate_wise.ROOM // 7 - 1, 2 * (coordinate_wise.ROOM // 7) + 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_leave_no_seam(size, dtype):
    vectors = draw(1, dtype, n=7, size=size)
    np.testing.assert_array_equal(robust.coordinate_median(vectors), np.median(vectors, axis=0))
    middle = np.sort(vectors, axis=0)[2:5].mean(axis=0)
    np.testing.assert_allclose(robust.trimmed_mean(vectors, 2), middle, **rounding(dtype))
    rough = {"rtol": 1e-5} if dtype == "float32" else {"rtol": 1e-12}
    norms = np.linalg.norm(np.asarray(vectors, np.float64) - vectors[0], axis=1)
    np.testing.assert_allclose(robust.distances_to(vectors, vectors[0]), norms, **rough)


@pytest.mark.parametrize("name", ["coordinate median", "krum", "bulyan", "geometric median"])
def test_the_number_of_cores_changes_no_bit(name, monkeypatch):
    vectors = draw(2, "float32", n=N, size=70_000)
    monkeypatch.setattr(parallel, "WORTH_THREADS", 0)
    results = set()
    for cores in (1, 2, 3):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        results.add(RULES[name](vectors).tobytes() + robust.distances_to(vectors).tobytes())
    assert len(results) == 1
