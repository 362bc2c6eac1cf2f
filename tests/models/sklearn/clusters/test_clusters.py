"""k-means and Gaussian mixtures over sites: what scikit-learn's `fit` finds on the rows of all of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models import load_model, save_model, to_sklearn
from nervenet.models.cluster_together import cluster_together
from nervenet.models.model import CannotMerge
from nervenet.models.registry import as_model
from nervenet.models.sklearn.clusters import lloyd
from nervenet.models.sklearn.clusters.mixture import SOFT, Mixture
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture

from ..exact.over_sites import learn, skewed

RNG = np.random.default_rng(5)
MIDDLES = RNG.normal(size=(4, 3)) * 4
X = MIDDLES[RNG.integers(0, 4, 280)] + RNG.normal(size=(280, 3)) * [1.0, 0.5, 2.0]
WEIGHT = RNG.uniform(0.5, 2.0, size=280)
OFFSET = 1e6


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep scikit-learn's own fits from starting a process that counts cores."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


def together(estimator: Any, X: Any, weight: Any = None, **options: Any) -> Any:
    sites = skewed((X,) if weight is None else (X, weight))
    weights = None if weight is None else [own[1] for own in sites]
    return cluster_together(estimator, [own[0] for own in sites], weights, **options)


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8 * np.abs(wanted).max())


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["rows", "weights"])
@pytest.mark.parametrize("offset", [0.0, OFFSET])
@pytest.mark.parametrize("options", [{}, {"tol": 0.0}, {"max_iter": 3}, {"algorithm": "elkan"}], ids=str)
def test_k_means_from_given_centers_is_that_of_all_rows(options: Any, offset: float, weight: Any) -> None:
    wanted = KMeans(4, init=X[:4], n_init=1, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        wanted.fit(X, sample_weight=weight)
    found = together(KMeans(4, init=X[:4] + offset, n_init=1, **options), X + offset, weight)
    close(found.cluster_centers_ - offset, wanted.cluster_centers_)
    close(found.inertia_, wanted.inertia_)
    assert found.n_iter_ == wanted.n_iter_
    assert found.predict(X + offset).tolist() == wanted.predict(X).tolist()


def test_split_seeds_find_the_clusters_whichever_site_has_them() -> None:
    found, wanted = together(KMeans(4), X), KMeans(4, n_init=10, random_state=0).fit(X)
    assert found.inertia_ < 1.001 * wanted.inertia_
    alone = cluster_together(KMeans(4), [X])
    close(found.cluster_centers_, alone.cluster_centers_)


def test_a_cluster_without_rows_keeps_its_center() -> None:
    far = np.vstack([X[:2], [[1e3, 1e3, 1e3]]])
    found = together(KMeans(3, init=far, n_init=1), X)
    close(found.cluster_centers_[2], np.full(3, 1e3))


def test_more_clusters_than_distinct_rows() -> None:
    found = cluster_together(KMeans(3), [np.ones((4, 2)), np.full((2, 2), 3.0)])
    assert len(set(found.predict(np.array([[1.0, 1.0], [3.0, 3.0]])).tolist())) == 2
    assert found.inertia_ == 0


KINDS = ["full", "tied", "diag", "spherical"]


def first_parameters(kind: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        known = GaussianMixture(4, covariance_type=kind, max_iter=1, random_state=0).fit(X)
    return {"weights_init": known.weights_, "means_init": known.means_, "precisions_init": known.precisions_}


@pytest.mark.parametrize("iterations", [1, 4, 200])
@pytest.mark.parametrize("offset", [0.0, OFFSET])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_from_given_parameters_is_that_of_all_rows(kind: str, offset: float, iterations: int) -> None:
    options = {"covariance_type": kind, "max_iter": iterations, "reg_covar": 1e-3}
    first = first_parameters(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        wanted = GaussianMixture(4, **options, **first).fit(X)
    found = together(
        GaussianMixture(4, **options, **(first | {"means_init": first["means_init"] + offset})), X + offset
    )
    for name in ("weights_", "covariances_", "precisions_", "precisions_cholesky_", "lower_bound_"):
        close(getattr(found, name), getattr(wanted, name))
    close(found.means_ - offset, wanted.means_)
    assert (found.n_iter_, found.converged_) == (wanted.n_iter_, wanted.converged_)
    assert found.predict(X + offset).tolist() == wanted.predict(X).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_without_given_parameters_a_mixture_starts_from_k_means(kind: str) -> None:
    found = together(GaussianMixture(4, covariance_type=kind), X)
    wanted = GaussianMixture(4, covariance_type=kind, random_state=0).fit(X)
    assert found.converged_
    assert found.lower_bound_ > wanted.lower_bound_ - 0.02


def test_one_component_is_the_moments_of_all_rows() -> None:
    found = together(GaussianMixture(1), X + OFFSET)
    close(found.covariances_[0], np.cov(X.T, bias=True) + 1e-6 * np.eye(3))


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_what_is_found_after_few_rounds_predicts(rounds: int) -> None:
    for estimator in (KMeans(4), GaussianMixture(4), GaussianMixture(4, covariance_type="tied")):
        assert together(estimator, X, rounds=rounds).predict(X).shape == (280,)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_sums_of_sites_are_those_of_their_rows_together(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, weight = rng.normal(size=(sum(sizes), 2)), rng.uniform(0.5, 2, size=sum(sizes))
    mixture = Mixture(2, 2, "full")
    parameters = {name: np.zeros(shape) for name, shape in mixture.parameter_shapes().items()}
    parameters |= {"state": np.array([SOFT]), "centers": rng.normal(size=(2, 2)), "shares": np.array([0.3, 0.7])}
    parameters["precision_root"] = np.stack([np.eye(2), np.array([[1.0, 0.5], [0.0, 2.0]])])
    cuts = np.cumsum(sizes)[:-1]
    parts = list(zip(np.split(rows, cuts), np.split(weight, cuts), strict=True))
    for sums in (mixture.statistics, lambda *own: lloyd.sums(*own[:2], parameters | {"state": np.array([lloyd.MOVE])})):
        whole, split = sums(rows, weight, parameters), [sums(*own, parameters) for own in parts]
        for name, wanted in whole.items():
            np.testing.assert_allclose(sum(part[name] for part in split), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (KMeans(3, init="random"), "init='random'.*would be rows, which no site shows"),
        (KMeans(3, n_init=5), "n_init=5.*always the same"),
        (GaussianMixture(3, init_params="random"), "init_params='random'.*means_init"),
        (GaussianMixture(3, n_init=2), "n_init=2"),
    ],
)
def test_what_would_need_rows_or_be_ignored_is_refused(estimator: Any, why: str) -> None:
    with pytest.raises(CannotMerge, match=why):
        as_model(estimator)


def test_sites_that_do_not_fit_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"site 1 has rows of shape \(3, 2\); expected are one or more rows of 3 columns"
    ):
        cluster_together(KMeans(2), [X, np.ones((3, 2))])
    with pytest.raises(ValueError, match=r"init of shape \(2, 3\); expected is \(4, 3\)"):
        cluster_together(KMeans(4, init=X[:2], n_init=1), [X])
    with pytest.raises(TypeError, match="LinearRegression finds no clusters here"):
        cluster_together(LinearRegression(), [X])


def check_rows_that_cannot_be_are_named() -> None:
    gap = X.copy()
    gap[3, 1] = np.nan
    for sites, weights, words in (
        ([X, gap], None, "site 1 has nan in row 3, column 1"),
        ([X, X], [None, np.ones(2)], f"site 1 has {len(X)} rows; a weight above 0"),
        ([X, X], [None, np.zeros(len(X))], "site 1 has .* a weight above 0"),
        ([X[:2], X[:1]], None, "n_clusters=4: all sites together have 3 rows"),
    ):
        with pytest.raises(ValueError, match=words):
            cluster_together(KMeans(4), sites, weights)


def test_rows_that_cannot_be_are_named() -> None:
    check_rows_that_cannot_be_are_named()


def test_without_the_checks_a_gap_is_told_without_its_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.cluster_together._check", lambda *given: None)
    with pytest.raises(AssertionError):
        check_rows_that_cannot_be_are_named()


def test_a_component_that_has_collapsed_is_named() -> None:
    with pytest.raises(ValueError, match=r"not positive definite.*reg_covar"):
        cluster_together(GaussianMixture(2, reg_covar=0.0), [X * [1, 1, 0]])


@pytest.mark.parametrize("estimator", [KMeans(4), GaussianMixture(4)], ids=str)
def test_a_site_needs_no_target(estimator: Any, tmp_path: Path) -> None:
    sites = [(own[0], None) for own in skewed((X + OFFSET,))]
    found = learn(estimator, sites, rounds=30, test=(X + OFFSET,))
    labels, alone = found.predict(X + OFFSET), cluster_together(estimator, [own[0] for own in sites])
    assert labels.dtype.kind == "i"
    assert labels.tolist() == alone.predict(X + OFFSET).tolist()
    figures = found.evaluate("test")
    assert set(figures) == {"loss", "examples"}
    wanted = alone.inertia_ / len(X) if isinstance(estimator, KMeans) else -alone.score(X + OFFSET)
    assert figures["loss"] == pytest.approx(wanted, rel=1e-6)
    save_model(tmp_path, found)
    assert load_model(tmp_path).predict(X + OFFSET).tolist() == labels.tolist()
    assert to_sklearn(found).predict(X + OFFSET).tolist() == labels.tolist()


def test_targets_that_a_site_has_are_not_looked_at() -> None:
    names = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)]
    halves = [slice(None, 99), slice(99, None)]
    with_names = learn(KMeans(3), [(X[half], names[half]) for half in halves], rounds=5)
    without = learn(KMeans(3), [(X[half], None) for half in halves], rounds=5)
    assert (with_names.get_weights() == without.get_weights()).all()
    assert np.isnan(learn(KMeans(3), [(X, None)], rounds=0, test=(X,)).evaluate("test")["loss"])


def check_first_weights_and_precisions_are_those_of_a_mixture() -> None:
    with pytest.raises(ValueError, match="shares from 0 on are needed, 1 together"):
        cluster_together(GaussianMixture(2, weights_init=[0.5, 0.9]), [X])
    with pytest.raises(ValueError, match="precisions_init must be symmetric, positive definite"):
        cluster_together(GaussianMixture(2, precisions_init=-np.stack([np.eye(3)] * 2)), [X])


def test_first_weights_and_precisions_are_those_of_a_mixture() -> None:
    check_first_weights_and_precisions_are_those_of_a_mixture()


def test_without_the_check_first_weights_of_any_sum_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nervenet.models.sklearn.clusters.adapters.GaussianMixtureAdapter._check_given", lambda *given: None
    )
    with pytest.raises(pytest.fail.Exception):
        check_first_weights_and_precisions_are_those_of_a_mixture()
