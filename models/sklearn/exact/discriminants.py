"""LinearDiscriminantAnalysis and QuadraticDiscriminantAnalysis from the covariances of all sites' classes."""

from __future__ import annotations

from functools import cache

import numpy as np

from ...weights import Array
from ..statistics import Arrays
from .by_class import ClassMomentsAdapter, checked_priors

NO_ESTIMATOR = "an estimator of covariances sees the rows themselves"
LEDOIT_WOLF = "the shrinkage of Ledoit and Wolf follows from fourth powers, which are not told; give a number"


def _refused(given: object) -> tuple[str, str] | None:
    if getattr(given, "covariance_estimator", None) is not None:
        return "covariance_estimator", NO_ESTIMATOR
    if getattr(given, "shrinkage", None) is not None and given.solver == "svd":  # type: ignore[attr-defined]
        return "shrinkage", "the solver svd has none"
    return ("shrinkage", LEDOIT_WOLF) if getattr(given, "shrinkage", None) == "auto" else None


def shrunk(covariance: Array, shrinkage: float | None) -> Array:
    """Return (1 - s) C + s tr(C) / p I."""
    if not shrinkage:
        return covariance
    width = len(covariance)
    found: Array = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / width * np.eye(width)
    return found


class LinearDiscriminantAdapter(ClassMomentsAdapter):
    """LinearDiscriminantAnalysis, by any of its solvers."""

    def __init__(self, given: object, path: str) -> None:
        super().__init__(given, path)
        self.apart = self.given.priors is not None  # which weigh the covariances of the classes

    def refusal(self) -> tuple[str, str] | None:
        return _refused(self.given)

    def set_task(self, n_features: int, n_classes: int | None) -> None:
        super().set_task(n_features, n_classes)
        most, wanted = min((n_classes or 2) - 1, n_features), self.given.n_components
        checked_priors(self.given.priors, n_classes or 0)
        if wanted is not None and wanted > most:
            raise ValueError(f"n_components={wanted}; at most the number of columns, and of classes less one: {most}")
        self.components = most if wanted is None else int(wanted)

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        working, given, counts = self.working, self.given, self.counts_of(sums)
        n = float(counts.sum())
        if n == len(counts):
            raise ValueError(f"{self.name}: all sites together must have more rows than classes")
        within, means = self.within(sums, counts), sums["class_sum"] / counts[:, None]
        priors = checked_priors(given.priors, len(counts))
        working.priors_ = counts / n if priors is None else priors / priors.sum()
        working.means_ = means + self.center
        working._max_components = working._n_features_out = self.components
        covariance = (
            within[0] / n if priors is None else np.tensordot(working.priors_, within / counts[:, None, None], 1)
        )
        scatter = within.sum(axis=0)
        if given.solver == "svd":
            if given.store_covariance:
                working.covariance_ = covariance
            coef, intercept = self._svd(means, scatter, n)
        else:
            working.covariance_ = shrunk(covariance, given.shrinkage)
            apart = means - counts @ means / n
            total = (np.einsum("k,ki,kj->ij", counts, apart, apart) + scatter) / n
            coef = self._lsqr() if given.solver == "lsqr" else self._eigen(shrunk(total, given.shrinkage))
            intercept = -0.5 * np.einsum("kj,kj->k", working.means_, coef)
        intercept = intercept + np.log(working.priors_)
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        working.coef_, working.intercept_ = coef, intercept

    def _svd(self, means: Array, scatter: Array, n: float) -> tuple[Array, Array]:
        """Return coefficients and intercepts of columns whitened within the classes (Hastie et al. 2009, 4.3.2)."""
        if not np.diag(scatter).any():
            raise ValueError(
                f"{self.name} with solver='svd': no column varies within a class, and so none tells how far classes "
                "are apart; at least one must vary"
            )
        working, tol, classes = self.working, self.given.tol, len(means)
        deviation = np.sqrt(np.diag(scatter) / n)
        deviation = np.where(deviation > 0, deviation, 1.0)
        values, axes = np.linalg.eigh(scatter / np.outer(deviation, deviation) / divisor_of_lda(n, classes))
        sizes = np.sqrt(np.maximum(values, 0.0))
        whitened = axes[:, sizes > tol] / deviation[:, None] / sizes[sizes > tol]
        middle = working.priors_ @ means
        rooted = np.sqrt(n * working.priors_ / max(1, classes - 1))[:, None]
        _, spread, directions = np.linalg.svd(rooted * (means - middle) @ whitened, full_matrices=False)
        working.explained_variance_ratio_ = (spread**2 / (spread**2).sum())[: self.components]
        working.scalings_ = whitened @ directions.T[:, : int((spread > tol * spread[0]).sum())]
        working.xbar_ = middle + self.center
        placed = (means - middle) @ working.scalings_
        coef = placed @ working.scalings_.T
        return coef, -0.5 * (placed**2).sum(axis=1) - coef @ working.xbar_

    def _lsqr(self) -> Array:
        from scipy.linalg import lstsq

        found: Array = lstsq(self.working.covariance_, self.working.means_.T)[0].T
        return found

    def _eigen(self, total: Array) -> Array:
        """Return coefficients by the directions in which the classes differ most, as far as rows within them do."""
        from scipy.linalg import LinAlgError, eigh

        working = self.working
        try:
            values, vectors = eigh(total - working.covariance_, working.covariance_)
        except LinAlgError as error:
            raise ValueError(
                f"{self.name} with solver='eigen': columns do not vary within the classes, or determine each other "
                "there; give it a shrinkage above 0, leave such columns out, or take solver='svd'"
            ) from error
        order = np.argsort(values)[::-1]
        working.explained_variance_ratio_ = (values / values.sum())[order][: self.components]
        working.scalings_ = vectors[:, order]
        found: Array = working.means_ @ vectors @ vectors.T
        return found


