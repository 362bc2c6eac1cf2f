"""Score reports: what one figure does not tell of a model - which classes it confuses, how it ranks, how sure it is.

In NumPy alone, since a run that needs no scikit-learn should not wait for it; the tests compare with sklearn.metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .score_counts import BINS, Counts, bins, class_counts, regression_counts

if TYPE_CHECKING:
    from .site_model import SiteModel


def report_on(site_model: SiteModel, X: Any, y: Any) -> dict[str, Any]:
    """Return the report of a built model on raw rows, X (rows, columns) and y (rows,): see `report_of`.

    Raises ValueError for rows that do not fit what the sites have agreed on.
    """
    return report_of(counts_on(site_model, X, y), site_model.preprocessing.classes)


def counts_on(site_model: SiteModel, X: Any, y: Any) -> Counts:
    """Return what is counted of a built model on raw rows, X (rows, columns) and y (rows,): see `score_counts`.

    Raises ValueError for rows that do not fit what the sites have agreed on.
    """
    agreed = site_model.preprocessing
    truth, found = agreed.encode(y), site_model.predict(X)
    if agreed.classes is None:
        return regression_counts(np.asarray(y), found)
    return class_counts(truth, agreed.encode(found), site_model.predict_proba(X), len(agreed.classes))


def classification_report(
    y: NDArray[np.int64], found: NDArray[np.int64], P: NDArray[Any] | None, labels: Sequence[object]
) -> dict[str, Any]:
    """Return how a classifier did on some rows: `report_of` their `class_counts`.

    `y` and `found` are the true and the predicted classes as indices into `labels`, shape (rows,), `P` probabilities,
    shape (rows, classes), or None.
    """
    return report_of(class_counts(y, found, P, len(labels)), labels)


def regression_report(y: NDArray[Any], found: NDArray[Any]) -> dict[str, Any]:
    """Return ``rows``, ``mae``, ``rmse`` (both in the target's unit) and ``r2`` of predictions, shape (rows,)."""
    return report_of(regression_counts(y, found), None)


def report_of(counts: Mapping[str, Any], labels: Sequence[object] | None) -> dict[str, Any]:
    """Return the figures of what was counted on some rows, as plain values; None where one is not defined on them.

    Parameters
    ----------
    counts
        Those of `score_counts`: of one site, or pooled.
    labels
        The classes, in the order of their indices; None: it is a regression.

    Returns
    -------
    dict
        ``rows``, and of a regression ``mae``, ``rmse`` (both in the target's unit) and ``r2``. Else ``accuracy``;
        ``macro_f1``, the mean over the classes that have rows or predictions; ``confusion``: ``labels`` and ``matrix``,
        whose rows are the true classes and whose columns the predicted ones, if it was told; ``per_class``: by label
        ``precision``, ``recall``, ``f1``, ``rows``. With probabilities ``roc_auc``: of two classes that of the second,
        of more the mean over the classes, each against the rest, that have rows and are not all there is (pooled:
        ``roc_auc_mean``, over the sites); ``brier``: the mean squared distance of the probabilities from the truth,
        summed over the classes, halved for two; and ``reliability`` (see `reliability`).
    """
    rows = int(counts["rows"])
    if labels is None:
        return _regression(counts, rows)
    hits, truth, said = (np.array(counts[name], np.float64) for name in ("hits", "truth", "predicted"))
    precision, recall, f1 = _share(hits, said), _share(hits, truth), _share(2 * hits, truth + said)
    report: dict[str, Any] = {
        "rows": rows,
        "accuracy": float(hits.sum() / rows) if rows else None,
        "macro_f1": _mean(f1),
    }
    if "confusion" in counts:
        report["confusion"] = {"labels": list(labels), "matrix": counts["confusion"]}
    report["per_class"] = {
        str(label): {
            "precision": _plain(precision[k]),
            "recall": _plain(recall[k]),
            "f1": _plain(f1[k]),
            "rows": int(truth[k]),
        }
        for k, label in enumerate(labels)
    }
    report |= {name: counts[name] for name in ("roc_auc", "roc_auc_mean") if name in counts}
    if "squared" in counts:
        squared = counts["squared"] / rows
        report["brier"] = squared / 2 if len(labels) == 2 else squared
        report["reliability"] = _reliability(counts["bins"])
    return report


def _regression(counts: Mapping[str, Any], rows: int) -> dict[str, Any]:
    squared, spread = counts["squared"], counts["spread"]
    return {
        "rows": rows,
        "mae": _plain(counts["absolute"] / rows) if rows else None,
        "rmse": _plain(np.sqrt(squared / rows)) if rows else None,
        "r2": _plain(1 - squared / spread) if spread > 0 else None,
    }


def reliability(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Return how often predictions of some confidence were right: calibrated ones are as often as they say.

    ``edges``, one more than there are bins; for each bin ``rows``, ``confidence`` (the mean probability of what was
    predicted) and ``right``, the share of them that were, both None where it has no rows.
    """
    return _reliability(bins(right, confidence))


def _reliability(counted: Mapping[str, Sequence[float]]) -> dict[str, list[Any]]:
    rows = np.array(counted["rows"], np.float64)
    confidence, right = (_share(np.array(counted[name], np.float64), rows) for name in ("confidence", "right"))
    return {
        "edges": np.linspace(0.0, 1.0, BINS + 1).tolist(),
        "rows": [int(count) for count in rows],
        "confidence": [_plain(value) for value in confidence],
        "right": [_plain(value) for value in right],
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
