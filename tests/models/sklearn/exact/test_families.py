"""Sites that exchange sums come to what scikit-learn's own fit of all their rows comes to, every attribute of it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from nervenet.models.model import CannotMerge
from nervenet.models.registry import as_model
from nervenet.models.sklearn.exact import ridge
from over_sites import assert_same, fitted, learn, skewed, split
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import NearestCentroid


def measured(rows: int = 300, offset: float = 1e6) -> tuple[Any, Any, Any]:
    """Return columns far from zero, one of them constant, three classes of unlike size, and a quantity."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(rows, 5)) * [1.0, 3.0, 0.2, 1.0, 5.0]
    classes = (X[:, 0] + 0.5 * rng.normal(size=rows) > 0.3).astype(int) + (X[:, 1] > 4.0)
    quantity = X @ [1.0, -2.0, 3.0, 0.0, 0.5] + rng.normal(size=rows)
    X = X + SHIFT[:5] * offset
    return np.column_stack([X, np.full(rows, 7.0)]), classes, quantity + offset


def counted() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 200)
    return rng.poisson(1.0 + (np.arange(6) % 3 == y[:, None]), size=(200, 6)).astype(float).clip(max=4), y


@pytest.fixture(autouse=True)
def _cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib asks another process for their number when NearestCentroid first predicts."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


SHIFT = np.array([1.0, -1.0, 0.5, 2.0, 0.0, 0.0])


def fitted_near_zero(estimator: Any, X: Any, y: Any, offset: float = 1e6) -> Any:
    """Return scikit-learn's fit of rows without their offset, moved there: with it, it loses some of its own digits."""
    shift = SHIFT * offset
    found = clone(estimator).fit(X - shift, y)
    for name in ("means_", "xbar_", "theta_", "centroids_"):
        if hasattr(found, name):
            setattr(found, name, getattr(found, name) + shift)
    if hasattr(found, "coef_"):
        found.intercept_ = found.intercept_ - found.coef_ @ shift
    return found


QUANTITIES = [
    LinearRegression(),
    LinearRegression(positive=True),
    Ridge(alpha=3.0),
    Ridge(alpha=1e-3),
]
CLASSES = [
    GaussianNB(),
    GaussianNB(priors=[0.2, 0.5, 0.3], var_smoothing=1e-3),
    NearestCentroid(),
    NearestCentroid(shrink_threshold=0.4),
    LinearDiscriminantAnalysis(store_covariance=True),
    LinearDiscriminantAnalysis(n_components=1),
]
WITHOUT_CONSTANTS = [
    LinearDiscriminantAnalysis(solver="lsqr"),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3, priors=[0.2, 0.5, 0.3]),
    LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1),
    LinearDiscriminantAnalysis(priors=[0.2, 0.5, 0.3], store_covariance=True),
    QuadraticDiscriminantAnalysis(store_covariance=True),
    QuadraticDiscriminantAnalysis(priors=[0.2, 0.5, 0.3], reg_param=0.1),
]
COUNTS = [
    MultinomialNB(),
    MultinomialNB(alpha=[0.5, 1, 1, 1, 2, 1], fit_prior=False),
    ComplementNB(norm=True),
    BernoulliNB(binarize=1.0, class_prior=[0.2, 0.3, 0.5]),
    CategoricalNB(min_categories=6),
    CategoricalNB(),
]
# Axes have no sign of their own, nor do coefficients of one column more than there are directions.
AXES = ("scalings_", "rotations_")


