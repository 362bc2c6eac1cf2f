"""GossipClassifier and GossipRegressor: peers learn from their own rows and mix with neighbors, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, Literal, Self

from nervenet.models.data.data import Task
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from .base import LearningEstimator, goes_on
from .inputs import checked
from .run import Learned


class GossipEstimator(LearningEstimator):
    """What both have: the parameters, which are those of an experiment file (docs/keys.md)."""

    mode: ClassVar[Literal["federated", "gossip"]] = "gossip"
    _count_name: ClassVar[str] = "n_peers"

    def __init__(
        self,
        estimator: Any,
        *,
        n_peers: int = 5,
        partition: str = "iid",
        alpha: float = 0.5,
        shards_per_client: int = 2,
        rounds: int | None = None,
        epochs: int = 5,
        local_steps: int | None = None,
        batch_size: int = 16,
        topology: str = "ring",
        algorithm: str = "dpsgd",
        settings: Mapping[str, Any] | None = None,
        backend: str = "memory",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_peers = n_peers
        self.partition = partition
        self.alpha = alpha
        self.shards_per_client = shards_per_client
        self.rounds = rounds
        self.epochs = epochs
        self.local_steps = local_steps
        self.batch_size = batch_size
        self.topology = topology
        self.algorithm = algorithm
        self.settings = settings
        self.backend = backend
        self.random_state = random_state

    def _table(self) -> dict[str, Any]:
        return {"topology": self.topology, "algorithm": self.algorithm}

    @property
    def _all_hear_all(self) -> bool:
        return self.topology == "complete"

    def _sites_wanted(self) -> int:
        return self.n_peers

    def _take_more(self, learned: Learned, classes: NDArray[Any] | None, names: Any) -> None:
        """Set each peer's own estimator."""
        site_model, own = learned.site_model, learned.progress
        self.estimators_ = []
        for name in sorted(own.peers):
            weights, site_model.clock = own.peers[name]
            site_model.set_weights(weights)
            self.estimators_.append(deepcopy(self._fitted(site_model, classes, names)))
        site_model.set_weights(own.weights)
        site_model.clock = own.clock


class GossipClassifier(ClassifierMixin, GossipEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier that is learned over sites without their rows leaving them.

    Each site is a peer, which trains its own copy of an estimator on its own rows and mixes it, round after round, with
    those of its neighbors (Lian et al. 2017), or by another algorithm: there is no server. What is fitted are plain
    estimators of the same class, one a peer, and the mean of them, `estimator_`, by which `predict` goes.

    Parameters
    ----------
    estimator : estimator
        A classifier, whose copies can be merged: see docs/scikit-learn.md. It sees the columns as they are. Its
        `class_weight`, if any, holds over the rows of all sites.
    n_peers : int
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
    topology : str
        Who is whose neighbor: ring, complete, torus and others; `nervenet topology` lists them.
    algorithm : str
        How models are mixed: a name or import path as under ``gossip.algorithm``.
    settings : mapping, optional
        Further keys of an experiment file, dotted: ``{"gossip.degree": 4}``.
    backend : {"memory", "processes"}
        In this process, or by real nodes that are started for it, over sockets: the results are the same, to the bit.
    random_state : int, RandomState instance or None
        Seed of the partition and of all that is drawn; None: the wrapped estimator's, where it has one.

    Attributes
    ----------
    estimator_ : estimator
        Fitted, with the mean of the peers' weights.
    estimators_ : list of estimators
        Each peer's own, in the order of `clients_`.
    history_ : list of dict
        A record of each round: ``round``, ``participants`` (how many), ``loss`` (of the training rows, over peers),
        ``consensus_distance``, ``duration_s``.
    n_iter_ : int
        Rounds that were done.
    clients_ : (n_peers,) array
        The ids of the sites, in the order of their names, peer-0 and so on.
    classes_ : (n_classes,) array
        The labels of all sites.
    n_features_in_, feature_names_in_
        Of the columns of X.

    Examples
    --------
    >>> from nervenet.nodes import GossipClassifier
    >>> from sklearn.linear_model import SGDClassifier
    >>> learned = GossipClassifier(SGDClassifier(), n_peers=4, random_state=0).fit(X, y)  # doctest: +SKIP
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


class GossipRegressor(RegressorMixin, GossipEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A regressor that is learned over sites without their rows leaving them.

    Each site is a peer, which trains its own copy of an estimator on its own rows and mixes it, round after round, with
    those of its neighbors (Lian et al. 2017), or by another algorithm: there is no server. What is fitted are plain
    estimators of the same class, one a peer, and the mean of them, `estimator_`, by which `predict` goes.

    Parameters
    ----------
    estimator : estimator
        A regressor, whose copies can be merged: see docs/scikit-learn.md. It sees the columns as they are.
    n_peers : int
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
    topology : str
        Who is whose neighbor: ring, complete, torus and others; `nervenet topology` lists them.
    algorithm : str
        How models are mixed: a name or import path as under ``gossip.algorithm``.
    settings : mapping, optional
        Further keys of an experiment file, dotted: ``{"gossip.degree": 4}``.
    backend : {"memory", "processes"}
        In this process, or by real nodes that are started for it, over sockets: the results are the same, to the bit.
    random_state : int, RandomState instance or None
        Seed of the partition and of all that is drawn; None: the wrapped estimator's, where it has one.

    Attributes
    ----------
    estimator_ : estimator
        Fitted, with the mean of the peers' weights.
    estimators_ : list of estimators
        Each peer's own, in the order of `clients_`.
    history_ : list of dict
        A record of each round: ``round``, ``participants`` (how many), ``loss`` (of the training rows, over peers),
        ``consensus_distance``, ``duration_s``.
    n_iter_ : int
        Rounds that were done.
    clients_ : (n_peers,) array
        The ids of the sites, in the order of their names, peer-0 and so on.
    n_features_in_, feature_names_in_
        Of the columns of X.

    Examples
    --------
    >>> from nervenet.nodes import GossipRegressor
    >>> from sklearn.linear_model import SGDRegressor
    >>> learned = GossipRegressor(SGDRegressor(), n_peers=4, random_state=0).fit(X, y)  # doctest: +SKIP
    >>> learned.estimator_.coef_  # doctest: +SKIP
    """

    task: ClassVar[Task] = "regression"

    @available_if(goes_on)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, clients: ArrayLike | None = None, **metadata: Any) -> Self:
        """Do one more round, on these rows, from where `fit` or the last call ended; all else is as for `fit`."""
        reset = self._going_on() is None
        return self._more(checked(self, X, y, clients, metadata, reset=reset, numeric=True), None)
