"""What a launch keeps open for its processes: their keys, their log, where they report and publish; who starts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

from ..runtime.report_client import REPORT_SERVER
from ..runtime.secured import close_gate, on_key_warning, security_of
from .announcements import Announcements
from .forkserver_client import ForkServerClient
from .hosts import ROLE, host_of
from .launch_keys import launch_keys
from .nodes_log import NodesLog
from .nodes_there import nodes_json, remove_sockets
from .preparation import Prepared
from .process_logs import LogSettings
from .regions.plan import roles_of
from .regions.report_servers import ReportServers
from .report_server import ReportServer, report_address
from .roll import new_enrollment
from .run_events import RunEvents
from .run_jobs import RunJobs
from .supervisor import Supervisor

STOP_S = 3.0  # an orderly stop takes no longer; then the children are killed


class RunServices:
    """An async context manager. Whatever happens in it, no child outlives it.

    Attributes
    ----------
    report_servers, events, supervisor
        What there is, once it is open. The first and the second tell the third.
    """

    report_servers: ReportServers
    events: RunEvents
    supervisor: Supervisor

    def __init__(
        self,
        prepared: Prepared,
        fork_server: ForkServerClient,
        announcements: Announcements,
        on_event: Callable[[dict[str, Any]], None],
        logs: LogSettings,
    ) -> None:
        self._prepared, self._fork_server, self._logs = prepared, fork_server, logs
        self._announcements = announcements
        self._on_event = on_event
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)

    async def _open(self, stack: AsyncExitStack) -> None:
        run, run_dir, regions = self._prepared.run, self._prepared.run_dir, self._prepared.regions
        experiment, hosts = self._prepared.experiment, self._prepared.hosts
        roles = roles_of(experiment)
        secured = stack.enter_context(
            launch_keys(self._prepared.reached, roles, run_dir.path, self._fork_server.remove_at_end)
        )
        network = secured.network
        at_top = {name: role for name, role in roles.items() if not regions.has(name)}
        enrollment = new_enrollment({**at_top, **dict.fromkeys(hosts, ROLE)}, regions.below)
        security = security_of(network, REPORT_SERVER, enrollment=enrollment)
        stack.callback(close_gate, security)
        on_key_warning(security, self._announcements.warn)
        serving = partial(
            ReportServer,
            on_report=self._reported,
            max_message_bytes=network.max_message_bytes,
            advertise=network.advertise,
            security=security,
            on_refused=self._announcements.refused,
        )
        host = host_of(next(iter(hosts), None), run, network, security)
        self.report_servers = await stack.enter_async_context(
            ReportServers(
                serving(run, report_address(network), roles=enrollment.roles, host=host),
                regions,
                lambda region: serving(region.run, report_address(network), roles=region.roles),
            )
        )
        log = stack.enter_context(NodesLog(run_dir.path, experiment.max_log_bytes))
        every = experiment.evaluation.every
        self.events = await stack.enter_async_context(
            RunEvents(run, run_dir, self._on_event, self._progressed, every, security, on_relayed=self._relayed)
        )
        jobs = RunJobs(
            run,
            self.report_servers.addresses,
            enrollment,
            self.report_servers.regions,
            run_dir.checkpoint_dir,
            run_dir.path.absolute(),
            self._logs,
        )
        self.supervisor = Supervisor(
            secured,
            jobs,
            self._fork_server,
            log.descriptor,
            lambda node, reason: self.events.publish("node.lost", subject=node, reason=reason),
            self.events.publish,
            self.write_nodes,
            on_pause=log.trim,
            engine=self._prepared.engine,
            min_nodes=1 if run_dir.resumed is not None and experiment.mode == "federated" else None,
        )
        stack.callback(remove_sockets, self.supervisor.reports.ready)
        stack.push_async_callback(self.supervisor.stop, STOP_S)

    def write_nodes(self) -> None:
        """Write anew who is there and where."""
        found = nodes_json(self.supervisor.roles, self.supervisor.reports.ready, self._prepared.regions.clients)
        if stale := self._prepared.run_dir.renew_nodes(found):
            self.events.publish("warning", reason=stale)

    def _reported(self, node: str, kind: str, fields: Mapping[str, Any], array: Any) -> None:
        self.supervisor.reported(node, kind, fields, array)

    def _progressed(self) -> None:
        self.supervisor.patience.progressed()

    def _relayed(self) -> None:
        self.supervisor.patience.relayed()