class QuadraticDiscriminantAdapter(ClassMomentsAdapter):
    """QuadraticDiscriminantAnalysis: the axes of the covariance of each class."""

    def refusal(self) -> tuple[str, str] | None:
        return _refused(self.given)

    def set_task(self, n_features: int, n_classes: int | None) -> None:
        super().set_task(n_features, n_classes)
        checked_priors(self.given.priors, n_classes or 0)

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        working, given = self.working, self.given
        counts = self.counts_of(sums, least=2)
        eigen = getattr(given, "solver", "svd") == "eigen"
        within = self.within(sums, counts)
        working.scalings_, working.rotations_, covariances = [], [], []
        for label, scatter in enumerate(within):
            divisor = counts[label] if eigen else divisor_of_qda(counts[label])
            covariance = shrunk(scatter / divisor, given.shrinkage if eigen else None)
            values, axes = np.linalg.eigh(covariance)
            values, axes = values[::-1], axes[:, ::-1]
            if not eigen:
                values = (1 - given.reg_param) * np.maximum(values, 0.0) + given.reg_param
                covariance = axes * values @ axes.T
            self._check_rank(label, values, counts[label])
            working.scalings_.append(values)
            working.rotations_.append(axes)
            covariances.append(covariance)
        working.means_ = sums["class_sum"] / counts[:, None] + self.center
        priors = checked_priors(given.priors, len(counts))
        working.priors_ = counts / counts.sum() if priors is None else priors
        if given.store_covariance:
            working.covariance_ = covariances

    def _check_rank(self, label: int, values: Array, rows: float) -> None:
        seen = int((values > self.given.tol).sum())
        if seen < self.n_features:
            raise ValueError(
                f"{self.name}: the {rows:g} rows of class {label} (counted from 0, in the order of the labels) vary "
                f"along {seen} of {self.n_features} axes; give it a reg_param above 0, or leave columns out"
            )


@cache
def _one_less() -> tuple[bool, bool]:
    """Whether scikit-learn's LDA and QDA divide by the rows less the classes, and less one: up to 1.8 they do."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

    X, y = np.array([[0.0], [2.0], [10.0], [12.0]]), [0, 0, 1, 1]
    linear = LinearDiscriminantAnalysis().fit(X, y).coef_[0, 0]  # 10 / (4 / divisor)
    quadratic = QuadraticDiscriminantAnalysis(reg_param=0.0).fit(X, y).scalings_[0][0]  # 2 / divisor
    return bool(linear < 7.5), bool(quadratic > 1.5)


def divisor_of_lda(n: float, classes: int) -> float:
    """Return by what the scatter within the classes is divided."""
    return n - classes if _one_less()[0] else n


def divisor_of_qda(n: float) -> float:
    """Return by what the scatter of a class of so many rows is divided."""
    return n - 1 if _one_less()[1] else n
