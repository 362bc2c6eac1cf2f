"""LogisticRegression where sites lack classes, and probabilities that scikit-learn cannot normalize."""

from typing import Any

import numpy as np
import pytest
from nervenet.models.evaluate import evaluate
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.model import CannotMerge, LocalWork
from nervenet.models.moments import IncompatibleSites
from nervenet.models.registry import as_model
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.models.sklearn.adapters import Adapter
from nervenet.models.sklearn.logistic import LogisticAdapter
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


def test_sites_of_two_of_five_classes_learn_all_five() -> None:
    pairs = [[k, (k + 1) % 5] for k in range(5)]
    assert min(accuracies(LogisticRegression(), pairs, 5)) > 0.95


def test_they_would_forget_them_if_they_moved_the_intercepts_of_classes_that_they_lack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [[k, (k + 1) % 5] for k in range(5)]
    monkeypatch.setattr(LogisticAdapter, "_lacks_classes", lambda *_: False)
    assert min(accuracies(LogisticRegression(), pairs, 5)) < 0.9


def test_a_site_of_one_class_is_refused_with_the_way_out() -> None:
    with pytest.raises(IncompatibleSites, match=r'all of class 0, .*SGDClassifier\(loss="log_loss"\)'):
        accuracies(LogisticRegression(), [[0], [1], [2]], 3)
    assert accuracies(SGDClassifier(loss="log_loss"), [[0], [1], [2]], 3)[-1] == 1.0


def test_it_would_spoil_what_the_others_have_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogisticAdapter, "misfit", lambda *_: None)
    monkeypatch.setattr(LogisticAdapter, "_lacks_classes", lambda *_: False)
    assert min(accuracies(LogisticRegression(), [[0], [1], [2]], 3)) < 0.7


def test_round_zero_ends_by_the_name_of_such_a_site() -> None:
    X, y = blobs(3)
    sites = {"a": y < 2, "b": y == 2}
    statistics = {name: SiteModel(LogisticRegression(), X[own], y[own]).statistics() for name, own in sites.items()}
    surveys = {name: (site.header(), site.vector()) for name, site in statistics.items()}
    worker = ModelWorker(SiteModel(LogisticRegression()), node="coordinator", seed=0)
    with pytest.raises(IncompatibleSites, match="site b: its rows are all of class 2"):
        worker.perform(e.ApplyAgreement(surveys=surveys), Cancellation())


def overlapping(p: tuple[float, ...] = (0.8, 0.15, 0.05)) -> dict[str, SiteModel]:
    """Return six sites of unequal, overlapping classes, each of which lacks one of the three."""
    rng, sites = np.random.default_rng(1), {}
    for k in range(6):
        y = rng.choice(3, 120, p=p)
        X = np.array([[0, 0], [1.5, 0], [0, 1.5]])[y] + rng.normal(size=(120, 2))
        sites[f"site-{k}"] = SiteModel(LogisticRegression(), X[y != k % 3], y[y != k % 3])
    return sites


def settled(sites: dict[str, SiteModel], **parameters: Any) -> tuple[str, ...]:
    """Return what round 0 warns of."""
    surveys = {name: (site.statistics().header(), site.statistics().vector()) for name, site in sites.items()}
    model = LogisticRegression(**parameters)
    worker = ModelWorker(SiteModel(model), node="coordinator", seed=0)
    ready = worker.perform(e.ApplyAgreement(surveys=surveys), Cancellation())
    assert isinstance(ready, ev.ModelReady)
    return ready.cautions


def test_round_zero_warns_where_no_site_has_all_classes() -> None:
    (caution,) = settled(overlapping())
    assert "none of 6 sites has rows of all 3 classes" in caution
    assert 'SGDClassifier(loss="log_loss")' in caution
    assert settled(overlapping(), fit_intercept=False) == ()


def test_round_zero_warns_of_nothing_where_one_site_has_them_all() -> None:
    X, y = blobs(3)
    assert settled(overlapping() | {"whole": SiteModel(LogisticRegression(), X[:, :2], y)}) == ()


def test_no_intercept_moves_where_no_site_has_all_classes() -> None:
    sites = overlapping()
    agreement = agree({name: site.statistics() for name, site in sites.items()})
    for name, site in sites.items():
        site.build(agreement, 0)
        LocalTraining(site, node=name, seed=0).train(site.get_weights(), LocalSettings(epochs=5), 1)
        views = site.layout.views(site.get_weights())
        assert np.all(views["intercept"] == 0)
        assert np.any(views["coef"] != 0)


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


@pytest.mark.parametrize(
    ("version", "refused"),
    [("1.5.2", False), ("1.6.0", True), ("1.7.1", True), ("1.7.2", False), ("1.8.dev0", False), ("1.10.1", False)],
)
def test_a_solver_is_refused_with_the_versions_whose_warm_start_shifts_intercepts(
    version: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn.__version__", version)
    if refused:
        with pytest.raises(CannotMerge, match="shifts the intercepts"):
            as_model(LogisticRegression(solver="newton-cholesky"))
    else:
        as_model(LogisticRegression(solver="newton-cholesky"))


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_a_warm_start_at_the_optimum_stays_there(solver: str) -> None:
    """What those versions fail with the solver that is refused."""
    try:
        model = as_model(LogisticRegression(solver=solver, tol=1e-8))
    except CannotMerge:
        pytest.skip("refused")
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
