"""A run that has ended, or goes on, as its folder has it, to an exporter."""

from __future__ import annotations

from pathlib import Path

from ..config.keys import ExperimentError
from ..results.event_log import read_events
from ..results.round_metrics import RecordedRounds, read_rows, run_rows
from ..results.run_dir import read_summary
from .exporters import exported_run, exporter_class, figures_of


def export_run(folder: Path, name: str, where: str) -> int:
    """Export a run folder, and return how many rounds it had.

    Raises
    ------
    ExperimentError
        It is no run folder, nothing is called so, or the exporter fails.
    MissingExtra
        The exporter's package is not installed.
    """
    cls = exporter_class(name)
    if not (folder / "experiment.toml").is_file():
        raise ExperimentError(f"{folder}: is no run folder: it holds no experiment.toml")
    rows = read_rows(folder)
    if not rows:
        recorded = RecordedRounds(read_events(folder))
        rows = run_rows(recorded.mode, recorded, {})
    run = exported_run(folder)
    try:
        exporter = cls(where, run)
        if hasattr(exporter, "event"):
            for event in read_events(folder):
                exporter.event(event)
        for row in rows:
            exporter.write(row["round"], figures_of(row))
        exporter.close(str(read_summary(folder).get("status") or ""))
    except Exception as error:  # noqa: BLE001  (whatever a package raises where it cannot write)
        at = f" at {where}" if where else ""
        raise ExperimentError(f"the export to {name}{at} failed: {type(error).__name__}: {error}") from None
    return len(rows)
