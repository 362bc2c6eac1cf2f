"""FederatedClusterer: clusters of the rows of all sites, by exact steps from what each site sums."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from nervenet.models.cluster_together import cluster_together
from nervenet.models.data.arrays import unmasked
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from .delegated import if_inner_has
from .inputs import weighted_rows
from .sites import in_order


class FederatedClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Clusters that are found over sites as on their pooled rows, without these leaving their site.

    In each round every site tells the sums of its rows by cluster; what comes of them is the step that `fit` on all
    rows would take. No row is a first center, for no site shows one: the cluster of all rows is split again and again.

    Parameters
    ----------
    estimator : KMeans or GaussianMixture
    n_clients : int
        Sites that the rows are divided among, in their order, where `fit` is not told whose they are. The result is the
        same for any number, to rounding.
    rounds : int or None
        At most; None: until nothing moves, or the estimator's `max_iter` ends it.

    Attributes
    ----------
    estimator_ : estimator
        The plain fitted one, which needs nothing of this package.
    labels_ : (n_samples,) array
        The cluster of each row of `fit`.
    n_iter_ : int
        Steps that the fitted estimator counts.
    clients_ : (n_clients,) array
        The ids of the sites.
    n_features_in_, feature_names_in_
        Of the columns of X.

    Examples
    --------
    >>> from nervenet.nodes import FederatedClusterer
    >>> from sklearn.cluster import KMeans
    >>> FederatedClusterer(KMeans(2), n_clients=2).fit([[0.0], [0.1], [9.0], [9.1]]).labels_
    array([1, 1, 0, 0])
    """

    # What `fit` takes beside X, for scikit-learn's metadata routing.
    __metadata_request__fit: ClassVar[dict[str, None]] = {"clients": None, "sample_weight": None}
    _required_parameters: ClassVar[list[str]] = ["estimator"]  # by which scikit-learn before 1.6 knows a meta-estimator

    def __init__(self, estimator: Any, *, n_clients: int = 5, rounds: int | None = None) -> None:
        self.estimator = estimator
        self.n_clients = n_clients
        self.rounds = rounds

    def fit(self, X: Any, y: Any = None, clients: ArrayLike | None = None, **metadata: Any) -> Self:  # noqa: ARG002
        """Find the clusters of the rows of all sites; `y` is not looked at.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame of numbers
        clients : (n_samples,) array, optional
            The site of each row, by any id.
        sample_weight : (n_samples,) array, optional
            How much each row counts, at least 0, where the estimator takes weights.

        Raises
        ------
        TypeError
            The estimator is none of clusters.
        ValueError
            A parameter, or rows, that cannot be.
        """
        if not (self.rounds is None or (isinstance(self.rounds, int | np.integer) and self.rounds >= 1)):
            raise ValueError(f"rounds must be a whole number of at least 1, or None, found {self.rounds!r}")
        found = weighted_rows(self, X, clients, metadata)
        sites = in_order(len(found.X), found.clients, self.n_clients)
        weights = None if found.weight is None else [found.weight[own] for own in sites.rows]
        self.estimator_ = cluster_together(
            self.estimator, [found.X[own] for own in sites.rows], weights, rounds=self.rounds
        )
        if (names := getattr(self, "feature_names_in_", None)) is not None:
            self.estimator_.feature_names_in_ = names
        self.n_iter_, self.clients_ = self.estimator_.n_iter_, sites.ids
        self.labels_ = self.predict(X)
        if hasattr(self.estimator_, "labels_"):
            self.estimator_.labels_ = self.labels_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the cluster of each row."""
        check_is_fitted(self)
        # Centers are float64, and scikit-learn's KMeans takes no rows of float32 then.
        rows = X.astype(np.float64) if getattr(X, "dtype", None) == np.float32 else X
        found: NDArray[Any] = self.estimator_.predict(unmasked(rows))
        return found

    @if_inner_has("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return how much each component of a mixture has of each row."""
        check_is_fitted(self)
        found: NDArray[Any] = self.estimator_.predict_proba(unmasked(X))
        return found

    @if_inner_has("score")  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002
        """Return the fitted estimator's own score of rows."""
        check_is_fitted(self)
        return float(self.estimator_.score(unmasked(X)))
