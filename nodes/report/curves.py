"""The curves of one run, or of several over each other."""

from __future__ import annotations

from collections.abc import Sequence

from ..results.plots import bytes_so_far, line_of
from ..runtime.round_history import Row
from .chart import Chart, Line, Points
from .record import RunRecord, finite
from .units import score_name

_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))


def run_charts(record: RunRecord) -> list[Chart]:
    """Return the charts of one run, without those of what was not measured."""
    rows, name = record.rows, record.metric
    names = (("centralised", "centralised, all rows"), ("local_only_mean", "each node alone, mean"))
    found = {label: record.figure(f"baseline.{key}") for key, label in names}
    levels = {label: value for label, value in found.items() if value is not None}
    losses = [Line("training, mean of nodes", _points(rows, "train_loss")), _banded(_measured_on(rows), rows, "loss")]
    charts = [
        Chart(score_name(name), _unit(name), [_banded(_measured_on(rows), rows, name)], levels),
        Chart("loss", "mean of a row", [losses[1], losses[0]]),
        Chart("consensus distance", "unit of the weights", [_line("peers", rows, "consensus_distance")], log=True),
        _bytes([("moved", rows)]),
        Chart("time of a round", "seconds", [_line("duration", rows, "duration_s")], zero=True),
    ]
    return [chart for chart in charts if not chart.empty]


def compared_charts(records: Sequence[RunRecord], labels: Sequence[str]) -> list[Chart]:
    """Return the charts of several runs, each with a line a run; scores of different kinds apart."""
    named = list(zip(labels, records, strict=True))
    charts = [
        Chart(score_name(name), _unit(name), [_banded(label, each.rows, name) for label, each in named])
        for name in dict.fromkeys(each.metric for each in records)
    ]
    charts += [
        Chart("loss", "mean of a row", [_banded(label, each.rows, "loss") for label, each in named]),
        Chart("training loss", "mean of a row", [_line(label, each.rows, "train_loss") for label, each in named]),
        Chart(
            "consensus distance",
            "unit of the weights",
            [_line(label, each.rows, "consensus_distance") for label, each in named],
            log=True,
        ),
        _bytes([(label, each.rows) for label, each in named]),
        Chart(
            "time of a round", "seconds", [_line(label, each.rows, "duration_s") for label, each in named], zero=True
        ),
    ]
    return [chart for chart in charts if not chart.empty]


def _points(rows: Sequence[Row], name: str) -> Points:
    """Return a figure by round; rows may have been written by anybody."""
    return line_of([row for row in rows if finite(row.get(name)) is not None], name)


def _line(label: str, rows: Sequence[Row], name: str) -> Line:
    return Line(label, _points(rows, name))


def _banded(label: str, rows: Sequence[Row], name: str) -> Line:
    return Line(label, _points(rows, name), _points(rows, f"{name}_min"), _points(rows, f"{name}_max"))


def _bytes(runs: Sequence[tuple[str, Sequence[Row]]]) -> Chart:
    whole = [(label, bytes_so_far([row for row in rows if _sent(row)])) for label, rows in runs]
    most = max((value for _, line in whole for value in line.values()), default=0.0)
    size, unit = next((known for known in _BYTES if most >= known[0]), _BYTES[-1])
    lines = [Line(label, {at: value / size for at, value in line.items()}) for label, line in whole]
    return Chart("bytes moved so far", unit, lines, zero=True)


def _sent(row: Row) -> bool:
    return finite(row.get("bytes_sent")) is not None and finite(row.get("bytes_received", 0)) is not None


def _unit(name: str) -> str:
    return "R², at most 1" if name == "r2" else "share of the rows"


def _measured_on(rows: Sequence[Row]) -> str:
    on = next((row["evaluated_on"] for row in reversed(rows) if "evaluated_on" in row), "test")
    return "hold-out rows" if on == "holdout" else "test rows"
