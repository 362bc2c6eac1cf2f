"""FederatedGridSearchCV: every candidate at every site, in the same rounds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from nervenet.models.data.arrays import unmasked
from nervenet.models.rng import generator
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .backends import BACKENDS
from .base import LearningEstimator
from .inputs import Checked, check_several, checked
from .run import Steps
from .tags import kind_of, take_kind

FIXED = ("n_clients", "n_peers", "partition", "alpha", "shards_per_client", "random_state", "backend")
"""Parameters that say whose rows are whose, and so what a candidate is scored on."""


def _best_has(method: str) -> Any:
    def check(self: Any) -> bool:
        getattr(getattr(self, "best_estimator_", self.estimator), method)  # says which attribute is not there
        return True

    return check


@dataclass
class _Trial:
    """One candidate without one fold of each site."""

    candidate: int
    fold: int
    estimator: LearningEstimator
    places: NDArray[np.intp] | None  # of the classes that its training rows have
    steps: Steps | None = None
    rounds: int = 0
    failed: str = ""


class FederatedGridSearchCV(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Search over parameters of one of this package's estimators, with each site's rows scored at that site alone.

    Each site divides its own rows into folds. All candidates, without each fold, are models of their own that learn in
    the same rounds; in the end every site scores each of them on the fold that it was learned without. What leaves a
    site are weights and scores.

    Parameters
    ----------
    estimator : FederatedClassifier, FederatedRegressor, GossipClassifier or GossipRegressor
        In memory.
    param_grid : dict of lists, or list of such
        As for scikit-learn's GridSearchCV: ``{"estimator__alpha": [1e-4, 1e-3], "epochs": [1, 5]}``. Not over
        parameters that say whose rows are whose.
    cv : int
        Folds of each site's own rows, at least 2, by class where there are classes.
    scoring : str, callable or None
        By which a candidate is scored at a site; None: the estimator's own score.
    refit : bool
        Whether to fit the best candidate on all rows in the end.

    Attributes
    ----------
    best_estimator_, best_params_, best_score_, best_index_
        Of the best mean over folds.
    cv_results_ : dict of arrays
        As GridSearchCV has it: ``params``, ``param_…``, ``split0_test_score`` …, ``mean_test_score``,
        ``std_test_score``, ``rank_test_score``. The score of a fold is the mean over sites, weighted by their rows.
    site_scores_ : (n_candidates, cv, n_sites) array
        At each site, in the order of `clients_`; NaN where a site has no row in a fold.
    clients_ : (n_sites,) array
        The ids of the sites.

    Examples
    --------
    >>> from nervenet.nodes import FederatedClassifier, FederatedGridSearchCV
    >>> from sklearn.linear_model import SGDClassifier
    >>> search = FederatedGridSearchCV(FederatedClassifier(SGDClassifier()), {"estimator__alpha": [1e-4, 1e-2]})
    >>> search.fit(X, y, clients=hospitals).best_params_  # doctest: +SKIP
    """

    # What `fit` takes beside X and y, for scikit-learn's metadata routing.
    __metadata_request__fit: ClassVar[dict[str, None]] = {"clients": None, "sample_weight": None}
    _required_parameters: ClassVar[list[str]] = ["estimator", "param_grid"]  # as scikit-learn before 1.6 has it

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        cv: int = 3,
        scoring: Any = None,
        refit: bool = True,
    ) -> None:
        self.estimator = estimator
        self.param_grid = param_grid
        self.cv = cv
        self.scoring = scoring
        self.refit = refit

    def fit(self, X: Any, y: Any, clients: ArrayLike | None = None, **metadata: Any) -> Self:
        """Search. `clients` and `sample_weight` are as for the estimator's own `fit`; folds are scored without weights.

        Raises ValueError: a parameter that cannot be, or no candidate has a score.
        """
        base, candidates = self.estimator, self._candidates()
        found = checked(self, X, y, clients, metadata, reset=True, numeric=base.task == "regression")
        targets, classes = base._targets(found.y, None)
        if classes is not None:
            check_several(self, found, classes)
            self.classes_ = classes
        seed = base._seed()
        rows = found._replace(y=targets)
        sites = base._sites(rows, seed)
        largest = max(map(len, sites.rows))
        if largest < self.cv:  # then a fold would have no row anywhere
            raise ValueError(
                f"cv = {self.cv} folds of each site's own rows; the largest site has {largest} to learn from"
            )
        self.clients_ = sites.ids
        names = BACKENDS[base.mode].names(len(sites.rows))
        folds = [
            _folds(targets[own], self.cv, generator(seed, name, "folds"), by_class=classes is not None)
            for name, own in zip(names, sites.rows, strict=True)
        ]
        trials = [
            self._trial(place, fold, params, rows, sites.rows, folds, seed)
            for place, params in enumerate(candidates)
            for fold in range(self.cv)
        ]
        for number in range(1, max(trial.rounds for trial in trials) + 1):  # all of them in the same rounds
            for trial in trials:
                if trial.steps is not None and number <= trial.rounds:
                    _attempted(trial, number)
        self.site_scores_ = np.full((len(candidates), self.cv, len(names)), np.nan)
        for trial in trials:
            self.site_scores_[trial.candidate, trial.fold] = self._scores(trial, found, classes, sites.rows, folds)
        sizes = np.array([[(own == fold).sum() for own in folds] for fold in range(self.cv)], np.float64)
        self._rank(candidates, sizes, trials)
        if self.refit:
            self.best_estimator_ = clone(base).set_params(**clone(self.best_params_, safe=False))
            self.best_estimator_.fit(X, y, clients=clients, **metadata)
        return self

    def _candidates(self) -> list[dict[str, Any]]:
        base = self.estimator
        if not isinstance(base, LearningEstimator):
            raise TypeError(
                f"FederatedGridSearchCV takes an estimator of this package, such as FederatedClassifier(…), found "
                f"{type(base).__name__}; scikit-learn's GridSearchCV takes any"
            )
        if base.backend != "memory":
            raise ValueError(f"the estimator has backend = {base.backend!r}; a search is for backend='memory'")
        if not isinstance(self.cv, int | np.integer) or isinstance(self.cv, bool) or self.cv < 2:
            raise ValueError(f"cv must be a whole number of folds, at least 2, found {self.cv!r}")
        if not (self.scoring is None or isinstance(self.scoring, str) or callable(self.scoring)):
            raise ValueError(f"scoring must be one name, one callable or None, found {self.scoring!r}")
        candidates = list(ParameterGrid(self.param_grid))
        for name in (name for params in candidates for name in params if name in FIXED):
            raise ValueError(f"param_grid: {name} says whose rows are whose; candidates are scored on the same rows")
        return candidates

    def _trial(
        self,
        candidate: int,
        fold: int,
        params: Mapping[str, Any],
        rows: Checked,
        sites: Sequence[NDArray[np.intp]],
        folds: Sequence[NDArray[np.intp]],
        seed: int,
    ) -> _Trial:
        """Return a candidate that has begun to learn without one fold of each site."""
        estimator = clone(self.estimator).set_params(**clone(dict(params), safe=False))
        kept = [own[place != fold] for own, place in zip(sites, folds, strict=True)]
        trial = _Trial(candidate, fold, estimator, None)
        classes = None
        if estimator.task == "classification":
            trial.places, inverse = np.unique(rows.y[np.concatenate(kept)], return_inverse=True)
            y = np.zeros_like(rows.y)
            y[np.concatenate(kept)] = inverse
            rows, classes = rows._replace(y=y), self.classes_[trial.places]
        try:
            model = estimator._model()
            trial.rounds = estimator._rounds(model)
            steps = BACKENDS[estimator.mode].steps(estimator._job(model, rows, kept, classes, seed, trial.rounds))
            steps.begin()
            trial.steps = steps
        except ValueError as error:
            trial.failed = str(error)
        return trial

    def _scores(
        self,
        trial: _Trial,
        found: Checked,
        classes: NDArray[Any] | None,
        sites: Sequence[NDArray[np.intp]],
        folds: Sequence[NDArray[np.intp]],
    ) -> NDArray[np.float64]:
        """Return a candidate's score at each site, on the fold that it was learned without; NaN where there is none."""
        scores = np.full(len(sites), np.nan)
        if trial.steps is None or trial.failed:
            return scores
        labels = None if classes is None or trial.places is None else classes[trial.places]
        plain = trial.estimator._fitted(trial.steps.end().site_model, labels, None)
        scorer = check_scoring(plain, scoring=self.scoring)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)  # of R² of a single row, which is NaN
            for place, (own, fold) in enumerate(zip(sites, folds, strict=True)):
                test = own[fold == trial.fold]
                if len(test):
                    scores[place] = scorer(plain, found.X[test], found.y[test])
        return scores

    def _rank(
        self, candidates: Sequence[Mapping[str, Any]], sizes: NDArray[np.float64], trials: Sequence[_Trial]
    ) -> None:
        known = ~np.isnan(self.site_scores_)
        weight = np.where(known, sizes, 0.0)
        with np.errstate(invalid="ignore"):
            splits = np.where(known, self.site_scores_, 0.0) * weight
            by_fold = splits.sum(axis=2) / weight.sum(axis=2)
        mean = by_fold.mean(axis=1)
        failures = [trial for trial in trials if trial.failed]
        if np.isnan(mean).all():
            why = f"scoring = {self.scoring!r} has no value on any site's rows, in one fold at least"
            raise ValueError(f"no candidate has a score: {failures[0].failed if failures else why}")
        if failures:
            what = f"{len(failures)} of {len(trials)} fits failed, the first because {failures[0].failed}"
            warnings.warn(what, FitFailedWarning, stacklevel=3)
        names = sorted({name for params in candidates for name in params})
        results: dict[str, Any] = {f"param_{name}": _column(candidates, name) for name in names}
        results["params"] = [dict(params) for params in candidates]
        results |= {f"split{fold}_test_score": by_fold[:, fold] for fold in range(self.cv)}
        results |= {"mean_test_score": mean, "std_test_score": by_fold.std(axis=1)}
        worst = np.where(np.isnan(mean), np.nanmin(mean) - 1, mean)
        results["rank_test_score"] = 1 + (worst > worst[:, None]).sum(axis=1).astype(np.int32)
        self.cv_results_ = results
        self.best_index_ = int(results["rank_test_score"].argmin())
        self.best_params_ = dict(candidates[self.best_index_])
        self.best_score_ = float(mean[self.best_index_])

    def predict(self, X: Any) -> NDArray[Any]:
        """Return what the best estimator predicts."""
        check_is_fitted(self, "best_estimator_")
        found: NDArray[Any] = self.best_estimator_.predict(unmasked(X))
        return found

    @available_if(_best_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the best estimator's probabilities."""
        check_is_fitted(self, "best_estimator_")
        found: NDArray[Any] = self.best_estimator_.predict_proba(unmasked(X))
        return found

    @available_if(_best_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the best estimator's decision values."""
        check_is_fitted(self, "best_estimator_")
        found: NDArray[Any] = self.best_estimator_.decision_function(unmasked(X))
        return found

    def score(self, X: Any, y: Any) -> float:
        """Return the best estimator's score, by `scoring`."""
        check_is_fitted(self, "best_estimator_")
        return float(check_scoring(self.best_estimator_, scoring=self.scoring)(self.best_estimator_, X, y))

    @property
    def _estimator_type(self) -> Any:  # for scikit-learn before 1.6
        return kind_of(self.estimator)

    def __sklearn_tags__(self) -> Any:
        return take_kind(super().__sklearn_tags__(), self.estimator)


def _folds(y: NDArray[Any], count: int, rng: np.random.Generator, *, by_class: bool) -> NDArray[np.intp]:
    """Return the fold of each row of a site, in which classes are alike; a single row is in none, and trained on."""
    if len(y) < 2:
        return np.full(len(y), -1, np.intp)
    order = rng.permutation(len(y))
    if by_class:
        order = order[np.argsort(y[order], kind="stable")]
    found = np.empty(len(y), np.intp)
    found[order] = np.arange(len(y)) % count
    return found


def _attempted(trial: _Trial, number: int) -> None:
    """Do a round of a trial; one that fails is out of the search."""
    try:
        if trial.steps is not None and not trial.failed:
            trial.steps.round(number)
    except ValueError as error:
        trial.failed = str(error)


def _column(candidates: Sequence[Mapping[str, Any]], name: str) -> Any:
    """Return the values of a parameter, masked where a candidate has none."""
    column = np.ma.array(np.empty(len(candidates), object), mask=True)
    for place, params in enumerate(candidates):
        if name in params:
            column[place] = params[name]
    return column
