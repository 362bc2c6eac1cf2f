"""What a site counts of a model's predictions: plain numbers of which those of several sites add up exactly.

Confusion counts, sums of squares and reliability bins of all sites together are what one site with all rows would have
counted. The area under the ROC curve is not of that kind: it compares rows with each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .moments import beyond_rounding, spread_of

BINS = 10
"""Of the reliability table: equal widths from 0 to 1."""

MOST_CLASSES = 64
"""A site that tells its counts leaves the confusion matrix out where there are more, and tells those of each class."""

MOST_ROWS = 2**53

OF_BINS = ("rows", "confidence", "right")
OF_CLASSES = {"rows", "truth", "predicted", "hits", "confusion", "squared", "bins", "roc_auc"}
OF_REGRESSION = {"rows", "absolute", "squared", "mean", "spread"}

MOST = 1e100
"""Of quantities, and of the sums of their errors; of squares its square: sums over sites stay finite."""
LINEAR = ("absolute", "mean")
LONGEST = 64

Counts: TypeAlias = dict[str, Any]


def class_counts(y: NDArray[np.int64], found: NDArray[np.int64], P: NDArray[Any] | None, classes: int) -> Counts:
    """Return what is counted of a classifier on some rows.

    Parameters
    ----------
    y, found
        The true and the predicted classes as indices, shape (rows,).
    P
        Probabilities, shape (rows, classes), or None where the model has none.

    Returns
    -------
    dict
        ``rows``; by class ``truth`` and ``predicted``, how many rows have it, and ``hits``, how many have both;
        ``confusion``, lists of integers, a row for each true class. With finite probabilities ``squared``, the sum of
        the squared distances of the probabilities from the truth; ``bins``, a map of the lists ``rows``, ``confidence``
        and ``right`` (see `bins`); and ``roc_auc`` (see `area`), which cannot be added.
    """
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (y, found), 1)
    counts: Counts = {
        "rows": len(y),
        "truth": matrix.sum(axis=1).tolist(),
        "predicted": matrix.sum(axis=0).tolist(),
        "hits": np.diag(matrix).tolist(),
        "confusion": matrix.tolist(),
    }
    if P is None or not len(y) or not np.isfinite(P).all():
        return counts
    P = P.astype(np.float64)
    counts["squared"] = float(np.square(P - np.eye(classes)[y]).sum(axis=1).sum())
    counts["bins"] = bins(y == found, P[np.arange(len(y)), found])
    counts["roc_auc"] = area(y, P)
    return counts


def regression_counts(y: NDArray[Any], found: NDArray[Any]) -> Counts:
    """Return ``rows`` and, in the unit of the target, the sums ``absolute`` and ``squared`` of the errors, the ``mean``
    of the targets, and ``spread``, the sum of their squared distances from it; NaN where predictions are not finite.
    """
    y, errors = y.astype(np.float64), found.astype(np.float64) - y
    with np.errstate(all="ignore"):
        mean = float(y.mean()) if len(y) else 0.0
        return {
            "rows": len(y),
            "absolute": float(np.abs(errors).sum()),
            "squared": float(np.square(errors).sum()),
            "mean": mean,
            "spread": spread_of(y),
        }


def pooled(sites: Sequence[Mapping[str, Any]]) -> Counts:
    """Return the counts of all rows, from those of each site.

    What one site does not have, all together do not. In place of ``roc_auc``, ``roc_auc_mean``: over the sites that
    have one, weighted by their rows.
    """
    known = [site for site in sites if site["rows"]]
    if not known:
        return dict(sites[0]) if sites else {}
    if "truth" not in known[0]:
        return _pooled_regression(known)
    counts: Counts = {"rows": sum(int(site["rows"]) for site in known)}
    for name in ("truth", "predicted", "hits", "confusion"):
        if all(name in site for site in known):
            counts[name] = np.sum([site[name] for site in known], axis=0).tolist()
    if all("squared" in site for site in known):
        counts["squared"] = math.fsum(site["squared"] for site in known)
        counts["bins"] = {name: _added([site["bins"][name] for site in known]) for name in OF_BINS}
    areas = [(site["roc_auc"], int(site["rows"])) for site in known if site.get("roc_auc") is not None]
    if areas:
        counts["roc_auc_mean"] = sum(found * rows for found, rows in areas) / sum(rows for _, rows in areas)
    return counts


def _pooled_regression(sites: Sequence[Mapping[str, Any]]) -> Counts:
    """Add up; the spread by Chan, Golub & LeVeque 1979, equation 2.1b, which loses nothing where the mean is large."""
    rows = sum(int(site["rows"]) for site in sites)
    mean = math.fsum(site["rows"] * site["mean"] for site in sites) / rows
    between = math.fsum(site["rows"] * (site["mean"] - mean) ** 2 for site in sites)
    sums = {name: math.fsum(site[name] for site in sites) for name in ("absolute", "squared")}
    spread = beyond_rounding(math.fsum(site["spread"] for site in sites) + between, rows, mean)
    return {"rows": rows, **sums, "mean": mean, "spread": spread}


def _added(lists: Sequence[Sequence[float]]) -> list[float]:
    return [math.fsum(values) if isinstance(values[0], float) else sum(values) for values in zip(*lists, strict=True)]


def bins(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Return, for each of `BINS` ranges of confidence, how many predictions lie there (``rows``), the sum of their
    ``confidence``, and how many of them were ``right``.
    """
    edges = np.linspace(0.0, 1.0, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    return {
        "rows": np.bincount(place, minlength=BINS).tolist(),
        "confidence": np.bincount(place, weights=confidence, minlength=BINS).tolist(),
        "right": np.bincount(place[right], minlength=BINS).tolist(),
    }


def area(y: NDArray[np.int64], P: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve; of more than two classes the mean over those, each against the rest, that
    have rows and are not all there is. None where there is none.
    """
    classes = P.shape[1]
    scored = [1] if classes == 2 else range(classes)
    known = [found for k in scored if math.isfinite(found := roc_auc(y == k, P[:, k]))]
    return float(np.mean(known)) if known else None


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


def told(counts: Mapping[str, Any], least: int) -> Counts:
    """Return what a site tells others of its counts: nothing of fewer than `least` rows, or of a model that has
    diverged; no matrix of many classes.
    """
    if int(counts["rows"]) < max(1, least) or not all(math.isfinite(v) for v in counts.values() if type(v) is float):
        return {}
    wide = len(counts.get("truth", ())) > MOST_CLASSES
    return {name: value for name, value in counts.items() if not (wide and name == "confusion")}


def flaw(counts: Mapping[str, Any], classes: int | None) -> str | None:
    """Return why what a site has told is no counts of rows of so many classes (None: of a regression); None if it is.

    Whatever passes can be pooled, and makes a report whose shares lie between 0 and 1.
    """
    known = OF_REGRESSION if classes is None else OF_CLASSES
    try:
        if odd := sorted(map(str, {*counts} - known)):
            return f"{odd[0][:LONGEST]} is none of its fields"
        return (_flaw_of_regression if classes is None else _flaw_of_classes)(counts, classes or 0)
    except (KeyError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _flaw_of_regression(counts: Mapping[str, Any], _: int) -> str | None:
    rows = _whole([counts["rows"]], 1)
    sums = {name: _number(counts[name]) for name in ("absolute", "squared", "mean", "spread")}
    if rows[0] < 1 or not all(abs(v) <= (MOST if name in LINEAR else MOST**2) for name, v in sums.items()):
        return f"its sums must be numbers of one row or more, of quantities of at most {MOST:g}"
    return next((f"{name} must not be negative" for name, v in sums.items() if name != "mean" and v < 0), None)


def _flaw_of_classes(counts: Mapping[str, Any], classes: int) -> str | None:
    [rows] = _whole([counts["rows"]], 1)
    truth, predicted, hits = (_whole(counts[name], classes) for name in ("truth", "predicted", "hits"))
    if rows < 1 or sum(truth) != rows or sum(predicted) != rows or any(map(_more, hits, truth)):
        return f"its counts by class do not make {rows} rows"
    if "confusion" in counts:
        matrix = [_whole(line, classes) for line in counts["confusion"]]
        sums = ([sum(line) for line in matrix], [sum(line) for line in zip(*matrix, strict=True)])
        if sums != (truth, predicted) or [line[k] for k, line in enumerate(matrix)] != hits:
            return "its confusion matrix does not fit its counts by class"
    if "squared" in counts:
        here = {name: counts["bins"][name] for name in OF_BINS}
        binned, right = _whole(here["rows"], BINS), _whole(here["right"], BINS)
        sure = [_number(value) for value in here["confidence"]]
        if len(sure) != BINS or sum(binned) != rows or any(map(_more, right, binned)):
            return f"its reliability table does not hold {rows} rows"
        if not 0 <= _number(counts["squared"]) <= 2.0001 * rows or not all(
            0 <= value <= 1.0001 * count for value, count in zip(sure, binned, strict=True)
        ):
            return "its sums of probabilities are out of range"
    roc = counts.get("roc_auc")
    return None if roc is None or 0 <= _number(roc) <= 1 else "its roc_auc must lie between 0 and 1"


_more: Callable[[int, int], bool] = int.__gt__


def _whole(values: Sequence[Any], length: int) -> list[int]:
    """Return counts; raises ValueError for others, or for another number of them."""
    if len(values) != length or not all(type(v) is int and 0 <= v <= MOST_ROWS for v in values):
        raise ValueError(f"expected {length} counts")
    return list(values)


def _number(value: Any) -> float:
    """Return a number; raises TypeError for a text that could be read as one, and would not add up."""
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, found {type(value).__name__}")
    return float(value)
