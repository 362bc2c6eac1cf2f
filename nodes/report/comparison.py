"""Several runs side by side: their figures, what their configurations differ in, and their curves over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .chart import draw
from .curves import compared_charts
from .page import element, page, section, table
from .record import RunRecord
from .sections import outcome
from .units import duration, pace, score, score_name, size

Figures = dict[str, Any]

_SAME_ROW = ("mode", "nodes", "rounds", "seed", "data.name", "model.name")  # have a row of their own
_FOLLOW = ("processes", "network.min_nodes", "max_log_bytes")  # say nothing of what was learned


def figures_of(record: RunRecord) -> Figures:
    """Return what is compared of one run; None where it is not known."""
    name = record.metric
    told = {key: record.told(key) for key in ("mode", "data", "model", "nodes", "rounds", "completed_rounds", "seed")}
    found = {"run": str(record.path), "status": record.status, **told}
    found |= {f"{name}{end}": record.figure(f"{name}{end}") for end in ("", "_min", "_max")}
    keys = ("loss", "consensus_distance", "bytes_sent", "wall_s", "startup_s", "round_s_median")
    found |= {key: record.figure(key) for key in keys}
    found["rounds_per_s"] = record.rounds_per_s
    return found


def differences(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """Return the keys of the experiment files that differ, with each run's value; None where a run has no such key."""
    keys = dict.fromkeys(key for record in records for key in record.experiment)
    found = {key: [record.experiment.get(key) for record in records] for key in keys}
    kept = {key: values for key, values in found.items() if any(value != values[0] for value in values)}
    return {key: values for key, values in kept.items() if key not in (*_SAME_ROW, *_FOLLOW)}


def labels_of(records: Sequence[RunRecord]) -> list[str]:
    """Return a name for each run: of its folder, or the path as it was given where two have the same name."""
    names = [record.name for record in records]
    return [name if names.count(name) == 1 else str(record.path) for name, record in zip(names, records, strict=True)]


def compared_rows(records: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """Return the table: a label and a text for each run in every row, without rows of which no run knows anything."""
    found = [figures_of(record) for record in records]
    shown: dict[str, Callable[[Figures], str]] = {
        key: _plain(key) for key in ("status", "mode", "data", "model", "nodes")
    }
    shown["rounds"] = lambda of: f"{_plain('completed_rounds')(of) or '?'} of {of['rounds']}"
    shown["seed"] = _plain("seed")
    for name in dict.fromkeys(record.metric for record in records):
        shown[score_name(name)] = _number(name, score)
        shown[f"{score_name(name)}, worst to best"] = _spread(name)
    shown |= {
        "loss": _number("loss", score),
        "consensus distance": _number("consensus_distance", "{:.4g}".format),
        "sent": _number("bytes_sent", size),
        "time": _number("wall_s", duration),
        "to the first round": _number("startup_s", duration),
        "a round, median": _number("round_s_median", duration),
        "rounds a second": _number("rounds_per_s", pace),
    }
    rows = [(label, *(text(of) for of in found)) for label, text in shown.items()]
    rows += [(key, *map(_value, values)) for key, values in differences(records).items()]
    return [row for row in rows if any(row[1:])]


def comparison_page(records: Sequence[RunRecord]) -> str:
    """Return the comparison as a page that needs nothing else."""
    labels = labels_of(records)
    title = f"{len(records)} runs compared"
    charts = compared_charts(records, labels)
    drawn = element("div", *map(draw, charts), class_="charts") if charts else element("p", "No round was completed.")
    ended = [
        part for label, each in zip(labels, records, strict=True) for part in (element("h3", label), outcome(each))
    ]
    whole = table(["", *labels], compared_rows(records))
    return page(
        title,
        element("h1", title),
        section("Side by side", whole),
        section("Curves", drawn),
        section("Outcome", *ended),
    )


def _plain(key: str) -> Callable[[Figures], str]:
    return lambda of: "" if of[key] is None else str(of[key])


def _number(key: str, text: Callable[[float], str]) -> Callable[[Figures], str]:
    return lambda of: "" if of.get(key) is None else text(of[key])


def _spread(name: str) -> Callable[[Figures], str]:
    def text(of: Figures) -> str:
        low, high = of.get(f"{name}_min"), of.get(f"{name}_max")
        return "" if low is None or high is None or low == high else f"{score(low)} to {score(high)}"

    return text


def _value(value: object) -> str:
    return "-" if value is None else str(value)
