"""Adapters of KMeans and GaussianMixture, which have no target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ...model import Capability
from ...weights import Array, Layout
from ..statistics import Arrays, Block, Shapes, StatisticsAdapter
from . import lloyd
from .mixture import END, SOFT, Mixture

MOST_SUMS = 1_000_000
"""A mixture that sums more numbers than this is refused: 8 MB a round."""


class ClusterAdapter(StatisticsAdapter):
    """What clusters share: rows from the anchor, labels for predictions, and targets that nothing looks at."""

    classifies = None
    one_round = False
    has_target: ClassVar[bool] = False

    @property
    def settled(self) -> bool:
        """Whether further rounds change nothing."""
        raise NotImplementedError

    def check_rows(self, rows: int) -> None:
        """Raise ValueError where all sites together have fewer rows than there are clusters, as scikit-learn does."""
        parameter = "n_clusters" if hasattr(self.given, "n_clusters") else "n_components"
        wanted = getattr(self.given, parameter)
        if wanted > rows:
            raise ValueError(
                f"{self.name} with {parameter}={wanted}: all sites together have {rows} rows, as many are needed"
            )

    def given_array(self, parameter: str, shape: tuple[int, ...]) -> Array | None:
        """Return a parameter of the estimator that is an array, or None. Raises ValueError for another shape."""
        value = getattr(self.given, parameter)
        if value is None or isinstance(value, str):
            return None
        found = np.asarray(value, np.float64)
        if found.shape != shape:
            raise ValueError(f"{self.name} with {parameter} of shape {found.shape}; expected is {shape}")
        return found

    def row_losses(self, X: Array) -> Array:
        """Return how badly each row fits, shape (rows,); NaN before there are sums."""
        X = self.checked(X)
        return self.losses(X) if self.solve() else np.full(len(X), np.nan)

    def losses(self, X: Array) -> Array:
        """Return `row_losses` by what is fitted."""
        raise NotImplementedError

    def predict(self, X: Array) -> Array:
        """Return the cluster of each row, int64; 0 before there are sums."""
        X = self.checked(X)
        if not self.solve():
            return np.zeros(len(X), np.int64)
        return np.asarray(self.working.predict(X), np.int64)


class KMeansAdapter(ClusterAdapter):
    """KMeans by Lloyd's steps; see `lloyd`, also for where its centers start. "elkan" finds the same centers."""

    capabilities = frozenset[Capability]({"sample_weight"})
    idle: ClassVar[Mapping[str, str]] = {
        "algorithm": "both find the same centers",
        "random_state": "the first centers are split from the mean of all rows, or given",
        "copy_x": "rows are never modified",
    }

    def refusal(self) -> tuple[str, str] | None:
        init = self.given.init
        if callable(init) or (isinstance(init, str) and init != "k-means++"):
            return "init", (
                "first centers would be rows, which no site shows; give the centers as an array, or leave it out: a "
                "cluster of all rows is then split, the largest again and again"
            )
        if self.given.n_init not in ("auto", 1):
            return "n_init", "the first centers are always the same; leave it out"
        return super().refusal()

    def parameter_shapes(self, n_features: int, n_classes: int | None) -> Shapes:  # noqa: ARG002
        return lloyd.parameter_shapes(self.given.n_clusters, n_features)

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:  # noqa: ARG002
        return lloyd.sum_shapes(self.given.n_clusters, n_features)

    def anchor(self, rows: float, center: ArrayLike, target_center: float) -> None:  # noqa: ARG002
        super().anchor(rows, center, 0.0)
        centers = self.given_array("init", (self.given.n_clusters, self.n_features))
        if centers is not None:
            self.arrays["centers"][:] = centers - self.center
            self.arrays["state"][:] = lloyd.MOVE
        elif self.given.n_clusters == 1:
            self.arrays["state"][:] = lloyd.MOVE

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        return lloyd.sums(block.X, block.weight, parameters)

    def step(self, parameters: Arrays, sums: Arrays) -> Arrays:
        return lloyd.step(parameters, sums, self.given.tol, self.given.max_iter)

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        """Set what `fit` would, but for the labels of rows, which their sites have; centers take a last move.

        ``inertia_`` is that of the rows in the clusters of the present round.
        """
        done = lloyd.state_of(parameters) == lloyd.DONE
        centers = parameters["centers"] if done else lloyd.moved(parameters, sums)
        working = self.working
        working.cluster_centers_ = centers + self.center
        working.inertia_ = lloyd.inertia(sums) if done else float(lloyd.squares(sums).sum())
        working.n_iter_ = round(float(parameters["steps"][0])) + (not done)
        working.labels_ = None
        working._n_threads = 1  # noqa: SLF001  (what its predict asks for)

    def losses(self, X: Array) -> Array:
        """Return the squared distance of each row from its center."""
        centers = self.working.cluster_centers_ - self.center
        X = X - self.center
        return np.asarray(((X - centers[lloyd.nearest(X, centers)]) ** 2).sum(axis=1))

    def loss(self, sums: Arrays) -> float:
        return lloyd.inertia(sums) / float(sums["weight"][0])

    @property
    def settled(self) -> bool:
        return lloyd.state_of(self.arrays) == lloyd.DONE


