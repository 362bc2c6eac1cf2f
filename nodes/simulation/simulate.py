"""Simulate: the nodes of an experiment in this process, on virtual time; the run folder is that of a launch."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nervenet.broker.broker import Broker, relay_event

from ..config.factory import node_names, with_preprocess
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..experiment.validation import check_preprocess, validate
from ..launching.broker_process import BROKER
from ..launching.data_shares import DataShares, divided
from ..launching.launcher import RunFailed
from ..launching.nodes_there import nodes_json
from ..launching.preflight import capped, check_data
from ..launching.regions.checks import check_regional_learning
from ..launching.regions.plan import regions_of, roles_of
from ..report.written import write_report
from ..results.collect import write_results
from ..results.run_dir import RunDir, new_default_dir
from ..results.run_result import RunResult, node_result, run_completed, run_ended
from ..results.score_reports import Judged
from ..runtime.event_types import INTERRUPTED
from .baselines import Baselines
from .nodes import Rows, Stopped
from .outcome import Outcome
from .recording import WATCHED, Recording
from .room import check_room
from .rounds import WholeRounds, why_not
from .run import MachineRun

BIND = "tcp://127.0.0.1:*"
HANDED_EVERY_S = 0.05  # how long an event may wait for whoever watches

OnEvent = Callable[[dict[str, Any]], None]


async def simulate(
    experiment: Experiment,
    *,
    preprocess: object = None,
    out: Path | str | None = None,
    on_event: OnEvent | None = None,
    on_address: Callable[[str], None] | None = None,
    on_run_dir: Callable[[Path], None] | None = None,
    on_target: Callable[[str], None] | None = None,
    started_at: float | None = None,
) -> RunResult:
    """Run an experiment on virtual time, in this process: see docs/simulation.md.

    Parameters
    ----------
    experiment
        What to run; its table ``[simulation]`` says on what network and machines.
    preprocess, out, on_event, on_address, on_run_dir, on_target, started_at
        As for `nervenet.nodes.launch`. Of more than 256 clients or peers the events of so many are handed on.

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
    experiment = with_preprocess(experiment, preprocess)
    validate(experiment)
    if preprocess is None:
        check_preprocess(experiment)
    check_regional_learning(experiment)
    called = (on_event or _ignore, on_address or _ignore, on_run_dir or _ignore, on_target or _ignore)
    return await _Simulate(experiment, *called, started_at or time.time()).run(None if out is None else Path(out))


