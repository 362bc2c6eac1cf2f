"""The exactness table: what seven sites agree on for each step, against `fit` of scikit-learn on the pooled rows."""

import warnings

import numpy as np
import pytest
from nervenet.models.agreement.questions import settle
from nervenet.models.pipeline import selection
from nervenet.models.pipeline.fit import PipelineSite, fit_questions, transform
from nervenet.models.pipeline.restore import fitted_estimator
from sites import NUMBERS, TEXTS, fitted, kind, pool, rows, table, title
from sklearn.base import clone
from sklearn.decomposition import PCA, FactorAnalysis, TruncatedSVD
from sklearn.feature_selection import (
    SelectFdr,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
    chi2,
    f_classif,
    f_regression,
    r_regression,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # scikit-learn's, of denormal numbers

ROUNDING = 1e-30
"""What is left of the variance of 0.1, 0.1, …"""

LAST_DIGIT = 2 * np.spacing(1e6)
"""A mean of a million may differ by so much when it is subtracted."""

CACHED = {"_stop_words_id", "_transformers_feature_names_out"}
"""What scikit-learn keeps of a transform."""

WHOLE = ("plain", "ties", "offset", "constant")  # without gaps
POSITIVE = ("visits", "constant")

MOMENTS = [
    (StandardScaler(), NUMBERS),
    (StandardScaler(with_mean=False), NUMBERS),
    (StandardScaler(with_std=False), NUMBERS),
    (StandardScaler(with_mean=False, with_std=False), NUMBERS),
    (SimpleImputer(add_indicator=True), NUMBERS),
    (SimpleImputer(missing_values=1.0), ("ties", "plain")),
    (VarianceThreshold(), NUMBERS),
    (VarianceThreshold(0.5), NUMBERS),
]
COUNTED = [
    (MinMaxScaler((-1, 2), clip=True), NUMBERS),
    (MaxAbsScaler(), NUMBERS),
    (RobustScaler(), NUMBERS),
    (RobustScaler(quantile_range=(10.0, 80.0), unit_variance=True), NUMBERS),
    (RobustScaler(with_centering=False), NUMBERS),
    (RobustScaler(with_scaling=False), NUMBERS),
    (QuantileTransformer(n_quantiles=100, subsample=None), NUMBERS),
    (QuantileTransformer(n_quantiles=9, output_distribution="normal", subsample=None), NUMBERS),
    (KBinsDiscretizer(), WHOLE),
    (KBinsDiscretizer(encode="ordinal"), (*WHOLE, "tiny")),
    (KBinsDiscretizer([3, 9, 2], encode="onehot-dense", strategy="uniform"), WHOLE[:3]),
    (SplineTransformer(), ("plain", "offset")),
    (SplineTransformer(knots="quantile"), ("plain", "offset")),
    (SimpleImputer(strategy="median"), NUMBERS),
    (SimpleImputer(strategy="median", missing_values=np.float64(-2)), ("ties", "plain")),
    (SimpleImputer(strategy="median", missing_values=-(2.0**63)), ("ties", "plain")),
    (SimpleImputer(strategy="most_frequent"), NUMBERS),
    (SimpleImputer(strategy="most_frequent", add_indicator=True), TEXTS),
    (SimpleImputer(strategy="most_frequent", missing_values="no"), ("ward", "rare")),
    (SimpleImputer(strategy="constant"), NUMBERS),
    (SimpleImputer(strategy="constant", fill_value="none", add_indicator=True), TEXTS),
    (MissingIndicator(), NUMBERS),
    (MissingIndicator(features="all"), TEXTS),
    (OneHotEncoder(), TEXTS),
    (OneHotEncoder(), ("ties", "constant")),
    (OneHotEncoder(min_frequency=40, handle_unknown="infrequent_if_exist", sparse_output=False), TEXTS),
    (OneHotEncoder(min_frequency=0.06), TEXTS),
    (OneHotEncoder(max_categories=4, drop="first", handle_unknown="ignore"), TEXTS),
    (OneHotEncoder(drop=["icu", "r3"]), TEXTS[:2]),
    (OneHotEncoder(drop="if_binary"), TEXTS),
    (OneHotEncoder(categories=[["no", "yes", "maybe", np.nan]]), ("holes",)),
    (OneHotEncoder(categories=[["icu", "lab"]], handle_unknown="ignore", min_frequency=100), ("ward",)),
    (OrdinalEncoder(), TEXTS),
    (OrdinalEncoder(max_categories=3, encoded_missing_value=-5), TEXTS),
    (OrdinalEncoder(min_frequency=50, handle_unknown="use_encoded_value", unknown_value=-1), TEXTS),
    (PolynomialFeatures(3), ("plain", "ties")),
    (Normalizer(), WHOLE),
    (Binarizer(threshold=0.5), WHOLE),
    (FunctionTransformer(np.cbrt, feature_names_out="one-to-one"), WHOLE),
    (FunctionTransformer(np.fliplr), WHOLE),
]
BY_TARGET = [
    (TargetEncoder(), TEXTS, "classes"),
    (TargetEncoder(smooth=3.0), TEXTS, "quantities"),
    (TargetEncoder(), TEXTS, "quantities"),
    (TargetEncoder(target_type="continuous"), TEXTS, "classes"),
    (SelectKBest(f_classif, k=1), ("plain", "ties"), "classes"),
    (SelectPercentile(f_classif), ("plain", "ties"), "classes"),
    (SelectKBest(chi2, k=1), POSITIVE, "classes"),
    (SelectFdr(f_regression), ("plain", "ties"), "quantities"),
    (SelectKBest(r_regression, k=1), ("plain", "ties"), "quantities"),
]
FACTORED = [
    (PCA(svd_solver="full"), WHOLE),
    (PCA(2, whiten=True, svd_solver="full"), WHOLE),
    (PCA(0.9, svd_solver="full"), WHOLE),
    (PCA("mle", svd_solver="full"), WHOLE[:3]),
    (TruncatedSVD(2, algorithm="arpack"), WHOLE),
]


def named(cases):
    return {"argvalues": cases, "ids": [title(case[0]) for case in cases]}


def matrix(columns, chosen):
    if all(kind(name) == "number" for name in chosen):
        return np.array([columns[name] for name in chosen]).T
    return np.array([columns[name] for name in chosen], object).T


def both(step, chosen, target=None):
    """What the sites have agreed on as a scikit-learn object, and the same step fitted on the pooled rows."""
    tables, classes, quantities = rows()
    whole = pool(tables)
    y = {None: None, "classes": np.concatenate(classes), "quantities": np.concatenate(quantities)}[target]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant columns, and of more quantiles than rows
        expected = clone(step).fit(matrix(whole, chosen), y)
        agreed, _ = fitted(step, chosen, target=target)
    return agreed, expected, whole


def close(found, expected, relative, path=""):
    """Compare two learned values, of whatever type, in the unit of the largest number among them."""
    assert type(found) is type(expected) or np.isscalar(found), path
    if hasattr(expected, "get_params"):
        return same_attributes(found, expected, relative, path)
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        return [close(*pair, relative, path) for pair in zip(found, expected, strict=True)]
    if isinstance(expected, dict):
        assert list(found) == list(expected), path
        return [close(found[key], expected[key], relative, f"{path}.{key}") for key in expected]
    if type(expected).__name__ == "BSpline":
        return [close(getattr(found, part), getattr(expected, part), relative, path) for part in ("t", "c", "k")]
    if not isinstance(expected, np.ndarray | np.number | float):
        assert found == expected, path
        return None
    one, other = np.asarray(found), np.asarray(expected)
    assert one.shape == other.shape, path
    kinds = {one.dtype.kind, other.dtype.kind}
    assert len(kinds) == 1 or (kinds <= set("if") and path.endswith("n_samples_seen_")), path  # differs by release
    if other.dtype == object and other.size and isinstance(other.flat[0], np.ndarray):
        return [close(*pair, relative, path) for pair in zip(one, other, strict=True)]
    if other.dtype.kind not in "fiu":
        assert [str(value) for value in one.flat] == [str(value) for value in other.flat], path
        return None
    assert np.array_equal(np.isnan(one), np.isnan(other)), path
    unit = np.where(np.isfinite(other), np.abs(other), 0)
    unit = unit.max(initial=0) if relative > 1e-10 else unit
    assert near(one, other, relative * unit + (ROUNDING if relative else 0)), (path, one, other)
    return None


def near(one, other, allowed):
    """Whether numbers differ by no more than what is allowed; the same infinity does not differ."""
    with np.errstate(invalid="ignore"):
        return ((np.abs(one - other) <= allowed) | (one == other) | (np.isnan(one) & np.isnan(other))).all()


def same_attributes(found, expected, relative, path=""):
    """Compare all that fit has set."""
    assert set(vars(found)) - CACHED == set(vars(expected)) - CACHED, path
    for name, value in vars(expected).items():
        if name not in CACHED and (name.endswith("_") or name.startswith("_")):
            close(getattr(found, name), value, relative, f"{path}.{name}")


def check(step, chosen, relative, target=None):
    agreed, expected, whole = both(step, chosen, target)
    own = fitted_estimator(step, agreed)
    del own.feature_names_in_  # `expected` was fitted on an array
    same_attributes(own, expected, relative, type(step).__name__)
    made = expected.transform(matrix(whole, chosen))
    again = own.transform(matrix(whole, chosen))
    assert type(again) is type(made)
    made = made.toarray() if hasattr(made, "toarray") else made
    if made.dtype != object:
        X = transform(step, agreed, table(whole, chosen))
        size = np.abs(np.where(np.isfinite(made), made, 0)).max(axis=0, initial=1.0)
        assert near(X, made.astype(float), 2 * relative * size + (LAST_DIGIT if relative else 0))
        assert X.shape[1] == len(agreed.names)
    if hasattr(expected, "get_feature_names_out") and agreed.names:
        try:
            names = expected.get_feature_names_out(np.array(chosen, object))
        except AttributeError:  # a function that does not say
            return
        assert agreed.names == tuple(names)


@pytest.mark.parametrize(("step", "chosen"), **named(MOMENTS))
def test_moments_are_those_of_the_pooled_rows_to_1e_12(step, chosen):
    check(step, chosen, 1e-12)


@pytest.mark.parametrize(("step", "chosen"), **named(COUNTED))
def test_quantiles_categories_counts_and_limits_are_those_of_the_pooled_rows(step, chosen):
    check(step, chosen, 0)


@pytest.mark.parametrize(("step", "chosen", "target"), **named(BY_TARGET))
def test_what_is_learned_of_the_target_is_that_of_the_pooled_rows(step, chosen, target):
    relative = 1e-9 if "Select" in type(step).__name__ else 1e-12  # scikit-learn's own sums of squares lose digits
    check(step, chosen, relative, target)


@pytest.mark.parametrize(("step", "chosen"), **named(FACTORED))
def test_components_are_those_of_the_full_svd_to_1e_8(step, chosen):
    check(step, chosen, 1e-8)


@pytest.mark.parametrize("step", [FactorAnalysis(1), FactorAnalysis(2, rotation="varimax", tol=1e-4)], ids=str)
def test_factors_are_those_of_the_full_svd_but_for_their_signs(step):
    chosen = WHOLE[:3]
    agreed, expected, _ = both(step.set_params(svd_method="lapack"), chosen)
    own = fitted_estimator(step, agreed)
    del own.feature_names_in_
    assert (own.components_[np.arange(len(own.components_)), np.abs(own.components_).argmax(axis=1)] > 0).all()
    for each in (own, expected):
        each.components_ = np.abs(each.components_)
    same_attributes(own, expected, 1e-8)
    assert fitted(step.set_params(svd_method="randomized"), chosen)[0].states == agreed.states


def test_a_variance_at_an_offset_of_a_million_has_all_its_digits():
    from fractions import Fraction

    agreed, _ = fitted(StandardScaler(), ("offset",))
    values = [Fraction(float(value)) for value in pool(rows()[0])["offset"]]
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    assert abs(Fraction(agreed.states[""]["variance"][0]) / variance - 1) < 1e-14


def test_f_values_at_an_offset_of_a_million_keep_their_digits():
    """Those of scikit-learn 1.5 to 1.9, by sums of squares, differ in the fourth digit here."""
    from scipy.stats import f_oneway

    tables, classes, quantities = rows()
    x, y, z = pool(tables)["offset"], np.concatenate(classes), np.concatenate(quantities)
    agreed, _ = fitted(SelectKBest(f_classif), ("offset",), target="classes")
    expected = f_oneway(*[x[y == label] - 1e6 for label in range(3)])
    assert np.isclose(agreed.states[""]["scores"][0], expected.statistic, rtol=1e-11)
    assert np.isclose(agreed.states[""]["pvalues"][0], expected.pvalue, rtol=1e-11)
    agreed, _ = fitted(SelectKBest(f_regression), ("offset",), target="quantities")
    assert np.isclose(agreed.states[""]["scores"][0], f_regression(x[:, None] - 1e6, z)[0][0], rtol=1e-9)


def scores_of_a_line(seeds=20):
    """F of noise and of two lines through the target, which rounding keeps from a correlation of exactly 1."""
    found = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=30)
        told = np.column_stack([rng.normal(size=30), rng.normal() * y + rng.normal(), y])
        columns = [dict(zip(("plain", "ties", "offset"), some.T, strict=True)) for some in np.split(told, 3)]
        sites = {
            f"s{k}": PipelineSite(SelectKBest(f_regression), table(one, ("plain", "ties", "offset")), own).answer
            for k, (one, own) in enumerate(zip(columns, np.split(y, 3), strict=True))
        }
        questions = fit_questions(
            SelectKBest(f_regression), ("plain", "ties", "offset"), ["number"] * 3, task="regression"
        )
        found.append(settle(questions, sites).states[""]["scores"])
    return np.array(found)


def test_a_column_that_determines_the_target_has_the_largest_f():
    scores = scores_of_a_line()
    assert (scores[:, 0] >= 0).all()
    assert (scores[:, 1:] > 1e12).all()


def test_a_correlation_above_one_would_have_the_smallest_f(monkeypatch):
    monkeypatch.setattr(selection.np, "clip", lambda values, *_: values)
    assert (scores_of_a_line() < -1e12).any()


def test_whatever_the_solver_the_components_are_exact():
    chosen = ("plain", "ties")
    exact, _ = fitted(PCA(svd_solver="full"), chosen)
    for solver in ("auto", "randomized"):
        assert fitted(PCA(svd_solver=solver), chosen)[0].states == exact.states
