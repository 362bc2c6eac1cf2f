"""The figures of a score report that go by the weights of the rows, where these have some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .moments import spread_of

if TYPE_CHECKING:
    from .site_model import SiteModel


def weighted_report_on(site_model: SiteModel, X: Any, y: Any, sample_weight: NDArray[np.float64]) -> dict[str, Any]:
    """Return how a built model does on raw rows, X (rows, columns) and y (rows,), each counted by its weight, (rows,).

    Returns
    -------
    dict
        ``weight``, the sum; for classification ``accuracy``, and ``per_class`` by label ``precision``, ``recall``,
        ``f1`` and ``weight``; for regression ``mae``, ``rmse`` (both in the target's unit) and ``r2``. They are those
        of sklearn.metrics with sample_weight; None where a figure is not defined on these rows.

    Raises ValueError for rows that do not fit what the sites have agreed on.
    """
    agreed, found = site_model.preprocessing, site_model.predict(X)
    if agreed.classes is None:
        return _regression(np.asarray(y, np.float64), found.astype(np.float64), sample_weight)
    truth, said, classes = agreed.encode(y), agreed.encode(found), len(agreed.classes)
    hits = np.bincount(truth[truth == said], sample_weight[truth == said], classes)
    of_truth, of_said = (np.bincount(places, sample_weight, classes) for places in (truth, said))
    per_class = {
        str(label): {
            "precision": _share(hits[k], of_said[k]),
            "recall": _share(hits[k], of_truth[k]),
            "f1": _share(2 * hits[k], of_truth[k] + of_said[k]),
            "weight": float(of_truth[k]),
        }
        for k, label in enumerate(agreed.classes)
    }
    total = float(sample_weight.sum())
    return {"weight": total, "accuracy": _share(float(hits.sum()), total), "per_class": per_class}


def _regression(y: NDArray[np.float64], found: NDArray[np.float64], weight: NDArray[np.float64]) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        total, errors = float(weight.sum()), found - y
        squares = float(weight @ np.square(errors))
        spread = spread_of(y, weight)
        figures = {"mae": float(weight @ np.abs(errors)) / total, "rmse": float(np.sqrt(squares / total))}
        figures |= {"r2": 1 - squares / spread if spread > 0 else np.nan}
    return {"weight": total} | {name: value if np.isfinite(value) else None for name, value in figures.items()}


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
