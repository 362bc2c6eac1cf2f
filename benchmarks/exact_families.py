"""Families that are exact: sites of unlike size and content against scikit-learn's fit of all their rows.

    python benchmarks/exact_families.py [--rows 3000] [--columns 12] [--offset 1e6] [--only NAME]

Seven sites, from one row to two fifths of all, each with rows of another region, so that most lack classes. The figures
are the largest difference of any fitted attribute, over the largest entry of that attribute: with columns at zero, and
moved by the offset. There both the sites and the rival, scikit-learn's own fit of the moved rows, are compared with its
fit of the rows before they were moved, so that the column of the rival is what an offset costs scikit-learn itself.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from nervenet.models.aggregate import weighted_mean
from nervenet.models.agreement.questions import settle
from nervenet.models.cluster_together import cluster_together
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeCV,
    TweedieRegressor,
)
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import PredefinedSplit
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import NearestCentroid


class Family(NamedTuple):
    estimator: Any
    rows: str = "classes"  # or quantities, counts, events or amounts
    rounds: int = 1


TIGHT: dict[str, Any] = {"tol": 1e-13, "max_iter": 2000}
NEWTON = "newton-cholesky"
FAMILIES = [
    Family(LinearRegression(), "quantities"),
    Family(LinearRegression(positive=True), "quantities"),
    Family(Ridge(alpha=10.0), "quantities"),
    Family(RidgeCV(alphas=(0.1, 10.0, 1000.0), cv=5), "quantities"),
    Family(GaussianNB()),
    Family(LinearDiscriminantAnalysis()),
    Family(LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)),
    Family(QuadraticDiscriminantAnalysis()),
    Family(NearestCentroid(shrink_threshold=0.2)),
    Family(MultinomialNB(), "counts"),
    Family(ComplementNB(), "counts"),
    Family(BernoulliNB(binarize=1.0), "counts"),
    Family(CategoricalNB(), "counts"),
    Family(Lasso(alpha=0.05, **TIGHT), "quantities"),
    Family(ElasticNet(alpha=0.05, **TIGHT), "quantities"),
    Family(LogisticRegression(solver=NEWTON, **TIGHT), rounds=15),
    Family(LogisticRegression(solver=NEWTON, C=np.inf, **TIGHT), rounds=15),
    Family(PoissonRegressor(alpha=0.1, solver=NEWTON, **TIGHT), "events", 15),
    Family(GammaRegressor(alpha=0.1, solver=NEWTON, **TIGHT), "amounts", 15),
    Family(TweedieRegressor(power=1.5, alpha=0.1, solver=NEWTON, **TIGHT), "events", 15),
    Family(KMeans(5, n_init=1, tol=0.0)),
    Family(GaussianMixture(3, max_iter=30)),
    Family(GaussianMixture(3, covariance_type="tied", max_iter=30)),
    Family(GaussianMixture(3, covariance_type="diag", max_iter=30)),
]
SITES = (1 / 1e9, 0.03, 0.2, 0.05, 0.4, 0.22, 0.1)  # shares of the rows; the first site has a single one
WHERE = ("means_", "theta_", "xbar_", "centroids_", "cluster_centers_")  # attributes that move with the columns
AXES = ("scalings_", "rotations_")  # which have no sign of their own


def rows_of(kind: str, rows: int, columns: int) -> tuple[Any, Any]:
    """Return inputs and targets, in the order of the regions that the sites have."""
    draws = np.random.default_rng(11)
    X = draws.normal(size=(rows, columns)) * np.geomspace(0.3, 30, columns)
    X = X[np.argsort(X[:, 0] + 0.2 * draws.normal(size=rows))]
    classes = np.digitize(X[:, 0] / 0.3 + 0.5 * draws.normal(size=rows), [-0.7, 0.5])
    if kind == "counts":
        return draws.poisson(1.0 + (np.arange(columns) % 3 == classes[:, None])).clip(max=7).astype(float), classes
    weights = draws.normal(size=columns) / np.geomspace(0.3, 30, columns)
    if kind in ("events", "amounts"):
        mean = np.exp(X @ weights / 4)
        return X, draws.poisson(mean).astype(float) if kind == "events" else draws.gamma(2.0, mean / 2)
    return X, X @ weights + draws.normal(size=rows) if kind == "quantities" else classes


def over_sites(estimator: Any, X: Any, y: Any, rounds: int) -> tuple[Any, float]:
    """Return the fitted estimator that the sites come to, and the seconds that it took them all."""
    sizes = np.maximum(1, (np.array(SITES) * len(y)).astype(int))
    cuts = np.cumsum(sizes)[:-1]
    if isinstance(estimator, KMeans | GaussianMixture):
        began = time.perf_counter()
        return cluster_together(begun(estimator, X), np.split(X, cuts)), time.perf_counter() - began
    models = [SiteModel(clone(estimator), *own) for own in zip(np.split(X, cuts), np.split(y, cuts), strict=True)]
    began = time.perf_counter()
    for number, each in enumerate(models):
        each.site = f"{number}"
    answers = {each.site: each.answer for each in models}
    agreed = settle(models[0].questions("none"), answers).preprocessing  # type: ignore[arg-type]
    for each in models:
        each.build(agreed, 0)
    mean = models[0].get_weights()
    for number in range(rounds):
        for each in models:
            each.set_weights(mean)
            each.train(LocalWork(), generator(0, "batches", number))
        mean = weighted_mean([each.get_weights() for each in models], [each.weight or 0.0 for each in models])
    models[0].set_weights(mean)
    model: Any = models[0].model
    return model.estimator, time.perf_counter() - began


def pooled(estimator: Any, X: Any, y: Any) -> Any:
    """Return scikit-learn's fit; of RidgeCV by the folds that the sites make."""
    if isinstance(estimator, RidgeCV):
        sizes = np.maximum(1, (np.array(SITES) * len(y)).astype(int))
        sizes[-1] = len(y) - sizes[:-1].sum()
        folds = np.concatenate([np.arange(size) % estimator.cv for size in sizes])
        return RidgeCV(estimator.alphas, cv=PredefinedSplit(folds)).fit(X, y)
    return begun(estimator, X).fit(X, y)


