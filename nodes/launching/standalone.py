"""One node by itself, with a site's own data file: what ``nervenet node`` runs."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.compatibility import shared_config_of
from ..config.factory import build_model, build_site_model
from ..results.collect import RunResult, finish
from ..results.run_dir import RunDir, check_run_dir, read_nodes
from ..results.summary import summarize
from ..roles.coordinator import Coordinator
from ..roles.peer import Peer
from ..runtime.session import NodeFailed, NodeIdentity, Session, default_name
from .node_process import ROLES

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

    from ..config.schema import Experiment

SITES = "sites"  # the name of the data of a run whose sites each bring their own


async def run_node(
    role: str,
    experiment: Experiment,
    *,
    broker: str = "",
    run: str,
    seed_peer: str = "",
    name: str | None = None,
    out: Path | None = None,
    resume: Path | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Take part in a run from beginning to end.

    Parameters
    ----------
    role
        ``coordinator``, ``client`` or ``peer``; a client or a peer loads ``data.name`` and keeps ``data.test_size`` of
        it for evaluation, a coordinator needs no data.
    experiment
        The run's configuration, the same at every node but for `data`.
    broker, run, name
        Address of the broker, name of the run, name of this node in it.
    seed_peer
        Of a peer, in place of the broker: the control address of any living peer of a run that has begun.
    out
        Folder for what this node ends up with: the experiment, its events, its summary and the model; and for what it
        needs in order to go on after its own death.
    resume
        The folder of this node's earlier life, in place of `out`: a coordinator's run goes on after its last
        checkpoint, a client goes on with what it carries from round to round, under the name that it had. Peers
        that come back together go on after the newest round of which all hold a state; one alone takes a neighbor's
        model.
    on_event
        Called with each event that this node publishes.

    Returns
    -------
    dict
        The summary, as this node knows it.

    Raises
    ------
    NodeFailed
        If the run did not come to its end; the reason is the message.
    BrokerUnreachable, PeerUnreachable, JoinRefused, RosterIncomplete, DataError, CannotMerge, ExperimentError
        Before the first round; each names who and what.
    """
    started = time.monotonic()
    name = name or _former_name(role, resume) or ("coordinator" if role == "coordinator" else default_name(role))
    with ExitStack() as stack:
        folder = _folder(role, experiment, out, resume)
        if folder:
            stack.enter_context(folder)
        site_model = _site_model(role, experiment)
        shared_config = shared_config_of(experiment, site_model)
        state = folder.state(role, name) if folder else None
        place = NodeIdentity(broker, run, name, shared_config=shared_config, state=state, seed_peer=seed_peer)
        node = ROLES[role].hosted(site_model, experiment, place)
        if folder:
            folder.write_experiment(experiment)
        node.session.on_event = _both(_recording(folder, node.session) if folder else None, on_event)
        reason = ""
        try:
            async with node:
                if folder:
                    address = node.session.transport.addresses.get("control", "")
                    folder.write_nodes({name: {"role": role, "pid": os.getpid(), "address": address}})
                _say_started(role, experiment, node.session, folder.resumed if folder else None)
                async for _ in node.rounds():
                    pass
                _say_completed(role, node.session, time.monotonic() - started)
        except NodeFailed as error:
            reason = str(error)
        if folder and isinstance(node, Peer):
            folder.resumed = node.resumed
        facts = {name: node.session.record.facts(node.session.transport.counters)}
        best = node.best if isinstance(node, Coordinator) else None
        if best is not None:
            facts[name]["best"] = {"round": best.round, "metrics": dict(best.metrics)}
        status = "failed" if reason else "completed"
        if role == "coordinator":
            experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, name=SITES))
        vector = site_model.get_weights() if role == "client" and not reason else node.weights
        found = RunResult(facts, vector, best=None if best is None else best.weights)
        summary = _summary(experiment, folder, site_model, found, status, reason, time.monotonic() - started)
        if not reason and summary["status"] != "completed":
            reason = summary["reason"]  # the disk did not take the result
        if folder and not reason and role != "client":
            folder.write_curves()
    if reason:
        raise NodeFailed(reason)
    return summary


def _folder(role: str, experiment: Experiment, out: Path | None, resume: Path | None) -> RunDir | None:
    if resume is None:
        return RunDir(out) if out else None
    check_run_dir(resume, out=out)
    from ..results.resume import reopen

    return reopen(resume, experiment, alone="" if role == "coordinator" else role)


def _former_name(role: str, resume: Path | None) -> str | None:
    """What a node that goes on was called."""
    names = [name for name, facts in read_nodes(resume).items() if facts.get("role") == role] if resume else []
    return names[0] if len(names) == 1 else None


def _say_started(role: str, experiment: Experiment, session: Session, resumed: int | None) -> None:
    """Speak for the run where no launcher does: the coordinator sees all of it, a peer only its own part."""
    if role == "coordinator":
        known: dict[str, Any] = {"mode": experiment.mode, "nodes": experiment.nodes, "rounds": experiment.rounds}
        known |= {} if resumed is None else {"resumed_after": resumed}
        session.publish("run.started", {**known, "data": SITES, "model": experiment.model.name})


def _say_completed(role: str, session: Session, wall_s: float) -> None:
    if role == "coordinator":
        record = session.record
        known = {"status": "completed", "completed_rounds": record.completed, "wall_s": wall_s, **record.stopped}
        session.publish("run.completed", known)


def _site_model(role: str, experiment: Experiment) -> SiteModel:
    model = build_model(experiment)
    if role == "coordinator":
        return build_site_model(model, None, experiment)
    from nervenet.models.data import datasets

    data = experiment.data
    source = datasets.load(data.name, target=data.target, seed=experiment.seed)
    rows = (source.X, source.y)
    return build_site_model(model, rows, experiment, columns=source.columns, task=source.task, holdout=data.test_size)


def _summary(
    experiment: Experiment,
    folder: RunDir | None,
    site_model: SiteModel,
    found: RunResult,
    status: str,
    reason: str,
    wall_s: float,
) -> dict[str, Any]:
    if not site_model.built:
        summary = summarize(experiment, found.facts, status=status, reason=reason or None, wall_s=wall_s)
        if folder is not None:
            folder.write_summary(summary)
        return summary
    if folder is None:
        size = site_model.layout.size
        task = site_model.preprocessing.task
        return summarize(
            experiment, found.facts, status=status, reason=reason or None, task=task, parameters=size, wall_s=wall_s
        )
    found.agreement, found.layout = site_model.preprocessing.to_dict(), site_model.layout.to_dict()
    return finish(
        experiment,
        folder,
        found,
        task=site_model.preprocessing.task,
        status=status,
        reason=reason,
        baseline=None,
        lost={},
        wall_s=wall_s,
        startup_s=None,
    )


def _recording(folder: RunDir, session: Session) -> Callable[[dict[str, Any]], None]:
    """Record a node's events, and say once if the folder takes no more."""
    warned = False

    def record(event: dict[str, Any]) -> None:
        nonlocal warned
        folder.record(event)
        if folder.refused is not None and not warned:
            warned = True
            session.publish("warning", {"reason": folder.refused})

    return record


def _both(
    one: Callable[[dict[str, Any]], None] | None, other: Callable[[dict[str, Any]], None] | None
) -> Callable[[dict[str, Any]], None] | None:
    if one is None or other is None:
        return one or other

    def both(event: dict[str, Any]) -> None:
        one(event)
        other(event)

    return both
