"""Lasso and ElasticNet, which coordinate descent finds from the sums of the normal equations."""

from __future__ import annotations

import numpy as np

from ..exact.linear import LeastSquaresAdapter
from ..statistics import Arrays
from ..sums import covariance, symmetric

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class ElasticNetAdapter(LeastSquaresAdapter):
    """ElasticNet and Lasso: scikit-learn's own descent, on as many rows as there are columns and a target.

    These rows have the same sums as all rows of all sites, and with that the same minimum: `positive`, `selection`,
    `tol` and `max_iter` are the estimator's.
    """

    idle = dict.fromkeys(("precompute", "copy_X"), "there are few rows to descend on") | {
        "warm_start": "a run starts where its initial weights are"
    }

    def finish(self, parameters: Arrays, sums: Arrays) -> None:  # noqa: ARG002
        from sklearn.base import clone

        weight, product = float(sums["weight"][0]), symmetric(sums["product"], self.n_features + 1)
        moments = covariance(weight, sums["sum"], product) if self.given.fit_intercept else product / weight
        rows = equivalent_rows(moments)
        fitted = clone(self.given).set_params(fit_intercept=False, warm_start=False, precompute=False)
        if not isinstance(fitted.random_state, int):  # with selection="random" all nodes draw alike, and not globally
            fitted.set_params(random_state=0)
        fitted.fit(rows[:, :-1], rows[:, -1])
        self.working.n_iter_, self.working.dual_gap_ = fitted.n_iter_, fitted.dual_gap_
        self.set_line(np.asarray(fitted.coef_, np.float64), sums)


def equivalent_rows(moments: Matrix) -> Matrix:
    """Return Z, as many rows as columns, with ``Zᵀ Z / rows`` equal to `moments`, which is never negative."""
    root = np.sqrt(np.diag(moments))
    scale = np.where(root > 0, root, 1.0)
    values, axes = np.linalg.eigh(moments / np.outer(scale, scale))
    found: Matrix = (axes * np.sqrt(np.maximum(values, 0.0))).T * scale * np.sqrt(len(moments))
    return found
