"""Attacks: the figures that are published, and what each sends."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from nervenet.models import generator
from nervenet.models.weights import BLOCK

SPEC = importlib.util.spec_from_file_location(
    "attacks", Path(__file__).parents[1] / "benchmarks" / "papers" / "attacks.py"
)
attacks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(attacks)
alie, alie_z_max, gaussian, sign_flip = attacks.alie, attacks.alie_z_max, attacks.gaussian, attacks.sign_flip

THREE = [np.array(row, "d") for row in ([1, 2, 3], [4, 5, 6], [7, 8, 9])]


def test_a_sign_flip_sends_the_mean_backwards():
    np.testing.assert_allclose(sign_flip(THREE), [-4, -5, -6], rtol=1e-15)
    np.testing.assert_allclose(sign_flip(THREE, 3.0), [-12, -15, -18], rtol=1e-15)


def test_alie_adds_sample_deviations_to_the_mean():
    np.testing.assert_allclose(alie(THREE, 1.5), [8.5, 9.5, 10.5], rtol=1e-15)
    with pytest.raises(ValueError, match="two honest"):
        alie(THREE[:1], 1.0)


def test_alie_is_the_same_over_block_seams():
    vectors = list(generator(0).standard_normal((3, BLOCK + 10)))
    expected = np.mean(vectors, axis=0) - 0.5 * np.std(vectors, axis=0, ddof=1)
    np.testing.assert_allclose(alie(vectors, -0.5), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "f", "z"), [(25, 11, "1.06757"), (20, 6, "0.36611")])
def test_the_published_z(n, f, z):
    assert f"{alie_z_max(n, f):.5f}" == z


@pytest.mark.parametrize(("n", "f"), [(20, 0), (20, 11), (20, 20), (2, 1), (3, 3)])
def test_there_is_no_z_for_a_majority_or_nobody(n, f):
    with pytest.raises(ValueError, match=f"f = {f} Byzantine among n = {n}"):
        alie_z_max(n, f)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attacks_keep_the_dtype_and_change_no_input(dtype):
    honest = [np.frombuffer(row.astype(dtype).tobytes(), dtype) for row in THREE]
    sent = [sign_flip(honest), alie(honest, 1.0), gaussian(honest, generator(0))]
    assert {vector.dtype for vector in sent} == {np.dtype(dtype)}
    np.testing.assert_array_equal(honest, THREE)


def test_gaussian_noise_has_the_deviation_that_was_asked_for():
    model = [np.zeros(20_000, "f")]
    noise = gaussian(model, generator(1), 3.0)
    assert abs(float(noise.std()) - 3) < 0.1
    assert abs(float(noise.mean())) < 0.1
    np.testing.assert_array_equal(noise, gaussian(model, generator(1), 3.0))
