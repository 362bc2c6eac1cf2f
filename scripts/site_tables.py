"""What a run has come to at each site: a table of its reports, and how each site's own model does at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nervenet.nodes.report.units import score
from nervenet.nodes.runtime.printable import printable

MOST_SITES = 24  # of the table; of more, the best and the worst are named
MOST_IN_MATRIX = 8
COLUMNS = {
    "accuracy": "accuracy",
    "r2": "R²",
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "brier": "Brier",
    "mae": "MAE",
    "rmse": "RMSE",
}
LONGEST_NAME = 24


def site_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines of both tables, as far as there are such figures; an empty line before each."""
    return [*_reports(summary), *_matrix(summary)]


def _reports(summary: Mapping[str, Any]) -> list[str]:
    reports = summary.get("site_reports")
    if not reports:
        return []
    metric = "r2" if "r2" in summary else "accuracy"
    known = {name: report[metric] for name, report in reports.items() if report.get(metric) is not None}
    best, worst = (max(known, key=known.__getitem__), min(known, key=known.__getitem__)) if known else ("", "")
    if len(reports) > MOST_SITES:
        ends = f": best {best} ({score(known[best])}), worst {worst} ({score(known[worst])})" if known else ""
        return ["", printable(f"{len(reports)} sites on rows of their own{ends}; all are in summary.json")]
    names = [name for name in COLUMNS if any(report.get(name) is not None for report in reports.values())]
    remarks = {worst: "worst", best: "best"} if len(known) > 1 and known[best] > known[worst] else {}
    counted = ", each counted once" if "weighted" in (summary.get("report") or {}) else ""
    rows = [(f"on its own rows{counted}", "rows", *(COLUMNS[name] for name in names), "")]
    for site, report in reports.items():
        figures = (score(report.get(name), "-") for name in names)
        rows.append((_short(site), str(report["rows"]), *figures, remarks.get(site, "")))
    return ["", *_aligned(rows)]


def _matrix(summary: Mapping[str, Any]) -> list[str]:
    found = summary.get("site_matrix")
    if not found:
        return []
    sites = found["sites"]
    if len(sites) > MOST_IN_MATRIX:
        return ["", f"each of {len(sites)} sites' own model at the others: site_matrix in summary.json"]
    rows = [("model of, at", *map(_short, sites))]
    lines = [*zip(map(_short, sites), found["scores"], strict=True), ("all together", found["shared"])]
    rows += [(name, *(score(value, "-") for value in values)) for name, values in lines]
    gaps = [f" {site}: {why}" for site, why in (found.get("missing") or {}).items()]
    return ["", *_aligned(rows), *map(printable, gaps)]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a header, a rule, and a line for each other row; the first column to the left, figures to the right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "   ".join(
            [f" {row[0]:<{wide[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], wide[1:], strict=True))]
        )
        for row in cells
    ]
    return [lines[0].rstrip(), " " + "─" * (max(map(len, lines)) - 1), *(line.rstrip() for line in lines[1:])]
