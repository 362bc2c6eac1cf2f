"""Launch: divide the data, start a broker and N processes, watch them, collect their reports, leave a run folder."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from ..config.factory import with_preprocess
from ..config.schema import Experiment
from ..experiment.validation import check_preprocess, validate
from ..results.run_result import RunResult
from .announcements import Announcements
from .data_shares import DataShares, divide
from .forkserver_client import ForkServerClient
from .jobs import import_ahead
from .preparation import Prepared, prepared
from .process_logs import QUIET, LogSettings
from .progress import Progress, somebody_watches
from .regions.checks import check_regions
from .reported_result import Beginning
from .run_course import RunCourse
from .run_ending import ended
from .run_services import RunServices

OnEvent: TypeAlias = Callable[[dict[str, Any]], None]


class RunFailed(RuntimeError):
    """The run ended without its result.

    Attributes
    ----------
    summary : dict
        What is known of it, as in ``summary.json``.
    """

    def __init__(self, reason: str, summary: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.summary = dict(summary)


async def launch(
    experiment: Experiment,
    *,
    preprocess: object = None,
    out: Path | str | None = None,
    resume: Path | str | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    on_address: Callable[[str], None] | None = None,
    on_run_dir: Callable[[Path], None] | None = None,
    on_target: Callable[[str], None] | None = None,
    fork_server: ForkServerClient | None = None,
    started_at: float | None = None,
    progress: bool | None = None,
    shares: Callable[[Experiment], DataShares] = divide,
    on: object | None = None,
    data: object | None = None,
    logs: LogSettings = QUIET,
) -> RunResult:
    """Run an experiment in real processes: on this machine, or where a cluster engine places them.

    Parameters
    ----------
    experiment
        What to run.
    preprocess
        An unfitted scikit-learn transformer for tables, in place of ``data.preprocess``: a Pipeline, a
        ColumnTransformer or a single step. The run folder describes it (``preprocess.json``), and repeats the run.
    out
        The run folder; default ``runs/<UTC time>-<mode>-<data>``.
    resume
        The folder of an earlier run of this experiment, to continue after its last checkpoint; in place of `out`.
    on_event
        Called with every event as it arrives.
    on_address
        Called once with the broker's address, as soon as a monitor can attach.
    on_run_dir
        Called once with the run folder, as soon as it is there.
    on_target
        Called once with the column that is predicted, as soon as the data are read; only of a file with named columns.
    fork_server
        Forks the processes, where it was started earlier; the earlier, the more of its imports are done. It is closed
        at the end.
    started_at
        Unix time at which the command started, for the start-up figure; default: now.
    progress
        Whether to write a line of progress to standard error every two seconds; default: where a terminal or the kernel
        of a notebook shows it.
    shares
        Where each node's rows come from; by default what the experiment says under ``data``.
    on
        A client or a cluster of an engine, such as a ``distributed.Client``, in place of ``cluster.on``.
    data
        A collection of that engine, such as a Dask DataFrame: its partitions are the sites, each at a node where it
        lies, in place of what the experiment says of `nodes` and ``data.name``.
    logs
        How, and from which level on, the processes of the run write ``nodes.log``.

    Returns
    -------
    RunResult
        As a mapping, the summary, as in ``summary.json``.

    Raises
    ------
    RunFailed
        If there is no result; the reason is the message, and the run folder is complete as far as it goes.
    ExperimentError, DataError, CannotMerge
        Before anything is started, for what cannot be run.
    """
    started_at = started_at or time.time()
    fork_server = fork_server or ForkServerClient()
    try:
        experiment = with_preprocess(experiment, preprocess)
        validate(experiment)
        if preprocess is None:  # what a file or a program names, and has not been looked at
            check_preprocess(experiment)
        check_regions(experiment, counted=data is None and experiment.cluster.data == "launcher")
        if progress or (progress is None and somebody_watches(sys.stderr)):
            on_event = _both(Progress(_to_stderr, time.monotonic).event, on_event or _ignore)
        began = Beginning.at(started_at)
        announcements = Announcements()
        preparing = prepared(
            experiment,
            fork_server,
            out=None if out is None else Path(out),
            resume=None if resume is None else Path(resume),
            on=on,
            data=data,
            divide=shares,
            warn=announcements.warn,
            on_target=on_target or _ignore,
        )
        async with preparing as run:
            (on_run_dir or _ignore)(run.run_dir.path)
            run.run_dir.write_experiment(run.experiment)
            import_ahead(run.experiment)
            async with RunServices(run, fork_server, announcements, on_event or _ignore, logs) as services:
                return await _run(run, services, announcements, on_address or _ignore, began)
    finally:
        fork_server.close()


async def _run(
    run: Prepared,
    services: RunServices,
    announcements: Announcements,
    on_address: Callable[[str], None],
    began: Beginning,
) -> RunResult:
    """Return the result of a run; whatever ends it, its folder is whole before anything is raised."""
    outcome = await RunCourse(run, services, announcements, on_address).follow()
    error = outcome.error
    ending = asyncio.ensure_future(ended(outcome, run, services, announcements, began))
    try:
        result = await asyncio.shield(ending)
    except asyncio.CancelledError as cancelled:  # it is over in seconds, and leaves a whole folder
        error, result = cancelled, await ending
    if error is not None:
        raise error
    if result.status != "completed":
        raise RunFailed(result.reason or "", result)
    return result


def _both(first: OnEvent, second: OnEvent) -> OnEvent:
    def call(event: dict[str, Any]) -> None:
        first(event)
        second(event)

    return call


def _to_stderr(line: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it any more: the run goes on
        print(line, file=sys.stderr, flush=True)


def _ignore(_: Any) -> None:
    return None
