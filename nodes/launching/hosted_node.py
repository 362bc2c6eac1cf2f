"""One of the nodes that a process hosts: built from its job, taking part, and reported, however it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from nervenet.broker.hosting import Host
from nervenet.broker.roster_frames import RosterReader
from nervenet.broker.sockets import Security
from nervenet.models.data.written import MOST_AGREED, written_from_dict
from nervenet.models.prepared_once import PreparedOnce

from ..config.compatibility import shared_config_of
from ..config.factory import build_model, build_site_model
from ..config.schema import Experiment
from ..roles.registry import ROLES, Node
from ..runtime.auditing import audit_dir_of
from ..runtime.event_types import INTERRUPTED
from ..runtime.identity import NodeIdentity
from ..runtime.lanes import HostedThreads
from ..runtime.report_client import ReportFailed, report_once
from ..runtime.shared_agreement import SharedAgreements
from .final_report import report_end
from .jobs import OWN_ROWS
from .regions.placed import Placed
from .rlimits import OUT_OF_RESOURCES, ran_out


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
    test_rows: PreparedOnce = field(default_factory=PreparedOnce)


async def host_node(
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
        node = build_node(job, placed, spec, share, shared)
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
            await asyncio.shield(report_end(node, failure, spec["run_dir"], placed.experiment))
    except asyncio.CancelledError:
        return 0
    except ReportFailed as error:  # once: it hears of this node by the end of its process
        log.error("ends unreported", reason=str(error))
        return 1
    except Exception as error:
        log.warning("failed", reason=str(error), exc_info=True)
        await _report_failure(error, spec, placed, shared, log)
        return 1
    log.info("finished", round=node.session.publisher.round, reason=failure)
    return 1 if failure and failure != INTERRUPTED else 0


async def _report_failure(error: Exception, spec: Mapping[str, Any], placed: Placed, shared: Shared, log: Any) -> None:
    """Report a node that could not be built, or not end in an orderly way; where that cannot be, end this process."""
    fields = {"role": spec["role"], "failed": str(error) or type(error).__name__}
    where = (placed.report_server, placed.run, spec["name"], placed.role)
    try:
        # With too few open files a connection may never come: that wait must end.
        await report_once(
            *where,
            "result",
            fields,
            within_s=5 if ran_out(error) else None,
            context=shared.context,
            security=shared.secure(spec["name"]),
        )
    except ReportFailed as final:
        log.error("ends unreported", reason=str(final))
    except Exception as unreported:  # noqa: BLE001
        # It hears of it one way or another: by the end of this process, whose other nodes could not report either.
        log.error("ends the process", reason=f"the launcher could not be told: {unreported}")
        os._exit(OUT_OF_RESOURCES if ran_out(error) or ran_out(unreported) else 1)


def build_node(
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
        test_rows=shared.test_rows,
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
