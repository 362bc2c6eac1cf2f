"""Every public estimator passes scikit-learn's own checks."""

import warnings
from typing import Any

import pytest
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
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

FEW = {"rounds": 3, "n_clients": 3}

ESTIMATORS = [
    FederatedClassifier(SGDClassifier(), **FEW),
    FederatedRegressor(SGDRegressor(), **FEW),
    FederatedGridSearchCV(
        FederatedClassifier(SGDClassifier(), rounds=2, n_clients=2, random_state=0), {"epochs": [5, 6]}, cv=2
    ),
    GossipClassifier(SGDClassifier(), rounds=2, n_peers=2),
    GossipRegressor(SGDRegressor(), rounds=3, n_peers=2),
    FederatedClusterer(KMeans(3)),
    FederatedTransformer(StandardScaler()),
    FederatedTransformer(PCA(n_components=1), n_clients=2),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_scikit_learn_s_checks_pass(estimator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # checks fit on rows that make scikit-learn warn
        check_estimator(estimator)
