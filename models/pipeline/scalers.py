"""Scalers by moments and limits: StandardScaler, MinMaxScaler, MaxAbsScaler."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..agreement.questions import Questions
from .statistics import extremes, moments
from .step import Asked, ExactStep, State
from .values import numbers, plain


class _Standard:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        found = yield from moments(asked.width)
        mean = np.where(found.n > 0, found.mean, np.nan)
        return {"n": plain(found.n), "mean": plain(mean), "variance": plain(found.variance)}

    def restore(self, step: Any, state: State, width: int) -> Any:
        n, mean, variance = (numbers(state[key]) for key in ("n", "mean", "variance"))
        step.mean_ = mean if step.with_mean or step.with_std else None
        step.var_ = variance if step.with_std else None
        step.scale_ = None
        if step.with_std:
            # scikit-learn's rule for what is constant but for rounding.
            eps = np.finfo(np.float64).eps
            constant = variance <= n * eps * variance + (n * mean * eps) ** 2
            step.scale_ = np.where(constant, 1.0, np.sqrt(variance))
        whole = n.astype(np.int64)
        step.n_samples_seen_ = whole[0] if (whole == whole[0]).all() else whole
        step.n_features_in_ = width
        return step


class _Limits:
    """Fitted by scikit-learn itself, on rows that have the same limits as all rows together."""

    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        found = yield from extremes(asked.width)
        return {"rows": found.rows, "low": plain(found.low), "high": plain(found.high)}

    def restore(self, step: Any, state: State, width: int) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)  # a column that is empty at all sites
            step.fit(np.array([numbers(state["low"]), numbers(state["high"])]).reshape(2, width))
        step.n_samples_seen_ = state["rows"]
        return step


FAMILY: dict[str, ExactStep] = {
    "StandardScaler": _Standard(),
    "MinMaxScaler": _Limits(),
    "MaxAbsScaler": _Limits(),
}
