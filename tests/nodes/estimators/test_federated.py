"""FederatedClassifier and FederatedRegressor: scikit-learn's habits around a federated run."""

import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest
from nervenet.models import CannotMerge
from nervenet.nodes import FederatedClassifier, FederatedRegressor, GossipClassifier
from nervenet.nodes.estimators import experiments, federated_rounds, inputs
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier, SGDRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Rows = tuple[NDArray[Any], NDArray[Any]]


@pytest.fixture
def rows() -> Rows:
    X, y = load_iris(return_X_y=True)
    return X[::3], np.array(["setosa", "versicolor", "virginica"])[y[::3]]


def federated(**given: Any) -> FederatedClassifier:
    return FederatedClassifier(SGDClassifier(), **{"n_clients": 3, "rounds": 3, "random_state": 0} | given)


def test_what_is_masked_is_a_gap_in_fit_and_in_predict(rows: Rows) -> None:
    X, y = rows
    masked = np.ma.masked_less(X, 0.3)
    learned = federated().fit(X, y)
    for refused in (
        lambda: federated().fit(masked, y),
        lambda: federated().fit(X, y, sample_weight=masked[:, -1]),
        lambda: learned.predict(masked),
        lambda: learned.decision_function(masked),
    ):
        with pytest.raises(ValueError, match="contains NaN"):
            refused()
    assert learned.estimator_.predict(masked).shape == y.shape  # scikit-learn itself drops the mask


def test_what_is_fitted_is_a_plain_estimator_that_predicts_the_same(rows: Rows) -> None:
    X, y = rows
    learned = federated().fit(X, y)
    assert type(learned.estimator_) is SGDClassifier
    assert learned.estimator_.get_params() == SGDClassifier().get_params()
    assert list(learned.classes_) == list(learned.estimator_.classes_) == ["setosa", "versicolor", "virginica"]
    assert (learned.predict(X) == learned.estimator_.predict(X)).all()
    assert learned.n_iter_ == 3
    assert [record["round"] for record in learned.history_] == [1, 2, 3]
    assert learned.history_[0]["participants"] == 3
    learned.estimator_.partial_fit(X, y)  # it can be trained on by whoever has it


def test_the_seed_gives_the_same_bits_and_another_one_others(rows: Rows) -> None:
    def bits(seed: Any) -> bytes:
        return federated(random_state=seed).fit(*rows).estimator_.coef_.tobytes()

    assert bits(3) == bits(3) != bits(4)
    assert bits(np.random.RandomState(3)) == bits(np.random.RandomState(3))


def test_without_a_seed_of_its_own_the_wrapped_estimator_s_is_taken(rows: Rows) -> None:
    both = [FederatedClassifier(SGDClassifier(random_state=5), rounds=2, n_clients=3).fit(*rows) for _ in range(2)]
    assert both[0].estimator_.coef_.tobytes() == both[1].estimator_.coef_.tobytes()


def test_clients_says_whose_rows_are_whose(rows: Rows) -> None:
    X, y = rows
    owners = np.array(["north", "south"])[np.arange(len(X)) % 2]
    learned = federated().fit(X, y, clients=owners)
    assert list(learned.clients_) == ["north", "south"]
    assert learned.history_[0]["participants"] == 2
    with pytest.raises(ValueError, match=r"clients has shape \(2,\); X has 50 rows"):
        federated().fit(X, y, clients=["a", "b"])


def test_rows_of_weight_zero_are_nobody_s(rows: Rows) -> None:
    X, y = rows
    kept = y != "virginica"
    weighted = federated().fit(X, y, sample_weight=kept.astype(float))
    alone = federated().fit(X[kept], y[kept], sample_weight=np.ones(kept.sum()))
    assert weighted.estimator_.coef_.tobytes() == alone.estimator_.coef_.tobytes()
    assert list(weighted.classes_) == ["setosa", "versicolor"]


@pytest.mark.parametrize(("weights", "said"), [(-1.0, "must be at least 0, found -1"), (0.0, "zero"), (np.nan, "NaN")])
def test_weights_that_cannot_be_are_refused(rows: Rows, weights: float, said: str) -> None:
    X, y = rows
    with pytest.raises(ValueError, match=said):
        federated().fit(X, y, sample_weight=np.full(len(y), weights))


