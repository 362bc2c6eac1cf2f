"""One node started without the launcher, with a site's own data file: what ``nervenet node`` runs."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from nervenet.broker.sockets import Security
from nervenet.models.site_model import SiteModel

from ..config.compatibility import shared_config_of
from ..config.factory import build_model, build_site_model
from ..config.keys import ExperimentError
from ..config.schema import Experiment, is_file_name
from ..consent.requests import Policy
from ..report.written import write_report
from ..results.collect import report_scores, write_results
from ..results.round_summaries import RoundSummaries
from ..results.run_dir import RunDir, check_run_dir, read_nodes
from ..results.run_result import RunResult, run_ended
from ..results.summary import summarize
from ..roles.coordinator import Coordinator
from ..roles.peer import Peer
from ..roles.registry import ROLES, Node
from ..runtime.auditing import audit_dir_of
from ..runtime.event_types import INTERRUPTED
from ..runtime.identity import NodeFailed, NodeIdentity, default_name, inbox_address, seed_of
from ..runtime.secured import key_name, security_of
from ..runtime.session import Session
from .data_shares import load_for
from .final_report import result_of
from .learnable import large_steps

LEADERS = ("coordinator", "aggregator")  # who hold no rows
SITES = "sites"  # the name of the data of a run whose sites each bring their own


async def run_node(
    role: str,
    experiment: Experiment,
    *,
    broker: str = "",
    run: str,
    seed_peer: str = "",
    upstream: str = "",
    upstream_run: str = "",
    name: str | None = None,
    replace: bool = False,
    out: Path | None = None,
    resume: Path | None = None,
    patient: bool = False,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    on_target: Callable[[str], None] | None = None,
) -> RunResult:
    """Take part in a run from beginning to end.

    Parameters
    ----------
    role
        A ``client`` or a ``peer`` loads ``data.name`` and keeps ``data.test_size`` of it for evaluation; a
        ``coordinator`` needs no data.
    experiment
        The same at every node but for `data`.
    seed_peer
        Of a peer, in place of the broker: the control address of any living peer of a run that has begun.
    upstream, upstream_run
        Of an aggregator: the broker of the run above, and its name.
    replace
        Take the name from another node of the run, even if that one still answers.
    out
        The run folder of this node.
    resume
        That of its previous incarnation, in place of `out`: a coordinator's run continues after its last checkpoint, a
        client with its state, under the name that it had. Peers that come back together continue after the newest round
        of which all hold a state; one alone takes a neighbor's model.
    patient
        Wait for the broker and the other nodes as long as it takes, in place of `network.join_deadline_s`.
    on_event
        Called with each event that this node publishes.
    on_target
        Called once with the column that is predicted, as soon as the data are read; only of a file with named columns.

    Raises
    ------
    NodeFailed
        If the run did not come to its end; the reason is the message.
    BrokerUnreachable, PeerUnreachable, NameTaken, JoinRefused, RosterIncomplete, DataError, CannotMerge,
    ExperimentError
        Before the first round; each names who and what.
    NotEncrypted, KeysError
        The node would leave this machine without keys, or its key cannot be used.
    """
    started, leads = time.monotonic(), role in LEADERS
    security, name = _secured(role, experiment, name or _previous_name(role, resume), broker or seed_of(seed_peer)[1])
    with ExitStack() as stack:
        run_dir = _open(role, experiment, out, resume)
        if run_dir:
            stack.enter_context(run_dir)
        site_model, notes = _site_model(role, run, experiment, on_target)
        shared_config = shared_config_of(experiment, site_model)
        checkpoint_dir = run_dir.checkpoint_dir("coordinator" if leads else role, name) if run_dir else None
        identity = NodeIdentity(
            broker,
            run,
            name,
            shared_config=shared_config,
            checkpoint_dir=checkpoint_dir,
            patient=patient,
            replace=replace,
            seed_peer=seed_peer,
            security=security,
            audit_dir=audit_dir_of(experiment.site, out or resume, usual=True),
            upstream=upstream,
            upstream_run=upstream_run,
        )
        node = ROLES[role].from_parts(site_model, experiment, identity)
        if run_dir:
            run_dir.write_experiment(experiment)
        if leads:
            experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, name=SITES))
        record = _Recorder(run_dir, node.session, on_event, experiment if role == "peer" else None)
        node.session.on_event = record.event
        so_far = partial(_so_far, name, node, run_dir, started)
        # Nobody else knows how the run of a coordinator ends.
        node.session.run_so_far = (lambda: _failed(experiment, so_far())) if leads else None
        reason = ""
        result: RunResult | None = None
        interrupted: asyncio.CancelledError | None = None
        try:
            async with node:
                for note in notes:
                    node.session.publish("warning", {"reason": note})
                if run_dir:
                    address = node.session.transport.addresses.get("control", "")
                    run_dir.write_nodes({name: {"role": role, "pid": os.getpid(), "address": address}})
                if isinstance(node, Coordinator):
                    _publish_started(experiment, node.session, run_dir.resumed if run_dir else None, upstream_run)
                await _until_over(node)
                result = so_far()
                if isinstance(node, Coordinator):
                    known = run_ended(summarize(experiment, result))
                    node.session.publish("run.completed", known | node.session.stats.stopped)
        except NodeFailed as error:
            reason = str(error)
        except asyncio.CancelledError as error:
            reason, interrupted = str(error) or INTERRUPTED, error
        record.rest()
        if run_dir and isinstance(node, Peer):
            run_dir.resumed = node.resumed
        if result is None or reason:
            result = so_far(reason)
        if interrupted is not None:
            result.status = INTERRUPTED
        if run_dir:
            write_results(experiment, run_dir, result)
            if role != "client":
                _write_rounds(experiment, run_dir, name, node.session)
        else:
            report_scores(experiment, result)
            result.summary = summarize(experiment, result)
    if interrupted is not None:  # the folder holds what was learned until then
        raise interrupted
    if result.status != "completed":
        raise NodeFailed(result.reason or "")
    return result


def _secured(role: str, experiment: Experiment, name: str | None, address: str) -> tuple[Security, str]:
    """Return how a node is secured, and its name; before the data are read, what cannot be is refused."""
    security = security_of(experiment.network, name, role)
    security.check(address)
    if ROLES[role].binds:
        security.check(inbox_address(experiment.network))
    return security, name or key_name(security) or ("coordinator" if role == "coordinator" else default_name(role))


def _so_far(name: str, node: Node, run_dir: RunDir | None, started: float, reason: str = "") -> RunResult:
    result = result_of(name, node, reason)
    result.wall_s = time.monotonic() - started
    result.earlier = run_dir.earlier if run_dir else result.earlier
    return result


def _failed(experiment: Experiment, result: RunResult) -> dict[str, Any]:
    return run_ended(summarize(experiment, result)) | {"status": "failed"}


async def _until_over(node: Node) -> None:
    """Take part until the run is over; a coordinator says for all that it was interrupted."""
    try:
        async for _ in node.rounds():
            pass
    except asyncio.CancelledError as error:
        if isinstance(node, Coordinator):
            node.session.publish("run.failed", {"status": INTERRUPTED, "reason": str(error) or INTERRUPTED})
        raise


def _open(role: str, experiment: Experiment, out: Path | None, resume: Path | None) -> RunDir | None:
    if resume is None:
        return RunDir(out, max_log_bytes=experiment.max_log_bytes) if out else None
    check_run_dir(resume, out=out)
    from ..results.resume import reopen

    return reopen(resume, experiment, alone="" if role in LEADERS else role)


def _previous_name(role: str, resume: Path | None) -> str | None:
    names = [name for name, facts in read_nodes(resume).items() if facts.get("role") == role] if resume else []
    return names[0] if len(names) == 1 else None


def _publish_started(experiment: Experiment, session: Session, resumed: int | None, upstream: str) -> None:
    """Publish for the run where no launcher does: the coordinator sees all of it, a peer only its own part."""
    fields: dict[str, Any] = {"mode": experiment.mode, "nodes": experiment.nodes, "rounds": experiment.rounds}
    fields |= {"data": SITES, "model": experiment.model.name}
    if resumed is not None:
        fields["resumed_after"] = resumed
    if upstream:
        fields["upstream"] = upstream
    session.publish("run.started", fields)


def _site_model(
    role: str, run: str, experiment: Experiment, on_target: Callable[[str], None] | None
) -> tuple[SiteModel, tuple[str, ...]]:
    """Return a node's model with its rows, and what its owner should know of how they were read.

    Raises ExperimentError where the site's own policy does not admit the run.
    """
    model = build_model(experiment)
    if role in LEADERS:
        return build_site_model(model, None, experiment), ()
    data = experiment.data
    if data.sites:
        raise ExperimentError("data.sites: is for nervenet launch; a node has its own rows: data.name (--data)")
    source = load_for(model, experiment, in_memory_mb=data.in_memory_mb)
    if source.target and on_target is not None:
        on_target(source.target)
    # A file's targets may look otherwise at the other sites: all of them decide. A packaged set is the same at all.
    task = None if is_file_name(data.name) else source.task
    site = build_site_model(
        model,
        source.arrays,
        experiment,
        columns=source.columns,
        task=task,
        holdout=data.test_size,
        written=source.written,
    )
    Policy.of(experiment, run, site).check()
    return site, source.notes + large_steps(source.task, source.X, experiment)


def _write_rounds(experiment: Experiment, run_dir: RunDir, name: str, session: Session) -> None:
    """Write the rounds that this node has seen, and the report."""
    run_dir.write_rounds(experiment.mode, {name: [session.stats.history.to_report()]})
    if missing := write_report(run_dir.path):
        session.publish("warning", {"reason": missing})


class _Recorder:
    """Writes a node's events to its folder, the rounds of a peer summed up, and passes them on."""

    def __init__(
        self,
        run_dir: RunDir | None,
        session: Session,
        on_event: Callable[[dict[str, Any]], None] | None,
        of_peer: Experiment | None,
    ) -> None:
        self._run_dir, self._session, self._on_event = run_dir, session, on_event
        self._summaries: RoundSummaries | None = None
        if of_peer is not None:
            self._summaries = RoundSummaries(of_peer.evaluation.every, of_peer.rounds, alone=True)

    def event(self, event: dict[str, Any]) -> None:
        lines = [event] if self._summaries is None else self._summaries.take(event)
        refused = self._write(lines)
        if self._on_event:
            self._on_event(event)
        for reason in refused:
            self._session.publish("warning", {"reason": reason})

    def rest(self) -> None:
        """Write what is still held."""
        self._write([] if self._summaries is None else self._summaries.rest())

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> list[str]:
        run_dir = self._run_dir
        return [] if run_dir is None else [refused for line in lines if (refused := run_dir.record(line))]
