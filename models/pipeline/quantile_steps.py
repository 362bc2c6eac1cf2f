"""Steps by exact quantiles: RobustScaler, QuantileTransformer, KBinsDiscretizer, SplineTransformer.

All rows count: what scikit-learn does with ``subsample=None``. Above `subsample` rows its own fit draws some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.quantiles import median, middle, quantile, ranks
from ..agreement.questions import Questions
from ..moments import IncompatibleSites
from .statistics import extremes, orders, rows
from .step import Asked, ExactStep, State
from .values import numbers, plain


def _probabilities(percentages: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """Return what numpy.percentile makes of percentages, to the bit."""
    found: list[float] = np.true_divide(percentages, 100).tolist()
    return found


class _Robust:
    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        limits = _probabilities(step.quantile_range)
        found = yield from orders(asked.width, lambda n: [*middle(n), *ranks(n, limits)])
        return {
            "center": plain([median(column) for column in found]),
            "quantiles": plain([[quantile(column, limit) for limit in limits] for column in found]),
        }

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.center_ = numbers(state["center"]) if step.with_centering else None
        step.scale_ = None
        if step.with_scaling:
            low, high = numbers(state["quantiles"]).reshape(width, 2).T
            scale = high - low
            step.scale_ = np.where(scale < 10 * np.finfo(np.float64).eps, 1.0, scale)  # scikit-learn's rule
            if step.unit_variance:
                from scipy.stats import norm

                least, most = (float(limit) / 100.0 for limit in step.quantile_range)
                step.scale_ = step.scale_ / (norm.ppf(most) - norm.ppf(least))
        step.n_features_in_ = width
        return step


class _Quantile:
    def refusal(self, step: Any) -> str | None:
        if step.ignore_implicit_zeros:
            return "ignore_implicit_zeros has no exact merge; take ignore_implicit_zeros=False"
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        total = yield from rows()
        wanted = _probabilities(np.linspace(0, 1, max(1, min(step.n_quantiles, total))) * 100)
        found = yield from orders(asked.width, lambda n: ranks(n, wanted))
        return {"quantiles": plain([[quantile(column, p) for p in wanted] for column in found])}

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.quantiles_ = np.ascontiguousarray(numbers(state["quantiles"]).T)
        step.n_quantiles_ = len(step.quantiles_)
        step.references_ = np.linspace(0, 1, step.n_quantiles_, endpoint=True)
        step.n_features_in_ = width
        return step


class _Bins:
    def refusal(self, step: Any) -> str | None:
        if step.strategy == "kmeans":
            return "strategy='kmeans' has no exact merge; the nearest is strategy='quantile'"
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        bins = np.broadcast_to(np.asarray(step.n_bins, np.int64), asked.width).tolist()
        if step.strategy == "uniform":
            limits = yield from extremes(asked.width)
            low, high = limits.low.tolist(), limits.high.tolist()
            edges = [np.linspace(a, b, k + 1) for a, b, k in zip(low, high, bins, strict=True)]
            return {"edges": [_edges(*one, step) for one in zip(asked.names, edges, low, high, strict=True)]}
        method = getattr(step, "quantile_method", "linear")
        wanted = {k: _probabilities(np.linspace(0, 100, k + 1)) for k in set(bins)}
        every = [p for some in wanted.values() for p in some]
        found = yield from orders(asked.width, lambda n: [0, n - 1, *ranks(n, every, method)])
        low, high = ([column.at.get(k(column.n), np.nan) for column in found] for k in (lambda _: 0, lambda n: n - 1))
        edges = [
            np.array([quantile(column, p, method) for p in wanted[k]]) for column, k in zip(found, bins, strict=True)
        ]
        return {"edges": [_edges(*one, step) for one in zip(asked.names, edges, low, high, strict=True)]}

    def restore(self, step: Any, state: State, width: int) -> Any:
        from sklearn.preprocessing import OneHotEncoder

        edges = np.zeros(width, dtype=object)
        for place, found in enumerate(state["edges"]):
            edges[place] = np.array([-np.inf, np.inf] if found is None else found)
        step.bin_edges_ = edges
        step.n_bins_ = np.array([len(found) - 1 for found in edges])
        if "onehot" in step.encode:
            dtype = step.dtype if step.dtype in (np.float64, np.float32) else np.dtype(np.float64)
            sparse = step.encode == "onehot"
            step._encoder = OneHotEncoder(
                categories=[np.arange(k) for k in step.n_bins_], sparse_output=sparse, dtype=dtype
            )
            step._encoder.fit(np.zeros((1, width)))
        step.n_features_in_ = width
        return step


def _edges(name: str, edges: NDArray[np.float64], low: float, high: float, step: Any) -> list[float] | None:
    """Return the edges of a column's bins; None where all of its values are the same."""
    if low != low:
        raise IncompatibleSites(f"column {name!r} has no values at any site; there is nothing to cut into bins")
    if low == high:
        return None
    if step.strategy == "quantile":
        edges = edges[np.ediff1d(edges, to_begin=np.inf) > 1e-8]  # scikit-learn's rule
        if len(edges) < 2 and "onehot" in step.encode:
            raise IncompatibleSites(
                f"column {name!r} has no two quantiles that are 1e-8 apart; scale it, or take encode='ordinal'"
            )
    found: list[float] = edges.tolist()
    return found


class _Spline:
    """Fitted by scikit-learn itself, on knots that were agreed."""

    def refusal(self, step: Any) -> None:
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        if not isinstance(step.knots, str):
            return {"knots": plain(step.knots)}
        if step.knots == "uniform":
            limits = yield from extremes(asked.width)
            return {"knots": plain(np.linspace(limits.low, limits.high, step.n_knots))}
        wanted = _probabilities(100 * np.linspace(0, 1, step.n_knots, dtype=np.float64))
        found = yield from orders(asked.width, lambda n: ranks(n, wanted))
        return {"knots": plain(np.array([[quantile(column, p) for p in wanted] for column in found]).T)}

    def restore(self, step: Any, state: State, width: int) -> Any:
        knots = step.knots
        agreed = numbers(state["knots"])
        step.set_params(knots=agreed).fit(agreed)
        return step.set_params(knots=knots)


FAMILY: dict[str, ExactStep] = {
    "RobustScaler": _Robust(),
    "QuantileTransformer": _Quantile(),
    "KBinsDiscretizer": _Bins(),
    "SplineTransformer": _Spline(),
}
