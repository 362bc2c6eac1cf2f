"""What a forked process does: host one or more nodes, a broker, or the baselines, and report to the launcher.

These processes belong to the launcher alone, so they may do what an embedded node may not: handle signals, configure
logging, write to standard error (which is the run folder's log).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq
from nervenet.broker.ending import end_in_thread
from nervenet.broker.enrollment import Enrollment
from nervenet.broker.errors import MessageTooLarge
from nervenet.broker.hosting import Host
from nervenet.broker.messages import Payload
from nervenet.broker.roster_frames import RosterReader
from nervenet.broker.sockets import Security
from nervenet.models.data.written import MOST_AGREED, written_from_dict

from ..config.compatibility import shared_config_of
from ..config.factory import build_model, build_site_model
from ..config.schema import Experiment, NetworkConfig
from ..federated.large.sizes import Sizes
from ..results.collect import save_models, save_personal
from ..results.run_result import RunResult
from ..results.score_reports import Judged
from ..roles.aggregator import Aggregator
from ..roles.client import Client
from ..roles.coordinator import Coordinator
from ..roles.peer import Peer
from ..runtime.auditing import audit_dir_of
from ..runtime.event_types import INTERRUPTED
from ..runtime.identity import NodeIdentity
from ..runtime.lanes import HostedThreads, usual_threads
from ..runtime.report_client import ReportClient, ReportFailed, report_once
from ..runtime.secured import closing_gate, on_key_warning, security_of
from ..runtime.shared_agreement import SharedAgreements
from .hosts import host_of
from .jobs import OWN_ROWS
from .machine_limits import files_of_process
from .process_logs import LogSettings, configure
from .regions.placed import Placed, of_aggregator
from .rlimits import OUT_OF_RESOURCES, ran_out
from .roll import from_job
from .shared_rows import unpack_rows

if TYPE_CHECKING:
    from nervenet.broker.security.gate import Gate

Node = Coordinator | Client | Peer
ROLES: dict[str, type[Node]] = {"coordinator": Coordinator, "aggregator": Aggregator, "client": Client, "peer": Peer}
FEW_LINES = 3  # of each list, where all of them would not fit a message
MOST_SOCKETS = 65_535  # of a context, by ZeroMQ
LINGER_S = 5.0  # how long a broker serves on after SIGTERM: its launcher, which may have had it too, ends the run
SWITCH_INTERVAL_S = 0.0005  # how long the event loop waits at most for a training thread to release the interpreter
COLLECTOR = (10_000, 20, 20)  # objects, and collections of the generation before, between two looks for garbage


def settle_process() -> None:
    """Set for this whole process what an embedded node must leave alone: how often threads and collector take over.

    A round makes some hundred objects, none of them garbage in a cycle: by default every third one is looked through.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECTOR)


