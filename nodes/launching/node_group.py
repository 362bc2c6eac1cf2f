"""The nodes that one process hosts, and what they share there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq
from nervenet.broker.ending import end_in_thread
from nervenet.broker.roster_frames import RosterReader
from nervenet.broker.sockets import Security

from ..config.schema import Experiment, NetworkConfig
from ..runtime.lanes import HostedThreads, usual_threads
from ..runtime.secured import security_of
from ..runtime.shared_agreement import SharedAgreements
from .hosted_node import Shared, host_node
from .hosts import host_of
from .machine_limits import files_of_process
from .process_logs import log_key_warning
from .roll import from_job
from .shared_rows import unpack_rows

if TYPE_CHECKING:
    from ..roles.registry import Node

MOST_SOCKETS = 65_535  # of a context, by ZeroMQ


async def host_nodes(job: Mapping[str, Any], descriptors: Sequence[int], hosted: list[Node]) -> int:
    """Host the nodes of a job until they have ended, and return the exit code. Each is put into `hosted` as it begins.

    The descriptors are those of rows: the test set's, and then each node's.
    """
    experiment = Experiment.from_dict(job["experiment"])
    # The baselines have it, and no model need leave its site for that.
    experiment = replace(experiment, evaluation=replace(experiment.evaluation, site_matrix=False))
    test, *shares = [_rows(job, descriptor) for descriptor in descriptors]
    # One I/O thread and one set of descriptors for all nodes of this process.
    context = zmq.Context()
    names = [spec["name"] for spec in job["nodes"]]
    wanted = files_of_process(experiment, names, shared=bool(job.get("host")))
    context.max_sockets = min(max(wanted, context.max_sockets), MOST_SOCKETS)
    specs = zip(job["nodes"], shares, strict=True)
    try:
        async with AsyncExitStack() as stack:
            secure = stack.enter_context(_securing(job, experiment.network, names[0]))
            inbox, host = job.get("host"), None
            if inbox:
                security = secure(inbox)
                host = host_of(inbox, job["run"], experiment.network, security, nodes=len(names), context=context)
            if host is not None:
                await stack.enter_async_context(host)
            threads = None
            if len(names) > usual_threads():
                stack.callback((threads := HostedThreads()).close)
            shared = Shared(test, context, secure, host, hosted, SharedAgreements(), RosterReader(), threads)
            async with asyncio.TaskGroup() as group:
                nodes = [group.create_task(host_node(job, experiment, *each, shared)) for each in specs]
    finally:
        # Not term: it would wait forever for a socket that something left open. What is queued lingers as set.
        await end_in_thread(context.destroy)
    return max(node.result() for node in nodes)


@contextmanager
def _securing(job: Mapping[str, Any], network: NetworkConfig, speaks: str) -> Iterator[Callable[[str], Security]]:
    """Yield what returns how a node of this process is secured; what is wrong with keys is logged as by `speaks`."""
    enrollment = from_job(job)
    if network.keys is None:
        yield lambda name: security_of(network, name, enrollment=enrollment)
        return
    from nervenet.broker.security.gate import Gate

    # One for all nodes of this process: ZeroMQ asks once a context.
    gate = Gate(Path(network.keys), on_warning=partial(log_key_warning, job["run"], speaks))
    try:
        yield lambda name: security_of(network, name, gate=gate, enrollment=enrollment)
    finally:
        gate.close()


def _rows(job: Mapping[str, Any], descriptor: int) -> tuple[Any, ...] | None:
    """Return the rows X, y of an open file, and their weights if they have some; None of an empty one."""
    sets, _ = unpack_rows(descriptor, job["columns"], job.get("kinds"), weighted=job.get("weighted", False))
    return sets[0] if sets else None
