"""LogisticRegression where sites lack classes, and probabilities that scikit-learn cannot normalize."""

from typing import Any

import numpy as np
import pytest
from nervenet.models.evaluate import evaluate
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.model import CannotMerge, LocalWork
from nervenet.models.registry import as_model
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.models.sklearn.adapters import Adapter
from nervenet.models.sklearn.logistic import LogisticAdapter
from nervenet.models.sklearn.proximal_step import proximal_step
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.model_worker import ModelWorker
from nervenet.nodes.runtime.worker import Cancellation
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier


def blobs(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(100 * classes) % classes
    return 6 * rng.normal(size=(classes, 4))[y] + rng.normal(size=(len(y), 4)), y


def accuracies(model: Any, held: list[list[int]], classes: int, rounds: int = 12) -> list[float]:
    """Return the accuracy after each round where each site holds the rows of some classes."""
    X, y = blobs(classes)
    sites = [SiteModel(model, X[np.isin(y, own)], y[np.isin(y, own)]) for own in held]
    agreement = agree({f"site-{k}": site.statistics() for k, site in enumerate(sites)})
    for site in sites:
        site.build(agreement, 0)
    clients = [LocalTraining(site, node=f"site-{k}", seed=0) for k, site in enumerate(sites)]
    weights, clock, found = sites[0].get_weights(), 0.0, []
    for number in range(1, rounds + 1):
        results = [one.train(weights, LocalSettings(epochs=5), number, clock=clock) for one in clients]
        weights, clock = np.mean([result.vector for result in results], axis=0), results[0].clock
        sites[0].set_weights(weights)
        found.append(float((sites[0].predict(X) == y).mean()))
    return found


PAIRS = [[k, (k + 1) % 5] for k in range(5)]
ALONE = [[0], [1], [2]]


def test_sites_of_two_of_five_classes_learn_all_five() -> None:
    assert min(accuracies(LogisticRegression(), PAIRS, 5)) > 0.95


def test_sites_of_one_class_each_learn_all_of_them() -> None:
    assert accuracies(LogisticRegression(), ALONE, 3)[-1] > 0.99


@pytest.mark.parametrize(("held", "classes"), [(PAIRS, 5), (ALONE, 3)])
def test_they_would_forget_them_without_the_pull_to_what_was_received(
    held: list[list[int]], classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervenet.models.sklearn.logistic.PULL", 0.0)
    assert min(accuracies(LogisticRegression(), held, classes)) < 0.9


def overlapping(p: tuple[float, ...] = (0.8, 0.15, 0.05)) -> dict[str, SiteModel]:
    """Return six sites of unequal, overlapping classes, each of which lacks one of the three."""
    rng, sites = np.random.default_rng(1), {}
    for k in range(6):
        y = rng.choice(3, 120, p=p)
        X = np.array([[0, 0], [1.5, 0], [0, 1.5]])[y] + rng.normal(size=(120, 2))
        sites[f"site-{k}"] = SiteModel(LogisticRegression(), X[y != k % 3], y[y != k % 3])
    return sites


def of_overlapping_sites(rounds: int = 12) -> tuple[float, float]:
    """Return the accuracies, over all sites' rows, of their federation and of scikit-learn on all of them."""
    sites = overlapping()
    agreement = agree({name: site.statistics() for name, site in sites.items()})
    for site in sites.values():
        site.build(agreement, 0)
    clients = [LocalTraining(site, node=name, seed=0) for name, site in sites.items()]
    judge, weights = clients[0].site_model, clients[0].site_model.get_weights()
    for number in range(1, rounds + 1):
        results = [one.train(weights, LocalSettings(epochs=5), number) for one in clients]
        weights = np.average([one.vector for one in results], axis=0, weights=[one.examples for one in results])
    judge.set_weights(weights)
    raw = [site._rows for site in sites.values()]
    X, y = (np.concatenate([getattr(rows, name) for rows in raw if rows]) for name in "Xy")
    pooled = LogisticRegression().fit(X, y)
    return float((judge.predict(X) == y).mean()), float(pooled.score(X, y))


def test_sites_of_overlapping_classes_of_which_none_has_all_learn_nearly_what_one_would() -> None:
    federated, pooled = of_overlapping_sites()
    assert federated > pooled - 0.03


def hold_intercepts(start: Any, X: Any, y: Any, *, pull: float, **settings: Any) -> Any:
    """Fit without a pull, and leave the intercepts as they came."""
    reached, done = proximal_step(start, X, y, pull=1e-12, **settings)
    return np.column_stack([reached[:, :-1], start[:, -1]]), done


def test_they_would_learn_next_to_nothing_if_nobody_moved_the_intercepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.sklearn.logistic.proximal_step", hold_intercepts)
    federated, pooled = of_overlapping_sites()
    assert federated < pooled - 0.3


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_a_step_ends_where_the_gradient_of_its_objective_is_zero(classes: int, intercept: bool) -> None:
    """By differences of the objective, written out here once more."""
    X, y = blobs(3)
    own = y != 2
    X, y = X[own] / 6, y[own]
    rng = np.random.default_rng(0)
    start = rng.normal(size=(1 if classes == 2 else classes, 5))
    start[:, -1] *= intercept
    settings = {"l2": 0.01, "intercept": intercept, "iterations": 500, "tol": 1e-9}
    found, done = proximal_step(start, X, y, pull=0.3, **settings)
    assert 1 < done < 500
    assert np.array_equal(found[:, -1], start[:, -1]) != intercept

    def objective(weights: np.ndarray) -> float:
        logits = X @ weights[:, :-1].T + weights[:, -1]
        logits = np.column_stack([np.zeros(len(X)), logits]) if classes == 2 else logits
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(X)), y]
        return float(losses.mean() + 0.005 * (weights[:, :-1] ** 2).sum() + 0.15 * ((weights - start) ** 2).sum())

    for place in np.ndindex(found.shape):
        if place[1] < 4 or intercept:
            there, back = found.copy(), found.copy()
            there[place] += 1e-4
            back[place] -= 1e-4
            assert objective(there) - objective(back) == pytest.approx(0, abs=1e-8)


