"""Launch: divide the data, start a broker and N processes, watch them, collect their reports, leave a run folder."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from nervenet.broker.transport_events import ConnectionRefused

from ..config.factory import node_names, with_preprocess
from ..config.schema import DataConfig, Experiment
from ..experiment.validation import check_members, check_preprocess, validate
from ..report.written import write_report
from ..results.collect import collect, saved_apart, write_results
from ..results.run_dir import RunDir, check_run_dir, new_default_dir
from ..results.run_result import RunResult, node_result, run_completed, run_ended
from ..results.score_reports import Judged
from ..runtime.event_types import INTERRUPTED
from ..runtime.report_client import REPORT_SERVER
from ..runtime.secured import RefusalEvents, close_gate, on_key_warning, security_of
from .data_shares import DataShares, divide
from .forkserver_client import ForkServerClient
from .hosts import ROLE, host_names, host_of
from .jobs import group_nodes, import_ahead, imported_modules
from .launch_keys import check_keys, launch_keys
from .machine_limits import check_this_machine
from .nodes_log import NodesLog
from .nodes_there import nodes_json, remove_sockets
from .placement.executor import open_engine
from .placement.own_rows import agreed_task, unread
from .preflight import capped, check_data
from .process_logs import QUIET, LogSettings
from .progress import Progress, somebody_watches
from .regions.checks import check_regions
from .regions.plan import at_the_top, regions_of
from .regions.report_servers import ReportServers
from .report_server import ReportServer, report_address
from .roll import new_enrollment
from .run_events import END_RELAYED_S, RunEvents
from .supervisor import RunAborted, Supervisor, roles_of

OnEvent: TypeAlias = Callable[[dict[str, Any]], None]

STOP_S = 3.0  # an orderly stop takes no longer; then the children are killed
STOPPED_RELAYED_S = 2.0  # how long the word of an orderly stop may take to reach monitors
BASELINE_S = 60.0  # how long a model of the baselines may take after the run


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
    out: Path | None = None,
    resume: Path | None = None,
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
        check_regions(experiment, engine=on is not None or data is not None)
        if progress or (progress is None and somebody_watches(sys.stderr)):
            on_event = _both(Progress(_to_stderr, time.monotonic).event, on_event or _ignore)
        called = (on_event or _ignore, on_address or _ignore, on_run_dir or _ignore, on_target or _ignore)
        return await _Launch(experiment, fork_server, *called, started_at, shares, on, data, logs).run(out, resume)
    finally:
        fork_server.close()


@dataclass
class _Launch:
    """One launch from beginning to end."""

    experiment: Experiment
    fork_server: ForkServerClient
    on_event: Callable[[dict[str, Any]], None]
    on_address: Callable[[str], None]
    on_run_dir: Callable[[Path], None]
    on_target: Callable[[str], None]
    started_at: float
    divide: Callable[[Experiment], DataShares]
    on: object | None = None
    data: object | None = None
    logs: LogSettings = QUIET
    run_dir: RunDir = field(init=False)
    shares: DataShares = field(init=False)
    events: RunEvents = field(init=False)
    supervisor: Supervisor = field(init=False)
    listening: bool = False  # whether events are taken: from `run.started` to the end
    early: list[str] = field(default_factory=list)  # warnings before that
    refusals: RefusalEvents = field(default_factory=RefusalEvents)
    ended_at: float | None = None  # by the monotonic clock, when every node had reported; the baselines may go on

    def __post_init__(self) -> None:
        self.began_at = time.monotonic() - (time.time() - self.started_at)  # a clock may be set during the run
        self.name = f"{self.experiment.mode}-{secrets.token_hex(3)}"
        self.regions = regions_of(self.experiment, self.name)

    async def run(self, out: Path | None, resume: Path | None) -> RunResult:
        """Return the result; see `launch`."""
        if modules := imported_modules(self.experiment):
            self.fork_server.preload(modules)
        async with AsyncExitStack() as stack:
            opening = open_engine(self.experiment, self.on, self.data, self._said)
            engine = None if opening is None else await stack.enter_async_context(opening)
            if engine is not None:  # with a node for each site there, and this launcher's own addresses
                self.experiment = replace(engine.experiment, network=self.experiment.network)
            experiment = self.experiment
            reached = experiment if engine is None else engine.experiment
            names = node_names(experiment)
            check_members(experiment, names)
            check_keys(experiment)
            groups, hosts = (group_nodes(experiment, names), host_names(experiment)) if engine is None else ([], [])
            check_this_machine(experiment, groups, shared=bool(hosts), regions=len(self.regions.all))
            if resume is not None:
                from ..results.resume import reopen, rewind_peers

                check_run_dir(resume, out=out)
                # Before the data are loaded: what cannot be resumed is refused at once.
                self.run_dir = stack.enter_context(reopen(resume, experiment, at_the_top(experiment)))
                if experiment.mode == "gossip":
                    rewind_peers(self.run_dir)
            divided = unread if engine is not None and engine.rows_there else self.divide
            self.shares = await asyncio.to_thread(divided, experiment)
            stack.callback(self.shares.close)
            if self.shares.target:
                self.on_target(self.shares.target)
            if self.shares.kinds is not None or experiment.data.preprocess != DataConfig.preprocess:
                from nervenet.models.pipeline.given import STEPS

                self.fork_server.preload(STEPS)  # once, and not once a node
            if divided is not unread:
                check_data(experiment, self.shares, initial=resume is None)
            if resume is None:
                path = out or new_default_dir(experiment, datetime.now(UTC))
                self.run_dir = stack.enter_context(RunDir(path, max_log_bytes=experiment.max_log_bytes))
            self.on_run_dir(self.run_dir.path)
            self.run_dir.write_experiment(experiment)
            import_ahead(experiment)
            names_and_roles = roles_of(experiment)
            secured = stack.enter_context(
                launch_keys(reached, names_and_roles, self.run_dir.path, self.fork_server.remove_at_end)
            )
            network = secured.network
            at_top = {name: role for name, role in names_and_roles.items() if not self.regions.has(name)}
            enrollment = new_enrollment({**at_top, **dict.fromkeys(hosts, ROLE)}, self.regions.below)
            security = security_of(network, REPORT_SERVER, enrollment=enrollment)
            stack.callback(close_gate, security)
            on_key_warning(security, self._said)
            serving = partial(
                ReportServer,
                on_report=self._reported,
                max_message_bytes=network.max_message_bytes,
                advertise=network.advertise,
                security=security,
                on_refused=self._refused,
            )
            host = host_of(next(iter(hosts), None), self.name, network, security)
            report_servers = await stack.enter_async_context(
                ReportServers(
                    serving(self.name, report_address(network), roles=enrollment.roles, host=host),
                    self.regions,
                    lambda region: serving(region.run, report_address(network), roles=region.roles),
                )
            )
            log = stack.enter_context(NodesLog(self.run_dir.path, experiment.max_log_bytes))
            self.events = await stack.enter_async_context(
                RunEvents(
                    self.name,
                    self.run_dir,
                    self.on_event,
                    self._progressed,
                    experiment.evaluation.every,
                    security,
                )
            )
            self.supervisor = Supervisor(
                secured,
                self.name,
                self.fork_server,
                report_servers.addresses,
                log.descriptor,
                lambda node, reason: self.events.publish("node.lost", subject=node, reason=reason),
                self.events.publish,
                self._write_nodes,
                self.run_dir.checkpoint_dir,
                on_pause=log.trim,
                run_dir=self.run_dir.path.absolute(),
                enrollment=enrollment,
                engine=engine,
                regions=report_servers.regions,
                logs=self.logs,
                min_nodes=1 if self.run_dir.resumed is not None and experiment.mode == "federated" else None,
            )
            stack.callback(remove_sockets, self.supervisor.ready)
            # Whatever happens from here on, no child outlives this block.
            stack.push_async_callback(self.supervisor.stop, STOP_S)
            return await self._supervised(report_servers)

    async def _supervised(self, report_servers: ReportServers) -> RunResult:
        supervisor = self.supervisor
        status, reason = "completed", ""
        interrupted: BaseException | None = None
        try:
            address = await supervisor.start_broker()
            self.on_address(address)
            self.events.follow(address, supervisor.events_in)
            self.events.publish("run.started", **self._run_started())
            self.listening = True
            for warning in (
                *self.early,
                *self.run_dir.damaged,
                *self.shares.notes,
                *capped(self.experiment, self.shares),
            ):
                self.events.publish("warning", reason=warning)
            await supervisor.start_nodes(self.shares)
            self._write_nodes()
            may_stop_early = self.experiment.evaluation.may_stop_early
            if not may_stop_early:
                await supervisor.start_baselines(self.shares, self.experiment.rounds)
            await supervisor.wait_for_results(report_servers.failed)
            self.ended_at = time.monotonic()
            if may_stop_early:  # then only now it is known for how many rounds they have to train
                await supervisor.start_baselines(self.shares, supervisor.completed_rounds)
            await supervisor.wait_for_baselines(BASELINE_S)
        except asyncio.CancelledError as error:
            supervisor.stopping()
            interrupted, why = error, str(error) or INTERRUPTED
            if self.ended_at is None:
                status, reason = INTERRUPTED, why
            else:
                self._without_baselines(why)
        except RunAborted as error:
            if self.ended_at is None:
                status, reason = "failed", str(error)
            else:
                self._without_baselines(str(error))
        except Exception as error:  # noqa: BLE001  (raised again below, when the folder is readable and nobody left)
            status, reason, interrupted = "failed", f"{type(error).__name__}: {error}", error
        ending = asyncio.ensure_future(self._end(status, reason, report_servers))
        try:
            result = await asyncio.shield(ending)
        except asyncio.CancelledError as error:  # it is over in seconds, and leaves a whole folder
            interrupted, result = error, await ending
        if interrupted is not None:
            raise interrupted
        if result.status != "completed":
            raise RunFailed(result.reason or "", result)
        return result

    async def _end(self, status: str, reason: str, report_servers: ReportServers) -> RunResult:
        """Stop everybody, write the results, and say how the run has ended."""
        supervisor = self.supervisor
        if status != "completed":
            # The folder is readable even if something ends this process while the nodes end.
            await asyncio.to_thread(self._write_results, status, reason)
            # They report what they have when they are stopped; a second signal ends this wait by ending the process.
            # No socket is left open to those that must be killed: ZeroMQ was seen to abort as hundreds died at once.
            await supervisor.stop_nodes(STOP_S, report_servers.close)
        result = await asyncio.to_thread(self._write_results, status, reason)
        for name in result["by_node"]:
            self.events.publish("node.result", **node_result(name, result))
        if result.status == "completed":
            self.events.publish("run.completed", **run_completed(result))
        else:
            self.events.publish("run.failed", **run_ended(result), reason=result.reason)
        if supervisor.broker_runs:  # which is stopped last, so that monitors learn of the end
            await self.events.end_relayed(END_RELAYED_S if status == "completed" else STOPPED_RELAYED_S)
        await supervisor.stop(STOP_S)
        await self.events.all_left(supervisor.survivors())
        self.listening = False
        await asyncio.to_thread(self.run_dir.write_rounds, self.experiment.mode, supervisor.rounds, result["baseline"])
        if missing := await asyncio.to_thread(write_report, self.run_dir.path):
            self.events.publish("warning", reason=missing)
        self.events.say_refused()
        return result

    def _said(self, reason: str) -> None:
        if self.listening:
            self.events.publish("warning", reason=reason)
        else:
            self.early.append(reason)

    def _refused(self, refusal: ConnectionRefused) -> None:
        if self.listening:  # else it knocks again
            self.refusals.publish(refusal, lambda kind, fields: self.events.publish(kind, **fields))

    def _without_baselines(self, reason: str) -> None:
        """Say so; the result is complete without them."""
        self.events.publish("warning", reason=f"the baselines are left out: {reason}")

    def _run_started(self) -> dict[str, Any]:
        experiment = self.experiment
        fields = {
            "mode": experiment.mode,
            "nodes": experiment.nodes,
            "rounds": experiment.rounds,
            "data": experiment.data.label,
            "model": experiment.model.name,
            **({"rows": self.shares.rows} if self.shares.rows else {}),
        }
        return fields if self.run_dir.resumed is None else {**fields, "resumed_after": self.run_dir.resumed}

    def _reported(self, node: str, kind: str, fields: Mapping[str, Any], array: Any) -> None:
        self.supervisor.reported(node, kind, fields, array)

    def _progressed(self) -> None:
        self.supervisor.progressed()

    def _write_nodes(self) -> None:
        if stale := self.run_dir.renew_nodes(
            nodes_json(self.supervisor.roles, self.supervisor.ready, self.regions.clients)
        ):
            self.events.publish("warning", reason=stale)

    def _write_results(self, status: str, reason: str) -> RunResult:
        supervisor, events = self.supervisor, self.events
        reports = dict(supervisor.results)
        arrays, best = saved_apart(self.run_dir.path, reports, supervisor.arrays, supervisor.best)
        result = collect(self.experiment, reports, arrays, best, dict(supervisor.lost))
        result.status, result.reason, result.regions = status, reason, self.regions.clients
        result.task = self.shares.task or agreed_task(result.preprocessing)
        result.majority = self.shares.majority
        names = tuple(node_names(self.experiment))
        result.judged = Judged(self.shares.test_rows(), self.shares.test_sites, names, counts=supervisor.site_counts)
        result.baseline, result.last_round = supervisor.baselines, events.last_round
        if supervisor.site_matrix:
            result.site_matrix = {"sites": list(names), **supervisor.site_matrix}
        result.wall_s, result.baseline_s = (self.ended_at or time.monotonic()) - self.began_at, supervisor.baseline_s
        result.startup_s = None if events.first_round_at is None else events.first_round_at - self.started_at
        write_results(self.experiment, self.run_dir, result)
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
