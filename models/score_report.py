"""Score reports: what one figure does not tell of a model - which classes it confuses, how it ranks, how sure it is.

In NumPy alone, since a run that needs no scikit-learn should not wait for it; the tests compare with sklearn.metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .site_model import SiteModel

BINS = 10
"""Of the reliability table: equal widths from 0 to 1."""


def report_on(site_model: SiteModel, X: Any, y: Any) -> dict[str, Any]:
    """Return the report of a built model on raw rows, X (rows, columns) and y (rows,): see the two below.

    Raises ValueError for rows that do not fit what the sites have agreed on.
    """
    agreed = site_model.preprocessing
    truth, found = agreed.encode(y), site_model.predict(X)
    if agreed.classes is None:
        return regression_report(np.asarray(y), found)
    return classification_report(truth, agreed.encode(found), site_model.predict_proba(X), agreed.classes)


def classification_report(
    y: NDArray[np.int64], found: NDArray[np.int64], P: NDArray[Any] | None, labels: Sequence[object]
) -> dict[str, Any]:
    """Return how a classifier did on some rows, as plain values.

    Parameters
    ----------
    y, found
        The true and the predicted classes as indices into `labels`, shape (rows,).
    P
        Probabilities, shape (rows, classes), or None where the model has none.
    labels
        The classes, in the order of their indices.

    Returns
    -------
    dict
        ``rows``; ``accuracy``; ``confusion``: ``labels`` and ``matrix``, whose rows are the true classes and whose
        columns the predicted ones; ``per_class``: by label ``precision``, ``recall``, ``f1``, ``rows``; ``macro_f1``,
        the mean over the classes that have rows or predictions. With probabilities, ``roc_auc``: of two classes that of
        the second, of more the mean over the classes, each against the rest, that have rows and are not all there is;
        ``brier``: the mean squared distance of the probabilities from the truth, summed over the classes, halved for
        two; and ``reliability`` (see `reliability`). None where a figure is not defined on these rows.
    """
    classes = len(labels)
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (y, found), 1)
    hits, truth, said = np.diag(matrix).astype(float), matrix.sum(1).astype(float), matrix.sum(0).astype(float)
    precision, recall, f1 = _share(hits, said), _share(hits, truth), _share(2 * hits, truth + said)
    report: dict[str, Any] = {
        "rows": len(y),
        "accuracy": _plain(hits.sum() / len(y)) if len(y) else None,
        "macro_f1": _mean(f1),
        "confusion": {"labels": list(labels), "matrix": matrix.tolist()},
        "per_class": {
            str(label): {
                "precision": _plain(precision[k]),
                "recall": _plain(recall[k]),
                "f1": _plain(f1[k]),
                "rows": int(truth[k]),
            }
            for k, label in enumerate(labels)
        },
    }
    if P is None or not len(y) or not np.isfinite(P).all():
        return report
    P = P.astype(np.float64)
    scored = [1] if classes == 2 else range(classes)
    squared = float(np.square(P - np.eye(classes)[y]).sum(axis=1).mean())
    report["roc_auc"] = _mean(np.array([roc_auc(y == k, P[:, k]) for k in scored]))
    report["brier"] = squared / 2 if classes == 2 else squared
    report["reliability"] = reliability(y == found, P[np.arange(len(y)), found])
    return report


def regression_report(y: NDArray[Any], found: NDArray[Any]) -> dict[str, Any]:
    """Return ``rows``, ``mae``, ``rmse`` (both in the target's unit) and ``r2`` of predictions, shape (rows,)."""
    y, errors = y.astype(np.float64), found.astype(np.float64) - y
    with np.errstate(all="ignore"):
        spread = float(np.square(y - y.mean()).sum()) if len(y) else 0.0
        squares = float(np.square(errors).sum())
        return {
            "rows": len(y),
            "mae": _plain(np.abs(errors).mean()) if len(y) else None,
            "rmse": _plain(np.sqrt(squares / len(y))) if len(y) else None,
            "r2": _plain(1 - squares / spread) if spread > 0 else None,
        }


def roc_auc(positive: NDArray[np.bool_], score: NDArray[Any]) -> float:
    """Return the area under the ROC curve: how often a positive row scores above a negative one, ties counting half.

    NaN without rows of both kinds. Mann & Whitney 1947, by ranks.
    """
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks = (last - (sizes - 1) / 2)[group]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def reliability(right: NDArray[np.bool_], confidence: NDArray[np.float64], bins: int = BINS) -> dict[str, list[Any]]:
    """Return how often predictions of some confidence were right: calibrated ones are as often as they say.

    ``edges``, one more than there are bins; for each bin ``rows``, ``confidence`` (the mean probability of what was
    predicted) and ``right``, the share of them that were, both None where it has no rows.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    rows: NDArray[np.float64] = np.bincount(place, minlength=bins).astype(np.float64)
    sure = np.bincount(place, weights=confidence, minlength=bins)
    hits = np.bincount(place, weights=right.astype(np.float64), minlength=bins)
    confidence_of, right_of = ([_plain(v) for v in _share(total, rows)] for total in (sure, hits))
    return {
        "edges": edges.tolist(),
        "rows": [int(count) for count in rows],
        "confidence": confidence_of,
        "right": right_of,
    }


def _share(part: NDArray[Any], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: NDArray[np.float64] = np.where(whole > 0, part / whole, np.nan)
    return shares


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
