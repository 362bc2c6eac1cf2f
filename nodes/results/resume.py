"""Whether a run folder can be gone on with, by the experiment that is asked for; nothing is written here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..checkpoint.state_file import Damaged, read_state, rounds_in
from ..checkpoint.store import CheckpointError, CheckpointStore, State
from ..config.keys import ExperimentError, shown
from ..config.schema import Experiment, load
from ..experiment.layout import default_node_names
from ..gossip.algorithms.registry import NAMES
from ..gossip.checkpointing import NoCommonCheckpoint, common_round
from .run_dir import COORDINATOR, RunDir, check_run_dir, read_nodes, state_dir

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


def resumable(path: Path, wanted: Experiment) -> State:
    """Read the checkpoint from which a run goes on.

    Raises
    ------
    ExperimentError
        There is no such run folder, it holds no whole checkpoint, it is of a newer format, or of another experiment.
    """
    where = f"--resume {path}"
    made = check_run(path, wanted)
    folder = state_dir(path, COORDINATOR)
    told: list[str] = []
    checkpoints = CheckpointStore(folder, told.append)
    if not checkpoints.rounds:
        raise ExperimentError(f"{where}: holds no checkpoint: its first round was never complete; launch it again")
    try:
        found = checkpoints.latest()
    except CheckpointError as error:
        raise ExperimentError(f"{where}: {error}") from None
    if found is None:
        raise ExperimentError(f"{where}: holds no whole checkpoint: {told[0].partition(';')[0]}")
    check_fits(where, found, wanted)
    _check_unfinished(where, path, found.round, made, wanted)
    return found


def resumable_peers(path: Path, wanted: Experiment) -> tuple[int, tuple[str, ...]]:
    """Find the newest round of which every peer of a launched run holds a whole state.

    Returns
    -------
    round
    told
        What is damaged, and was passed over.

    Raises
    ------
    ExperimentError
        There is no such run folder, there is no such round, a state is of a newer format or of another experiment, or
        the run goes by no rounds.
    """
    where = f"--resume {path}"
    made = check_run(path, wanted)
    names = default_node_names(wanted.nodes, "peer")
    held = {name: set(rounds_in(state_dir(path, name))) for name in names}
    told: list[str] = []
    while True:
        try:
            number = common_round(held)
        except NoCommonCheckpoint as error:
            damaged = "".join(f"; {each}" for each in told)
            raise ExperimentError(f"{where}: {error}{damaged}") from None
        if not number:
            none = f"holds no whole state: {told[0]}" if told else "holds no state: none was kept yet; launch it again"
            raise ExperimentError(f"{where}: {none}")
        spoilt = _spoilt(where, path, names, number, wanted)
        if not spoilt:
            break
        told += spoilt.values()
        for name in spoilt:
            held[name].discard(number)
    _check_unfinished(where, path, number, made, wanted)
    return number, tuple(told)


def rewind_peers(folder: RunDir) -> None:
    """Remove what the peers of a run that was opened again hold of later rounds: these are run anew, by all."""
    for name in read_nodes(folder.path) if folder.resumed is not None else ():
        CheckpointStore(state_dir(folder.path, name)).rewind(folder.resumed or 0)


def _spoilt(where: str, path: Path, names: list[str], number: int, wanted: Experiment) -> dict[str, str]:
    """Say what is wrong with the states of a round, by peer."""
    found: dict[str, str] = {}
    for name in names:
        try:
            check_fits(where, read_state(state_dir(path, name), number), wanted)
        except Damaged as error:
            found[name] = str(error)
        except CheckpointError as error:
            raise ExperimentError(f"{where}: {error}") from None
    return found


def check_peer(path: Path, wanted: Experiment) -> None:
    """Raise `ExperimentError` for a folder with which one peer by itself cannot come back to its run."""
    made = check_run(path, wanted)
    names = [name for name, facts in read_nodes(path).items() if facts.get("role") == "peer"]
    held = [number for name in names for number in rounds_in(state_dir(path, name))]
    _check_unfinished(f"--resume {path}", path, max(held, default=0), made, wanted)


def check_run(path: Path, wanted: Experiment) -> Experiment:
    """Read the experiment of a run folder with which `wanted` can go on.

    Raises
    ------
    ExperimentError
        There is no such run folder, it is of another experiment, or of a run that goes by no rounds.
    """
    where = f"--resume {path}"
    check_run_dir(path)
    made = load(path)
    if made.mode == wanted.mode == "gossip" and wanted.gossip.algorithm not in NAMES:
        raise ExperimentError(
            f"{where}: gossip.algorithm = {wanted.gossip.algorithm!r} does not go by rounds, and such a run cannot be "
            f"resumed; those with {', '.join(NAMES)} can"
        )
    check_same_run(where, made, wanted)
    return made


def _check_unfinished(where: str, path: Path, number: int, made: Experiment, wanted: Experiment) -> None:
    """Raise `ExperimentError` for a run that has its result, unless more is asked of it now than was then."""
    try:
        summary = json.loads((path / "summary.json").read_bytes())
        done, of = int(summary["completed_rounds"]), int(summary["rounds"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # nothing, or nothing readable, was left: it cannot have come to its end
    if summary.get("status") != "completed" or done != number:
        return
    more = "raise --rounds to go on"
    if done < of:
        more = "raise or leave out what stopped it to go on"
        if made.evaluation != wanted.evaluation:
            return
    if of == wanted.rounds:
        raise ExperimentError(f"{where}: the run is complete: {done} of {of} rounds; {more}")


def check_fits(where: str, checkpoint: State, wanted: Experiment) -> None:
    """Raise `ExperimentError` if a checkpoint was made by another experiment, or has more rounds than are wanted."""
    tables = checkpoint.record.get("experiment")
    if isinstance(tables, Mapping):
        check_same_run(f"{where}: the checkpoint of round {checkpoint.round}", Experiment.from_dict(tables), wanted)
    if checkpoint.round > wanted.rounds:
        raise ExperimentError(f"{where}: rounds = {wanted.rounds}, and round {checkpoint.round} is complete already")


def check_same_run(where: str, made: Experiment, wanted: Experiment) -> None:
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
