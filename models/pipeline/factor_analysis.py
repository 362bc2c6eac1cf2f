"""FactorAnalysis from the merged QR factor: its likelihood depends on the rows by their covariance alone.

What the sites' rows come to as a factor R is told and merged as for PCA. Scikit-learn then fits rows of its own making
whose mean is zero and whose covariance is that of all rows: R and -R. Whatever `svd_method` says, the result is that of
the full decomposition.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from ..agreement.questions import Questions
from ..moments import IncompatibleSites
from .decomposition import factor
from .step import Asked, ExactStep, State
from .values import numbers


class _FactorAnalysis:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        from sklearn.base import clone

        found = yield from factor(asked)
        most, wanted = min(found.n, asked.width), step.n_components or asked.width
        if wanted > most:
            raise IncompatibleSites(f"{asked.title}: n_components={wanted}; {found.n} rows of {asked.width} columns")
        rows = 2 * len(found.R)
        scaled = found.R * sqrt(len(found.R) / found.n)
        share = rows / found.n  # of a log-likelihood, which grows with the rows, and so of what ends its ascent
        fitted = clone(step).set_params(svd_method="lapack", tol=step.tol * share)
        fitted.fit(np.vstack([scaled, -scaled]))
        axes = fitted.components_
        largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]  # positive, by convention: no sign is its own
        return {
            "mean": found.mean.tolist(),
            "components": (axes * np.where(largest < 0, -1.0, 1.0)[:, None]).tolist(),
            "noise": fitted.noise_variance_.tolist(),
            "loglike": [float(value) / share for value in fitted.loglike_],
        }

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.mean_, step.noise_variance_ = numbers(state["mean"]), numbers(state["noise"])
        step.components_ = numbers(state["components"]).reshape(-1, width)
        step.loglike_ = [float(value) for value in state["loglike"]]
        step.n_iter_, step.n_features_in_ = len(step.loglike_), width
        return step


FAMILY: dict[str, ExactStep] = {"FactorAnalysis": _FactorAnalysis()}
