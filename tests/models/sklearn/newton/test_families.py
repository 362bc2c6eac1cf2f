"""Generalized linear models over sites: what scikit-learn's `fit` finds on the rows of all of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.local.alone import train_alone
from nervenet.models.model import CannotMerge, LocalWork
from nervenet.models.registry import as_model
from nervenet.models.site_model import SiteModel
from nervenet.models.sklearn.newton import adapters, newton_steps
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    TweedieRegressor,
)

from ..exact.over_sites import learn, skewed

RNG = np.random.default_rng(7)
X = RNG.normal(size=(240, 4)) * [1.0, 3.0, 0.2, 1.0]
LINE = X @ [0.5, -0.2, 1.0, 0.0] + 0.3
LABELS = {
    2: (RNG.random(240) < 1 / (1 + np.exp(-LINE))).astype(int),
    3: np.digitize(LINE + RNG.normal(size=240), [-0.5, 1]),
}
TARGETS = {
    "counts": RNG.poisson(np.exp(LINE)).astype(float),
    "amounts": RNG.gamma(2.0, np.exp(LINE) / 2) + 1e-3,
    "any": LINE + RNG.normal(size=240),
}
WEIGHT = RNG.uniform(0.5, 2.0, size=240)
OFFSET = 1e6
TIGHT = {"tol": 1e-12, "max_iter": 10_000}


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep scikit-learn's own fits from starting a process that counts cores."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


three_classes = pytest.mark.skipif(
    not adapters._multinomial(), reason="scikit-learn before 1.6 fits each class against the rest"
)
CLASSES = [2, pytest.param(3, marks=three_classes)]


def line(estimator: Any) -> np.ndarray:
    """Return coefficients and intercepts in one vector."""
    return np.concatenate([np.ravel(estimator.coef_), np.ravel(estimator.intercept_)])


def without_offset(estimator: Any) -> np.ndarray:
    """Return the same for inputs that lie about zero: of rows far from it scikit-learn's own fit has no digits."""
    coef = np.atleast_2d(estimator.coef_)
    return np.concatenate([coef.ravel(), np.ravel(estimator.intercept_) + coef.sum(axis=1) * OFFSET])


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("settings", [{}, {"C": 0.01}, {"C": np.inf}, {"C": 2.0, "fit_intercept": False}])
def test_logistic_regression_is_that_of_all_rows(classes: int, settings: dict[str, Any]) -> None:
    estimator = LogisticRegression(solver="newton-cholesky", **settings, **TIGHT)
    y = LABELS[classes]
    found = learn(estimator, skewed((X, y)), rounds=12).model.estimator
    assert relative(line(found), line(estimator.fit(X, y))) < 1e-8
    np.testing.assert_allclose(found.predict_proba(X), estimator.predict_proba(X), atol=1e-8)


@pytest.mark.parametrize("classes", CLASSES)
def test_weights_of_rows_and_an_offset_cost_no_digits(classes: int) -> None:
    estimator = LogisticRegression(solver="newton-cholesky", C=0.5, **TIGHT)
    y = LABELS[classes]
    found = learn(estimator, skewed((X + OFFSET, y, WEIGHT)), rounds=12).model.estimator
    assert relative(without_offset(found), line(estimator.fit(X, y, sample_weight=WEIGHT))) < 1e-8


@three_classes
def test_sites_of_one_class_each_find_what_all_rows_say() -> None:
    estimator = LogisticRegression(solver="newton-cholesky", **TIGHT)
    y = LABELS[3]
    sites = [(X[y == label], y[y == label]) for label in range(3)]
    assert relative(line(learn(estimator, sites, rounds=12).model.estimator), line(estimator.fit(X, y))) < 1e-8