def test_the_step_stays_as_near_as_it_says_however_long_it_lasts() -> None:
    X = np.array([[1.0], [2.0]])
    for pull in (0.01, 0.3):
        found, _ = proximal_step(
            np.zeros((3, 2)), X, np.zeros(2, int), pull=pull, l2=0.0, intercept=True, iterations=1000, tol=1e-9
        )
        gradient = np.array([[-2 / 3], [1 / 3], [1 / 3]]) @ np.array([[1.5, 1.0]])
        assert np.linalg.norm(found) <= np.linalg.norm(gradient) / pull


def test_sites_with_all_classes_are_fitted_by_scikit_learn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.sklearn.logistic.proximal_step", lambda *_, **__: pytest.fail("it was asked"))
    assert accuracies(LogisticRegression(), [[0, 1, 2]] * 2, 3, rounds=2)[-1] > 0.99


def test_a_proximal_term_is_the_same_at_sites_with_and_without_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    pulls = []

    def step(start: Any, *_: Any, pull: float, **__: Any) -> Any:
        pulls.append(pull)
        return start, 1

    monkeypatch.setattr("nervenet.models.sklearn.logistic.proximal_step", step)
    X, y = blobs(3)
    model = as_model(LogisticRegression())
    model.build(4, 3, generator(0))
    for rows, proximal in ((y < 3, 0.1), (y < 2, 0.1), (y < 2, 0.0)):
        model.fit(X[rows], y[rows], LocalWork(epochs=5, proximal=proximal), generator(0), lambda: False)
    assert pulls == [0.1, 0.1, 0.3]


def survey(sites: dict[str, SiteModel]) -> ev.Event | None:
    """Return what round 0 comes to at a coordinator."""
    statistics = {name: site.statistics() for name, site in sites.items()}
    surveys = {name: (found.header(), found.vector()) for name, found in statistics.items()}
    worker = ModelWorker(SiteModel(LogisticRegression()), node="coordinator", seed=0)
    return worker.perform(e.ApplyAgreement(surveys=surveys), Cancellation())


def test_round_zero_warns_of_nothing_where_no_site_has_all_classes() -> None:
    ready = survey(overlapping())
    assert isinstance(ready, ev.ModelReady)
    assert ready.cautions == ()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"penalty": "l1"}, r"with penalty='l1' cannot be averaged: .*SGDClassifier\(loss=\"log_loss\""),
        ({"penalty": "elasticnet"}, "with penalty='elasticnet'"),
    ],
)
def test_penalties_of_solvers_that_cannot_take_part_are_refused_before_a_fit(
    parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(CannotMerge, match=said):
        as_model(LogisticRegression(**parameters))


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [("l1_ratio", 0.5, True), ("multi_class", "ovr", True), ("multi_class", "deprecated", False)],
)
def test_what_other_releases_know_is_refused_too(name: str, value: object, refused: bool) -> None:
    model = LogisticRegression()
    model._validate_params = lambda: None  # of this release
    setattr(model, "penalty", "deprecated")  # noqa: B010 - of 1.8 and later
    setattr(model, name, value)
    if refused:
        with pytest.raises(CannotMerge, match=f"with {name}={value!r}"):
            as_model(model)
    else:
        as_model(model)


@pytest.mark.parametrize("solver", ["sag", "saga"])
def test_solvers_for_which_rows_of_weight_zero_are_steps_are_refused(solver: str) -> None:
    with pytest.raises(CannotMerge, match=f"solver='{solver}' cannot be averaged: the rows of weight zero"):
        as_model(LogisticRegression(solver=solver))


