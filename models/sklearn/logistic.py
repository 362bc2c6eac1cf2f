"""LogisticRegression, which has no partial_fit: a fit goes on from the present weights by warm_start."""

import threading
import warnings
from collections.abc import Mapping, Sequence
from math import nan

import numpy as np

from ..base import FitJob
from ..evaluate import evaluate
from ..model import FitReport
from ..weights import Array
from .adapters import LinearAdapter

_warnings_lock = threading.Lock()


class LogisticAdapter(LinearAdapter):
    """LogisticRegression: `epochs` (or `local_steps`) are iterations of its solver, and `stop` is asked once, before.

    The estimator takes its classes from y: one row of zeros for each class, of weight zero, makes it see them all and
    changes nothing else, but for the solvers that are refused. Rows that lack a class say nothing of where its
    intercept, which has no penalty, should end: there the intercepts are left as they came.
    """

    def prepare(self, n_features: int, rng: np.random.Generator) -> None:  # noqa: ARG002
        classes = np.arange(self.n_classes or 0)
        rows = 1 if len(classes) == 2 else len(classes)
        self.working.warm_start = True
        self.working.n_features_in_, self.working.classes_ = n_features, classes
        self.write({"coef": np.zeros((rows, n_features)), "intercept": np.zeros(rows)})

    def misfit(self, classes: Sequence[object]) -> str | None:
        """Return why rows of one class alone cannot be learned from.

        Their loss has no minimum: each fit drives the intercepts further away from what the other sites have learned.
        """
        if len(classes) > 1:
            return None
        return (
            f"its rows are all of class {', '.join(map(str, classes))}, and LogisticRegression's fit of one class has "
            'no end; SGDClassifier(loss="log_loss") is the same model by bounded steps'
        )

    def caution(self, sites: Mapping[str, Sequence[object]], classes: Sequence[object]) -> str | None:
        """Return what to expect where no site has rows of all classes: nobody then moves the intercepts."""
        if not self.given.fit_intercept or any(len(held) == len(classes) for held in sites.values()):
            return None
        return (
            f"none of {len(sites)} sites has rows of all {len(classes)} classes, so none moves the intercepts of "
            f"{self.name}, and where classes overlap it may learn next to nothing; "
            'SGDClassifier(loss="log_loss") is the same model, and its sites move them'
        )

    def _lacks_classes(self, y: Array) -> bool:
        return len(np.unique(y)) < (self.n_classes or 0)

    def run(self, job: FitJob) -> FitReport:
        from sklearn.exceptions import ConvergenceWarning

        X, y, work, _, stop, _ = job
        iterations = work.epochs if work.local_steps is None else work.local_steps
        if iterations == 0 or stop():
            return FitReport(nan, len(X), 0, iterations > 0)
        classes = np.arange(self.n_classes or 0)
        present = np.concatenate([np.ones(len(X)), np.zeros(len(classes))])
        received = self.working.intercept_.copy()
        self.working.max_iter = iterations
        # The filters of `warnings` belong to the whole process: one thread at a time may change them.
        with _warnings_lock, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
            X_all, y_all = np.concatenate([X, np.zeros((len(classes), X.shape[1]))]), np.concatenate([y, classes])
            self.working.fit(X_all, y_all, sample_weight=present)
        if self._lacks_classes(y):
            self.working.intercept_ = received
        return FitReport(evaluate(self, X, y)["loss"], len(X), int(np.max(self.working.n_iter_)), False)