@pytest.mark.parametrize(("version", "refused"), [("1.5.2", True), ("1.6.0", False), ("1.10.dev0", False)])
def test_three_classes_are_refused_where_scikit_learn_fits_each_against_the_rest(
    version: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn.__version__", version)
    model = as_model(LogisticRegression(solver="newton-cholesky"))
    model.build(4, 2, np.random.default_rng(0))
    if not refused:
        model.build(4, 3, np.random.default_rng(0))
        return
    with pytest.raises(ValueError, match=r"each of three or more classes against the rest.*solver='lbfgs'"):
        model.build(4, 3, np.random.default_rng(0))


def test_separable_classes_with_hardly_a_penalty() -> None:
    estimator = LogisticRegression(solver="newton-cholesky", C=1e4, **TIGHT)
    y = (LINE > 0).astype(int)
    found = learn(estimator, skewed((X, y)), rounds=25).model.estimator
    assert relative(line(found), line(estimator.fit(X, y))) < 1e-6


GENERALIZED = [
    (PoissonRegressor(alpha=0.1), "counts"),
    (PoissonRegressor(alpha=0), "counts"),
    (PoissonRegressor(alpha=0.1, fit_intercept=False), "counts"),
    (GammaRegressor(alpha=0.1), "amounts"),
    (GammaRegressor(alpha=0, solver="newton-cholesky"), "amounts"),
    (TweedieRegressor(power=1.5, alpha=0.1), "counts"),
    (TweedieRegressor(power=3, alpha=0.1), "amounts"),
    (TweedieRegressor(power=0, link="log", alpha=0.1), "amounts"),
    (TweedieRegressor(power=0, alpha=0.1), "any"),
]


@pytest.mark.parametrize(("estimator", "target"), GENERALIZED, ids=str)
def test_generalized_linear_models_are_those_of_all_rows(estimator: Any, target: str) -> None:
    estimator.set_params(tol=1e-10, max_iter=10_000)
    y = TARGETS[target]
    found = learn(estimator, skewed((X, y)), rounds=20).model.estimator
    if getattr(estimator, "power", 1.5) <= 2:  # else its Newton steps give up on a curvature below zero
        estimator.set_params(solver="newton-cholesky")
    wanted = estimator.fit(X, y)
    assert relative(line(found), line(wanted)) < 1e-6
    np.testing.assert_allclose(found.predict(X), wanted.predict(X), rtol=1e-6)


def test_large_counts_with_weights_and_an_offset() -> None:
    estimator = PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-10)
    y = 1e5 * TARGETS["counts"]
    found = learn(estimator, skewed((X + OFFSET, y, WEIGHT)), rounds=20).model.estimator
    assert relative(without_offset(found), line(estimator.fit(X, y, sample_weight=WEIGHT))) < 1e-8


SPARSE = [
    Lasso(alpha=0.1),
    Lasso(alpha=0.1, positive=True),
    ElasticNet(alpha=0.1, l1_ratio=0.3),
    ElasticNet(alpha=0.05, fit_intercept=False, selection="random", random_state=0),
    Lasso(alpha=0.1, precompute=True),
]


@pytest.mark.parametrize("estimator", SPARSE, ids=str)
def test_lasso_and_elastic_net_are_those_of_all_rows(estimator: Any) -> None:
    estimator.set_params(tol=1e-14, max_iter=100_000)
    y = TARGETS["any"]
    found = learn(estimator, skewed((X, y, WEIGHT))).model.estimator
    wanted = estimator.fit(X, y, sample_weight=WEIGHT)
    assert relative(line(found), line(wanted)) < 1e-8
    assert (found.coef_ == 0).tolist() == (wanted.coef_ == 0).tolist()


def test_lasso_of_rows_and_targets_far_from_zero() -> None:
    estimator = Lasso(alpha=0.1, tol=1e-14, max_iter=100_000)
    y = TARGETS["any"]
    found = learn(estimator, skewed((X + OFFSET, y + OFFSET))).model.estimator
    wanted = estimator.fit(X, y)
    assert relative(without_offset(found) - np.append(np.zeros(4), OFFSET), line(wanted)) < 1e-8


def test_rounds_after_the_last_step_change_nothing() -> None:
    estimator, sites = PoissonRegressor(), skewed((X, TARGETS["counts"]))
    early, late = (learn(estimator, sites, rounds=rounds).get_weights() for rounds in (15, 30))
    np.testing.assert_allclose(early, late, rtol=1e-12, atol=1e-12)


def test_targets_outside_the_domain_are_named() -> None:
    for estimator, message in (
        (GammaRegressor(), r"GammaRegressor needs targets above 0, found 0"),
        (TweedieRegressor(power=3), r"TweedieRegressor with power=3 needs targets above 0, found 0"),
    ):
        with pytest.raises(DataError, match=message):  # before the site has joined
            SiteModel(estimator, X, TARGETS["counts"])


def test_without_that_check_they_are_found_while_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.site_rows.check_domain", lambda *_: None)
    with pytest.raises(ValueError, match="above 0, found 0"):
        learn(GammaRegressor(), skewed((X, TARGETS["counts"])))


def test_means_stay_above_zero_where_the_link_does_not_see_to_that() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(300, 3))
    y = np.maximum(inputs @ [0.5, 0.3, 0] + 1, 0.05) * rng.gamma(5, 0.2, size=300) + 1e-6
    found = learn(TweedieRegressor(power=3, link="identity", alpha=0), skewed((inputs, y)), rounds=15).model
    sums: Any = found.sums()  # type: ignore[attr-defined]
    assert found.estimator.predict(inputs).min() > 0  # type: ignore[attr-defined]
    assert np.abs(sums["gradient"] / sums["weight"]).max() < 1e-5