def test_what_rows_do_not_have_is_refused_by_name(rows: Rows) -> None:
    with pytest.raises(TypeError, match="unexpected argument 'groups'; rows may have clients and sample_weight"):
        federated().fit(*rows, groups=rows[1])


def test_a_weight_counts(rows: Rows) -> None:
    X, y = rows
    plain, heavy = federated(), federated()
    plain.fit(X, y)
    heavy.fit(X, y, sample_weight=np.where(y == "virginica", 50.0, 1.0))
    assert (heavy.predict(X) == "virginica").sum() > (plain.predict(X) == "virginica").sum()


@pytest.mark.parametrize("weights", ["balanced", {"virginica": 50.0}])
def test_class_weights_of_the_wrapped_estimator_hold_over_all_sites(rows: Rows, weights: Any) -> None:
    X, y = rows
    X, y = X[:40], y[:40]
    plain = federated().fit(X, y)
    weighted = federated().set_params(estimator__class_weight=weights).fit(X, y)
    assert plain.estimator_.coef_.tobytes() != weighted.estimator_.coef_.tobytes()
    assert weighted.estimator_.class_weight == weights


def test_partial_fit_goes_on_where_the_last_round_ended(rows: Rows) -> None:
    X, y = rows
    learned = federated().fit(X, y)
    before = learned.estimator_
    learned.partial_fit(X[:20], y[:20])
    assert learned.n_iter_ == len(learned.history_) == 4
    assert learned.estimator_.t_ > before.t_
    assert (learned.estimator_.coef_ != before.coef_).any()
    again = pickle.loads(pickle.dumps(federated().fit(X, y)))
    again.partial_fit(X[:20], y[:20])
    assert again.estimator_.coef_.tobytes() == learned.estimator_.coef_.tobytes()


def test_partial_fit_is_told_the_classes_that_are_to_come(rows: Rows) -> None:
    X, y = rows
    learned = federated()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        learned.partial_fit(X, y)
    learned.partial_fit(X[:20], y[:20], classes=["virginica", "versicolor", "setosa"])
    learned.partial_fit(X, y)
    assert list(learned.classes_) == ["setosa", "versicolor", "virginica"]
    with pytest.raises(ValueError, match="label 'rose' that is none of the classes"):
        learned.partial_fit(X, np.full(len(X), "rose"))


def test_rounds_of_partial_fit_are_the_rounds_of_fit(rows: Rows) -> None:
    X, y = rows
    whole = federated(rounds=2).fit(X, y)
    stepwise = federated()
    for _ in range(2):
        stepwise.partial_fit(X, y, classes=np.unique(y))
    assert whole.estimator_.coef_.tobytes() == stepwise.estimator_.coef_.tobytes()


def test_a_strategy_s_memory_goes_on_with_partial_fit(rows: Rows) -> None:
    X, y = rows
    whole = federated(rounds=2, strategy="fedadam").fit(X, y)
    stepwise = federated(strategy="fedadam", rounds=1).fit(X, y).partial_fit(X, y)
    assert whole.estimator_.coef_.tobytes() == stepwise.estimator_.coef_.tobytes()


def test_parameters_are_scikit_learn_s_kind(rows: Rows) -> None:
    learned = federated().set_params(estimator__alpha=0.1, rounds=2)
    assert learned.get_params()["estimator__alpha"] == 0.1
    copy = clone(learned.fit(*rows))
    assert not hasattr(copy, "estimator_")
    assert copy.get_params()["rounds"] == 2
    with pytest.raises(NotFittedError):
        copy.predict(rows[0])


def test_methods_are_those_of_the_wrapped_estimator(rows: Rows) -> None:
    assert not hasattr(federated(), "predict_proba")
    likely = FederatedClassifier(SGDClassifier(loss="log_loss"), rounds=2, n_clients=3, random_state=0).fit(*rows)
    assert likely.predict_proba(rows[0]).shape == (50, 3)
    assert not hasattr(FederatedRegressor(SGDRegressor()), "decision_function")


