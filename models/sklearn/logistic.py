"""LogisticRegression, which has no partial_fit: a fit goes on from the present weights by warm_start."""

import threading
import warnings
from math import nan

import numpy as np

from ..base import FitJob
from ..evaluate import evaluate
from ..model import FitReport
from .adapters import LinearAdapter

_warnings_lock = threading.Lock()


class LogisticAdapter(LinearAdapter):
    """LogisticRegression: `epochs` (or `local_steps`) are iterations of its solver, and `stop` is asked once, before.

    The estimator takes its classes from y: one row of zeros for each class, of weight zero, makes it see them all and
    changes nothing else.
    """

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        classes = np.arange(self.n_classes or 0)
        rows = 1 if len(classes) == 2 else len(classes)
        self.working.warm_start = True
        self.working.n_features_in_, self.working.classes_ = n_features, classes
        self.write({"coef": np.zeros((rows, n_features)), "intercept": np.zeros(rows)})

    def run(self, job: FitJob) -> FitReport:
        from sklearn.exceptions import ConvergenceWarning

        X, y, work, rng, stop, _ = job
        iterations = work.epochs if work.local_steps is None else work.local_steps
        if iterations == 0 or stop():
            return FitReport(nan, len(X), 0, iterations > 0)
        classes = np.arange(self.n_classes or 0)
        present = np.concatenate([np.ones(len(X)), np.zeros(len(classes))])
        self.working.max_iter = iterations
        self.working.random_state = int(rng.integers(2**31))  # the stochastic solvers draw from it
        # The filters of `warnings` belong to the whole process: one thread at a time may change them.
        with _warnings_lock, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
            X_all, y_all = np.concatenate([X, np.zeros((len(classes), X.shape[1]))]), np.concatenate([y, classes])
            self.working.fit(X_all, y_all, sample_weight=present)
        return FitReport(evaluate(self, X, y)["loss"], len(X), int(np.max(self.working.n_iter_)), False)
