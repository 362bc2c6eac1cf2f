"""Expectation and maximization of a Gaussian mixture from sums over rows: pure functions of parameters and sums.

Dempster, Laird & Rubin 1977; Bishop 2006, Pattern Recognition and Machine Learning, section 9.2.2. Where weights, means
and precisions are not all given, k-means (see `lloyd`) finds clusters first, whose moments are the first parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..sums import symmetric, triangle, upper
from . import lloyd
from .lloyd import Array, Arrays, Shapes

Covariance = Literal["full", "tied", "diag", "spherical"]

HARD, SOFT, END = 2.0, 3.0, 4.0
"""After k-means is done: rows belong to their clusters for one round; then to all of them in shares; then it ends."""

_KMEANS_TOL, _KMEANS_MAX_ITER = 1e-4, 300  # scikit-learn's defaults, which its mixtures start with


@dataclass(frozen=True, eq=False)
class Mixture:
    """What is fitted: the settings of scikit-learn's GaussianMixture by their names there.

    `weights_init`, `means_init` and `precisions_init` are None or arrays, the means taken from the anchor.
    """

    components: int
    width: int
    covariance_type: Covariance = "full"
    tol: float = 1e-3
    reg_covar: float = 1e-6
    max_iter: int = 100
    weights_init: Array | None = None
    means_init: Array | None = None
    precisions_init: Array | None = None

    @property
    def given(self) -> bool:
        """Whether all first parameters are given."""
        return self.weights_init is not None and self.means_init is not None and self.precisions_init is not None

    def with_precisions_init(self, precisions: Array) -> Mixture:
        return replace(self, precisions_init=precisions)

    @property
    def precision_shape(self) -> tuple[int, ...]:
        components, width = self.components, self.width
        return {
            "full": (components, width, width),
            "tied": (width, width),
            "diag": (components, width),
            "spherical": (components,),
        }[self.covariance_type]

    def parameter_shapes(self) -> Shapes:
        """Return the shapes of what goes from round to round: those of k-means, and of the mixture."""
        return lloyd.parameter_shapes(self.components, self.width) | {
            "shares": (self.components,),
            "covariance": self.precision_shape,
            "precision_root": self.precision_shape,
            "bound": (1,),
            "settled": (1,),
        }

    def sum_shapes(self) -> Shapes:
        """Return the shapes of a site's sums: those of k-means, squares of pairs of columns, and the log-likelihood."""
        half = triangle(self.width)
        pairs = {"full": (self.components, half), "tied": (half,)}.get(self.covariance_type)
        further: Shapes = {} if pairs is None else {"pairs": pairs}
        return lloyd.sum_shapes(self.components, self.width) | further | {"likelihood": (1,)}

    def start(self, parameters: Mapping[str, Array]) -> Arrays:
        """Return the first parameters where all are given, else what k-means begins with, `parameters`."""
        now = {name: np.array(value, np.float64) for name, value in parameters.items()}
        if not self.given:
            return now
        now["state"][:] = SOFT
        now["centers"], now["shares"] = np.array(self.means_init), np.array(self.weights_init)
        return self._with_precisions(now)

    def statistics(self, X: Array, weight: Array, parameters: Mapping[str, Array]) -> Arrays:
        """Return the sums over some rows at these parameters."""
        state = lloyd.state_of(parameters)
        if state < HARD:
            found = {name: np.zeros(shape) for name, shape in self.sum_shapes().items()}
            return found | lloyd.sums(X, weight, parameters)
        if state == HARD:
            shares = np.zeros((len(X), self.components))
            shares[np.arange(len(X)), lloyd.nearest(X, parameters["centers"])] = 1.0
            return self._weighted_sums(X, shares * weight[:, None], parameters["centers"])
        logarithms = self.log_densities(X, parameters) + np.log(parameters["shares"])
        largest = logarithms.max(axis=1)
        shares = np.exp(logarithms - largest[:, None])
        total = shares.sum(axis=1)
        shares *= (weight / total)[:, None]
        found = self._weighted_sums(X, shares, parameters["centers"])
        found["likelihood"][0] = weight @ (largest + np.log(total))
        return found

    def log_densities(self, X: Array, parameters: Mapping[str, Array]) -> Array:
        """Return log N(x; mean, covariance), shape (rows, components)."""
        roots = np.asarray(parameters["precision_root"])
        found = np.empty((len(X), self.components))
        for k, center in enumerate(parameters["centers"]):
            root = roots if self.covariance_type == "tied" else roots[k]
            rest = X - center
            if self.covariance_type in ("full", "tied"):
                rest = rest @ root
                determinant = np.log(np.diag(root)).sum()
            else:
                rest = rest * root
                determinant = np.log(np.broadcast_to(root, self.width)).sum()
            found[:, k] = determinant - np.einsum("ij,ij->i", rest, rest) / 2
        return np.asarray(found - self.width * np.log(2 * np.pi) / 2)

    def step(self, parameters: Mapping[str, Array], sums: Mapping[str, Array]) -> Arrays:
        """Return the next parameters from the sums of all rows, with their number ``rows``.

        It ends as scikit-learn does: where the mean log-likelihood has changed by less than `tol`, or after `max_iter`
        steps. Raises ValueError for a covariance that is not positive definite.
        """
        state = lloyd.state_of(parameters)
        if state < HARD:
            return lloyd.step(parameters, sums, _KMEANS_TOL, _KMEANS_MAX_ITER)  # whose DONE is HARD
        now = {name: np.array(value, np.float64) for name, value in parameters.items()}
        if state == END:
            return now
        now = self._maximized(now, sums)
        if state == HARD:
            now["state"][:], now["steps"][:], now["bound"][:] = SOFT, 0, 0
            return now if self.max_iter else self._ended(now, settled=False)
        bound = float(sums["likelihood"][0] / sums["rows"][0])
        settled = now["steps"][0] > 0.5 and abs(bound - float(now["bound"][0])) < self.tol
        now["steps"] += 1
        now["bound"][:] = bound
        return self._ended(now, settled) if settled or now["steps"][0] > self.max_iter - 0.5 else now

    def finished(self, parameters: Mapping[str, Array], sums: Mapping[str, Array]) -> Arrays:
        """Return the parameters after one more step; before there are components, those of the clusters of the columns'
        variances alone.
        """
        if lloyd.state_of(parameters) >= HARD:
            return self.step(parameters, sums)
        now = {name: np.array(value, np.float64) for name, value in parameters.items()}
        count = np.asarray(sums["count"]) + 10 * np.finfo(np.float64).eps
        now["centers"], now["shares"] = lloyd.moved(now, sums), count / count.sum()
        diagonal = lloyd.squares(sums) / count[:, None] + self.reg_covar
        if self.covariance_type == "full":
            now["covariance"] = np.stack([np.diag(each) for each in diagonal])
        elif self.covariance_type == "tied":
            now["covariance"] = np.diag(now["shares"] @ diagonal)
        else:
            now["covariance"] = diagonal if self.covariance_type == "diag" else diagonal.mean(axis=1)
        now["precision_root"] = self._inverse_root(now["covariance"])
        return now

    def precisions(self, parameters: Mapping[str, Array]) -> Array:
        """Return the precisions, of which ``precision_root`` are the roots."""
        root: Array = np.asarray(parameters["precision_root"])
        if self.covariance_type in ("diag", "spherical"):
            return root**2
        return root @ np.swapaxes(root, -1, -2)

    def _ended(self, now: Arrays, settled: bool) -> Arrays:
        now["state"][:], now["settled"][:] = END, float(settled)
        return now

    def _weighted_sums(self, X: Array, shares: Array, centers: Array) -> Arrays:
        found = {name: np.zeros(shape) for name, shape in self.sum_shapes().items()}
        found["count"][:] = shares.sum(axis=0)
        for k, center in enumerate(centers):
            rest = X - center
            weighted = rest * shares[:, k, None]
            found["moved"][k] = weighted.sum(axis=0)
            found["square"][k] = np.einsum("ij,ij->j", weighted, rest)
            if self.covariance_type == "full":
                found["pairs"][k] = upper(weighted.T @ rest)
            elif self.covariance_type == "tied":
                found["pairs"] += upper(weighted.T @ rest)
        found["spread"][:] = X.sum(axis=0), np.einsum("ij,ij->j", X, X)
        return found

    def _maximized(self, now: Arrays, sums: Mapping[str, Array]) -> Arrays:
        """Return the parameters of which the rows are likeliest in their shares."""
        first = lloyd.state_of(now) == HARD
        count = np.asarray(sums["count"]) + 10 * np.finfo(np.float64).eps  # as scikit-learn has it
        shift = sums["moved"] / count[:, None]
        now["covariance"] = self._covariance(sums, count, shift)
        now["centers"] = now["centers"] + shift
        now["shares"] = count / count.sum()
        if first and self.means_init is not None:
            now["centers"] = np.array(self.means_init)
        if first and self.weights_init is not None:
            now["shares"] = np.array(self.weights_init)
        if first and self.precisions_init is not None:
            return self._with_precisions(now)
        now["precision_root"] = self._inverse_root(now["covariance"])
        return now

    def _covariance(self, sums: Mapping[str, Array], count: Array, shift: Array) -> Array:
        """Return the covariances about the new means, of sums about the old ones."""
        identity = np.eye(self.width) * self.reg_covar
        if self.covariance_type == "full":
            pairs = np.stack([symmetric(each, self.width) for each in sums["pairs"]])
            full: Array = pairs / count[:, None, None] - shift[:, :, None] * shift[:, None, :] + identity
            return full
        if self.covariance_type == "tied":
            between = (shift * count[:, None]).T @ shift
            tied: Array = (symmetric(sums["pairs"], self.width) - between) / count.sum() + identity
            return tied
        diagonal: Array = sums["square"] / count[:, None] - shift**2 + self.reg_covar
        return diagonal if self.covariance_type == "diag" else np.asarray(diagonal.mean(axis=1))

    def _inverse_root(self, covariance: Array) -> Array:
        """Return the upper triangular R with R Rᵀ the inverse of each covariance."""
        if self.covariance_type in ("diag", "spherical"):
            if (covariance <= 0).any():
                raise ValueError(_COLLAPSED)
            return np.asarray(1 / np.sqrt(covariance))
        if self.covariance_type == "tied":
            return _inverse_root(covariance)
        return np.stack([_inverse_root(square) for square in covariance])

    def _with_precisions(self, now: Arrays) -> Arrays:
        """Return the parameters with the precisions that are given, and the covariances that belong to them."""
        given = np.asarray(self.precisions_init, np.float64)
        if self.covariance_type in ("diag", "spherical"):
            now["precision_root"], now["covariance"] = np.sqrt(given), 1 / given
            return now
        if self.covariance_type == "tied":
            now["precision_root"], now["covariance"] = _upper_root(given), np.linalg.inv(given)
            return now
        now["precision_root"] = np.stack([_upper_root(each) for each in given])
        now["covariance"] = np.linalg.inv(given)
        return now


_COLLAPSED = (
    "a component of the mixture has a covariance that is not positive definite, as where its rows are too few or "
    "alike; use fewer components, a larger reg_covar, or covariance_type='diag'"
)


def _inverse_root(square: Array) -> Array:
    try:
        lower = np.linalg.cholesky(square)
    except np.linalg.LinAlgError as error:
        raise ValueError(_COLLAPSED) from error
    # scipy's solve_triangular takes all processors for it, however small it is, and waits for them where they are busy.
    return np.triu(np.linalg.inv(lower).T)


def _upper_root(precision: Array) -> Array:
    """Return the upper triangular R with R Rᵀ a precision: of the flipped matrix the lower Cholesky factor, flipped."""
    return np.flip(np.linalg.cholesky(np.flip(precision)))
