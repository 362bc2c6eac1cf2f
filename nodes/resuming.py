"""Whether a run folder can be gone on with, by the experiment that is asked for; nothing is written here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .checkpoint import Checkpoint, CheckpointError, Checkpoints
from .experiment import Experiment, load
from .experiment_keys import ExperimentError, shown
from .runfolder import COORDINATOR, check_folder, state_folder

FREE = (
    "rounds",
    "processes",
    "*deadline_s",
    "federated.min_clients",
    "federated.max_examples_ratio",
    "federated.report_outliers",
    "evaluation.*",
    "network.*",
)
"""Keys on which no round that is already done depends: these alone may change when a run is resumed."""

FIXED = ("evaluation.sites",)
"""But not these: what a site keeps for evaluation it does not train on."""


def resumable(path: Path, wanted: Experiment) -> Checkpoint:
    """Read the checkpoint from which a run goes on.

    Raises
    ------
    ExperimentError
        There is no such run folder, it holds no whole checkpoint, it is of a newer format, or of another experiment.
    """
    where = f"--resume {path}"
    made = check_run(path, wanted)
    folder = state_folder(path, COORDINATOR)
    told: list[str] = []
    checkpoints = Checkpoints(folder, told.append)
    if not checkpoints.rounds:
        raise ExperimentError(f"{where}: holds no checkpoint: its first round was never complete; launch it again")
    try:
        found = checkpoints.latest()
    except CheckpointError as error:
        raise ExperimentError(f"{where}: {error}") from None
    if found is None:
        raise ExperimentError(f"{where}: holds no whole checkpoint: {told[0].partition(';')[0]}")
    check_fits(where, found, wanted)
    _check_unfinished(where, path, found, made, wanted)
    return found


def check_run(path: Path, wanted: Experiment) -> Experiment:
    """Read the experiment of a run folder with which `wanted` can go on.

    Raises
    ------
    ExperimentError
        There is no such run folder, or it is of another experiment.
    """
    where = f"--resume {path}"
    check_folder(path)
    if wanted.mode != "federated":
        raise ExperimentError(f"{where}: only a federated run can be resumed; peers that gossip keep no checkpoints")
    made = load(path)
    check_same(where, made, wanted)
    return made


def _check_unfinished(where: str, path: Path, found: Checkpoint, made: Experiment, wanted: Experiment) -> None:
    """Raise `ExperimentError` for a run that has its result, unless more is asked of it now than was then."""
    try:
        summary = json.loads((path / "summary.json").read_bytes())
        done, of = int(summary["completed_rounds"]), int(summary["rounds"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # nothing, or nothing readable, was left: it cannot have come to its end
    if summary.get("status") != "completed" or done != found.round:
        return
    more = "raise --rounds to go on"
    if done < of:
        more = "raise or leave out what stopped it to go on"
        if made.evaluation != wanted.evaluation:
            return
    if of == wanted.rounds:
        raise ExperimentError(f"{where}: the run is complete: {done} of {of} rounds; {more}")


def check_fits(where: str, checkpoint: Checkpoint, wanted: Experiment) -> None:
    """Raise `ExperimentError` if a checkpoint was made by another experiment, or has more rounds than are wanted."""
    tables = checkpoint.record.get("experiment")
    if isinstance(tables, Mapping):
        check_same(f"{where}: the checkpoint of round {checkpoint.round}", Experiment.from_dict(tables), wanted)
    if checkpoint.round > wanted.rounds:
        raise ExperimentError(f"{where}: rounds = {wanted.rounds}, and round {checkpoint.round} is complete already")


def check_same(where: str, made: Experiment, wanted: Experiment) -> None:
    """Raise `ExperimentError` for the first key, in the order of names, in which two experiments must not differ."""
    ours, theirs = dict(_flat(_whole(made))), dict(_flat(_whole(wanted)))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key) and not _free(key):
            found = f"{shown(key)} = {ours.get(key)!r}, expected {theirs.get(key)!r}"
            raise ExperimentError(
                f"{where}: is of another experiment: found {found}; only {', '.join(FREE)} may change"
            )


def _free(key: str) -> bool:
    return key not in FIXED and any(fnmatchcase(key, free) for free in FREE)


def _whole(experiment: Experiment) -> dict[str, Any]:
    return dataclasses.asdict(experiment.resolved())


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value
