"""Whether a run can be resumed from its directory by the experiment that is asked for, and opening it for that."""

from __future__ import annotations

import json
from pathlib import Path

from nervenet.broker.errors import see

from ..checkpoint.state_file import Damaged, read_state, rounds_in
from ..checkpoint.store import CheckpointError, CheckpointStore, State
from ..config.compatibility import check_fits, check_same_run
from ..config.factory import node_names
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..experiment.loader import load_experiment
from ..gossip.algorithms.registry import has_rounds, synchronous_names
from ..gossip.checkpointing import NoCommonCheckpoint, common_round
from .run_dir import COORDINATOR, RunDir, check_run_dir, checkpoint_dir, read_nodes, read_summary

STOPS = {"until": ("until",), "patience": ("patience", "min_delta"), "budget": ("budget_s",)}
"""What ended a run before its last round, and the keys of [evaluation] that say when it does."""


def reopen(path: Path, experiment: Experiment, at_top: Experiment | None = None, *, alone: str = "") -> RunDir:
    """Open the directory of a run that is to go on, or of one node `alone` of it, a ``client`` or a ``peer``.

    Its events are appended to. Nothing has been written when this raises. `at_top`: the experiment of its coordinator,
    where that has another one, since its clients are in regions.

    Raises
    ------
    ExperimentError
        As `resumable` and `resumable_peers`, for a node alone as `check_run`; or the run is still going on.
    """
    if not alone and experiment.mode == "gossip":
        resumed, damaged = resumable_peers(path, experiment)
        return RunDir(path, existing=True, resumed=resumed, damaged=damaged, max_log_bytes=experiment.max_log_bytes)
    if not alone:
        resumed = resumable(path, experiment, at_top).round
        return RunDir(path, existing=True, resumed=resumed, max_log_bytes=experiment.max_log_bytes)
    begun = check_run(path, experiment)
    if alone == "peer":
        peers = [name for name, known in read_nodes(path).items() if known.get("role") == "peer"]
        held = [number for name in peers for number in rounds_in(checkpoint_dir(path, name))]
        _check_unfinished(path, max(held, default=0), begun, experiment)
    return RunDir(path, existing=True, max_log_bytes=experiment.max_log_bytes)


def resumable(path: Path, experiment: Experiment, at_top: Experiment | None = None) -> State:
    """Read the checkpoint from which a federated run goes on; `at_top` as for `reopen`.

    Raises
    ------
    ExperimentError
        There is no such run directory, it holds no whole checkpoint, it is of a newer format, or of another experiment.
    """
    where = f"--resume {path}"
    begun = check_run(path, experiment)
    warnings: list[str] = []
    checkpoints = CheckpointStore(checkpoint_dir(path, COORDINATOR), warnings.append)
    if not checkpoints.rounds:
        raise ExperimentError(
            f"{where}: holds no checkpoint: its first round was never complete; launch it again{see('no-checkpoint')}"
        )
    try:
        checkpoint = checkpoints.latest()
    except CheckpointError as error:
        raise ExperimentError(f"{where}: {error}") from None
    if checkpoint is None:
        raise ExperimentError(
            f"{where}: holds no whole checkpoint: {warnings[0].partition(';')[0]}{see('no-checkpoint')}"
        )
    check_fits(where, checkpoint.round, checkpoint.record.get("experiment"), at_top or experiment)
    _check_unfinished(path, checkpoint.round, begun, experiment)
    return checkpoint


def resumable_peers(path: Path, experiment: Experiment) -> tuple[int, tuple[str, ...]]:
    """Return the newest round of which every peer of a launched run holds a whole state, and what is wrong with others.

    Raises
    ------
    ExperimentError
        There is no such run directory, there is no such round, a state is of a newer format or of another experiment,
        or the run goes by no rounds.
    """
    where = f"--resume {path}"
    begun = check_run(path, experiment)
    held = {name: set(rounds_in(checkpoint_dir(path, name))) for name in node_names(experiment)}
    damaged: list[str] = []
    while True:
        try:
            number = common_round(held)
        except NoCommonCheckpoint as error:
            raise ExperimentError("; ".join([f"{where}: {error}", *damaged])) from None
        if not number:
            none = "holds no state: none was kept yet; launch it again"
            raise ExperimentError(f"{where}: {f'holds no whole state: {damaged[0]}' if damaged else none}")
        found = {name: _damage(path, name, number, experiment) for name in held}
        if not any(found.values()):
            break
        for name, reason in found.items():
            if reason:
                damaged.append(reason)
                held[name].discard(number)
    _check_unfinished(path, number, begun, experiment)
    return number, tuple(damaged)


def _damage(path: Path, name: str, number: int, experiment: Experiment) -> str:
    where = f"--resume {path}"
    try:
        state = read_state(checkpoint_dir(path, name), number)
    except Damaged as error:
        return str(error)
    except CheckpointError as error:
        raise ExperimentError(f"{where}: {error}") from None
    check_fits(where, number, state.record.get("experiment"), experiment)
    return ""


def rewind_peers(run_dir: RunDir) -> None:
    """Remove what the peers of a run that was opened again hold of later rounds: these are run anew, by all."""
    for name in read_nodes(run_dir.path) if run_dir.resumed is not None else ():
        CheckpointStore(checkpoint_dir(run_dir.path, name)).rewind(run_dir.resumed or 0)


def check_run(path: Path, experiment: Experiment) -> Experiment:
    """Read the experiment of a run directory, with which `experiment` can go on.

    Raises
    ------
    ExperimentError
        There is no such run directory, it is of another experiment, of a simulation, or of a run that goes by no
        rounds.
    """
    where = f"--resume {path}"
    check_run_dir(path)
    if read_summary(path).get("engine") is not None:
        raise ExperimentError(f"{where}: was simulated, and keeps no state; nervenet simulate {path} repeats it")
    begun = load_experiment(path)
    algorithm = experiment.gossip.algorithm
    if begun.mode == experiment.mode == "gossip" and not has_rounds(algorithm):
        raise ExperimentError(
            f"{where}: gossip.algorithm = {algorithm!r} does not go by rounds, and such a run cannot be resumed; those "
            f"with {', '.join(synchronous_names())} can"
        )
    check_same_run(where, begun, experiment)
    return begun


def _check_unfinished(path: Path, number: int, begun: Experiment, experiment: Experiment) -> None:
    """Raise `ExperimentError` for a run that has its result, unless more is asked of it now than was then."""
    try:
        summary = json.loads((path / "summary.json").read_bytes())
        done, of = int(summary.get("last_round", summary["completed_rounds"])), int(summary["rounds"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # nothing, or nothing readable, was left: it cannot have come to its end
    if summary.get("status") != "completed" or done != number:
        return
    where = f"--resume {path}: the run is complete: {done} of {of} rounds"
    stopped_by = summary.get("stopped_by")
    if stopped_by is None and of == experiment.rounds:
        raise ExperimentError(f"{where}; raise --rounds to go on")
    keys = STOPS.get(str(stopped_by), ())
    asked = [getattr(experiment.evaluation, key) for key in keys]
    if asked and asked[0] is not None and asked == [getattr(begun.evaluation, key) for key in keys]:
        change = f"change --{stopped_by}, or leave it out: --{stopped_by} none"
        raise ExperimentError(f"{where}, stopped by {stopped_by}: {summary.get('reason', '')}; {change}")
