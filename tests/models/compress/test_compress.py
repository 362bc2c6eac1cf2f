"""Codecs: what comes back, how far off and how biased, and in how many bytes."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models import generator
from nervenet.models.compress import CodecError, error_feedback, parse
from nervenet.models.compress.base import CHUNK
from nervenet.models.compress.quantize import BIGGEST, ROW, UNIT, Stochastic
from nervenet.models.compress.sparse import HEAD, largest

SPARSE = ("", "top-k:0.3", "top-k:0.05", "top-k:1")
NUMBERS = ("", "float16", "bfloat16", "int8", "int4")
SPECS = ["+".join(filter(None, ("delta", *stages))) for stages in product(SPARSE, NUMBERS, ("", "deflate"))]
# Around the edges of rows of 1024, of chunks, and of bytes and nibbles.
SIZES = (1, 2, 7, 8, 9, 255, 1000, ROW - 1, ROW, ROW + 1, 3 * ROW + 513, CHUNK, CHUNK + 1, 2 * CHUNK + 3001)


DITHER = "nervenet.models.compress.quantize._dither"


def rng():
    return generator(7, "test")


def normal(size, dtype="float32", scale=0.01):
    return (generator(1, "vector", size).standard_normal(size) * scale).astype(dtype)


def coded(spec, vector, parts=1):
    codec = parse(spec)
    frame = codec.encode(vector, rng(), parts)
    assert frame.size <= codec.bound(vector.size // parts, vector.dtype, parts)
    return codec.decode(frame, vector.size // parts, vector.dtype, parts)


def scales_of(vector, levels):
    """The scale of every element, worked out the slow way."""
    rows = [vector[start : start + ROW] for start in range(0, vector.size, ROW)]
    return np.concatenate([np.full(row.size, np.abs(row).max() / levels) for row in rows])


vectors = st.tuples(
    st.sampled_from(["float32", "float64"]),
    st.lists(
        st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, -0.0, 1.0, 65504.0, -7e4, 1e-30, 1e-45]),
        max_size=40,
    ),
    st.integers(1, 3),
).map(lambda drawn: np.tile(np.array(drawn[1], drawn[0]), drawn[2]))


# ------------------------------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_codec_takes_every_size_and_gives_back_its_dtype(spec, dtype):
    for size in SIZES:
        vector = normal(size, dtype)
        before = vector.copy()
        decoded = coded(spec, vector)
        assert (decoded.dtype, decoded.shape) == (vector.dtype, vector.shape)
        assert np.isfinite(decoded).all()
        assert (vector == before).all()


@pytest.mark.parametrize("spec", ["", "delta", "deflate", "delta+deflate"])
@given(vector=vectors)
@settings(max_examples=30, deadline=None)
def test_a_lossless_codec_gives_back_every_bit(spec, vector):
    assert not parse(spec).lossy
    assert coded(spec, vector).tobytes() == vector.tobytes()


def test_a_lossless_codec_lets_nan_pass_for_the_receiver_to_judge():
    vector = np.array([1, np.nan, np.inf], "float32")
    for spec in ("", "delta+deflate"):
        assert coded(spec, vector).tobytes() == vector.tobytes()


@pytest.mark.parametrize(("spec", "levels"), [("delta+int8", 127), ("delta+int4", 7)])
@given(vector=vectors)
@settings(max_examples=60, deadline=None)
def test_no_element_is_off_by_more_than_its_scale(spec, levels, vector):
    off = np.abs(coded(spec, vector).astype("float64") - vector)
    assert (off <= scales_of(vector.astype("float64"), levels) * 1.0001 + 2.0**-100).all() if vector.size else True


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dither", [0, 65535])
def test_the_largest_of_a_block_never_leaves_the_levels(bits, dither, monkeypatch):
    # Peaks over many binades and mantissas: a product rounded past the last level would come out a level too large, or
    # with the other sign.
    monkeypatch.setattr(DITHER, lambda size, rng: np.full(size, dither, "<u2"))
    peaks = np.exp(generator(3).uniform(-60, 80, 8000)).astype("float32")
    rows = np.zeros((peaks.size, ROW), "float32")
    rows[:, 5], rows[:, 9] = peaks, -peaks
    decoded = coded(f"delta+int{bits}", rows.ravel()).reshape(-1, ROW)
    np.testing.assert_allclose(decoded[:, 5], peaks, rtol=2e-7)
    np.testing.assert_allclose(decoded[:, 9], -peaks, rtol=2e-7)


@pytest.mark.parametrize(("bits", "fraction"), [(8, 0.1), (8, 0.5), (8, 100.987), (4, 0.01), (4, 0.7), (4, 6.3)])
def test_quantisation_is_unbiased(bits, fraction):
    quantizer = Stochastic(bits)
    vector = np.full(400 * ROW, fraction / quantizer.levels, "float32")
    vector[::2] *= -1
    vector[::ROW] = 1
    codes = coded(f"delta+int{bits}", vector) * quantizer.levels
    signs = np.sign(vector)
    inner = np.ones(vector.size, bool)
    inner[::ROW] = False
    p = fraction % 1
    deviation = (p * (1 - p) / inner.sum()) ** 0.5
    assert abs((codes * signs)[inner].mean() - fraction) < 4 * deviation + 1e-4
    # The signs must not hide a drift to one side.
    assert abs((codes - vector * quantizer.levels)[inner].mean()) < 4 * deviation + 1e-4


def test_a_quantizer_that_only_truncates_would_fail_the_test_above(monkeypatch):
    monkeypatch.setattr(DITHER, lambda size, rng: np.zeros(size, "<u2"))
    with pytest.raises(AssertionError):
        test_quantisation_is_unbiased(8, 0.5)


@pytest.mark.parametrize("bits", [8, 4])
def test_all_dithers_together_give_the_mean(bits, monkeypatch):
    monkeypatch.setattr(DITHER, lambda size, rng: np.arange(size).astype("<u2").reshape(size))
    levels = Stochastic(bits).levels
    for fraction in (0.0, 0.25, 1 / 3, levels - 0.001, -2.7):
        vector = np.full(65536, fraction / levels)
        vector[::ROW] = 1
        codes = coded(f"delta+int{bits}", vector).reshape(-1, ROW) * levels
        # One dither in each row goes to the element that makes the scale: at most a 1024th of the carries.
        assert abs(codes[:, 1:].mean() - fraction) < 2 / ROW


@pytest.mark.parametrize("levels", [127, 7])
def test_the_arithmetic_of_a_scale_keeps_every_mantissa_at_its_level(levels):
    peaks = (np.arange(2**23, dtype="uint32") | np.uint32(0x3F800000)).view("float32")
    scales = (peaks.astype("float64") / levels).astype("float32")
    assert (np.rint(peaks * (np.float32(UNIT) / scales)) == levels * UNIT).all()


def test_parts_of_a_level_are_rounded_to_the_nearest(monkeypatch):
    for dither, parts, code in ((65535, 0.7, 1), (65535, 0.3, 0), (0, -0.3, 0), (0, -0.7, -1)):
        monkeypatch.setattr(DITHER, lambda size, rng, dither=dither: np.full(size, dither, "<u2"))
        decoded = coded("delta+int8", np.array([127, parts / 65536], "float32"))
        assert round(float(decoded[1])) == code


def variance(bits):
    """The smallest ω with E||Q(x) - x||² <= ω ||x||² for every x, and where it is reached, as a share of a level."""
    a = Stochastic(bits).levels ** 2 / (ROW - 1)
    p = (a * a + a) ** 0.5 - a
    return (1 - 2 * p) / (2 * p), p


@pytest.mark.parametrize("bits", [8, 4])
def test_the_worst_block_has_the_variance_that_is_stated_and_none_has_more(bits):
    quantizer = Stochastic(bits)
    omega, worst = variance(bits)

    def found(p):
        rows = np.full((300, ROW), p / quantizer.levels, "float32")
        rows[:, 0] = 1
        vector = rows.ravel()
        return float(((coded(f"delta+int{bits}", vector) - vector) ** 2).sum() / (vector**2).sum())

    assert found(worst) == pytest.approx(omega, rel=0.03)
    assert all(found(p) < omega * 1.03 for p in (0.05, 0.5 * worst, 1.3 * worst, 0.7, 1.5))


def test_the_variances_in_the_docstring():
    assert variance(8)[0] == pytest.approx(0.016, abs=0.0005)
    assert variance(4)[0] == pytest.approx(1.84, abs=0.005)
    vector = normal(1_000_000)
    for spec, share in (("delta+int8", 1.24e-4), ("delta+int4", 0.041)):
        assert ((coded(spec, vector) - vector) ** 2).sum() / (vector**2).sum() == pytest.approx(share, rel=0.05)


def test_zero_blocks_and_tiny_ones_become_zeros():
    vector = normal(4 * ROW)
    vector[ROW : 2 * ROW] = 0
    vector[2 * ROW : 3 * ROW] *= np.float32(1e-36)
    for spec in ("delta+int8", "delta+int4"):
        decoded = coded(spec, vector)
        assert not decoded[ROW : 3 * ROW].any()
        assert decoded[:ROW].any()
        assert decoded[3 * ROW :].any()


@pytest.mark.parametrize("spec", [spec for spec in SPECS if parse(spec).lossy])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_lossy_codec_refuses_what_is_not_finite(spec, bad):
    vector = normal(3000)
    vector[2500] = bad
    with pytest.raises(CodecError, match="NaN"):
        parse(spec).encode(vector, rng())


def test_quantizers_refuse_what_would_overflow_and_take_the_largest_that_does_not():
    for spec in ("delta+int8", "delta+int4"):
        for size in (3, ROW, ROW + 3):
            for dtype in ("float32", "float64"):
                vector = np.full(size, BIGGEST, dtype)
                np.testing.assert_allclose(coded(spec, vector), vector, rtol=1e-6)
                vector[1] *= 1.5
                with pytest.raises(CodecError, match="beyond"):
                    parse(spec).encode(vector, rng())
    with pytest.raises(CodecError, match="beyond"):
        parse("delta+int8").encode(np.array([1e300]), rng())


@given(vector=vectors)
@settings(max_examples=60, deadline=None)
def test_half_precision_rounds_to_the_nearest_and_saturates(vector):
    exact = vector.astype("float64")
    for spec, bits, smallest, top in (("float16", 11, 2.0**-14, 65504.0), ("bfloat16", 8, 2.0**-126, 3.38953139e38)):
        decoded = coded(spec, vector)
        wanted = np.clip(exact, -top, top)
        bound = np.maximum(np.abs(wanted), smallest) * 2.0**-bits
        assert (np.abs(decoded - wanted) <= bound * 1.0001).all()


def test_half_precision_of_what_is_too_large():
    vector = np.array([65519.0, 65520.0, -1e30, 1e300, -1e300])
    assert coded("float16", vector).tolist() == [65504, 65504, -65504, 65504, -65504]
    assert coded("bfloat16", vector)[3] == float(np.uint32(0x7F7F0000).view("float32"))
    assert coded("bfloat16", np.array([np.finfo("float32").max], "float32"))[0] < np.inf


def test_bfloat16_rounds_ties_to_even():
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF], "uint32")
    assert [hex(word) for word in coded("bfloat16", bits.view("float32")).view("uint32")] == [
        "0x3f800000",
        "0x3f820000",
        "0x3f810000",
        "0x3f800000",
    ]


@given(vector=vectors, share=st.sampled_from([0.01, 0.1, 0.5, 1.0]))
@settings(max_examples=100, deadline=None)
def test_top_k_keeps_the_largest_as_they_are_and_nothing_else(vector, share):
    decoded = coded(f"delta+top-k:{share}", vector)
    k = min(vector.size, max(1, round(share * vector.size)))
    order = sorted(range(vector.size), key=lambda i: (-abs(vector[i]), i))
    expected = np.zeros_like(vector)
    expected[order[:k]] = vector[order[:k]]
    assert (decoded == expected).all()


@pytest.mark.parametrize("size", [200_003])
@pytest.mark.parametrize("make", ["normal", "ties", "mostly zero", "few large", "sample misses all"])
def test_the_largest_are_exact_however_the_sample_lies(size, make):
    vector = normal(size)
    if make == "ties":
        vector = np.rint(vector * 100)
    elif make == "mostly zero":
        vector[generator(2).permutation(size)[: size - 500]] = 0
    elif make == "few large":
        vector[-2000:] *= 1e6
    elif make == "sample misses all":  # the sample takes every (size // 65536)th
        vector[:: size // 65536] *= 1e6
    for k in (1, 100, 2000, size // 10, size):
        found = largest(vector, k)
        order = np.argsort(-np.abs(vector), kind="stable")[:k]
        expected = np.sort(order[vector[order] != 0])
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("spread", ["even", "clustered"])
@pytest.mark.parametrize("share", [0.0001, 0.001, 0.01, 0.05, 0.1, 0.3, 0.9])
def test_every_kind_of_index_brings_its_elements_back(share, spread):
    vector = normal(300_001)
    if spread == "clustered":
        vector[: vector.size // 2] *= 1e-3
    frame = parse(f"delta+top-k:{share}").encode(vector, rng())
    decoded = parse(f"delta+top-k:{share}").decode(frame, vector.size, "float32")
    kept = np.flatnonzero(decoded)
    assert kept.size == round(share * vector.size)
    assert (decoded[kept] == vector[kept]).all()
    # Never longer than positions of 4 bytes or a bitmap.
    assert frame.size <= HEAD.size + 4 * kept.size + min(4 * kept.size, vector.size // 8 + 1)


def test_indices_use_all_four_kinds():
    vector = normal(300_001)
    kinds = {
        HEAD.unpack_from(parse(f"delta+top-k:{share}").encode(vector, rng()))[1] for share in (0.5, 0.1, 0.01, 0.0005)
    }
    assert kinds == {0, 4, 8, 16}


def test_top_k_contracts():
    vector = normal(10_000)
    norm = (vector**2).sum()
    for share in (0.01, 0.1, 0.5):
        assert ((coded(f"delta+top-k:{share}", vector) - vector) ** 2).sum() <= (1 - share) * norm
        omega = variance(8)[0]
        assert ((coded(f"delta+top-k:{share}+int8", vector) - vector) ** 2).sum() <= (1 - (1 - omega) * share) * norm


# ---------------------------------------------------------------------------------------------------------- bytes


def test_frames_are_as_short_as_promised():
    vector = normal(1_000_000)
    shares = {
        "float16": 0.5,
        "bfloat16": 0.5,
        "delta+int8": 0.25 * 1.01,
        "delta+int4": 0.125 * 1.01,
        "delta+top-k:0.01": 0.0135,
        "delta+top-k:0.01+int8": 0.006,
        "delta+deflate": 0.9,
        "delta+int8+deflate": 0.24,
    }
    for spec, share in shares.items():
        assert parse(spec).encode(vector, rng()).size <= share * vector.nbytes, spec


def test_deflate_adds_next_to_nothing_to_noise_and_removes_zeros():
    noise = generator(0).integers(0, 2**30, 100_000, dtype="uint32").view("float32")
    assert parse("deflate").encode(noise, rng()).size < noise.nbytes * 0.97 + 40
    random = np.frombuffer(generator(0).bytes(400_000), "float32")
    assert parse("deflate").encode(random, rng()).size <= random.nbytes + 40
    assert parse("deflate").encode(np.zeros(100_000, "float32"), rng()).size < 3000


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_address_gives_the_same_bytes(spec):
    vector = normal(2 * CHUNK + 77)
    codec = parse(spec)
    first = codec.encode(vector, generator(1, "a", 3)).tobytes()
    assert first == codec.encode(vector, generator(1, "a", 3)).tobytes()
    if "int" in spec and "top-k:0.05" not in spec:
        assert first != codec.encode(vector, generator(1, "a", 4)).tobytes()


def test_strided_and_read_only_vectors_are_taken():
    wide = normal(20_000)
    strided = wide[::2]
    strided.flags.writeable = False
    for spec in SPECS:
        frame = parse(spec).encode(strided, rng())
        frame.flags.writeable = False
        assert frame.tobytes() == parse(spec).encode(strided.copy(), rng()).tobytes()
        # A frame within a message stands at any address.
        shifted = np.frombuffer(b"x" + frame.tobytes(), np.uint8)[1:]
        decoded = parse(spec).decode(shifted, strided.size, "float32")
        assert (decoded == parse(spec).decode(frame, strided.size, np.float32)).all()


# ---------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("spec", SPECS)
def test_parts_do_not_mix(spec):
    weights, control = normal(5001), normal(5001, scale=1e-6)
    both = np.concatenate([weights, control])
    decoded = coded(spec, both, parts=2)
    alone = parse(spec)
    draws = rng()
    one = alone.decode(alone.encode(weights, draws), 5001, "float32")
    two = alone.decode(alone.encode(control, draws), 5001, "float32")
    assert (decoded == np.concatenate([one, two])).all()
    assert decoded[5001:].any()


def test_the_lengths_of_parts_are_checked():
    codec = parse("delta+top-k:0.1")
    both = normal(2000)
    frame = codec.encode(both, rng(), 2)
    for change in (1, -1, 2**63):
        lengths = frame[:16].view("<u8").copy()
        lengths[0] = np.uint64((int(lengths[0]) + change) % 2**64)
        damaged = np.concatenate([lengths.view("uint8"), frame[16:]])
        with pytest.raises(CodecError, match="parts"):
            codec.decode(damaged, 1000, "float32", 2)
    with pytest.raises(CodecError, match="lengths"):
        codec.decode(frame[:15], 1000, "float32", 2)
    with pytest.raises(CodecError, match="3 flat parts"):
        codec.encode(both, rng(), 3)


# ------------------------------------------------------------------------------------------------- error feedback


@pytest.mark.parametrize("spec", ["delta+top-k:0.05", "delta+top-k:0.05+int4", "delta+int4", "delta+float16"])
def test_error_feedback_loses_nothing(spec):
    codec = parse(spec)
    sent, wanted, residual = np.zeros(3000), np.zeros(3000), None
    for number in range(40):
        vector = normal(3000, "float64") * (1 + 0.1 * number)
        kept = vector.copy(), None if residual is None else residual.copy()
        frame, decoded, left = error_feedback(vector, residual, codec, generator(5, number))
        assert (decoded == codec.decode(frame, 3000, "float64")).all()
        assert (vector == kept[0]).all()
        assert residual is None or (residual == kept[1]).all()
        residual = left
        sent += decoded
        wanted += vector
    np.testing.assert_allclose(sent + residual, wanted, rtol=0, atol=1e-12)


def test_error_feedback_brings_small_elements_through_in_time():
    codec = parse("delta+top-k:0.1")
    vector = np.linspace(0.5, 1.5, 100)
    alone = sum(codec.decode(codec.encode(vector, rng()), 100, "float64") for _ in range(100)) / 100
    residual, total = None, np.zeros(100)
    for _ in range(100):
        _, decoded, residual = error_feedback(vector, residual, codec, rng())
        total += decoded
    assert np.count_nonzero(alone) == 10
    np.testing.assert_allclose(total / 100, vector, rtol=0.25)


def test_error_feedback_of_a_lossless_codec_costs_nothing():
    vector = normal(100)
    frame, decoded, residual = error_feedback(vector, None, parse("delta+deflate"), rng())
    assert decoded is vector
    assert residual is None
    assert parse("delta+deflate").decode(frame, 100, "float32").tobytes() == vector.tobytes()
    # A residual from before a change of codec goes out at once.
    _, decoded, residual = error_feedback(vector, vector, parse("delta"), rng())
    assert (decoded == 2 * vector).all()
    assert residual is None


def test_error_feedback_of_parts_keeps_them_apart():
    both = np.concatenate([normal(500), normal(500, scale=1e-6)])
    frame, decoded, residual = error_feedback(both, None, parse("delta+top-k:0.1"), rng(), parts=2)
    assert np.count_nonzero(decoded[:500]) == np.count_nonzero(decoded[500:]) == 50
    assert (decoded + residual == both).all()
    assert (parse("delta+top-k:0.1").decode(frame, 500, "float32", 2) == decoded).all()
