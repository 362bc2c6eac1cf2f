"""A tour of the estimators: federated and gossip learning with nothing but scikit-learn's habits, in one process.

    python examples/scikit_learn_tour.py

Everything here also runs in real processes over sockets, with the same results: backend="processes".
"""

import numpy as np
from nervenet.models import MLPClassifier
from nervenet.nodes import (
    FederatedClassifier,
    FederatedClusterer,
    FederatedGridSearchCV,
    FederatedRegressor,
    FederatedTransformer,
    GossipClassifier,
)
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    hospitals = np.array(["north", "south", "west"])[np.random.default_rng(0).choice(3, len(X), p=[0.6, 0.3, 0.1])]

    # A pipeline over sites, cross-validated: scaling is exact over sites, and no row leaves one.
    inner = SGDClassifier(loss="log_loss", random_state=0)
    pipeline = make_pipeline(FederatedTransformer(StandardScaler()), FederatedClassifier(inner, n_clients=4, rounds=10))
    print(f"cross-validated over 4 clients   {cross_val_score(pipeline, X, y, cv=3).mean():.2f}")

    # Whose rows are whose is yours to say. What is fitted is a plain estimator.
    scaled = FederatedTransformer(StandardScaler()).fit(X, clients=hospitals).transform(X)
    learned = FederatedClassifier(inner, rounds=10).fit(scaled, y, clients=hospitals)
    print(f"three hospitals of unlike size   {learned.score(scaled, y):.2f} by {learned.estimator_!r}")
    print(f"loss, first and last round       {learned.history_[0]['loss']:.2f} {learned.history_[-1]['loss']:.2f}")

    # No server at all: each hospital mixes with its neighbors, and has an estimator of its own.
    peers = GossipClassifier(MLPClassifier((16,)), rounds=10, random_state=0).fit(scaled, y, clients=hospitals)
    own = [round(float(each.score(scaled, y)), 2) for each in peers.estimators_]
    print(f"gossip, each hospital's network  {own}")

    # All candidates learn in the same rounds; each hospital scores them on its own rows.
    grid = {"estimator__alpha": [1e-4, 1e-2, 1.0]}
    search = FederatedGridSearchCV(FederatedClassifier(inner, rounds=5), grid).fit(scaled, y, clients=hospitals)
    print(f"federated search                 {search.best_params_}")

    # Families that follow from sums over rows are exact, whoever has the rows.
    A, b = load_diabetes(return_X_y=True)
    over = FederatedRegressor(Ridge(), n_clients=7, partition="quantity", random_state=0).fit(A, b)
    apart = np.abs(over.estimator_.coef_ - Ridge().fit(A, b).coef_).max()
    print(f"Ridge over 7 sites               as on all rows: {apart < 1e-8 * np.abs(over.estimator_.coef_).max()}")

    clusters = FederatedClusterer(KMeans(2)).fit(scaled, clients=hospitals)
    print(f"clusters over the hospitals      {np.bincount(clusters.labels_).tolist()}")


if __name__ == "__main__":
    main()