def test_metadata_is_routed_through_pipeline_and_search(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = rows
    seen = []
    learn = federated_rounds.FederatedRounds.__init__

    def noted(self: Any, job: Any) -> None:
        seen.append({name: [len(each) for each in arrays] for name, arrays in job.sites.items()})
        learn(self, job)

    monkeypatch.setattr(federated_rounds.FederatedRounds, "__init__", noted)
    owners, weights = np.arange(50) % 2, np.ones(50)
    with config_context(enable_metadata_routing=True):
        own = federated(rounds=1).set_fit_request(clients=True, sample_weight=True)
        own.set_score_request(sample_weight=True)
        chain = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), own)
        search = GridSearchCV(chain, {"federatedclassifier__estimator__alpha": [1e-4, 1e-3]}, cv=2)
        search.fit(X, y, clients=owners, sample_weight=weights)
        cross_val_score(chain, X, y, cv=2, params={"clients": owners, "sample_weight": weights})
    assert len(seen) == 7
    assert all(set(sites) == {"client-0", "client-1"} for sites in seen)
    assert all(len(lengths) == 3 for sites in seen for lengths in sites.values())


def test_a_cross_validated_pipeline_learns() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    inner = SGDClassifier(loss="log_loss", random_state=0)
    chain = make_pipeline(StandardScaler(), FederatedClassifier(inner, n_clients=4, rounds=5))
    assert cross_val_score(chain, X, y, cv=3).mean() > 0.94


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_clients": 0}, "n_clients must be a whole number of at least 1, found 0"),
        ({"n_clients": 51}, "n_clients=51"),
        ({"partition": "idd"}, "partition = 'idd' is unknown"),
        ({"backend": "cloud"}, "backend = 'cloud' is unknown; allowed: memory, processes"),
        ({"rounds": 0}, "rounds"),
        ({"strategy": "fedavgg"}, "federated.strategy"),
        ({"strategy": "fedasync"}, "has no rounds"),
        ({"settings": {"federated.quorom": 0.5}}, "did you mean"),
    ],
)
def test_a_parameter_that_cannot_be_is_named_at_fit(rows: Rows, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        federated(**given).fit(*rows)


def test_what_cannot_be_merged_is_refused_with_the_reason_and_what_can(rows: Rows) -> None:
    with pytest.raises(CannotMerge, match=r"GradientBoostingClassifier cannot be averaged.*SGDClassifier"):
        FederatedClassifier(GradientBoostingClassifier()).fit(*rows)
    with pytest.raises(TypeError, match="takes a classifier, found SGDRegressor"):
        FederatedClassifier(SGDRegressor()).fit(*rows)


def test_a_pipeline_within_is_refused_with_where_its_steps_go(rows: Rows) -> None:
    with pytest.raises(CannotMerge) as refusal:
        FederatedClassifier(make_pipeline(StandardScaler(), SGDClassifier())).fit(*rows)
    assert "a FederatedTransformer in front of a FederatedClassifier" in str(refusal.value)
    assert "standardized" not in str(refusal.value), "for an estimator nothing is"


def test_a_hyperparameter_without_effect_is_said(rows: Rows) -> None:
    with pytest.warns(UserWarning, match="estimator__max_iter has no effect here"):
        FederatedClassifier(SGDClassifier(max_iter=7), rounds=1, n_clients=3).fit(*rows)


def test_training_that_diverges_everywhere_says_so(rows: Rows) -> None:
    X, _ = rows
    inner = SGDRegressor(learning_rate="constant", eta0=1e300)
    diverging = FederatedRegressor(inner, rounds=2, n_clients=2, random_state=0)
    with pytest.raises(ValueError, match="no site has a result in round 1"):
        diverging.fit(X, X[:, 0])


def test_any_averaged_family_can_be_wrapped(rows: Rows) -> None:
    X, y = rows
    learned = FederatedClassifier(LogisticRegression(), rounds=5, n_clients=3, random_state=0)
    learned.fit(StandardScaler().fit_transform(X), y)
    assert type(learned.estimator_) is LogisticRegression
    assert learned.score(StandardScaler().fit_transform(X), y) > 0.9


def test_the_program_s_own_draws_are_left_alone(rows: Rows) -> None:
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    federated().fit(*rows)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


def test_a_family_that_is_exact_in_one_round_takes_one_and_does_not_go_on(rows: Rows) -> None:
    learned = FederatedClassifier(GaussianNB(), random_state=0).fit(*rows)
    pooled = GaussianNB().fit(*rows)
    assert learned.n_iter_ == 1
    assert np.allclose(learned.predict_proba(rows[0]), pooled.predict_proba(rows[0]), atol=1e-10)
    assert not hasattr(learned, "partial_fit")
    assert hasattr(federated(), "partial_fit")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"data.scale": "standard"}, "data.scale is not for an estimator: the rows are those of fit"),
        ({"model.name": "mlp"}, "model.name is not for an estimator"),
        ({"nodes": 7}, "nodes is not for an estimator"),
        ({"rounds": 9}, "give rounds="),
        ({"training": {"epochs": 2}}, "training is a table; expected its keys, dotted, as in training.epochs"),
        ("fast", "expected a mapping of dotted keys"),
    ],
)
def test_settings_may_not_say_what_fit_says(rows: Rows, settings: Any, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        federated(settings=settings).fit(*rows)


def test_scaled_behind_its_back_an_estimator_would_predict_from_other_columns(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "SAID_ELSEWHERE", {})
    X, y = rows
    learned = federated(settings={"data.scale": "standard"}).fit(X * 1000 + 5000, y)
    assert learned.score(X * 1000 + 5000, y) < 0.7


def test_a_setting_without_effect_is_named(rows: Rows) -> None:
    with pytest.warns(UserWarning, match=r"settings: training.learning_rate has no effect on .*SGDClassifier"):
        federated(settings={"training.learning_rate": 0.5}).fit(*rows)


def test_without_a_look_at_it_nothing_is_said(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "ineffective", lambda _: [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        federated(settings={"training.learning_rate": 0.5}).fit(*rows)


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (np.array([np.nan, 1.0]), "clients has no site for 25 of 50 rows, the first of them row 0"),
        (np.array(["a", None], object), "clients has no site for 25 of 50 rows, the first of them row 1"),
        (np.array(["a", 1], object), "clients has ids of the types int, str, which have no order"),
    ],
)
def test_a_row_without_a_site_is_named(rows: Rows, ids: NDArray[Any], why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        federated().fit(*rows, clients=np.resize(ids, 50))


def test_such_rows_would_be_a_site_of_their_own(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_is_gap", lambda _: False)
    learned = federated().fit(*rows, clients=np.resize([np.nan, 1.0], 50))
    assert np.isnan(learned.clients_).any()


def test_later_calls_of_partial_fit_may_not_have_other_classes(rows: Rows) -> None:
    X, y = rows
    learned = federated().partial_fit(X, y, classes=np.unique(y))
    assert learned.partial_fit(X, y, classes=np.unique(y)[::-1]).n_iter_ == 2
    with pytest.raises(ValueError, match=r"classes = \['a', 'b'\] are not those of the calls before: \['setosa'"):
        learned.partial_fit(X, y, classes=["a", "b"])


def test_they_would_be_ignored(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FederatedClassifier, "_known_classes", lambda self, _: self.classes_)
    X, y = rows
    learned = federated().fit(X, y).partial_fit(X, y, classes=["a", "b"])
    assert list(learned.classes_) == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize("cls", [FederatedClassifier, GossipClassifier])
def test_another_wrapped_estimator_cannot_go_on_from_the_first_ones_weights(cls: Any) -> None:
    X, y = np.arange(60.0).reshape(20, 3), np.arange(20) % 2
    found = cls(SGDClassifier(), random_state=0).partial_fit(X, y, classes=[0, 1])
    found.set_params(estimator__alpha=0.01).partial_fit(X, y)  # the same, with another setting
    assert found.n_iter_ == 2
    with pytest.raises(ValueError, match=r"estimator = Perceptron has \(SGDClassifier's\); call fit to begin anew"):
        found.set_params(estimator=Perceptron()).partial_fit(X, y)
    wide = cls(MLPClassifier((4,)), random_state=0).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"call fit to begin anew .*elements"):
        wide.set_params(estimator__hidden_layer_sizes=(5,)).partial_fit(X, y)
