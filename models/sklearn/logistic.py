"""LogisticRegression, which has no partial_fit: a fit goes on from the present weights by warm_start."""

import threading
import warnings
from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np

from ..base import FitJob
from ..evaluate import evaluate
from ..model import Capability, FitReport
from ..weights import Array
from .adapters import Adapter, LinearAdapter
from .proximal_step import proximal_step

PULL = 0.3
"""μ at a site that lacks classes, in units of the mean loss: about the largest curvature, 1/4, that a logit has there.

Measured where sites have one to four classes of digits, iris, wine and breast cancer: with a third of it the model
drifts where sites have few rows, with three times as much it takes more rounds.
"""

_warnings_lock = threading.Lock()


class LogisticAdapter(LinearAdapter):
    """LogisticRegression: `epochs` (or `local_steps`) are iterations of its solver, and `stop` is asked once, before.

    Rows that have every class are fitted by scikit-learn. The estimator takes its classes from y: one row of zeros for
    each class, of weight zero, makes it see them all and changes nothing else, but for the solvers that are refused.

    Rows that lack a class say nothing of where its intercept, which has no penalty, should end: scikit-learn drives it
    away, and the mean of such sites forgets what each of them has learned. They are fitted near the weights that were
    received, as all rows are under a proximal term: see `proximal_step`, by L-BFGS whatever the solver.
    """

    @classmethod
    def with_parameters(cls, parameters: Mapping[str, Any]) -> type[Adapter]:
        """Return the family of Newton steps on sums for the solver that takes such steps; this one for the others."""
        if parameters.get("solver") != "newton-cholesky":
            return cls
        from .newton.adapters import NewtonLogisticAdapter

        return NewtonLogisticAdapter

    in_batches = False  # its solver goes over all rows at once
    capabilities = frozenset[Capability]({"proximal", "sample_weight"})

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        classes = np.arange(self.n_classes or 0)
        rows = 1 if len(classes) == 2 else len(classes)
        self.working.warm_start = True
        self.working.n_features_in_, self.working.classes_ = n_features, classes
        self.write({"coef": np.zeros((rows, n_features)), "intercept": np.zeros(rows)})

    def run(self, job: FitJob) -> FitReport:
        X, y, work, _, stop, _, weight = job
        iterations = work.epochs if work.local_steps is None else work.local_steps
        if iterations == 0 or stop():
            return FitReport(nan, len(X), 0, iterations > 0)
        pull = work.proximal or (PULL if self._lacks_classes(y) else 0.0)
        with np.errstate(all="ignore"):
            done = self._fit_near(X, y, weight, iterations, pull) if pull else self._fit(X, y, weight, iterations)
        return FitReport(evaluate(self, X, y, sample_weight=weight)["loss"], len(X), done, False)

    def _lacks_classes(self, y: Array) -> bool:
        return len(np.unique(y)) < (self.n_classes or 0)

    def _fit(self, X: Array, y: Array, weight: Array | None, iterations: int) -> int:
        from sklearn.exceptions import ConvergenceWarning

        classes = np.arange(self.n_classes or 0)
        present = np.concatenate([np.ones(len(X)) if weight is None else weight, np.zeros(len(classes))])
        self.working.max_iter = iterations
        # The filters of `warnings` belong to the whole process: one thread at a time may change them.
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
            X_all, y_all = np.concatenate([X, np.zeros((len(classes), X.shape[1]))]), np.concatenate([y, classes])
            self.working.fit(X_all, y_all, sample_weight=present)
        return int(np.max(self.working.n_iter_))

    def _fit_near(self, X: Array, y: Array, weight: Array | None, iterations: int, pull: float) -> int:
        given, total = self.given, len(X) if weight is None else float(weight.sum())
        reached, done = proximal_step(
            np.column_stack([self.working.coef_, self.working.intercept_]),
            X,
            y,
            pull=pull,
            l2=0.0 if given.penalty is None else 1 / (given.C * total),
            intercept=given.fit_intercept,
            iterations=iterations,
            tol=given.tol,
            weight=weight,
        )
        self.write({"coef": reached[:, :-1].copy(), "intercept": reached[:, -1].copy()})
        return done
