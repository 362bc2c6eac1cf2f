"""FederatedClassifier and FederatedRegressor: a coordinator averages what clients have learned from their own rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from nervenet.models.data.data import Task
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from .base import LearningEstimator, goes_on
from .inputs import checked


class FederatedEstimator(LearningEstimator):
    """What both have: the parameters, which are those of an experiment file (docs/keys.md)."""

    mode: ClassVar[Literal["federated", "gossip"]] = "federated"

    def __init__(
        self,
        estimator: Any,
        *,
        n_clients: int = 5,
        partition: str = "iid",
        alpha: float = 0.5,
        shards_per_client: int = 2,
        rounds: int | None = None,
        epochs: int = 5,
        local_steps: int | None = None,
        batch_size: int = 16,
        participation: float = 1.0,
        strategy: str = "fedavg",
        settings: Mapping[str, Any] | None = None,
        backend: str = "memory",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_clients = n_clients
        self.partition = partition
        self.alpha = alpha
        self.shards_per_client = shards_per_client
        self.rounds = rounds
        self.epochs = epochs
        self.local_steps = local_steps
        self.batch_size = batch_size
        self.participation = participation
        self.strategy = strategy
        self.settings = settings
        self.backend = backend
        self.random_state = random_state

    def _table(self) -> dict[str, Any]:
        return {"strategy": self.strategy, "participation": self.participation}

    def _sites_wanted(self) -> int:
        return self.n_clients


class FederatedClassifier(ClassifierMixin, FederatedEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier that is learned over sites without their rows leaving them.

    Copies of an estimator learn at the sites, from each site's own rows alone, and a coordinator merges them, round
    after round: federated averaging (McMahan et al. 2017) or another strategy. What is fitted is a plain estimator of
    the same class, `estimator_`, which needs nothing of this package.

    Parameters
    ----------
    estimator : estimator
        A classifier, whose copies can be merged: see docs/scikit-learn.md. It sees the columns as they are. Its
        `class_weight`, if any, holds over the rows of all sites.
    n_clients : int
        Sites that the rows are divided among, where `fit` is not told whose they are.
    partition : {"iid", "dirichlet", "shards", "quantity"}
        How: see `nervenet.models.partition`. `alpha` is for "dirichlet" and "quantity", `shards_per_client` for
        "shards".
    rounds : int or None
        Of training and merging. None: 20, and 1 of a model that is exact after one.
    epochs : int
        Passes of a site over its own rows in a round; ignored where there are `local_steps`, mini-batches in their
        place.
    batch_size : int
        Rows of a mini-batch.
    participation : float
        Share of the sites that are asked in a round, two at least.
    strategy : str
        How their updates are merged: a name or import path as under ``federated.strategy``.
    settings : mapping, optional
        Further keys of an experiment file, dotted: ``{"federated.compression": "delta+int8"}``.
    backend : {"memory", "processes"}
        In this process, or by real nodes that are started for it, over sockets: the results are the same, to the bit.
    random_state : int, RandomState instance or None
        Seed of the partition and of all that is drawn; None: the wrapped estimator's, where it has one.

    Attributes
    ----------
    estimator_ : estimator
        Fitted, with the merged weights.
    history_ : list of dict
        A record of each round: ``round``, ``participants`` (how many), ``loss`` (of the training rows, weighted by
        sites), ``duration_s``.
    n_iter_ : int
        Rounds that were done.
    clients_ : (n_clients,) array
        The ids of the sites, in the order of their names, client-0 and so on.
    classes_ : (n_classes,) array
        The labels of all sites.
    n_features_in_, feature_names_in_
        Of the columns of X.

    Examples
    --------
    >>> from nervenet.nodes import FederatedClassifier
    >>> from sklearn.linear_model import SGDClassifier
    >>> learned = FederatedClassifier(SGDClassifier(), n_clients=4, random_state=0).fit(X, y)  # doctest: +SKIP
    >>> learned.estimator_.coef_  # doctest: +SKIP
    """

    task: ClassVar[Task] = "classification"

    @available_if(goes_on)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, classes: ArrayLike | None = None, clients: ArrayLike | None = None, **metadata: Any
    ) -> Self:
        """Do one more round, on these rows, from where `fit` or the last call ended.

        `classes` are all labels there will be; needed in the first call. Everything else is as for `fit`.
        """
        first = self._going_on() is None
        found = checked(self, X, y, clients, metadata, reset=first, numeric=False)
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        return self._more(found, classes if first else self._known_classes(classes))


class FederatedRegressor(RegressorMixin, FederatedEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A regressor that is learned over sites without their rows leaving them.

    Copies of an estimator learn at the sites, from each site's own rows alone, and a coordinator merges them, round
    after round: federated averaging (McMahan et al. 2017) or another strategy. What is fitted is a plain estimator of
    the same class, `estimator_`, which needs nothing of this package.

    Parameters
    ----------
    estimator : estimator
        A regressor, whose copies can be merged: see docs/scikit-learn.md. It sees the columns as they are.
    n_clients : int
        Sites that the rows are divided among, where `fit` is not told whose they are.
    partition : {"iid", "dirichlet", "shards", "quantity"}
        How: see `nervenet.models.partition`. `alpha` is for "dirichlet" and "quantity", `shards_per_client` for
        "shards".
    rounds : int or None
        Of training and merging. None: 20, and 1 of a model that is exact after one.
    epochs : int
        Passes of a site over its own rows in a round; ignored where there are `local_steps`, mini-batches in their
        place.
    batch_size : int
        Rows of a mini-batch.
    participation : float
        Share of the sites that are asked in a round, two at least.
    strategy : str
        How their updates are merged: a name or import path as under ``federated.strategy``.
    settings : mapping, optional
        Further keys of an experiment file, dotted: ``{"federated.compression": "delta+int8"}``.
    backend : {"memory", "processes"}
        In this process, or by real nodes that are started for it, over sockets: the results are the same, to the bit.
    random_state : int, RandomState instance or None
        Seed of the partition and of all that is drawn; None: the wrapped estimator's, where it has one.

    Attributes
    ----------
    estimator_ : estimator
        Fitted, with the merged weights.
    history_ : list of dict
        A record of each round: ``round``, ``participants`` (how many), ``loss`` (of the training rows, weighted by
        sites), ``duration_s``.
    n_iter_ : int
        Rounds that were done.
    clients_ : (n_clients,) array
        The ids of the sites, in the order of their names, client-0 and so on.
    n_features_in_, feature_names_in_
        Of the columns of X.

    Examples
    --------
    >>> from nervenet.nodes import FederatedRegressor
    >>> from sklearn.linear_model import SGDRegressor
    >>> learned = FederatedRegressor(SGDRegressor(), n_clients=4, random_state=0).fit(X, y)  # doctest: +SKIP
    >>> learned.estimator_.coef_  # doctest: +SKIP
    """

    task: ClassVar[Task] = "regression"

    @available_if(goes_on)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, clients: ArrayLike | None = None, **metadata: Any) -> Self:
        """Do one more round, on these rows, from where `fit` or the last call ended; all else is as for `fit`."""
        reset = self._going_on() is None
        return self._more(checked(self, X, y, clients, metadata, reset=reset, numeric=True), None)