class GaussianMixtureAdapter(ClusterAdapter):
    """GaussianMixture by expectation and maximization; see `mixture`, also for where it starts."""

    capabilities = frozenset[Capability]()
    idle: ClassVar[Mapping[str, str]] = {
        "random_state": "k-means starts always alike here, or the first parameters are given",
        "warm_start": "a run starts where its initial weights are",
    }

    def refusal(self) -> tuple[str, str] | None:
        given = self.given
        if given.init_params != "kmeans" and not self._all_given():
            return "init_params", (
                "the first components would be drawn for rows, which no site shows; leave it out, or give "
                "weights_init, means_init and precisions_init"
            )
        if given.n_init != 1:
            return "n_init", "the first components are always the same; leave it out"
        return super().refusal()

    def _all_given(self) -> bool:
        return all(getattr(self.given, name) is not None for name in ("weights_init", "means_init", "precisions_init"))

    def mixture(self, n_features: int) -> Mixture:
        """Return what is fitted."""
        given = self.given
        means = self.given_array("means_init", (given.n_components, n_features))
        plain = Mixture(
            given.n_components,
            n_features,
            given.covariance_type,
            given.tol,
            given.reg_covar,
            given.max_iter,
            self.given_array("weights_init", (given.n_components,)),
            means if means is None or self._layout is None else means - self.center,
        )
        precisions = self.given_array("precisions_init", plain.precision_shape)
        return plain if precisions is None else plain.with_precisions_init(precisions)

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        given, sums = self.given, self.statistic_shapes(n_features, n_classes)
        if (size := sum(int(np.prod(shape)) for shape in sums.values())) > MOST_SUMS:
            raise ValueError(
                f"{self.name} of {given.n_components} components and {n_features} columns sums {size} numbers a round, "
                f"at most {MOST_SUMS} are allowed; use fewer columns, or covariance_type='diag'"
            )
        self._check_given(n_features)
        return super().build(n_features, n_classes, rng)

    def _check_given(self, n_features: int) -> None:
        """Raise ValueError for first weights and precisions that no mixture has, as scikit-learn's `fit` does."""
        mixture = self.mixture(n_features)
        shares, precisions = mixture.weights_init, mixture.precisions_init
        if shares is not None and ((shares < 0).any() or not np.isclose(shares.sum(), 1.0)):
            raise ValueError(
                f"{self.name} with weights_init={shares.tolist()}: shares from 0 on are needed, 1 together"
            )
        if precisions is None:
            return
        values = precisions
        if mixture.covariance_type in ("full", "tied"):
            values = np.linalg.eigvalsh(precisions)
            if not np.allclose(precisions, np.swapaxes(precisions, -1, -2)):
                values = np.zeros(1)
        if not (values > 0).all():
            needed = "numbers above 0" if values is precisions else "symmetric, positive definite matrices"
            raise ValueError(
                f"{self.name}: precisions_init must be {needed}, for covariance_type={mixture.covariance_type!r}"
            )

    def parameter_shapes(self, n_features: int, n_classes: int | None) -> Shapes:  # noqa: ARG002
        return self.mixture(n_features).parameter_shapes()

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:  # noqa: ARG002
        return self.mixture(n_features).sum_shapes()

    def anchor(self, rows: float, center: ArrayLike, target_center: float) -> None:  # noqa: ARG002
        super().anchor(rows, center, 0.0)
        parameters = self.parameters()
        if self.given.n_components == 1:
            parameters["state"][:] = lloyd.MOVE
        for name, array in self.mixture(self.n_features).start(parameters).items():
            self.arrays[name][...] = array

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        return self.mixture(self.n_features).statistics(block.X, block.weight, parameters)

    def step(self, parameters: Arrays, sums: Arrays) -> Arrays:
        return self.mixture(self.n_features).step(parameters, sums)

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        """Set what `fit` would, after one more step from the present sums; before there are any, the clusters."""
        mixture = self.mixture(self.n_features)
        found = mixture.finished(parameters, sums)
        working = self.working
        working.weights_, working.means_ = found["shares"], found["centers"] + self.center
        working.covariances_, working.precisions_cholesky_ = found["covariance"], found["precision_root"]
        working.precisions_ = mixture.precisions(found)
        working.converged_ = bool(found["settled"][0] > 0.5)
        working.n_iter_ = round(float(found["steps"][0])) if lloyd.state_of(found) >= SOFT else 0
        working.lower_bound_ = float(found["bound"][0])

    def losses(self, X: Array) -> Array:
        """Return the negative log-likelihood of each row."""
        return -np.asarray(self.working.score_samples(X))

    @property
    def settled(self) -> bool:
        return lloyd.state_of(self.arrays) == END