@pytest.mark.parametrize("estimator", QUANTITIES, ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
def test_a_regression_over_skewed_sites_is_that_of_all_rows(estimator: Any, weighted: bool) -> None:
    X, _, y = measured()
    rows = (X, y, np.random.default_rng(1).uniform(0.2, 3.0, len(y))) if weighted else (X, y)
    ours, theirs = fitted(estimator, skewed(rows)), clone(estimator).fit(*rows)
    if getattr(theirs, "rank_", 5) != 5:
        pytest.skip("this scikit-learn takes the rounding of a constant column for a direction")
    assert_same(ours, theirs)


@pytest.mark.parametrize("estimator", [LinearRegression(fit_intercept=False), Ridge(fit_intercept=False)], ids=str)
def test_without_an_intercept_columns_are_not_centered(estimator: Any) -> None:
    X, _, y = measured(offset=1.0)
    assert_same(fitted(estimator, skewed((X, y))), clone(estimator).fit(X, y))


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_:UserWarning")
@pytest.mark.parametrize("estimator", CLASSES, ids=str)
def test_a_classifier_over_skewed_sites_is_that_of_all_rows(estimator: Any) -> None:
    X, y, _ = measured()
    ours, theirs = fitted(estimator, skewed((X, y))), fitted_near_zero(estimator, X, y)
    assert_same(ours, theirs, ignore=AXES)
    assert (ours.predict(X) == theirs.predict(X)).all()
    if hasattr(theirs, "scalings_"):
        np.testing.assert_allclose(np.abs(ours.transform(X)), np.abs(theirs.transform(X)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("estimator", WITHOUT_CONSTANTS, ids=str)
def test_covariances_of_classes_are_those_of_all_rows(estimator: Any) -> None:
    X, y, _ = measured(offset=1e3)
    X = X[:, :5]
    ours, theirs = fitted(estimator, skewed((X, y))), clone(estimator).fit(X, y)
    assert_same(ours, theirs, ignore=AXES if hasattr(theirs, "coef_") else ("rotations_",))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("estimator", COUNTS, ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
def test_counts_over_skewed_sites_are_those_of_all_rows(estimator: Any, weighted: bool) -> None:
    X, y = counted()
    rows = (X, y, np.random.default_rng(1).uniform(0.2, 3.0, len(y))) if weighted else (X, y)
    assert_same(fitted(estimator, skewed(rows)), clone(estimator).fit(*rows))


def test_smoothing_is_of_the_variance_of_all_rows_whatever_their_weights() -> None:
    X, y, _ = measured()
    rows = (X, y, np.random.default_rng(1).uniform(0.2, 3.0, len(y)))
    assert_same(fitted(GaussianNB(), skewed(rows)), GaussianNB().fit(*rows))


@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error", "neg_root_mean_squared_error"])
def test_folds_within_the_sites_choose_as_the_same_folds_of_all_rows(scoring: Any) -> None:
    X, _, y = measured()
    sites = skewed((X, y))
    folds = np.concatenate([np.arange(len(own)) % 4 for _, own in sites])
    pooled = tuple(np.concatenate(part) for part in zip(*sites, strict=True))
    alphas = (0.1, 1.0, 30.0, 1e4)
    theirs = RidgeCV(alphas, cv=PredefinedSplit(folds), scoring=scoring).fit(*pooled)
    assert_same(fitted(RidgeCV(alphas, cv=4, scoring=scoring), sites), theirs)


def of_one_row_each() -> Any:
    """What folds make of sites whose only row is in the first of them."""
    X, _, y = measured()
    return fitted(RidgeCV(cv=3), [(X[k : k + 1], y[k : k + 1]) for k in range(6)])


def test_sites_of_one_row_each_leave_folds_empty_by_name() -> None:
    with pytest.raises(ValueError, match="RidgeCV with cv=3: all rows of all sites are in fold 0"):
        of_one_row_each()


def test_without_a_row_to_train_on_there_would_be_a_division_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "check_rows", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        of_one_row_each()


def test_of_collinear_columns_the_coefficients_are_the_shortest() -> None:
    X, _, y = measured()
    hot = np.eye(3)[np.random.default_rng(2).integers(0, 3, len(y))]  # which add up to the constant
    X = np.column_stack([X, hot, 1e4 * X[:, 0]])
    ours, theirs = fitted(LinearRegression(), skewed((X, y))), LinearRegression().fit(X, y)
    assert ours.rank_ == 7
    if theirs.rank_ != 7:
        pytest.skip("this scikit-learn takes the rounding of a constant column for a direction")
    assert_same(ours, theirs, ignore=("singular_",))


def test_columns_that_are_constant_within_a_class_have_no_variance_there_but_the_smoothing() -> None:
    X, y = load_digits(return_X_y=True)
    sites = skewed((X, y))
    assert_same(fitted(GaussianNB(), sites), GaussianNB().fit(X, y))


def test_sites_that_lack_classes_and_sites_of_one_row_take_part() -> None:
    X, y, _ = measured(60)
    order = np.argsort(y, kind="stable")
    sites = split((X[order], y[order]), [1, 2, 20, 45])
    assert {tuple(np.unique(own)) for _, own in sites} != {(0, 1, 2)}
    assert_same(fitted(GaussianNB(), sites), GaussianNB().fit(X[order], y[order]))


def test_a_copy_of_a_model_has_sums_of_its_own() -> None:
    X, _, y = measured()
    model: Any = learn(LinearRegression(), skewed((X, y))).model
    other = deepcopy(model)
    other.set_weights(2 * model.get_weights())
    assert (other.arrays["sum"] == 2 * model.arrays["sum"]).all()
    assert other.begun


def test_labels_are_those_of_the_sites() -> None:
    X, y, _ = measured()
    names = np.array(["low", "middle", "high"])[y]
    found = learn(GaussianNB(), skewed((X, names)))
    assert (found.predict(X) == GaussianNB().fit(X, names).predict(X)).all()


def test_columns_of_float32_are_taken_as_float64() -> None:
    X, y, _ = measured(offset=1e3)
    X = X.astype(np.float32)
    assert_same(fitted(GaussianNB(), skewed((X, y))), GaussianNB().fit(X.astype(np.float64), y))


@pytest.mark.parametrize(
    ("estimator", "parameter"),
    [
        (Ridge(positive=True), "positive"),
        (Ridge(alpha=np.array([1.0, 2.0])), "alpha"),
        (RidgeCV(), "cv=None"),
        (RidgeCV(cv=3, scoring="neg_median_absolute_error"), "scoring"),
        (NearestCentroid(metric="manhattan"), "metric"),
        (LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"), "shrinkage"),
        (LinearDiscriminantAnalysis(shrinkage=0.5), "shrinkage"),
    ],
    ids=str,
)
def test_a_setting_that_no_sum_reaches_is_refused_by_name(estimator: Any, parameter: str) -> None:
    with pytest.raises(CannotMerge, match=parameter):
        as_model(estimator)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (GaussianNB(priors=[0.5, 0.5]), "3 classes"),
        (MultinomialNB(class_prior=[0.5, 0.5]), "3 classes"),
        (MultinomialNB(alpha=[1.0, 2.0]), "6 columns"),
        (CategoricalNB(min_categories=[1, 2]), "6 columns"),
        (LinearDiscriminantAnalysis(n_components=5), "n_components=5"),
        (QuadraticDiscriminantAnalysis(priors=[0.5, 0.5]), "3 classes"),
    ],
    ids=str,
)
def test_a_setting_of_another_width_than_the_sites_have_is_refused(estimator: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        learn(estimator, skewed(counted()))


def test_what_is_no_count_is_named() -> None:
    X, y = counted()
    with pytest.raises(ValueError, match="column 2 holds -1, expected at least 0"):
        learn(MultinomialNB(), split((X - 2 * (np.arange(6) == 1) * (X == 1), y), [100]))
    with pytest.raises(ValueError, match=r"column \d holds category \d, and it has 3, from 0 on; give min_categories"):
        learn(CategoricalNB(min_categories=3), split((X, y), [100]))


def test_a_class_without_the_rows_that_it_needs_is_named() -> None:
    X, y, _ = measured()
    y[np.flatnonzero(y == 2)[1:]] = 1
    with pytest.raises(ValueError, match="train on 1 rows of class 2"):
        fitted(QuadraticDiscriminantAnalysis(), skewed((X, y)))
    with pytest.raises(ValueError, match="vary along 5 of 6 axes"):
        fitted(QuadraticDiscriminantAnalysis(), skewed((X, (y > 0).astype(int))))


@pytest.mark.parametrize(
    ("solver", "words"), [("svd", "no column varies within a class"), ("eigen", "shrinkage above")]
)
def test_classes_whose_rows_are_alike_are_refused_by_a_reason(solver: str, words: str) -> None:
    rows = (np.repeat([[0.0, 1.0], [2.0, 5.0]], 6, axis=0), np.repeat([0, 1], 6))
    with pytest.raises(ValueError, match=words):
        fitted(LinearDiscriminantAnalysis(solver=solver), split(rows, [4]))


def test_without_the_check_that_is_an_index_out_of_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.sklearn.exact.discriminants.np.diag", lambda square: np.ones(len(square)))
    rows = (np.repeat([[0.0, 1.0], [2.0, 5.0]], 6, axis=0), np.repeat([0, 1], 6))
    with pytest.raises(IndexError):
        fitted(LinearDiscriminantAnalysis(), split(rows, [4]))
