"""What a site tells by its answer to a question, in the words of ``site.allow.statistics``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANING: Mapping[str, str] = {
    "moments": "columns, numbers of rows and of gaps, means, deviations, names of classes",
    "categories": "names of categories",
    "quantiles": "medians, quartiles and other ranks",
    "limits": "least and greatest values",
    "counts": "rows by class, histograms, sums by class or category",
    "correlations": "products of two columns",
    "scores": "figures of a model on this site's hold-out",
    "reports": "predictions of the hold-out, counted by class",
    "trees": "the trees that a forest grows on this site's rows: values of columns, rows of each class at each leaf; "
    "of shared trees, rows of each class by bins of columns at each node",
    "site-matrix": "a model of this site's rows alone, and judgments of the other sites'",
}
"""Every kind, and what it stands for."""

_FIT: Mapping[str, tuple[str, ...]] = {
    "rows": ("moments",),
    "moments": ("moments",),
    "missing": ("moments",),
    "dtypes": ("moments",),
    "outputs": ("moments",),
    "extremes": ("limits",),
    "order": ("quantiles",),
    "values": ("categories",),
    "classes": ("counts",),
    "moments by class": ("moments", "counts"),
    "sums by class": ("moments", "counts"),
    "joint": ("moments", "correlations"),
    "target by category": ("categories", "counts"),
    "factor": ("moments", "correlations"),
}
_DESCRIBE: Mapping[str, tuple[str, ...]] = {
    "columns": ("moments",),
    "figures": ("moments", "quantiles", "limits", "categories"),
    "ranks": ("quantiles",),
    "counts": ("counts",),
    "co-moments": ("correlations",),
}
_MODEL: Mapping[str, tuple[str, ...]] = {
    "trees": ("trees",),
    "histograms": ("trees",),
    "order": ("quantiles",),
    "categories of columns": ("limits",),
}
_PARTS = {"fit": _FIT, "describe": _DESCRIBE, "model": _MODEL}
_WHOLE: Mapping[str, tuple[str, ...]] = {"statistics": ("moments",), "class counts": ("counts",)}

UNKNOWN = "an unknown statistic"
"""Of a question that no table here has: a site that limits what it tells does not answer it."""


def told_by(question: Mapping[str, Any], *, categories: bool = False) -> frozenset[str]:
    """Return what the answer to a question of round 0, or of a description, tells.

    `categories`: this site's table has some, and the first answer names them.
    """
    ask, part = question.get("ask", "statistics"), question.get("part")
    if ask == "statistics" and categories:
        return frozenset({"moments", "categories"})
    table: Any = _PARTS.get(ask) if isinstance(ask, str) else None
    key = ask if table is None else part
    found = (_WHOLE if table is None else table).get(key) if isinstance(key, str) else None
    return frozenset(found or (UNKNOWN,))


def told_at_work(work: str, *, evaluate: bool) -> frozenset[str]:
    """Return what an answer to a task tells beside the weights of a model."""
    match work:
        case "train":
            return frozenset({"scores"} if evaluate else ())
        case "evaluate":
            return frozenset({"scores", "reports"})
        case "alone" | "judge":
            return frozenset({"site-matrix"})
    return frozenset()