@pytest.mark.filterwarnings("ignore:.*(converge|ITERATIONS)")
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "saga"])
def test_rows_of_weight_zero_change_nothing_but_for_those_solvers(solver: str) -> None:
    X, y = blobs(3)
    model = LogisticAdapter(LogisticRegression(solver=solver, random_state=0), "")
    model.build(4, 3, generator(0))
    model.fit(X, y, LocalWork(epochs=3), generator(0), lambda: False)
    alone = LogisticRegression(solver=solver, max_iter=3, random_state=0).fit(X, y)
    assert np.allclose(model.working.coef_, alone.coef_, rtol=1e-6) == (solver != "saga")


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_a_warm_start_at_the_optimum_stays_there(solver: str) -> None:
    model = as_model(LogisticRegression(solver=solver, tol=1e-8))
    X, y = blobs(3)
    model.build(4, 3, generator(0))
    model.fit(X, y, LocalWork(epochs=200), generator(0), lambda: False)
    before = model.get_weights()
    model.fit(X, y, LocalWork(epochs=1), generator(0), lambda: False)
    assert np.allclose(model.get_weights(), before, atol=1e-3)


def test_an_mlp_with_warm_start_trains_at_a_site_that_lacks_a_class() -> None:
    X, y = blobs(3)
    model = as_model(MLPClassifier((5,), warm_start=True))
    model.build(4, 3, generator(0, "init"))
    report = model.fit(X[y != 1], y[y != 1], LocalWork(epochs=1), generator(0), lambda: False)
    assert report.steps > 0
    assert model.estimator.warm_start  # type: ignore[attr-defined]


def test_scikit_learn_alone_refuses_such_rows_under_warm_start() -> None:
    X, y = blobs(3)
    alone = MLPClassifier((5,), warm_start=True).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="warm_start"):
        alone.partial_fit(X[y != 1], y[y != 1])


def far(estimator: Any) -> Any:
    """Return a model for which no class of some rows is likelier than zero, by rounding, nor any other below one."""
    model = as_model(estimator)
    model.build(1, 3, generator(0, "init"))
    model.set_weights(np.array([-1e4, -2e4, -3e4, 0.0, 0.0, 0.0]))  # decision values -1e4 x, -2e4 x, -3e4 x
    return model


def test_rows_that_no_class_claims_have_probabilities_and_the_predicted_class() -> None:
    model = far(SGDClassifier(loss="log_loss"))
    X, y = np.array([[1.0], [-1.0]]), np.array([0, 2])
    assert np.allclose(model.probabilities(X).sum(axis=1), 1.0)
    assert evaluate(model, X, y)["accuracy"] == 1.0


def test_the_accuracy_would_be_unknown_or_wrong_without_asking_what_is_predicted() -> None:
    model = far(SGDClassifier(loss="log_loss"))
    X, y = np.array([[1.0], [-1.0]]), np.array([0, 2])
    with np.errstate(all="ignore"):
        alone = model.working.predict_proba(X)
    assert np.isnan(alone).any() or np.mean(alone.argmax(axis=1) == y) < 1


def test_a_diverged_model_keeps_its_nan() -> None:
    model = far(SGDClassifier(loss="log_loss"))
    model.working.coef_ = np.full((3, 1), np.nan)
    with pytest.raises(ValueError, match="NaN"):
        model.probabilities(np.array([[np.nan]]))
    assert np.isnan(model.probabilities(np.array([[1.0]]))).all()


def check_a_network_that_has_diverged_has_no_figures() -> None:
    X, y = blobs(3)
    model = as_model(MLPClassifier((8, 8)))
    model.build(4, 3, generator(0, "init"))
    model.set_weights(np.sign(model.get_weights()) * 1e160)
    found = model.probabilities(X)
    assert found is not None
    assert np.isnan(found).any()
    assert np.isnan(evaluate(model, X, y)["loss"])
    assert np.isnan(evaluate(model, X, y)["accuracy"])


def test_a_network_that_has_diverged_has_no_figures() -> None:
    check_a_network_that_has_diverged_has_no_figures()


def test_with_all_classes_alike_it_would_have_an_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Adapter.probabilities
    monkeypatch.setattr(Adapter, "probabilities", lambda self, X: np.nan_to_num(found(self, X), nan=1 / 3))
    with pytest.raises(AssertionError):
        check_a_network_that_has_diverged_has_no_figures()


def test_of_a_linear_model_only_rows_with_decisions_have_probabilities() -> None:
    model = far(SGDClassifier(loss="log_loss"))
    lost = np.full((3, 3), np.nan)
    model.working.predict_proba = lambda X: lost[: len(X)].copy()
    found = model.probabilities(np.array([[1.0], [1e308], [-1.0]]))
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]
