"""The tables of sites: as wide as their figures, marked at both ends, and no larger than a screen."""

from __future__ import annotations

from typing import Any

from nervenet.scripts.site_tables import MOST_IN_MATRIX, MOST_SITES, site_lines


def summary(**accuracies: float | None) -> dict[str, Any]:
    reports = {
        name: {"rows": 10 + k, "accuracy": value, "macro_f1": value, "roc_auc": None, "confusion": {}}
        for k, (name, value) in enumerate(accuracies.items())
    }
    return {"accuracy": 0.9, "site_reports": reports}


def words(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_each_site_has_a_line_and_the_ends_are_named() -> None:
    lines = site_lines(summary(north=0.9, south=0.95, west=0.25))
    assert words(lines) == [
        "",
        "on its own rows rows accuracy macro F1",
        "─" * (max(map(len, lines)) - 1),
        "north 10 0.900 0.900",
        "south 11 0.950 0.950 best",
        "west 12 0.250 0.250 worst",
    ]
    assert len({line.index("0.") for line in lines[3:]}) == 1


def test_sites_that_are_alike_have_no_worst_and_one_alone_neither() -> None:
    assert not [line for line in site_lines(summary(north=0.9, south=0.9)) if "worst" in line]
    assert not [line for line in site_lines(summary(north=0.9)) if "best" in line]


def test_of_many_sites_only_the_ends_are_named() -> None:
    many = {f"site-{k:03}": k / 100 for k in range(MOST_SITES + 1)}
    assert site_lines(summary(**many))[1:] == [
        "25 sites on rows of their own: best site-024 (0.240), worst site-000 (0.000); all are in summary.json"
    ]


def test_a_figure_that_is_not_defined_is_a_dash() -> None:
    lines = words(site_lines(summary(north=0.9, south=None)))
    assert "south 11 - -" in lines


def test_a_regression_has_its_own_figures() -> None:
    reports = {"north": {"rows": 9, "r2": 0.5, "mae": 3.25, "rmse": 1234.56}}
    assert words(site_lines({"r2": 0.5, "site_reports": reports}))[1:] == [
        "on its own rows rows R² MAE RMSE",
        words(site_lines({"r2": 0.5, "site_reports": reports}))[2],
        "north 9 0.500 3.250 1235",
    ]


def matrix(sites: int) -> dict[str, Any]:
    names = [f"s{k}" for k in range(sites)]
    scores: list[list[float | None]] = [[0.5] * sites for _ in names]
    scores[1][0] = None
    return {"sites": names, "score": "accuracy", "scores": scores, "shared": [0.9] * sites, "missing": {"s1": "lost"}}


def test_the_matrix_has_a_row_for_each_model_and_says_what_is_missing() -> None:
    lines = words(site_lines({"accuracy": 0.9, "site_matrix": matrix(2)}))
    assert lines[1] == "model of, at s0 s1"
    assert lines[3:] == ["s0 0.500 0.500", "s1 - 0.500", "all together 0.900 0.900", "s1: lost"]


def test_a_large_matrix_is_in_the_summary_alone() -> None:
    lines = site_lines({"accuracy": 0.9, "site_matrix": matrix(MOST_IN_MATRIX + 1)})
    assert lines[1:] == ["each of 9 sites' own model at the others: site_matrix in summary.json"]


def test_without_sites_there_is_nothing() -> None:
    assert site_lines({"accuracy": 0.9}) == []
