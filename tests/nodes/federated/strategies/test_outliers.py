"""The report on who is out of line."""

import numpy as np
import pytest
from nervenet.models.rng import generator
from nervenet.nodes.federated.strategies import Contribution, Pipeline
from nervenet.nodes.federated.strategies.outliers import BLOCK, OutOfLine, outliers


def updates(differences: np.ndarray, x: np.ndarray, *, relative: bool = False) -> list[Contribution]:
    return [Contribution(f"c{i}", d if relative else x + d, x, 1, relative=relative) for i, d in enumerate(differences)]


def similar(n: int = 8, size: int = 50, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """Differences that point the same way, each with noise of its own, and a model far from the origin."""
    rng = generator(0, "similar")
    common = rng.standard_normal(size)
    return (common + 0.5 * rng.standard_normal((n, size))).astype(dtype), 10 + rng.standard_normal(size).astype(dtype)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("size", [50, 2 * BLOCK + 7])
def test_norms_and_cosines_are_those_of_the_differences(relative: bool, size: int) -> None:
    differences, x = similar(size=size)
    found = outliers(updates(differences, x, relative=relative))
    norms = np.linalg.norm(differences, axis=1)
    clipped = differences * np.minimum(1, np.median(norms) / norms)[:, None]
    mean = clipped.mean(axis=0)
    np.testing.assert_allclose(list(found.norms.values()), norms, rtol=1e-9)
    np.testing.assert_allclose(
        list(found.cosines.values()), differences @ mean / (norms * np.linalg.norm(mean)), rtol=1e-9
    )
    assert found.flagged == {}


def test_the_long_the_short_and_the_turned_are_flagged_and_nobody_else() -> None:
    differences, x = similar()
    differences[1] *= 30
    differences[4] *= -1
    differences[6] *= 1e-3
    found = outliers(updates(differences, x))
    assert sorted(found.flagged) == ["c1", "c4", "c6"]
    assert "norm" in found.flagged["c1"]
    assert "cosine" in found.flagged["c4"]
    assert "norm" in found.flagged["c6"]
    assert found.cosines["c0"] > 0.7  # one long update does not turn the direction


def test_a_screen_acts_on_it() -> None:
    differences, x = similar()
    differences[3] *= -100
    outcome = Pipeline(screen=OutOfLine()).apply({}, x, updates(differences, x))
    assert list(outcome.rejected) == ["c3"]
    np.testing.assert_allclose(outcome.weights, x + np.delete(differences, 3, axis=0).mean(axis=0))


def test_equals_zeros_and_few_are_not_flagged() -> None:
    differences, x = similar()
    assert outliers(updates(np.array([differences[0]] * 8), x)).flagged == {}
    nothing = outliers(updates(np.zeros((8, 50)), x))
    assert set(nothing.norms.values()) == set(nothing.cosines.values()) == {0.0}
    assert nothing.flagged == {}
    few = outliers(updates(np.array([differences[0], differences[1], -99 * differences[2]]), x))
    assert few.flagged == {}


def test_huge_values_are_named_and_leave_nothing_that_json_cannot_say() -> None:
    differences, x = similar(dtype="float32")
    differences[2] = 3e38
    found = outliers(updates(differences, x.astype("f")))
    assert list(found.flagged) == ["c2"]
    assert np.isfinite(list(found.norms.values())).all()
    assert np.isfinite(list(found.cosines.values())).all()
