"""What all our learning estimators share: rows in, sites made of them, a run, and a plain fitted estimator out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from nervenet.models.data.arrays import unmasked
from nervenet.models.data.data import Task
from nervenet.models.model import Model, in_one_round, is_summed
from nervenet.models.registry import as_model
from nervenet.models.site_model import SiteModel
from nervenet.models.weights import IncompatibleWeights
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ..config.idle_parameters import idle_lines_of
from ..config.schema import Experiment
from .backends import BACKENDS
from .delegated import if_inner_has
from .experiments import experiment_of
from .inputs import Checked, check_several, checked
from .plain import fitted, replaced
from .run import Job, Learned, Progress, Record
from .sites import Division, Sites, sites_of

ROUNDS = 20
LARGEST_SEED = np.iinfo(np.int32).max


def _settled_before_training(model: Model) -> bool:
    """Whether round 0 has settled all there is to learn, as of forests."""
    return hasattr(type(model), "questions") and not is_summed(model)


def goes_on(self: Any) -> bool:
    """Whether there is a `partial_fit`: a model that follows from sums, or a forest, is of the rows of one `fit`."""
    try:
        model = as_model(self._unweighted())
    except (TypeError, ValueError):  # which fit says
        return True
    return not (is_summed(model) or _settled_before_training(model))


class LearningEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Fits a model over sites; a subclass says by which mode, and has the parameters."""

    mode: ClassVar[Literal["federated", "gossip"]]
    _count_name: ClassVar[str] = "n_clients"  # the parameter that says how many sites
    task: ClassVar[Task]

    # What `fit` takes beside X and y, for scikit-learn's metadata routing.
    __metadata_request__fit: ClassVar[dict[str, None]] = {"clients": None, "sample_weight": None}
    __metadata_request__partial_fit: ClassVar[dict[str, None]] = {"clients": None, "sample_weight": None}

    _required_parameters: ClassVar[list[str]] = ["estimator"]  # by which scikit-learn before 1.6 knows a meta-estimator

    estimator: Any
    rounds: int | None
    epochs: int
    local_steps: int | None
    batch_size: int
    partition: str
    alpha: float
    shards_per_client: int
    random_state: Any
    settings: Mapping[str, Any] | None
    backend: str

    history_: list[Record]

    def _table(self) -> dict[str, Any]:
        """Return the keys of the mode's own table of an experiment."""
        raise NotImplementedError

    def _sites_wanted(self) -> int:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, clients: ArrayLike | None = None, **metadata: Any) -> Self:
        """Learn from the rows of all sites, from the beginning.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame of numbers
            Which the wrapped estimator sees as they are: nothing is scaled.
        y : (n_samples,) array
        clients : (n_samples,) array, optional
            The site of each row, by any id. Without it the rows are divided as `partition` says.
        sample_weight : (n_samples,) array, optional
            How much each row counts, at least 0: in training, and by their sum in how much its site counts.

        Raises
        ------
        TypeError
            Copies of the estimator cannot be merged; says why, and lists those that can.
        ValueError
            A parameter, or rows, that cannot be; and where no site's training has a finite result.
        """
        found = checked(self, X, y, clients, metadata, reset=True, numeric=self.task == "regression")
        targets, classes = self._targets(found.y, None)
        if classes is not None:
            check_several(self, found, classes)
        self._learn(found._replace(y=targets), classes, None)
        return self

    def _more(self, found: Checked, classes: Any) -> Self:
        """Do one more round on these rows, the first of all where there was none; `classes` are then all there are."""
        after = self._going_on()
        if after is not None and type(self.estimator) is not self._learned_by:
            raise ValueError(replaced(self.estimator, self._learned_by))
        targets, known = self._targets(found.y, None if classes is None else np.unique(np.asarray(classes)))
        try:
            self._learn(found._replace(y=targets), known, after, more=True)
        except IncompatibleWeights as error:
            if after is None:
                raise
            raise ValueError(f"{replaced(self.estimator, self._learned_by)} ({error})") from error
        return self

    def _known_classes(self, again: Any) -> NDArray[Any]:
        """Return the classes of the calls before. Raises ValueError where this one has others."""
        known: NDArray[Any] = self.classes_
        if again is not None and not np.array_equal(np.unique(np.asarray(again)), known):
            raise ValueError(
                f"classes = {np.asarray(again).tolist()} are not those of the calls before: {known.tolist()}"
            )
        return known

    def _targets(self, y: NDArray[Any], known: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the targets as a model has them, and the classes, None for regression.

        Raises ValueError for a label that is none of those that are `known`.
        """
        if self.task == "regression":
            return y.astype(np.float64), None
        check_classification_targets(y)
        if known is None:
            classes, places = np.unique(y, return_inverse=True)
            return places.astype(np.int64), classes
        classes = np.asarray(known)
        strange = [label for label in np.unique(y).tolist() if label not in classes.tolist()]
        if strange:
            raise ValueError(f"y has a label {strange[0]!r} that is none of the classes {classes.tolist()}")
        return np.searchsorted(classes, y).astype(np.int64), classes

    def _learn(
        self,
        found: Checked,
        classes: NDArray[Any] | None,
        after: Progress | None,
        *,
        more: bool = False,
    ) -> None:
        """Run, and set what is fitted; `more`: one more round, whose classes, if any, are known beforehand."""
        model = self._model()
        seed = self._seed() if after is None else self._drawn_seed
        sites = self._sites(found, seed)
        job = self._job(model, found, sites.rows, classes, seed, 1 if more else self._rounds(model))
        job = replace(job, known=more, after=None if after is None else self._of_sites(after, sites.ids))
        self._take(self._runner(job, job.experiment.rounds), sites, classes, seed, begun=after is not None)

    def _of_sites(self, after: Progress, ids: NDArray[Any]) -> Progress:
        """Return what a run goes on from with each site's own model where that site is now; others have the mean."""
        names = BACKENDS[self.mode].names
        before = dict(zip(self.clients_.tolist(), names(len(self.clients_)), strict=True))
        now = {name: before.get(site, "") for site, name in zip(ids.tolist(), names(len(ids)), strict=True)}
        return replace(after, peers={new: after.peers[old] for new, old in now.items() if old in after.peers})

    def _sites(self, found: Checked, seed: int) -> Sites:
        """Return which rows each site has."""
        division = Division(self._sites_wanted(), self.partition, self.alpha, self.shards_per_client, self._count_name)
        return sites_of(found, division, self.task, seed)

    def _job(
        self,
        model: Model,
        found: Checked,
        sites: Sequence[NDArray[np.intp]],
        classes: NDArray[Any] | None,
        seed: int,
        rounds: int,
    ) -> Job:
        """Return a run over sites, each with its rows of those that were found."""
        own = [each for each in (found.X, found.y, found.weight) if each is not None]
        names = BACKENDS[self.mode].names(len(sites))
        rows = {name: tuple(each[part] for each in own) for name, part in zip(names, sites, strict=True)}
        experiment = self._experiment(model, len(names), rounds, seed, classes)
        return Job(model, experiment, self.task, rows, None if classes is None else len(classes))

    def _model(self) -> Model:
        """Return the model that the wrapped estimator is.

        Raises TypeError: its copies cannot be merged, or it is for the other task.
        """
        model = as_model(self._unweighted())
        wanted = self.task == "classification"
        if getattr(model, "classifies", None) not in (None, wanted):
            kind = "a classifier" if wanted else "a regressor"
            raise TypeError(f"{type(self).__name__} takes {kind}, found {type(self.estimator).__name__}")
        for line in idle_lines_of(model):
            if not line.startswith("model.random_state"):  # which is the seed of the run
                warnings.warn(line.replace("model.", "estimator__", 1), UserWarning, stacklevel=4)
        return model

    def _rounds(self, model: Model) -> int:
        if self.rounds is not None:
            return self.rounds
        return 1 if _settled_before_training(model) or (in_one_round(model) and self._all_hear_all) else ROUNDS

    @property
    def _all_hear_all(self) -> bool:
        """Whether every round merges what all sites have."""
        return True

    def _unweighted(self) -> Any:
        """Return the wrapped estimator without its class weights, which are those of all sites, not of each."""
        if getattr(self.estimator, "class_weight", None) is None:
            return self.estimator
        return clone(self.estimator).set_params(class_weight=None)

    def _seed(self) -> int:
        """Return the seed of the run: of `random_state`, else the wrapped estimator's own, else a fresh one."""
        given = self.random_state
        if given is None:
            given = getattr(self.estimator, "random_state", None)
        if isinstance(given, int | np.integer):
            return int(given)
        return int(check_random_state(given).randint(LARGEST_SEED))

    def _experiment(self, model: Model, sites: int, rounds: int, seed: int, classes: NDArray[Any] | None) -> Experiment:
        epochs = None if self.local_steps is not None else self.epochs
        training = {"epochs": epochs, "local_steps": self.local_steps, "batch_size": self.batch_size}
        return experiment_of(
            self.mode,
            model,
            self.task,
            nodes=sites,
            rounds=rounds,
            seed=seed,
            training=training | {"class_weight": self._class_weights(classes)},
            table=self._table(),
            settings=self.settings,
        )

    def _class_weights(self, classes: NDArray[Any] | None) -> Any:
        """Return the weights of classes by their indices, as text, which an experiment has for labels."""
        weights = getattr(self.estimator, "class_weight", None)
        if weights is None or isinstance(weights, str) or classes is None:
            return weights
        places = {label: str(place) for place, label in enumerate(classes.tolist())}
        return {places[label]: float(weight) for label, weight in dict(weights).items() if label in places}

    def _runner(self, job: Job, rounds: int) -> Learned:
        backends = BACKENDS[self.mode]
        if self.backend == "memory":
            return backends.memory(job, rounds)
        if self.backend == "processes":
            return backends.processes(job, rounds)
        raise ValueError(f"backend = {self.backend!r} is unknown; allowed: memory, processes")

    def _take(self, learned: Learned, sites: Sites, classes: NDArray[Any] | None, seed: int, *, begun: bool) -> None:
        """Set what is fitted."""
        names = getattr(self, "feature_names_in_", None)
        self.estimator_ = self._fitted(learned.site_model, classes, names)
        self._take_more(learned, classes, names)
        self.history_ = [*(self.history_ if begun else []), *learned.history]
        self.n_iter_ = learned.progress.round
        self.clients_ = sites.ids
        if classes is not None:
            self.classes_ = classes
        self._progress, self._drawn_seed, self._learned_by = learned.progress, seed, type(self.estimator)

    def _fitted(self, site_model: SiteModel, classes: NDArray[Any] | None, names: Any) -> Any:
        """Return the plain estimator that a model of the run is."""
        found = fitted(self.estimator, site_model, classes, names)
        if classes is not None and hasattr(self.estimator, "class_weight"):
            found.class_weight = self.estimator.class_weight
        return found

    def _take_more(self, learned: Learned, classes: NDArray[Any] | None, names: Any) -> None:
        """Set what only one of the modes has."""

    def _going_on(self) -> Progress | None:
        return getattr(self, "_progress", None)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return what the fitted estimator predicts: labels, or quantities, shape (n_samples,)."""
        check_is_fitted(self)
        found: NDArray[Any] = self.estimator_.predict(unmasked(X))
        return found

    @if_inner_has("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each of `classes_`, shape (n_samples, n_classes)."""
        check_is_fitted(self)
        found: NDArray[Any] = self.estimator_.predict_proba(unmasked(X))
        return found

    @if_inner_has("predict_log_proba")  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`."""
        check_is_fitted(self)
        found: NDArray[Any] = self.estimator_.predict_log_proba(unmasked(X))
        return found

    @if_inner_has("decision_function")  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the wrapped estimator's decision values."""
        check_is_fitted(self)
        found: NDArray[Any] = self.estimator_.decision_function(unmasked(X))
        return found
