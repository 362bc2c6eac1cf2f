"""Newton's method where the loss at a step is known one round later."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models.sklearn.newton import newton_steps
from nervenet.models.sklearn.newton.likelihoods import Binomial, Tweedie
from nervenet.models.sklearn.newton.linear_problem import LinearProblem
from nervenet.models.sklearn.newton.newton_steps import DONE, best_weights, judge, parameter_shapes, step
from nervenet.models.sklearn.newton.solve import positive_solution, shortest_solution

RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 3))
LINE = X @ [0.5, -1.0, 0.3] + 0.2


def steps_to_the_end(problem: LinearProblem, X: Any, y: Any, rounds: int) -> tuple[list[float], Any, Any]:
    """Return the losses of the weights that were taken, the weights at the end, and whether it ended by itself."""
    parameters = {name: np.zeros(shape) for name, shape in parameter_shapes(problem).items()}
    if problem.likelihood is not None and problem.intercept:
        parameters["theta"][-1] = problem.likelihood.start(float(y.mean()))
    taken: list[float] = []
    for _ in range(rounds):
        sums = problem.statistics(X, y, np.ones(len(y)), parameters["theta"]) | {"weight": np.array([len(y)])}
        judged = judge(problem, parameters, sums)
        if judged.accepted:
            taken.append(judged.pooled.value)
        following = step(problem, parameters, sums)
        if following["state"][0] == DONE:
            return taken, best_weights(parameters, judged), True
        parameters = following
    return taken, best_weights(parameters, judged), False


COUNTS = np.random.default_rng(4).poisson(1e6 * np.exp(2 * LINE)).astype(float)
HARD = {
    "separable classes, hardly a penalty": (LinearProblem(Binomial(), 3, inverse_c=1e-6), (LINE > 0).astype(int), 25),
    "three separable classes": (LinearProblem(None, 3, 3, inverse_c=1e-6), np.digitize(LINE, [-0.5, 0.7]), 25),
    "large counts": (LinearProblem(Tweedie(1.0), 3), COUNTS, 15),
    "large counts without an intercept": (LinearProblem(Tweedie(1.0), 3, intercept=False, alpha=1.0), COUNTS, 40),
    "gamma with the identity": (LinearProblem(Tweedie(2.0, False), 3, alpha=0.01), np.exp(LINE) + 0.1, 30),
    "inverse Gaussian": (LinearProblem(Tweedie(3.0), 3), np.exp(LINE), 25),
    "normal with a logarithm": (LinearProblem(Tweedie(0.0), 3), np.exp(LINE), 15),
}


@pytest.mark.parametrize("name", HARD)
def test_it_ends_from_hard_starts_and_never_takes_a_larger_loss(name: str) -> None:
    problem, y, rounds = HARD[name]
    taken, _, ended = steps_to_the_end(problem, X, y, rounds)
    assert ended
    assert all(after <= before + 1e-9 * abs(before) for before, after in itertools.pairwise(taken))


def test_a_full_step_whatever_its_loss_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton_steps, "_lowers", lambda *_: True)
    problem, y, rounds = HARD["large counts without an intercept"]
    with np.errstate(all="ignore"):
        assert not steps_to_the_end(problem, X, y, rounds)[2]


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("logarithmic", [True, False])
def test_derivatives_are_those_of_the_loss(power: float, logarithmic: bool) -> None:
    likelihood, h = Tweedie(power, logarithmic), 1e-5
    y, at = np.array([0.3, 1.0, 4.0]), np.array([0.6, 1.2, 2.0])
    before, here, after = (likelihood.at(at + shift, y) for shift in (-h, 0.0, h))
    np.testing.assert_allclose((after.loss - before.loss) / (2 * h), here.gradient, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose((after.gradient - before.gradient) / (2 * h), here.curvature, rtol=1e-6, atol=1e-8)
    assert (here.loss >= 0).all()
    assert (here.information > 0).all()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_sums_of_sites_are_those_of_their_rows_together(sizes: list[int], seed: int, many: bool) -> None:
    rng = np.random.default_rng(seed)
    problem = LinearProblem(None, 2, 3) if many else LinearProblem(Tweedie(1.5), 2)
    rows = sum(sizes)
    X, weight = rng.normal(size=(rows, 2)), rng.uniform(0.5, 2, size=rows)
    y = rng.integers(0, 3, rows) if many else rng.gamma(1.0, size=rows)
    theta = rng.normal(size=problem.size)
    whole = problem.statistics(X, y, weight, theta)
    cuts = np.cumsum(sizes)[:-1]
    parts = [problem.statistics(*own, theta) for own in zip(*(np.split(a, cuts) for a in (X, y, weight)), strict=True)]
    for name, wanted in whole.items():
        np.testing.assert_allclose(sum(part[name] for part in parts), wanted, rtol=1e-10, atol=1e-10)


def test_a_singular_hessian_has_the_shortest_step() -> None:
    square = np.array([[2.0, 2.0], [2.0, 2.0]])
    assert positive_solution(square, np.array([1.0, 1.0])) is None
    np.testing.assert_allclose(shortest_solution(square, np.array([1.0, 1.0])), [0.25, 0.25])


def test_a_hessian_that_is_too_large_to_be_sent_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"101 inputs x 10 classes are 1010 weights, at most 1000.*SGDClassifier"):
        LinearProblem(None, 100, 10).check_size("LogisticRegression")
