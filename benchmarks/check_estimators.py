"""Every check of scikit-learn's `check_estimator` for every public estimator: passed, expected to fail, or skipped.

    python benchmarks/check_estimators.py [--all]      a line an estimator; with --all a line a check

Beside those that `check_estimator` chooses, the checks of sample weights are run, which it chooses only where
`sample_weight` is a named parameter of `fit`. Exits with 1 where a check fails that is not expected to.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest import SkipTest

import sklearn
from nervenet.models import MLPClassifier, MLPRegressor
from nervenet.nodes import (
    FederatedClassifier,
    FederatedClusterer,
    FederatedGridSearchCV,
    FederatedRegressor,
    FederatedTransformer,
    GossipClassifier,
    GossipRegressor,
)
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge, SGDClassifier, SGDRegressor
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

FEW = {"rounds": 3, "random_state": 0}
ESTIMATORS = [
    FederatedClassifier(SGDClassifier(), **FEW),
    FederatedClassifier(GaussianNB()),
    FederatedClassifier(MLPClassifier((8,)), random_state=0),
    FederatedRegressor(SGDRegressor(), **FEW),
    FederatedRegressor(Ridge()),
    GossipClassifier(SGDClassifier(), **FEW),
    GossipRegressor(SGDRegressor(), **FEW),
    FederatedTransformer(StandardScaler()),
    FederatedTransformer(PCA(n_components=1)),
    FederatedClusterer(KMeans(3)),
    FederatedClusterer(GaussianMixture(3)),
    FederatedGridSearchCV(FederatedClassifier(SGDClassifier(), n_clients=2, **FEW), {"epochs": [5, 6]}, cv=2),
    MLPClassifier(),
    MLPRegressor(),
]

OF_WEIGHTS = (
    "check_sample_weights_pandas_series",
    "check_sample_weights_not_an_array",
    "check_sample_weights_list",
    "check_all_zero_sample_weights_error",
    "check_sample_weights_shape",
    "check_sample_weights_not_overwritten",
    "check_sample_weight_equivalence_on_dense_data",
)
BY_DRAWN_ROWS = (
    "training draws rows in an order, and rows are divided among sites by their place: a row of weight 2 is not two "
    "rows to the last bit; scikit-learn expects the same of its own SGD and MLP estimators"
)
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": BY_DRAWN_ROWS}


def chosen(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Yield the checks that scikit-learn chooses for an estimator, by name."""
    if hasattr(estimator_checks, "estimator_checks_generator"):
        pairs = estimator_checks.estimator_checks_generator(estimator)
    else:
        pairs = estimator_checks.check_estimator(estimator, generate_only=True)  # scikit-learn 1.5
    for each, check in pairs:
        yield name_of(check), partial(check, each)


def name_of(check: Any) -> str:
    """Return the name of a check, some of whose arguments may be given."""
    return name_of(check.func) if isinstance(check, partial) else str(check.__name__)


def of_weights(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Yield the checks of sample weights, as far as this scikit-learn has them."""
    if isinstance(estimator, FederatedTransformer | FederatedClusterer):
        return
    for name in OF_WEIGHTS:
        if check := getattr(estimator_checks, name, None):
            yield name, partial(check, type(estimator).__name__, estimator)


def outcome(name: str, check: Any) -> tuple[str, str]:
    """Return what comes of a check, and why if it is not simply passed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks fit on rows that make scikit-learn warn
        try:
            check()
        except SkipTest as error:
            return "skipped by scikit-learn", str(error)
        except Exception as error:  # noqa: BLE001  (a check that fails raises anything)
            if name in EXPECTED:
                return "expected to fail", EXPECTED[name]
            return "FAILED", f"{type(error).__name__}: {error}"
    return "passed", ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="a line a check")
    every = parser.parse_args().all
    print(f"scikit-learn {sklearn.__version__}")
    failed = False
    for estimator in ESTIMATORS:
        counts: Counter[str] = Counter()
        lines = []
        for name, check in [*chosen(estimator), *of_weights(estimator)]:
            what, why = outcome(name, check)
            counts[what] += 1
            failed |= what == "FAILED"
            if every or what != "passed":
                lines.append(f"    {what:24} {name}{f': {why}' if why else ''}")
        shown = " ".join(repr(estimator).split())
        print(f"{shown}: {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}", *lines, sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
