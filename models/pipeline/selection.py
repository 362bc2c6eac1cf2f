"""Selection of columns by what all rows say of each: VarianceThreshold, and the scores of SelectKBest and its kin.

A score function is known by its name: f_classif, chi2, f_regression, r_regression. The F values are computed from
deviations, and keep their digits where scikit-learn's sums of squares lose them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.column_moments import ColumnMoments
from ..agreement.questions import Questions
from ..agreement.together import together
from ..moments import IncompatibleSites
from .statistics import extremes, moments
from .step import Asked, ExactStep, State
from .targets import class_counts, joint_moments, moments_by_class, sums_by_class
from .values import numbers, plain

Scores = tuple[NDArray[np.float64], NDArray[np.float64] | None]


class _Variance:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        spread, limits = yield from together([moments(asked.width), extremes(asked.width)])
        variances = spread.variance
        if step.threshold == 0:
            # scikit-learn's: the range of a constant is 0 where rounding leaves some variance; gaps hide the range.
            ranges = np.where(limits.n == limits.rows, limits.high - limits.low, np.nan)
            variances = np.fmin(variances, ranges)
        if not (variances > step.threshold).any():
            raise IncompatibleSites(f"{asked.title}: no column has a variance above {step.threshold}")
        return {"variances": plain(variances)}

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.variances_ = numbers(state["variances"])
        step.n_features_in_ = width
        return step


class _Univariate:
    def refusal(self, step: Any) -> str | None:
        name = getattr(step.score_func, "__name__", repr(step.score_func))
        own = getattr(step.score_func, "__module__", "").startswith("sklearn.")
        if name not in _SCORES or not own:
            return f"score_func={name} has no exact merge; take one of: {', '.join(_SCORES)}"
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        scores, pvalues = yield from _SCORES[step.score_func.__name__](asked)
        return {"scores": plain(scores), "pvalues": None if pvalues is None else plain(pvalues)}

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.scores_ = numbers(state["scores"])
        step.pvalues_ = None if state["pvalues"] is None else numbers(state["pvalues"])
        step.n_features_in_ = width
        return step


def _f_classif(asked: Asked) -> Questions[Scores]:
    from scipy.special import fdtrc

    classes = yield from class_counts()
    if len(classes) < 2:
        raise IncompatibleSites(f"{asked.title} needs two classes; all sites together have {len(classes)}")
    groups = yield from moments_by_class(list(classes), asked)
    whole = ColumnMoments.merged(groups)
    between = sum(group.n * group.above(whole) ** 2 for group in groups)
    freedom = len(classes) - 1, sum(classes.values()) - len(classes)
    with np.errstate(divide="ignore", invalid="ignore"):
        F = np.asarray(between / freedom[0] / (sum(group.m2 for group in groups) / freedom[1]))
    return F, fdtrc(*freedom, F)


def _chi2(asked: Asked) -> Questions[Scores]:
    from scipy.special import chdtrc

    classes = yield from class_counts()
    observed = yield from sums_by_class(list(classes), asked)
    counts = np.array(list(classes.values()), np.float64)
    expected = np.outer(counts / counts.sum(), observed.sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = ((observed - expected) ** 2 / expected).sum(axis=0)
    return statistic, np.asarray(chdtrc(len(classes) - 1, statistic), np.float64)


def _correlation(asked: Asked) -> Questions[tuple[NDArray[np.float64], float]]:
    found = yield from joint_moments(asked)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = found.products / np.sqrt(found.moments.m2[:-1]) / np.sqrt(found.moments.m2[-1])
    # Of a column that determines the target rounding may leave a little more than 1, whose F would be far below 0.
    return np.clip(np.where(np.isnan(r), 0.0, r), -1.0, 1.0), float(found.moments.n[-1])


def _r_regression(asked: Asked) -> Questions[Scores]:
    r, _ = yield from _correlation(asked)
    return r, None


def _f_regression(asked: Asked) -> Questions[Scores]:
    from scipy.stats import f

    r, rows = yield from _correlation(asked)
    with np.errstate(divide="ignore", invalid="ignore"):
        F = r**2 / (1 - r**2) * (rows - 2)
    pvalues = f.sf(F, 1, rows - 2)
    return np.where(np.isinf(F), np.finfo(np.float64).max, F), pvalues


_SCORES: dict[str, Callable[[Asked], Questions[Scores]]] = {
    "f_classif": _f_classif,
    "chi2": _chi2,
    "f_regression": _f_regression,
    "r_regression": _r_regression,
}

_KINDS = "SelectKBest SelectPercentile SelectFpr SelectFdr SelectFwe GenericUnivariateSelect"
FAMILY: dict[str, ExactStep] = {"VarianceThreshold": _Variance(), **dict.fromkeys(_KINDS.split(), _Univariate())}
