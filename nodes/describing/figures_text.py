"""Figures of a description as text, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

HIDDEN = "hidden"
"""In place of a count that is not shown."""

OTHER = "any other"
"""The categories without a name of their own, together."""

DAYS = 31
"""Dates that lie farther apart are shown without the time of day."""

ORDERED = ("mean", "std", "min", "q1", "median", "q3", "max")


def figure(value: object) -> str:
    """Return a figure with five digits that matter; a date as it is; nothing where there is none.

    >>> figure(1234567.0), figure(0.000123456), figure(3.0), figure("2024-01-01T12:00:00"), figure(None)
    ('1,234,567', '0.00012346', '3', '2024-01-01 12:00:00', '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("T", " ")
    if isinstance(value, int) or (isinstance(value, float) and abs(value) >= 1e5):
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.5g}"
    return f"{value:.5g}"


def row(known: Mapping[str, Any], names: Sequence[str], *, short: bool = False) -> list[str]:
    """Return some figures of a column; `short` leaves the time of day out of dates."""
    texts = [figure(known.get(name)) for name in names]
    return [text.partition(" ")[0] if short else text for text in texts]


def spans_days(pooled: Mapping[str, Any]) -> bool:
    """Whether the dates of a column lie so far apart that the time of day says nothing."""
    first, last = pooled.get("min"), pooled.get("max")
    if not isinstance(first, str) or not isinstance(last, str):
        return False
    return bool(np.datetime64(last, "s") - np.datetime64(first, "s") > np.timedelta64(DAYS, "D"))


def count(value: int | None) -> str:
    """Return a count, or the sign that it is hidden."""
    return HIDDEN if value is None else f"{value:,}"


def categories(known: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    """Return the categories of a column with their counts, and the rest where there is one."""
    named = list(known.get("categories", {}).items())
    return named if known.get("other") == 0 else [*named, (OTHER, known.get("other"))]


def gave(site: Mapping[str, Any]) -> str:
    """Return in a few words how much a site has given away."""
    numbers, names = (sum(line[key] for line in site["gave"]) for key in ("numbers", "names"))
    return f"{numbers:,} numbers and {names:,} names" if site["answered"] else "nothing"


def outline(description: Mapping[str, Any]) -> str:
    """Return how much was described, in a line.

    >>> outline({"rows": 551, "sites": {"a": {"answered": True}, "b": {"answered": False}}, "columns": {"x": {}}})
    '1 column, 551 rows of 1 site; 1 site has not answered'
    """
    sites = description["sites"].values()
    answered = sum(site["answered"] for site in sites)
    columns, rows, of_sites, silent = (
        f"{number:,} {word}{'' if number == 1 else 's'}"
        for number, word in (
            (len(description["columns"]), "column"),
            (description["rows"], "row"),
            (answered, "site"),
            (len(sites) - answered, "site"),
        )
    )
    rest = "" if answered == len(sites) else f"; {silent} {'has' if silent.startswith('1 ') else 'have'} not answered"
    return f"{columns}, {rows} of {of_sites}{rest}"