def begun(estimator: Any, X: Any) -> Any:
    """Return an unfitted copy; of clusters with the start given, which else is another for the sites."""
    copy = clone(estimator)
    if isinstance(copy, KMeans):
        copy.set_params(init=X[:: len(X) // copy.n_clusters][: copy.n_clusters])
    elif isinstance(copy, GaussianMixture):
        k, width = copy.n_components, X.shape[1]
        precisions = np.geomspace(0.3, 30, width) ** -2.0
        by_kind = {"full": np.stack([np.diag(precisions)] * k), "tied": np.diag(precisions)}
        copy.set_params(
            weights_init=np.full(k, 1 / k),
            means_init=X[len(X) // (2 * k) :: len(X) // k][:k],
            precisions_init=by_kind.get(copy.covariance_type, np.stack([precisions] * k)),
        )
    return copy


def attributes(fitted: Any, shift: Any, target: float) -> dict[str, Any]:
    """Return the fitted attributes as they are once the rows have been moved, each as a list of arrays."""
    known = {name: value for name, value in vars(fitted).items() if name.endswith("_") and name[0] != "_"}
    for name in ("n_iter_", "solver_", "feature_names_in_", "labels_", "dual_gap_", "lower_bounds_"):
        known.pop(name, None)
    found = {}
    for name, value in known.items():
        parts = [np.asarray(part, np.float64) for part in (value if isinstance(value, list) else [value])]
        if name in WHERE:
            parts = [part + shift for part in parts]
        if name == "intercept_":
            parts = [parts[0] - np.asarray(fitted.coef_) @ shift + target]
        found[name] = [np.abs(part) if name in AXES else part for part in parts]
    return found


def difference(one: dict[str, Any], other: dict[str, Any]) -> tuple[float, str]:
    """Return the largest relative difference of any attribute of the other, and whose it is."""
    worst = (0.0, "")
    for name, parts in other.items():
        for ours, theirs in zip(one[name], parts, strict=True):
            finite = np.isfinite(theirs)
            scale = np.abs(theirs[finite]).max(initial=0.0) or 1.0
            worst = max(worst, (float(np.abs(ours - theirs)[finite].max(initial=0.0) / scale), name))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--columns", type=int, default=12)
    parser.add_argument("--offset", type=float, default=1e6)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{len(SITES)} sites, {args.rows} rows of {args.columns} columns; offset {args.offset:g}")
    print(f"{'estimator':48s}{'at zero':>9s} {'of':20s}{'offset':>9s} {'of':20s}{'pooled fit':>11s}{'ms':>7s}")
    for estimator, kind, rounds in FAMILIES:
        if args.only not in str(estimator):
            continue
        X, y = rows_of(kind, args.rows, args.columns)
        none = np.zeros(args.columns)
        ours, seconds = over_sites(estimator, X, y, rounds)
        at_zero = difference(attributes(ours, none, 0.0), attributes(pooled(estimator, X, y), none, 0.0))
        shift = none if kind == "counts" else args.offset * np.where(np.arange(args.columns) % 2, -1.0, 1.0)
        target = args.offset if kind == "quantities" else 0.0
        moved = (X + shift, y + target if kind == "quantities" else y)
        rival = attributes(pooled(estimator, *moved), none, 0.0)
        back = (moved[0] - shift, moved[1] - target if target else y)  # to the bit
        by_place = getattr(estimator, "solver", "") == "lsqr"  # whose coefficients are another with each origin
        wanted = rival if by_place else attributes(pooled(estimator, *back), shift, target)
        far = difference(attributes(over_sites(estimator, *moved, rounds)[0], none, 0.0), wanted)
        theirs = difference(rival, wanted)
        print(
            f"{str(estimator)[:47]:48s}{at_zero[0]:9.1e} {at_zero[1]:20s}{far[0]:9.1e} {far[1]:20s}{theirs[0]:11.1e}"
            f"{1000 * seconds:7.0f}"
        )


if __name__ == "__main__":
    main()
