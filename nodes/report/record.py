"""What a run folder holds, read as far as a page needs it: of a log of any length, its beginning and its end."""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from ..config.keys import ExperimentError
from ..results.event_log import CURRENT, older_parts
from ..results.round_metrics import read_rows
from ..results.run_dir import read_nodes, read_summary
from ..runtime.event_fitting import fit
from ..runtime.round_history import SCORES, Row

MOST_BYTES = 1 << 20  # of the log, at its beginning and at its end: to read all of it may take minutes
_KINDS = ("node.ready", "update.rejected", "site.declined", "node.lost", "warning")
_BEGINNINGS = tuple(f'{{"type":"{kind}"'.encode() for kind in _KINDS)


@dataclass(frozen=True)
class RunRecord:
    """One run as its folder tells it.

    Attributes
    ----------
    experiment
        The experiment file by dotted keys.
    ready
        By node, what it told of its rows: the fields of ``node.ready``.
    rejected
        How many messages were refused, by whom they were from and why; so far as the log was read.
    lost
        Why a node was lost, by name.
    warnings
        Each with the node that says so.
    log_whole
        Whether all of the log was read.
    """

    path: Path
    summary: Mapping[str, Any]
    rows: list[Row]
    nodes: Mapping[str, Mapping[str, Any]]
    experiment_text: str
    experiment: Mapping[str, Any]
    ready: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    log_whole: bool = True

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def status(self) -> str:
        return str(self.summary.get("status") or "unfinished")

    @cached_property
    def metric(self) -> str:
        """The name of the run's score: ``accuracy`` or ``r2``."""
        known = (*self.summary, *(key for row in self.rows[-1:] for key in row))
        return next((score for score in reversed(SCORES) if score in known), SCORES[0])

    def figure(self, name: str) -> float | None:
        """Return a finite figure of the summary, with dots between the keys; None where there is none."""
        value: Any = self.summary
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return finite(value)

    def told(self, name: str) -> Any:
        """Return what the summary has under a key, else what the experiment file has."""
        known = self.summary.get(name)
        return known if known is not None else self.experiment.get(f"{name}.name", self.experiment.get(name))

    @property
    def rounds_per_s(self) -> float | None:
        """How many rounds were completed in a second, from the first one on."""
        wall, start, done = self.figure("wall_s"), self.figure("startup_s"), self.figure("completed_rounds")
        if wall is None or not done or self.summary.get("resumed_after") is not None:
            return None
        running = wall - (start or 0.0)
        return done / running if running > 0 else None


def finite(value: object) -> float | None:
    """Return a number as it is, and None for what is none, or is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= sys.float_info.max else None


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def read_record(path: Path) -> RunRecord:
    """Return what a run folder holds. Raises ExperimentError for what is none."""
    if not path.is_dir():
        found = "is a file" if path.exists() else "there is no such folder"
        raise ExperimentError(f"{path}: {found}; expected a run folder, as nervenet launch leaves one")
    try:
        text = (path / "experiment.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    summary = read_summary(path)
    if not text and not summary:
        raise ExperimentError(f"{path}: is no run folder: it holds neither summary.json nor experiment.toml")
    known: dict[str, Any] = {"ready": {}, "rejected": Counter(), "lost": {}, "warnings": []}
    lines, whole = _told(path)
    for line in lines:
        _take(known, line)
    lost = {**known["lost"], **mapping(summary.get("lost_because"))}
    told = summary.get("warnings")
    return RunRecord(
        path,
        summary,
        read_rows(path),
        read_nodes(path),
        text,
        _flat(text),
        known["ready"],
        known["rejected"],
        {name: str(why) for name, why in lost.items()},
        tuple(dict.fromkeys(map(str, told if isinstance(told, list) else known["warnings"]))),
        whole,
    )


def _take(known: dict[str, Any], raw: dict[str, Any]) -> None:
    """Add what an event tells; a run folder holds what was received, whoever published it."""
    event = fit(raw)[0]
    kind, node, reason = event.get("type"), str(event.get("node")), str(event.get("reason") or "")
    subject = str(event.get("subject") or node)
    if kind == "node.ready" and "examples" in event:
        known["ready"][node] = event
    elif kind == "update.rejected":
        known["rejected"][subject, reason] += 1
    elif kind == "site.declined":
        known["rejected"][subject, f"declined: {reason}"] += 1
    elif kind == "node.lost":
        known["lost"][subject] = reason
    elif kind == "warning":
        known["warnings"].append(f"{node}: {reason}")


def _told(path: Path) -> tuple[Iterator[dict[str, Any]], bool]:
    """Return the events of `_KINDS` at the beginning and the end of a log, and whether nothing lies between."""
    files = [*older_parts(path), path / CURRENT]
    try:
        sizes = [file.stat().st_size for file in files if file.exists()]
        whole = sum(sizes) <= 2 * MOST_BYTES
        if whole:
            return _chosen(b"".join(file.read_bytes() for file in files if file.exists())), True
        with files[0].open("rb") as first:
            start = first.read(MOST_BYTES).rpartition(b"\n")[0]
        with files[-1].open("rb") as last:
            last.seek(max(0, files[-1].stat().st_size - MOST_BYTES))
            end = last.read(MOST_BYTES).partition(b"\n")[2]
    except OSError:
        return iter(()), True
    return _chosen(start + b"\n" + end), False


def _chosen(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n"):
        if line.startswith(_BEGINNINGS):
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                continue


def _flat(text: str) -> dict[str, Any]:
    """Return the values of an experiment file by dotted keys; none of what is no such file."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
    found: dict[str, Any] = {}

    def add(table: Mapping[str, Any], before: str) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                add(value, f"{before}{key}.")
            else:
                found[before + key] = value

    add(tree, "")
    return found
