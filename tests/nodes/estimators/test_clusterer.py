"""FederatedClusterer: clusters over sites are those of the pooled rows."""

import numpy as np
import pandas as pd
import pytest
from nervenet.nodes import FederatedClusterer
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

X, TRUE = make_blobs(120, centers=4, random_state=1)


@pytest.mark.parametrize("inner", [KMeans(4), GaussianMixture(4)], ids=lambda each: type(each).__name__)
def test_clusters_are_the_same_for_any_division_into_sites(inner: object) -> None:
    alone = FederatedClusterer(inner, n_clients=1).fit(X)
    over = FederatedClusterer(inner, n_clients=7).fit(X)
    assert (alone.labels_ == over.labels_).all()
    assert adjusted_rand_score(over.labels_, TRUE) > 0.9
    assert abs(over.score(X) - alone.score(X)) < 1e-8 * abs(alone.score(X))
    assert (over.predict(X) == over.labels_).all()
    assert (over.predict(X.astype(np.float32)) == over.labels_).all()


def test_a_frame_and_sites_by_id_are_taken() -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    over = FederatedClusterer(KMeans(4)).fit(frame, clients=np.arange(120) % 3)
    assert list(over.clients_) == [0, 1, 2]
    assert list(over.estimator_.feature_names_in_) == ["a", "b"]
    assert (over.fit_predict(frame) == over.labels_).all()


def test_rows_have_weights() -> None:
    kept = TRUE < 2
    over = FederatedClusterer(KMeans(2)).fit(X, sample_weight=kept)
    assert adjusted_rand_score(over.labels_[kept], TRUE[kept]) == 1.0


def test_methods_are_those_of_the_wrapped_estimator() -> None:
    assert not hasattr(FederatedClusterer(KMeans(2)), "predict_proba")
    assert FederatedClusterer(GaussianMixture(2)).fit(X).predict_proba(X).shape == (120, 2)
    with pytest.raises(NotFittedError):
        FederatedClusterer(KMeans(2)).predict(X)


def test_what_finds_no_clusters_from_sums_is_refused() -> None:
    with pytest.raises(TypeError, match="DBSCAN"):
        FederatedClusterer(DBSCAN()).fit(X)
    with pytest.raises(ValueError, match="rounds must be a whole number"):
        FederatedClusterer(KMeans(2), rounds=0).fit(X)
