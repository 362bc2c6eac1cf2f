"""GossipClassifier and GossipRegressor: scikit-learn's habits around a gossip run."""

import pickle
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLPClassifier
from nervenet.nodes import GossipClassifier, GossipRegressor
from nervenet.nodes.estimators.gossip_rounds import GossipRounds
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.preprocessing import scale

Rows = tuple[NDArray[Any], NDArray[Any]]


@pytest.fixture
def rows() -> Rows:
    X, y = load_iris(return_X_y=True)
    return scale(X)[::3], np.array(["setosa", "versicolor", "virginica"])[y[::3]]


def gossip(**given: Any) -> GossipClassifier:
    return GossipClassifier(SGDClassifier(), **{"n_peers": 4, "rounds": 4, "random_state": 0} | given)


def test_what_is_fitted_is_each_peer_s_plain_estimator_and_their_mean(rows: Rows) -> None:
    learned = gossip(rounds=10).fit(*rows)
    assert [type(each) for each in learned.estimators_] == [SGDClassifier] * 4
    assert np.allclose(learned.estimator_.coef_, np.mean([each.coef_ for each in learned.estimators_], axis=0))
    assert len({each.coef_.tobytes() for each in learned.estimators_}) == 4
    assert learned.score(*rows) > 0.85
    assert learned.history_[-1]["consensus_distance"] > 0
    assert list(learned.estimators_[0].classes_) == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize(
    ("algorithm", "topology"), [("epidemic", "complete"), ("sgp", "epidemic-local"), ("gradient-tracking", "ring")]
)
def test_any_algorithm_with_rounds_runs(rows: Rows, algorithm: str, topology: str) -> None:
    learned = gossip(algorithm=algorithm, topology=topology)
    assert learned.fit(*rows).n_iter_ == 4


def test_compressed_differences_are_decoded_as_they_would_arrive(rows: Rows) -> None:
    learned = gossip(algorithm="choco", settings={"gossip.compression": "top-k:0.3+int8"})
    assert np.isfinite(learned.fit(*rows).estimator_.coef_).all()


def test_partial_fit_goes_on_with_each_peer_s_own_model(rows: Rows) -> None:
    X, y = rows
    whole = gossip(rounds=2, epochs=1).fit(X, y)
    stepwise = pickle.loads(pickle.dumps(gossip(rounds=1, epochs=1).fit(X, y))).partial_fit(X, y)
    assert [each.coef_.tobytes() for each in stepwise.estimators_] == [e.coef_.tobytes() for e in whole.estimators_]


def test_a_regressor_learns() -> None:
    X, y = load_diabetes(return_X_y=True)
    learned = GossipRegressor(SGDRegressor(), n_peers=3, random_state=0).fit(scale(X), scale(y))
    assert learned.score(scale(X), scale(y)) > 0.4


def test_the_built_in_network_is_mixed_too(rows: Rows) -> None:
    learned = GossipClassifier(MLPClassifier((8,)), n_peers=3, rounds=5, random_state=0).fit(*rows)
    assert type(learned.estimator_) is MLPClassifier
    assert [type(each) for each in learned.estimators_] == [MLPClassifier] * 3
    assert len({each.coefs_[0].tobytes() for each in learned.estimators_}) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"topology": "rings"}, "did you mean ring"),
        ({"algorithm": "ad-psgd"}, "has no rounds"),
        ({"n_peers": 0}, "n_clients|n_peers"),
    ],
)
def test_a_parameter_that_cannot_be_is_named_at_fit(rows: Rows, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        gossip(**given).fit(*rows)


def test_a_peer_that_diverges_fails_the_fit(rows: Rows) -> None:
    inner = SGDRegressor(learning_rate="constant", eta0=1e300)
    with pytest.raises(ValueError, match="weights after training"):
        GossipRegressor(inner, rounds=2, n_peers=2, random_state=0).fit(rows[0], rows[0][:, 0])


def goes_on_without_the_first_site(rows: Rows) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return each site's model before and after a round in which nothing is learned, by the site's id."""
    X, y = rows
    ids = np.array(["a", "b", "c"])[np.arange(len(y)) % 3]
    learned = gossip(topology="line").fit(X, y, clients=ids)
    kept = ids != "a"
    seen: dict[str, bytes] = {}

    def begun(self: GossipRounds, number: int) -> None:
        seen.update({name: peer.site_model.get_weights().tobytes() for name, peer in self.peers.items()})
        raise ValueError(f"round {number} is not done")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(GossipRounds, "round", begun)
        with pytest.raises(ValueError, match="is not done"):
            learned.partial_fit(X[kept], y[kept], clients=ids[kept])
    weights = {name: found[0].tobytes() for name, found in learned._progress.peers.items()}
    assert len(set(weights.values())) == 3
    return {site: weights[name] for site, name in zip("abc", sorted(weights), strict=True)}, seen


def test_a_site_goes_on_with_its_own_model_whichever_sites_are_there(rows: Rows) -> None:
    own, seen = goes_on_without_the_first_site(rows)
    assert list(seen.values()) == [own["b"], own["c"]]


def test_by_their_places_sites_would_take_each_other_s(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GossipClassifier, "_of_sites", lambda _self, after, _ids: after)
    own, seen = goes_on_without_the_first_site(rows)
    assert list(seen.values()) == [own["a"], own["b"]]
