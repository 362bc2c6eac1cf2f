"""What a run's figures can be exported to: what is built in, and what installed packages bring (nervenet.exporters)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nervenet.models.extras import require
from nervenet.models.plugins import Registry, lacks

from ..config.keys import ExperimentError
from ..runtime.round_history import Row


@dataclass(frozen=True)
class ExportedRun:
    """What an exporter is told of a run before its rounds."""

    name: str
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)  # by dotted key


class Exporter(Protocol):
    """Takes the rounds of one run, in order. One that has ``event`` too is given every event of the run.

    One that has ``flush`` too may hold back rounds until that is called, twice a second at most while there are any.
    `close` follows the last one without it.

    `where` is what the user says behind the exporter's name, and empty where that is nothing. An exporter is called
    by one thread; what it raises ends the export, and never the run.
    """

    needs: str  # the package without which it cannot work

    def __init__(self, where: str, run: ExportedRun) -> None: ...

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        """Take the figures of a round, those of ``round_metrics.jsonl`` that are numbers."""

    def close(self, status: str) -> None:
        """End: the run is completed, failed or interrupted, or goes on (empty)."""


EXPORTERS: Registry[type[Exporter]] = Registry(
    "--export",
    "nervenet.exporters",
    {
        "mlflow": "to_mlflow:ToMLflow",
        "tensorboard": "to_tensorboard:ToTensorBoard",
        "wandb": "to_wandb:ToWandb",
        "opentelemetry": "to_opentelemetry:ToOpenTelemetry",
    },
    package=__name__.rpartition(".")[0],
    error=ExperimentError,
    check=lambda cls: lacks(cls, "needs", "write", "close"),
)


def exporter_class(name: str) -> type[Exporter]:
    """Return the exporter of a name. Raises ExperimentError for another name, and MissingExtra without its package."""
    found = EXPORTERS[name]
    require(f"the export to {name}", found.needs)
    return found


def flush(exporter: Exporter) -> None:
    """Have an exporter hand over what it holds back."""
    if hasattr(exporter, "flush"):
        exporter.flush()


def figures_of(row: Row) -> dict[str, float]:
    """Return what of a round is a number, but for the round's own."""
    numbers = {key: value for key, value in row.items() if key != "round" and isinstance(value, int | float)}
    return {key: float(value) for key, value in numbers.items() if math.isfinite(value)}


def exported_run(folder: Path) -> ExportedRun:
    """Return what a run folder says of its run."""
    from ..experiment.loader import read_toml

    return ExportedRun(folder.resolve().name, dict(_flat(read_toml(folder / "experiment.toml"))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value if isinstance(value, str | int | float) else str(value)))
    return found


def plain_settings(settings: Mapping[str, Any], name_length: int = 250, value_length: int = 500) -> dict[str, str]:
    """Return settings as texts of so many characters at most, by names of letters, digits, blanks and ``_-.`` alone.

    The keys of a run have names of columns in them, and a column may be called "dose (mg)", or anything else.
    """
    named: dict[str, str] = {}
    for key, value in settings.items():
        name = re.sub(r"[^\w.\- ]", "_", key)[:name_length]
        named[f"{name[: name_length - 7]}_{len(named)}" if name in named else name] = str(value)[:value_length]
    return named
