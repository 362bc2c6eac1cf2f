"""A run in real processes: a broker and a node for each site, over sockets, started and ended for one `fit`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Generic, TypeVar

from nervenet.broker.errors import BrokerError
from nervenet.models.aggregate import plain_mean
from nervenet.models.artifact import load_model
from nervenet.models.model import Model

from ..config.schema import Experiment
from ..launching.data_shares import DataShares, shares_of
from ..launching.launcher import RunFailed, launch
from ..results.round_metrics import read_rows
from ..results.run_result import RunResult
from .run import Job, Learned, Progress, Record

T = TypeVar("T")

IN_MEMORY = "backend='memory' can"


def learn(job: Job, rounds: int) -> Learned:
    """Do so many rounds from the beginning; a call that may come from within a running event loop.

    Raises
    ------
    ValueError
        The run has no result, by its reason; or it is asked to go on from an earlier one.
    """
    if job.after is not None or job.known:
        raise ValueError(f"backend='processes' does whole runs, and partial_fit goes on with one; {IN_MEMORY}")
    _check_described(job.model)
    with tempfile.TemporaryDirectory(prefix="nervenet-fit-") as folder:
        path = Path(folder) / "run"
        try:
            result = in_own_thread(partial(_launched, job, path))
        except (RunFailed, BrokerError) as error:
            raise ValueError(f"the run has no result: {error}") from error
        history = [_record(row, job) for row in read_rows(path)]
        site_model = load_model(path, model=deepcopy(job.model))
    return job.end(_progress(job, rounds, result), history, site_model)


async def _launched(job: Job, out: Path) -> RunResult:
    rows, task = list(job.sites.values()), job.task

    def shares(_: Experiment) -> DataShares:
        return shares_of(rows, task)

    return await launch(job.experiment, out=out, progress=False, shares=shares)


def in_own_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what a coroutine comes to in an event loop of its own; the caller's may be running, and is not used.

    What interrupts the wait, such as Ctrl-C, cancels it, and is raised when it has ended in order; what comes then, at
    once.
    """
    running = _Running(work)
    try:
        running.start()
        running.ended.wait()
    except BaseException:
        running.cancel()
        running.ended.wait()
        raise
    return running.result()


class _Running(Generic[T]):
    """A coroutine in a thread with an event loop; `start` makes it."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        # And not the thread's end: to join one again after an interrupt returns at once (CPython 3.11).
        self.ended = Event()
        self._work = work
        self._found: list[T] = []
        self._raised: list[BaseException] = []
        self._cancelled = False
        self._cancel: Callable[[], object] = lambda: None

    def start(self) -> None:
        try:
            Thread(target=self._run, name="nervenet fit", daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self.ended.set()
            raise

    def _run(self) -> None:
        try:
            self._found.append(asyncio.run(self._cancellable()))
        except BaseException as error:  # noqa: BLE001  (raised again by `result`, in the caller's thread)
            self._raised.append(error)
        finally:
            self.ended.set()

    async def _cancellable(self) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(self._work())
        self._cancel = partial(loop.call_soon_threadsafe, task.cancel)
        if self._cancelled:  # before there was anything to be cancelled
            task.cancel()
        return await task

    def cancel(self) -> None:
        self._cancelled = True
        with suppress(RuntimeError):  # it has ended just now
            self._cancel()

    def result(self) -> T:
        if self._raised:
            raise self._raised[0]
        return self._found[0]


def _progress(job: Job, rounds: int, result: RunResult) -> Progress:
    agreement: Mapping[str, Any] = result.preprocessing or {}
    clocks = {name: float(report.get("clock", 0.0)) for name, report in result.reports.items()}
    if job.experiment.mode == "federated":
        return Progress(rounds, agreement, result.weights, max(clocks.values(), default=0.0))
    names = sorted(result.peers)
    mean = plain_mean([result.peers[name] for name in names])
    peers = {name: (result.peers[name], clocks[name]) for name in names}
    return Progress(rounds, agreement, mean, sum(clocks[name] for name in names) / len(names), peers=peers)


def _record(row: Mapping[str, Any], job: Job) -> Record:
    """Return a round of `history_` from the run folder's, by the same names as in memory."""
    kept = {name: row[name] for name in ("round", "participants", "duration_s", "consensus_distance") if name in row}
    kept.setdefault("participants", len(job.sites))
    return kept | ({"loss": row["train_loss"]} if "train_loss" in row else {})


def _check_described(model: Model) -> None:
    """Raise ValueError for a model that other processes could not make from its name and parameters."""
    try:
        name = str(model.describe()["name"])
    except ValueError as error:
        raise ValueError(f"backend='processes' makes the model anew in each process: {error}; {IN_MEMORY}") from error
    if name.startswith("__main__"):
        raise ValueError(f"backend='processes' imports the model, and {name} is in no module; {IN_MEMORY}")