@dataclass
class _Simulate:
    """One simulation from beginning to end."""

    experiment: Experiment
    on_event: OnEvent
    on_address: Callable[[str], None]
    on_run_dir: Callable[[Path], None]
    on_target: Callable[[str], None]
    started_at: float
    run_dir: RunDir = field(init=False)
    shares: DataShares = field(init=False)
    test: Any = field(init=False)
    recording: Recording = field(init=False)
    broker: Broker = field(init=False)
    baselines: Baselines = field(init=False)
    outcome: Outcome = field(default_factory=Outcome)
    by_rounds: bool = False  # whether it can be done by whole rounds, and may
    ended_at: float | None = None  # by the monotonic clock, when the nodes were done; the baselines may go on

    def __post_init__(self) -> None:
        self.began_at = time.monotonic() - (time.time() - self.started_at)
        self.name = f"{self.experiment.mode}-{secrets.token_hex(3)}"
        self.regions = regions_of(self.experiment, self.name)
        self.stop = threading.Event()

    async def run(self, out: Path | None) -> RunResult:
        experiment = self.experiment
        self.shares, train, self.test, parts = await asyncio.to_thread(divided, experiment)
        shares, names = self.shares, node_names(experiment)
        if shares.target:
            self.on_target(shares.target)
        check_data(experiment, shares, initial=True)
        self.baselines = Baselines(experiment, shares, train, self.test, parts, self.stop.is_set)
        test = self.test.arrays if len(self.test) else None
        of_nodes = {name: train.take(part).arrays for name, part in zip(names, parts, strict=True)}
        rows = Rows(of_nodes, test, shares.columns, shares.task, shares.written)
        reason = why_not(experiment, rows)
        if reason and experiment.simulation.engine == "rounds":
            raise ExperimentError(_not_by_rounds(reason))
        self.by_rounds = not reason and experiment.simulation.engine != "machines"
        if not self.by_rounds:
            check_room(experiment, reason or "simulation.engine = 'machines'")
        async with AsyncExitStack() as stack:
            path = out or new_default_dir(experiment, datetime.now(UTC))
            self.run_dir = stack.enter_context(RunDir(path, max_log_bytes=experiment.max_log_bytes))
            self.on_run_dir(self.run_dir.path)
            self.run_dir.write_experiment(experiment)
            self.broker = await stack.enter_async_context(Broker(BIND))
            self.on_address(self.broker.address)
            loop = asyncio.get_running_loop()
            self.recording = Recording(
                self.name,
                self.run_dir,
                experiment.evaluation.every,
                names[:WATCHED],
                # Not at once: each time the two threads change places, the simulation waits for the interpreter.
                lambda: loop.call_soon_threadsafe(loop.call_later, HANDED_EVERY_S, self._hand_on),
            )
            self.run_dir.write_nodes(self._nodes())
            return await self._supervised(rows)

    async def _supervised(self, rows: Rows) -> RunResult:
        working = asyncio.ensure_future(asyncio.to_thread(self._work, rows))
        interrupted: BaseException | None = None
        status, reason = "completed", ""
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError as error:
            interrupted, why = error, str(error) or INTERRUPTED
            self.stop.set()
            await _to_its_end(working)
            working.exception()  # seen: that it was stopped is what counts
            if self.ended_at is None:
                status, reason = INTERRUPTED, why
            else:
                self.recording.publish("warning", reason=f"the baselines are left out: {why}")
        except Exception as error:  # noqa: BLE001  (raised again below, when the folder is readable)
            status, reason, interrupted = "failed", f"{type(error).__name__}: {error}", error
        if status == "completed" and self.outcome.failed:
            status, reason = "failed", self.outcome.failed
        ending = asyncio.ensure_future(asyncio.to_thread(self._end, status, reason))
        interrupted = await _to_its_end(ending) or interrupted  # it is over in seconds, and leaves a whole folder
        result = ending.result()
        self._hand_on()
        if interrupted is not None:
            raise interrupted
        if result.status != "completed":
            raise RunFailed(result.reason or "", result)
        return result

    # --------------------------------------------------------------------------- in the thread of the simulation

    def _work(self, rows: Rows) -> None:
        experiment, publish = self.experiment, self.recording.publish
        publish(
            "run.started",
            mode=experiment.mode,
            nodes=experiment.nodes,
            rounds=experiment.rounds,
            data=experiment.data.label,
            model=experiment.model.name,
            rows=self.shares.rows,
        )
        for warning in (*self.shares.notes, *capped(experiment, self.shares)):
            publish("warning", reason=warning)
        # The baselines judge a model at all sites; no node of the run need give its own away for that.
        own = replace(experiment, evaluation=replace(experiment.evaluation, site_matrix=False))
        try:
            engine = self._engine(own, rows)
        except Stopped:
            return
        engine.run(self.outcome)
        if self.outcome.failed or self.stop.is_set():
            return
        self.ended_at = time.monotonic()
        rounds = self.outcome.completed_rounds(experiment) * self.regions.rounds  # as many as a client trains
        if reason := self.baselines.train(rounds, self.recording.publish_baseline):
            publish("warning", reason=reason)

    def _engine(self, experiment: Experiment, rows: Rows) -> MachineRun | WholeRounds:
        """Return what runs the nodes: whole rounds where they are asked for or come to the same, or the machines."""
        if self.by_rounds:
            run = WholeRounds(experiment, rows, self.recording, self.stop.is_set)
            late = run.late()
            if not late:
                self.outcome.engine = "rounds"
                return run
            if experiment.simulation.engine == "rounds":
                raise ExperimentError(_not_by_rounds(late))
            check_room(experiment, late)
        return MachineRun(experiment, rows, self.name, self.recording, self.stop.is_set)

    def _end(self, status: str, reason: str) -> RunResult:
        self.recording.rest()
        result = self._result(status, reason)
        write_results(self.experiment, self.run_dir, result)
        for name in result["by_node"]:
            self.recording.publish("node.result", **node_result(name, result))
        if result.status == "completed":
            self.recording.publish("run.completed", **run_completed(result))
        else:
            self.recording.publish("run.failed", **run_ended(result), reason=result.reason)
        self.run_dir.flush()
        if self.outcome.rows:
            self.run_dir.write_known_rounds(self.outcome.rows, result["baseline"])
        else:
            self.run_dir.write_rounds(self.experiment.mode, self.outcome.rounds, result["baseline"])
        if missing := write_report(self.run_dir.path):
            self.recording.publish("warning", reason=missing)
        return result

    def _result(self, status: str, reason: str) -> RunResult:
        result = self.outcome.result(self.experiment, self.recording.lost)
        result.status, result.reason, result.task = status, reason, self.shares.task
        result.regions = self.regions.clients
        result.majority = self.shares.majority
        names = tuple(node_names(self.experiment))
        test = self.test.arrays if len(self.test) else None
        result.judged = Judged(test, self.shares.test_sites, names, counts=self.outcome.site_counts)
        result.baseline, result.baseline_s = self.baselines.figures, self.baselines.seconds
        if self.baselines.site_matrix:
            result.site_matrix = {"sites": list(names), **self.baselines.site_matrix}
        result.last_round = self.recording.last_round
        result.wall_s = (self.ended_at or time.monotonic()) - self.began_at
        first = self.recording.first_round_at
        result.startup_s = None if first is None else first - self.started_at
        result.virtual_s, result.engine = self.outcome.virtual_s, self.outcome.engine
        return result

    # ------------------------------------------------------------------------------------------------ on the loop

    def _hand_on(self) -> None:
        for event in self.recording.take():
            relay_event(self.broker, event)
            self.on_event(event)

    def _nodes(self) -> dict[str, dict[str, Any]]:
        """Return ``nodes.json``; all nodes are this process, and only the broker can be reached."""
        roles = roles_of(self.experiment)
        ready: dict[str, dict[str, Any]] = {name: {"pid": os.getpid()} for name in (BROKER, *roles)}
        ready[BROKER]["addresses"] = {"directory": self.broker.address}
        return nodes_json(roles, ready, self.regions.clients)


async def _to_its_end(work: asyncio.Future[Any]) -> BaseException | None:
    """Wait for what ends soon and must, however often this is cancelled; return the first cancellation."""
    cancelled: BaseException | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
    return cancelled


def _not_by_rounds(reason: str) -> str:
    return f"simulation.engine = 'rounds': {reason}; expected auto or machines"


def _ignore(_: Any) -> None:
    return None