def test_a_start_without_a_likelihood_is_refused() -> None:
    with pytest.raises(CannotMerge, match="fit_intercept=False"):
        as_model(TweedieRegressor(power=1.5, link="identity", fit_intercept=False))
    as_model(TweedieRegressor(power=0, link="identity", fit_intercept=False))


def test_a_site_alone_takes_as_many_steps_as_there_are_rounds() -> None:
    estimator, y = PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-10), TARGETS["counts"]
    own = learn(estimator, [(X, y), (X[:5], y[:5])], rounds=0)
    weights = train_alone(own, LocalWork(), 15, node="site", seed=0, stop=lambda: False)
    assert weights is not None
    own.set_weights(weights)
    assert relative(line(own.model.estimator), line(estimator.fit(X, y))) < 1e-8
    once = train_alone(own, LocalWork(), 1, node="site", seed=0, stop=lambda: False)
    assert once is not None
    assert not np.allclose(once, weights), "what one training would come to"


def check_a_hard_start_over_sites_ends() -> None:
    counts = np.random.default_rng(4).poisson(1e6 * np.exp(LINE)).astype(float)
    found = learn(PoissonRegressor(fit_intercept=False), skewed((X, counts)), rounds=20).model.estimator  # type: ignore[attr-defined]
    slope = X.T @ (np.exp(X @ found.coef_) - counts) / len(X) + found.coef_
    assert np.abs(slope).max() < 1e-6 * counts.mean()


def test_a_hard_start_over_sites_ends() -> None:
    check_a_hard_start_over_sites_ends()


def test_with_the_summed_loss_in_place_of_that_before_the_step_it_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(problem: Any, parameters: Any, sums: Any) -> Any:
        return newton_steps.step(problem, parameters | {"accepted_loss": sums["loss"]}, sums)

    monkeypatch.setattr(adapters, "step", mistaken)
    with pytest.raises(AssertionError):
        check_a_hard_start_over_sites_ends()


def test_two_arrays_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters.NewtonAdapter, "parameter_shapes", lambda *given: {"loss": (1,)})
    with pytest.raises(TypeError, match="the name 'loss' is that of two arrays"):
        as_model(PoissonRegressor()).build(4, None, np.random.default_rng(0))


def check_a_late_site_is_taken_in() -> None:
    draws = np.random.default_rng(0)
    sites = []
    for shift in (0.0, 2.0, 4.0):
        rows = draws.normal(size=(50, 3))
        sites.append((rows, draws.poisson(np.exp(rows @ draws.normal(size=3) * 0.7 + shift)).astype(float)))
    X, y = (np.concatenate(part) for part in zip(*sites, strict=True))
    models: list[Any] = [as_model(PoissonRegressor(alpha=0.1)) for _ in sites]
    for model in models:
        model.build(3, None, draws)
        model.anchor(150, X.mean(axis=0), float(y.mean()))
    for number in range(40):
        there = models[:2] if number < 6 else models
        for model, rows in zip(there, sites, strict=False):
            model.fit(*rows, LocalWork(), draws, lambda: False)
        mean = np.mean([model.get_weights() for model in there], axis=0)
        for model in models:
            model.set_weights(mean)
    wanted = PoissonRegressor(alpha=0.1, solver="newton-cholesky", **TIGHT).fit(X, y)
    np.testing.assert_allclose(models[0].estimator.coef_, wanted.coef_, rtol=1e-6)


def test_a_late_site_is_taken_in() -> None:
    check_a_late_site_is_taken_in()


def test_a_loss_of_other_rows_would_stop_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton_steps, "_of_other_rows", lambda *given: False)
    with pytest.raises(AssertionError):
        check_a_late_site_is_taken_in()


def check_columns_at_random_are_the_same_at_all_nodes() -> None:
    before = np.random.get_state()[2]  # noqa: NPY002
    estimator = ElasticNet(alpha=0.01, selection="random", max_iter=2, tol=1e-3)
    rows = skewed((X, TARGETS["any"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        first, second = (learn(estimator, rows).model.estimator.coef_ for _ in range(2))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first, second)
    assert np.random.get_state()[2] == before  # noqa: NPY002


def test_columns_at_random_are_the_same_at_all_nodes() -> None:
    check_columns_at_random_are_the_same_at_all_nodes()


def test_without_a_seed_of_theirs_nodes_would_draw_from_the_program_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.sklearn.newton.lasso.isinstance", lambda *given: True, raising=False)
    with pytest.raises(AssertionError):
        check_columns_at_random_are_the_same_at_all_nodes()
