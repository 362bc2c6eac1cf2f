"""FederatedGridSearchCV: candidates learn in the same rounds, and each site scores them on its own rows."""

from typing import Any

import numpy as np
import pytest
from nervenet.nodes import FederatedClassifier, FederatedGridSearchCV, FederatedRegressor, GossipClassifier
from nervenet.nodes.estimators.federated_rounds import FederatedRounds
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import Ridge, SGDClassifier, SGDRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import scale

Rows = tuple[NDArray[Any], NDArray[Any]]


@pytest.fixture
def rows() -> Rows:
    X, y = load_iris(return_X_y=True)
    return scale(X)[::2], np.array(["setosa", "versicolor", "virginica"])[y[::2]]


def search(grid: Any, inner: Any = None, **given: Any) -> FederatedGridSearchCV:
    base = FederatedClassifier(inner or SGDClassifier(), n_clients=3, rounds=3, random_state=0)
    return FederatedGridSearchCV(base, grid, **given)


def test_the_best_candidate_is_the_one_of_the_best_mean_and_is_refitted(rows: Rows) -> None:
    found = search({"estimator__alpha": [1e-3, 1e3]}, cv=3).fit(*rows)
    assert found.best_params_ == {"estimator__alpha": 1e-3}
    assert found.best_index_ == 0
    assert found.cv_results_["rank_test_score"].tolist() == [1, 2]
    assert found.best_score_ == found.cv_results_["mean_test_score"][0]
    alone = FederatedClassifier(SGDClassifier(alpha=1e-3), n_clients=3, rounds=3, random_state=0).fit(*rows)
    assert found.best_estimator_.estimator_.coef_.tobytes() == alone.estimator_.coef_.tobytes()
    assert found.score(*rows) == alone.score(*rows)
    assert (found.predict(rows[0]) == alone.predict(rows[0])).all()


def test_all_candidates_learn_in_the_same_rounds(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    do = FederatedRounds.round

    def noted(self: FederatedRounds, number: int) -> None:
        seen.append((number, id(self)))
        do(self, number)

    monkeypatch.setattr(FederatedRounds, "round", noted)
    search({"estimator__alpha": [1e-3, 1e-1]}, cv=2, refit=False).fit(*rows)
    assert [number for number, _ in seen] == [1] * 4 + [2] * 4 + [3] * 4
    assert len({run for _, run in seen}) == 4


def test_scores_are_those_of_models_that_have_not_seen_the_fold(rows: Rows) -> None:
    X, y = rows
    owners = np.arange(len(y)) % 2
    found = search({"epochs": [1, 5]}, cv=2).fit(X, y, clients=owners)
    assert found.site_scores_.shape == (2, 2, 2)
    assert list(found.clients_) == [0, 1]
    assert np.isfinite(found.site_scores_).all()
    assert np.allclose(found.cv_results_["split0_test_score"], found.site_scores_[:, 0].mean(axis=1), atol=0.02)
    assert found.cv_results_["param_epochs"].tolist() == [1, 5]


def test_exact_families_have_the_scores_of_any_division_into_sites() -> None:
    X, y = load_diabetes(return_X_y=True)
    base = FederatedRegressor(Ridge(), random_state=0)
    found = FederatedGridSearchCV(base, {"estimator__alpha": [0.01, 100.0]}, cv=4).fit(X, y)
    pooled = GridSearchCV(Ridge(), {"alpha": [0.01, 100.0]}, cv=4).fit(X, y)
    assert found.best_params_ == {"estimator__alpha": pooled.best_params_["alpha"]}
    assert np.allclose(found.cv_results_["mean_test_score"], pooled.cv_results_["mean_test_score"], atol=0.1)


def test_a_class_that_a_fold_lacks_is_no_class_of_its_models(rows: Rows) -> None:
    X, y = rows
    few = np.r_[0:30, 30:50, 74]  # one row of the last class: in the fold that has it, nobody has trained on it
    found = search({"estimator__var_smoothing": [1e-9]}, GaussianNB(), cv=2).fit(X[few], y[few])
    assert np.isfinite(found.best_score_)


def test_gossip_is_searched_too(rows: Rows) -> None:
    base = GossipClassifier(SGDClassifier(), n_peers=3, rounds=2, random_state=0)
    found = FederatedGridSearchCV(base, {"topology": ["ring", "complete"]}, cv=2).fit(*rows)
    assert found.best_params_["topology"] in ("ring", "complete")


def test_a_candidate_that_fails_is_out_and_said(rows: Rows) -> None:
    base = FederatedRegressor(SGDRegressor(learning_rate="constant"), n_clients=3, rounds=3, random_state=0)
    found = FederatedGridSearchCV(base, {"estimator__eta0": [1e-2, 1e300]}, cv=2)
    with pytest.warns(FitFailedWarning, match="2 of 4 fits failed"):
        found.fit(rows[0], rows[0][:, 0])
    assert found.best_params_["estimator__eta0"] == 1e-2
    assert found.cv_results_["rank_test_score"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cv": 1}, "cv must be a whole number of folds"),
        ({"param_grid": {"n_clients": [2, 3]}}, "n_clients says whose rows are whose"),
        ({"estimator__backend": "processes"}, "backend = 'processes'"),
        ({"cv": 30}, "cv = 30 folds of each site's own rows; the largest site has 25"),
        ({"scoring": ["accuracy", "f1_macro"]}, "scoring must be one name, one callable or None"),
        ({"scoring": lambda *_: np.nan}, "has no value on any site's rows"),
    ],
)
def test_what_cannot_be_searched_is_refused(rows: Rows, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        search({"epochs": [1]}).set_params(**given).fit(*rows)


def test_a_candidate_that_cannot_be_made_is_out_and_said(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    both = search({"estimator__alpha": [1e-3, -1.0]}, cv=2, refit=False)
    with pytest.warns(FitFailedWarning, match="2 of 4 fits failed, the first because The 'alpha' parameter"):
        both.fit(*rows)
    assert both.best_params_ == {"estimator__alpha": 1e-3}

    def unmade(*_: object) -> None:
        raise TypeError("no model")

    monkeypatch.setattr(FederatedClassifier, "_model", unmade)  # what nobody could mean is none of the candidates
    with pytest.raises(TypeError, match="no model"):
        both.fit(*rows)


def test_another_estimator_is_refused(rows: Rows) -> None:
    with pytest.raises(TypeError, match=r"found SGDClassifier; scikit-learn's GridSearchCV takes any"):
        FederatedGridSearchCV(SGDClassifier(), {"alpha": [1.0]}).fit(*rows)
    assert clone(search({"epochs": [1]})).get_params()["estimator__n_clients"] == 3