def host(job: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Do `job` in this process and return the exit code. The first descriptor is the log, the rest are the job's."""
    log, *rest = descriptors
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    configure(LogSettings.from_job(job), sys.stderr)
    settle_process()
    match job["kind"]:
        case "broker":
            return asyncio.run(_until_terminated(_broker(job), job["stop_by"], LINGER_S))
        case "nodes":
            hosted: list[Node] = []
            return asyncio.run(_until_terminated(_nodes(job, rest, hosted), on_stop=lambda: _mute(hosted)))
        case "baseline":
            from .baselines import report_baselines

            with suppress(OSError):
                os.nice(10)
            return asyncio.run(_until_terminated(report_baselines(job, rest)))
        case "describe":
            from .described_site import answer_questions

            return asyncio.run(_until_terminated(answer_questions(job)))
        case kind:
            raise ValueError(f"kind must be broker, nodes, baseline or describe, found {kind!r}")


async def _until_terminated(
    work: Any,
    stop_by: int = signal.SIGTERM,
    linger_s: float = 0.0,
    on_stop: Callable[[], None] = lambda: None,
) -> int:
    """Run until done, until the signal `stop_by`, or until `linger_s` seconds after SIGTERM; return the exit code."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # Once: the launcher's own signal may follow one that went to the whole group, and must not cancel the report.
        if not task.cancelling():
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, loop.call_later, linger_s, stop)
    loop.add_signal_handler(stop_by, stop)  # if that is SIGTERM, in place of the line before
    signal.signal(stop_by, lambda *_: on_stop())  # at once: `stop`, of which the loop hears beside, waits for its turn
    try:
        return int(await task or 0)
    except asyncio.CancelledError:
        return 0
    finally:
        # From here on this process ends by itself; a late signal would find the loop already closed.
        for number in {signal.SIGTERM, stop_by}:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


async def _broker(job: Mapping[str, Any]) -> int:
    from nervenet.broker.broker import Broker

    network = NetworkConfig(keys=job.get("keys"), insecure=bool(job.get("insecure")))
    security = security_of(network, "broker", enrollment=from_job(job))
    said = partial(_log_warning, job["run"], "broker")
    on_key_warning(security, said)
    with closing_gate(security):
        async with Broker(job["bind"], advertise=job.get("advertise"), security=security, on_refused=said) as broker:
            fields = {"pid": os.getpid(), "addresses": dict(broker.addresses)}
            where = (job["report_server"], job["run"], "broker", "broker")
            await report_once(*where, "ready", fields, security=security)
            await broker.serve()
    return 0


def _log_warning(run: str, node: str, reason: str) -> None:
    """Say in the log what is wrong with the files of keys, of which whoever owns the folder has to know."""
    import structlog

    structlog.get_logger().warning("keys", run=run, node=node, reason=reason)


def _mute(hosted: Sequence[Node]) -> None:
    """Let all nodes of this process drop what they have in hand: a busy machine would take long to work it off."""
    for node in hosted:
        node.session.mute()


@dataclass(frozen=True)
class Shared:
    """What the nodes of one process have in common: the test rows, the context, the inbox and threads if they do."""

    test: tuple[Any, ...] | None
    context: zmq.Context[zmq.Socket[bytes]]
    secure: Callable[[str], Security]
    host: Host | None
    hosted: list[Node]
    agreements: SharedAgreements
    rosters: RosterReader
    threads: HostedThreads | None


async def _nodes(job: Mapping[str, Any], descriptors: Sequence[int], hosted: list[Node]) -> int:
    experiment = Experiment.from_dict(job["experiment"])
    # The baselines have it, and no model need leave its site for that.
    experiment = replace(experiment, evaluation=replace(experiment.evaluation, site_matrix=False))
    shares = [_rows(job, descriptor) for descriptor in descriptors]
    test = shares[0]
    # One I/O thread and one set of descriptors for all nodes of this process.
    context = zmq.Context()
    wanted = files_of_process(experiment, [spec["name"] for spec in job["nodes"]], shared=bool(job.get("host")))
    context.max_sockets = min(max(wanted, context.max_sockets), MOST_SOCKETS)
    specs = zip(job["nodes"], shares[1:], strict=True)
    network, enrollment = experiment.network, from_job(job)
    if network.keys is None:
        secure: Callable[[str], Security] = lambda name: security_of(network, name, enrollment=enrollment)  # noqa: E731
    else:
        from nervenet.broker.security.gate import Gate

        warn = partial(_log_warning, job["run"], job["nodes"][0]["name"])
        # One for all nodes of this process: ZeroMQ asks once a context.
        gate = Gate(Path(network.keys), on_warning=warn)
        secure = partial(_secured_by, network, gate, enrollment)
    try:
        async with AsyncExitStack() as stack:
            name = job.get("host")
            host = None
            if name:
                of_nodes = len(job["nodes"])
                host = host_of(name, job["run"], network, secure(name), nodes=of_nodes, context=context)
            if host is not None:
                await stack.enter_async_context(host)
            threads = None
            if len(job["nodes"]) > usual_threads():
                stack.callback((threads := HostedThreads()).close)
            shared = Shared(test, context, secure, host, hosted, SharedAgreements(), RosterReader(), threads)
            async with asyncio.TaskGroup() as group:
                nodes = [group.create_task(_node(job, experiment, *each, shared)) for each in specs]
    finally:
        if network.keys is not None:
            gate.close()
        # Not term: it would wait forever for a socket that something left open. What is queued lingers as set.
        await end_in_thread(context.destroy)
    return max(node.result() for node in nodes)


def _secured_by(network: NetworkConfig, gate: Gate, enrollment: Enrollment, name: str) -> Security:
    return security_of(network, name, gate=gate, enrollment=enrollment)


def _rows(job: Mapping[str, Any], descriptor: int) -> tuple[Any, ...] | None:
    """Return the rows X, y of an open file, and their weights if they have some; None of an empty one."""
    sets, _ = unpack_rows(descriptor, job["columns"], job.get("kinds"), weighted=job.get("weighted", False))
    return sets[0] if sets else None


async def _node(
    job: Mapping[str, Any],
    experiment: Experiment,
    spec: Mapping[str, Any],
    share: tuple[Any, ...] | None,
    shared: Shared,
) -> int:
    import structlog

    name, role = spec["name"], spec["role"]
    log = structlog.get_logger().bind(run=job["run"], node=name, role=role)
    failure, placed = "", Placed.of(job, spec, experiment)
    try:
        node = _build(job, placed, spec, share, shared)
        async with node:
            shared.hosted.append(node)
            log.info("started", pid=os.getpid())
            try:
                async for _ in node.rounds():
                    pass
            except asyncio.CancelledError:
                failure = INTERRUPTED
                node.session.stop_deciding()
            except Exception as error:
                failure = str(error) or type(error).__name__
                log.warning("failed", round=node.session.publisher.round, reason=failure, exc_info=True)
            await asyncio.shield(_report(node, failure, spec["run_dir"], placed.experiment))
    except asyncio.CancelledError:
        return 0
    except ReportFailed as error:  # once: it hears of this node by the end of its process
        log.error("ends unreported", reason=str(error))
        return 1
    except Exception as error:
        log.warning("failed", reason=str(error), exc_info=True)
        fields = {"role": role, "failed": str(error) or type(error).__name__}
        try:
            where = (placed.report_server, placed.run, name, placed.role)
            # With too few open files a connection may never come: that wait must end.
            await report_once(
                *where,
                "result",
                fields,
                within_s=5 if ran_out(error) else None,
                context=shared.context,
                security=shared.secure(name),
            )
        except ReportFailed as final:
            log.error("ends unreported", reason=str(final))
        except Exception as unreported:  # noqa: BLE001
            # It hears of it one way or another: by the end of this process, whose other nodes could not report either.
            log.error("ends the process", reason=f"the launcher could not be told: {unreported}")
            os._exit(OUT_OF_RESOURCES if ran_out(error) or ran_out(unreported) else 1)
        return 1
    log.info("finished", round=node.session.publisher.round, reason=failure)
    return 1 if failure and failure != INTERRUPTED else 0


def _build(
    job: Mapping[str, Any],
    placed: Placed,
    spec: Mapping[str, Any],
    share: tuple[Any, ...] | None,
    shared: Shared,
) -> Node:
    role, experiment = spec["role"], placed.experiment
    at_clients = experiment.evaluation.sites or experiment.personalized
    site_model = build_site_model(
        build_model(experiment),
        share,
        experiment,
        columns=job["columns"] or None,
        task=job["task"],
        test=None if role == "client" else shared.test,
        holdout=experiment.data.test_size if (role == "client" and at_clients) or OWN_ROWS in job else 0.0,
        written=written_from_dict(job, job["columns"], MOST_AGREED),
    )
    folder = Path(spec["checkpoint_dir"]) if spec["checkpoint_dir"] else None
    identity = NodeIdentity(
        job["broker"],
        placed.run,
        spec["name"],
        placed.report_server,
        shared_config_of(experiment, site_model),
        folder,
        context=shared.context,
        security=shared.secure(spec["name"]),
        host=shared.host,
        agreements=shared.agreements,
        rosters=shared.rosters,
        threads=shared.threads,
        replace=True,  # the launcher knows what has become of the previous process
        audit_dir=audit_dir_of(experiment.site, spec["run_dir"], usual=False),
        **placed.identity(job["broker"]),
    )
    return ROLES[role].from_parts(site_model, experiment, identity)


def report_of(node: Node) -> dict[str, Any]:
    """Return a node's figures as its final report has them."""
    fields = node.session.stats.report(node.session.transport.counters)
    if isinstance(node, Coordinator) and node.best is not None:
        fields["best"] = {"round": node.best.round, "metrics": dict(node.best.metrics)}
        if node.best.clock:
            fields["best"]["clock"] = node.best.clock
    if not node.model.built:  # the run failed before
        return fields
    if clock := node.model.clock if isinstance(node, Client) else node.clock if node.model.scheduled else 0.0:
        fields["clock"] = clock
    return fields


def result_of(name: str, node: Node, reason: str) -> RunResult:
    """Return what one node knows of the result: its figures, and its model."""
    from nervenet.models.site_model import kept_rows

    site_model = node.model
    result = RunResult({name: report_of(node)}, status="failed" if reason else "completed", reason=reason)
    if isinstance(node, Coordinator) and node.best is not None:
        result.best_weights = node.best.weights
    if site_model.built:
        result.weights = site_model.get_weights() if isinstance(node, Client) and not reason else node.weights
        result.task = site_model.preprocessing.task
        result.preprocessing, result.layout = site_model.preprocessing.to_dict(), site_model.layout.to_dict()
        result.judged = Judged(holdout=kept_rows(site_model))
        if isinstance(node, Coordinator):
            result.judged, result.site_matrix = Judged(counts=node.site_counts), node.site_matrix
    return result


async def _models_saved(experiment: Experiment, folder: str, node: Coordinator, failure: str) -> bool:
    """Write the models of a coordinator, so that they are there whatever becomes of the launcher."""
    import structlog

    result = result_of(node.identity.name, node, failure)
    try:
        await asyncio.to_thread(save_models, experiment, Path(folder), result)
    except OSError as error:  # the launcher will try, and fail the run by that name
        of_node = {"run": node.identity.run, "node": node.identity.name}
        structlog.get_logger().warning("models not saved", **of_node, reason=str(error))
        return False
    return True


async def _report(node: Node, failure: str, folder: str, experiment: Experiment) -> None:
    session, site_model, weights = node.session, node.model, node.weights
    fields = report_of(node) | ({"failed": failure} if failure else {})
    if isinstance(node, Aggregator):  # the run's rounds and its model are for the coordinator above to report
        folder, weights, fields = "", None, of_aggregator(node, fields)
    if folder and isinstance(node, Coordinator):  # before anything waits for the launcher
        fields["models_saved"] = await _models_saved(experiment, folder, node, failure)
    limit = experiment.network.max_message_bytes // 2  # of a message: its header needs room as well
    history = () if isinstance(node, Aggregator) else session.stats.history.to_reports(limit)
    for how, numbers in history:
        rounds = Payload(layout="rounds", dtype="float64", length=numbers.size)
        await session.reports.report("rounds", how, numbers, payload=rounds)
    for site, counts in sorted(node.site_counts.items()) if isinstance(node, Coordinator) else ():
        await session.reports.report("counts", {"site": site, "counts": dict(counts)})
    if weights is None or not site_model.built:
        await _report_result(session.reports, fields)
        return
    layout = site_model.layout
    fields |= {"layout": layout.to_dict(), "agreement": site_model.preprocessing.to_dict()}
    payload = Payload(layout=layout.hash, dtype=layout.dtype, length=layout.size)
    if folder and not isinstance(node, Peer) and Sizes.of(experiment.network).too_large(payload):
        # No report carries it: the launcher finds it in the run folder.
        if isinstance(node, Client):
            result = result_of(node.identity.name, node, failure)
            await asyncio.to_thread(save_personal, experiment, Path(folder), node.identity.name, result, weights)
        await _report_result(session.reports, fields | {"apart": True})
        return
    best = node.best if isinstance(node, Coordinator) else None
    if best is not None and best.weights is not weights:
        await session.reports.report("best", fields["best"], best.weights, payload=payload)
    await _report_result(session.reports, fields, weights, payload)


async def _report_result(
    reports: ReportClient, fields: dict[str, Any], weights: Any = None, payload: Payload | None = None
) -> None:
    """Report the result, if need be without most of its lists: a run must not be lost by them."""
    try:
        await reports.report("result", fields, weights, payload)
    except MessageTooLarge as error:
        warning = f"only a few durations, disturbances and warnings are reported: {error}"
        few = {"round_s": fields["round_s"][-100:], "disturbed": fields["disturbed"][:FEW_LINES]}
        few["warnings"] = [*fields["warnings"][:FEW_LINES], warning]
        await reports.report("result", fields | few, weights, payload)
