"""Decides what the processes of one run are started for, what their ends and reports mean, and when the run is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from ..config.schema import Experiment
from ..runtime.event_types import INTERRUPTED
from ..runtime.printable import listed
from .baseline_process import BaselineProcess
from .baselines import BASELINE
from .broker_process import BROKER, BrokerProcess
from .data_shares import DataShares
from .departures import Departures
from .forkserver_client import ForkServerClient, ForkServerError
from .losses import Losses, RunAborted
from .node_reports import NodeReports
from .patience import Patience, grace_of, longest_s
from .placement.executor import Engine, ExecutorFailed
from .processes import ProcessTable
from .regions.plan import AGGREGATOR, roles_of
from .run_jobs import RunJobs

STOP_AT_MOST_S = 30.0  # how long nodes that are stopped may take to report, as long as one after the other does
STOP_A_NODE_S = 0.3  # and each that a process hosts, in the time that it has for a sign of life
LEFT_S = 1.0  # how long after a node the launcher hears of a signal that both were sent
HERE = ("coordinator", AGGREGATOR)  # the roles of nodes that are on the launcher's machine wherever the others are
STOPPED = {"ended with exit code 0", *(f"killed by {name}" for name in ("SIGTERM", "SIGINT", "SIGHUP"))}


def interrupted_alone(role: str, fields: Mapping[str, Any]) -> bool:
    """Whether a client or peer at an engine was stopped, though the launcher was not: with its place, or at it.

    Whether it has another place is for the engine to say.
    """
    return role not in HERE and fields.get("failed") == INTERRUPTED


@dataclass
class Supervisor:
    """Starts the processes of a run and keeps, by node, what it has reported or why it is lost."""

    experiment: Experiment
    jobs: RunJobs
    fork_server: ForkServerClient
    log: int  # descriptor of the file that their standard error goes to
    on_lost: Callable[[str, str], None]  # (node, reason)
    publish: Callable[..., None]
    on_restart: Callable[[], None] = lambda: None  # a broker or a node that was there is back, at another place
    on_pause: Callable[[], None] = lambda: None  # while it waits, once a second at least
    engine: Engine | None = None  # places clients and peers; None: they are forked here, as all others are
    min_nodes: int | None = None  # without which the run does not begin; None: as the experiment says
    reports: NodeReports = field(default_factory=NodeReports)

    def __post_init__(self) -> None:
        self._processes = ProcessTable(self.fork_server, self._exited, self._abort, self.engine)
        if self.engine is not None:
            self.engine.finished = self._finished
            self.engine.waits = self._warn
        self.fork_server.waits = self._warn
        self._broker = BrokerProcess(
            self.experiment.network,
            spawn=lambda job: self._spawn(job, (BROKER,), []),
            on_exit=lambda how: self._exited((BROKER,), how),
        )
        self.baselines = BaselineProcess(lambda job, rows: self._spawn(job, (BASELINE,), rows), self._warn)
        needed = self.min_nodes or self.experiment.min_nodes
        self.losses = Losses(self.roles, self.jobs.regions, self.reports.ready, needed, self.on_lost)
        self._left = Departures(LEFT_S)
        self.patience = Patience(self._processes, self.on_pause, self._check)
        self._stopping = False

    @property
    def roles(self) -> dict[str, str]:
        return roles_of(self.experiment)

    @property
    def events_in(self) -> str:
        """The address at which the broker takes events; empty before it has started."""
        return self._broker.addresses.get("events_in", "")

    def survivors(self) -> set[str]:
        return self.losses.survivors()

    def _finished(self, nodes: tuple[str, ...]) -> bool:
        """Whether an engine needs no other place for these."""
        return self._stopping or self.reports.results.keys() | self.losses.lost.keys() >= set(nodes)

    async def start_broker(self) -> str:
        """Start the broker, wait until it is ready, and return the address of its directory."""
        await self._broker.start()
        deadline_s = self.experiment.network.join_deadline_s
        await self._until(lambda: BROKER in self.reports.ready, deadline_s, "the broker did not start")
        self._broker.started_at(self.reports.ready[BROKER]["addresses"])
        return self._broker.addresses["directory"]

    async def start_nodes(self, shares: DataShares) -> None:
        """Start every node and wait until each is ready."""
        broker = self._broker.addresses["directory"]
        with self.jobs.of_nodes(self.experiment, shares, broker, server_last=self.engine is not None) as asked:
            for group, job, descriptors in asked:
                here = self.roles[group[0]] in HERE
                if here and self.engine is not None:
                    await self._placed(self.engine)
                await self._spawn(job, group, descriptors, beyond=not here)
            if self.engine is not None:
                await self._placed(self.engine)
        by_s, late = self.experiment.network.join_deadline_s, "not every node was ready"  # by then after the one before
        await self._until(lambda: self.survivors() <= set(self.reports.ready), by_s, late, of_progress=True)
        self._check()

    async def _placed(self, engine: Engine) -> None:
        """Wait until an engine has places for all of its processes; what else ends the run meanwhile ends this."""
        placing = asyncio.ensure_future(engine.placed())
        placing.add_done_callback(lambda _: self._processes.notify())
        try:
            await self._until(placing.done, inf, "")  # it has a deadline of its own
            placing.result()
        except ExecutorFailed as error:
            raise RunAborted(str(error)) from error
        finally:
            placing.cancel()

    async def start_baselines(self, shares: DataShares, rounds: int) -> None:
        """Start the baselines of a run of so many rounds; see `BaselineProcess.start`."""
        rounds *= self.jobs.regions.rounds  # as many as a client trains
        await self.baselines.start(self.experiment, shares, rounds, self.events_in)

    async def _spawn(
        self, job: Mapping[str, Any], nodes: tuple[str, ...], descriptors: list[int], *, beyond: bool = False
    ) -> None:
        full, files = self.jobs.whole(job), [self.log, *descriptors]
        within_s = self.experiment.network.join_deadline_s
        try:
            await self._processes.spawn(full, nodes, files, within_s=within_s, beyond=beyond)
        except (ForkServerError, ExecutorFailed) as error:
            raise RunAborted(str(error)) from error

    def reported(self, node: str, kind: str, fields: Mapping[str, Any], array: Any) -> None:
        self.patience.progressed()
        if kind == "ready":
            self._ready(node, fields)
        elif self.reports.take_part(node, kind, fields, array):
            pass
        elif node == BASELINE:
            self.baselines.reported(fields)
        elif self.engine is not None and not self._stopping and interrupted_alone(self.roles.get(node, ""), fields):
            self._warn(f"{node} was interrupted at its worker; it is not lost yet")
        else:
            self._result(node, fields, array)
        self._processes.notify()

    def _ready(self, node: str, fields: Mapping[str, Any]) -> None:
        again = node in self.reports.ready or (node == BROKER and self._broker.has_died)
        self.reports.ready[node] = fields
        if again:
            self.on_restart()

    def _result(self, node: str, fields: Mapping[str, Any], array: Any) -> None:
        self.reports.results[node] = fields
        if failed := str(fields.get("failed") or ""):
            self._ended(node, failed, told_to=failed == INTERRUPTED)
        if array is not None and node not in self.losses.lost:
            self.reports.arrays[node] = array

    def _exited(self, nodes: tuple[str, ...], how: str) -> None:
        if self._stopping:
            return
        if nodes == (BROKER,):
            self._restart_broker(how)
        elif nodes == (BASELINE,):
            if self.baselines.scores is None:
                self._ended(BASELINE, f"the baselines were {how}", told_to=how in STOPPED)
        else:
            for node in (each for each in nodes if each not in self.reports.results):
                self._ended(node, how, told_to=how in STOPPED)

    def _ended(self, node: str, reason: str, *, told_to: bool) -> None:
        """Note an end that was not the launcher's wish: who was told to is lost if the launcher itself is not."""
        if told_to and not self._stopping:
            self._left.note(node, reason, self.patience.now)
        elif not self._stopping:
            self._lose(node, reason)

    def _restart_broker(self, how: str) -> None:
        if not self._broker.addresses:
            self._abort(f"the broker was {how}")
            return
        self.reports.ready.pop(BROKER, None)
        again = self._broker.restart()
        self._warn(f"the broker was {how}; nodes that have met go on without it; {again}")

    def _lose(self, node: str, reason: str) -> None:
        if node == BASELINE:
            self.baselines.give_up(reason)
        else:
            self.losses.lose(node, reason)
            if self.losses.fatal:
                self._processes.notify()

    def _abort(self, reason: str) -> None:
        if not self._stopping:
            self.losses.fatal = reason
            self._processes.notify()

    async def wait_for_results(self, failed: asyncio.Future[None]) -> None:
        """Wait until every living node has reported its result; raises `RunAborted` if the coordinator or all are lost.

        A run has no deadline of its own: its rounds have. But once one has reported, and none has completed a round or
        reported since for two deadlines of a round, the rest are given up; those of which nobody has heard, sooner.
        """
        while True:
            self._check()
            if failed.done():
                failed.result()
            missing = self._unreported()
            if not missing and not self._left:
                return
            grace_s = grace_of(missing, self.reports.results, self.experiment)
            if missing and self.reports.results and self.patience.idle_s > grace_s:
                longest = longest_s(self.experiment)
                limit_s = grace_s if self.patience.sees else longest
                if self.patience.idle_s > limit_s:
                    for node in missing:
                        self._lose(node, f"gave no result within {limit_s:g} s of the last sign of progress")
                    continue
                if self.patience.doubts():
                    until = f"waited for until the broker relays an event, {longest:g} s at the most"
                    what = f"no result of {listed(missing)}, and no event of any node"
                    self._warn(f"{what}: they may still be working, and are {until}")
            await self.patience.pause()

    def _unreported(self) -> list[str]:
        return sorted(self.survivors() - set(self.reports.results))

    async def wait_for_baselines(self, within_s: float) -> None:
        if not self.baselines.started:
            return
        try:
            known = await self.patience.until(lambda: self.baselines.scores is not None, within_s, of_progress=True)
        except RunAborted:
            known = False
        if not known:
            reason = self.losses.fatal or f"no model of theirs was done in {within_s:g} s"
            self._warn(f"the baselines are left out: {reason}")

    def _check(self) -> None:
        for node, reason in self._left.due(self.patience.now):
            self._lose(node, reason)
        self.losses.check()

    async def _until(
        self, condition: Callable[[], bool], within_s: float, otherwise: str, *, of_progress: bool = False
    ) -> None:
        if await self.patience.until(condition, within_s, of_progress=of_progress):
            return
        ready = self.reports.ready
        missing = ", ".join(sorted(self.survivors() - set(ready))) if BROKER in ready else ""
        raise RunAborted(f"{otherwise} within {within_s:g} s" + (f"; missing: {missing}" if missing else ""))

    def _warn(self, reason: str) -> None:
        self.publish("warning", reason=reason)

    def stopping(self) -> None:
        """Who ends from now on is not lost: what stopped the launcher may have stopped the nodes as well."""
        self._stopping = True

    async def stop_nodes(self, within_s: float, before_kill: Callable[[], Awaitable[None]] | None = None) -> None:
        """Stop everything but the broker; see `ProcessTable.stop`."""
        self.stopping()
        self._broker.cancel_restarts()
        hosted_s = STOP_A_NODE_S * len(self.roles) / self.experiment.process_count
        saying = asyncio.get_running_loop().call_later(within_s, self._say_who_is_missing)
        try:
            at_most_s = STOP_AT_MOST_S + 4 * hosted_s
            await self._processes.stop(within_s + hosted_s, (BROKER,), before_kill, at_most_s=at_most_s)
        finally:
            saying.cancel()

    def _say_who_is_missing(self) -> None:
        if missing := self._unreported():
            what = f"{len(missing)} nodes have yet to report what they have learned: {listed(missing)}"
            self._warn(f"{what}; a second signal does not wait for them")

    @property
    def broker_runs(self) -> bool:
        return self._processes.running(BROKER)

    async def stop(self, within_s: float) -> None:
        await self.stop_nodes(within_s)
        await self._processes.stop(within_s)
