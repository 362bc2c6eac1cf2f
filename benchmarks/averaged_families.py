"""Averaged families against the same estimator fitted to the pooled rows: 5 sites IID, 30 rounds.

Both see the same standardized columns and are judged on the same rows; the mean over several splits. The difference
shall be at most 0.03 (accuracy, or R²).

    python benchmarks/averaged_families.py [--splits 5] [--sites 5] [--rounds 30]
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from nervenet.models import MLPClassifier as OwnClassifier
from nervenet.models import MLPRegressor as OwnRegressor
from nervenet.nodes import FederatedClassifier, FederatedRegressor
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier, SGDRegressor
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

CLASSIFIERS: dict[str, Any] = {
    "SGDClassifier, log loss": SGDClassifier(loss="log_loss", random_state=0),
    "SGDClassifier, hinge": SGDClassifier(random_state=0),
    "Perceptron": Perceptron(penalty="l2", random_state=0),
    "LogisticRegression": LogisticRegression(max_iter=1000),
    "MLPClassifier": MLPClassifier(hidden_layer_sizes=(32,), max_iter=150, random_state=0),
    "the built-in MLP": OwnClassifier(random_state=0),
}
REGRESSORS: dict[str, Any] = {
    "SGDRegressor": SGDRegressor(random_state=0),
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(32,), alpha=1.0, max_iter=150, random_state=0),
    "the built-in MLP": OwnRegressor(random_state=0),
}
DATA = {"digits": load_digits, "breast_cancer": load_breast_cancer, "diabetes": load_diabetes}


def scores(estimator: Any, data: tuple[Any, Any], seed: int, sites: int, rounds: int) -> tuple[float, float]:
    """Return the score over sites, and that of the pooled fit."""
    X, y = data
    stratify = y if is_classifier(estimator) else None
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    centre, spread = (0.0, 1.0) if stratify is not None else (y.mean(), y.std())
    y, y_test = ((y - centre) / spread, (y_test - centre) / spread) if stratify is None else (y, y_test)
    kind = FederatedClassifier if is_classifier(estimator) else FederatedRegressor
    learned = kind(clone(estimator), n_clients=sites, rounds=rounds, random_state=seed).fit(X, y)
    return learned.score(X_test, y_test), clone(estimator).fit(X, y).score(X_test, y_test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=30)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # of the pooled fits that stop before they have converged
    print(f"{asked.sites} sites IID, {asked.rounds} rounds, mean of {asked.splits} splits")
    print(f"{'data':15s}{'family':26s}{'sites':>8s}{'pooled':>8s}{'difference':>12s}")
    for name, load in DATA.items():
        for family, estimator in (REGRESSORS if name == "diabetes" else CLASSIFIERS).items():
            data = load(return_X_y=True)
            found = [scores(estimator, data, seed, asked.sites, asked.rounds) for seed in range(asked.splits)]
            here, pooled = np.mean(found, axis=0)
            print(f"{name:15s}{family:26s}{here:8.3f}{pooled:8.3f}{here - pooled:12.3f}", flush=True)


if __name__ == "__main__":
    main()
