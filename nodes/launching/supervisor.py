"""Decides what the processes of one run are started for, what their ends and reports mean, and when the run is over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from nervenet.broker.enrollment import OPEN, Enrollment

from ..config.factory import node_names
from ..config.schema import Experiment
from ..runtime.awake_time import AwakeTime
from ..runtime.event_types import INTERRUPTED
from ..runtime.printable import listed
from ..runtime.round_history import Reported
from .baselines import BASELINE, too_large
from .broker_process import BROKER, BrokerProcess
from .data_shares import DataShares
from .departures import Departures
from .forkserver_client import ForkServerClient, ForkServerError
from .jobs import data_job, group_job, hosted_nodes
from .placement.executor import Engine, ExecutorFailed
from .process_logs import QUIET, LogSettings
from .processes import ProcessTable
from .regions.plan import Regions, regions_of
from .roll import to_job

STOP_AT_MOST_S = 30.0  # how long nodes that are stopped may take to report, as long as one after the other does
STOP_A_NODE_S = 0.3  # and each that a process hosts, in the time that it has for a sign of life
LEFT_S = 1.0  # how long after a node the launcher hears of a signal that both were sent
HERE = ("coordinator",)  # the nodes that are on the launcher's machine wherever the others are
STOPPED = {"ended with exit code 0", *(f"killed by {name}" for name in ("SIGTERM", "SIGINT", "SIGHUP"))}


def roles_of(experiment: Experiment) -> dict[str, str]:
    """Return the role of each node of a launch, by its name."""
    if experiment.mode == "gossip":
        return dict.fromkeys(node_names(experiment), "peer")
    clients = dict.fromkeys(node_names(experiment), "client")
    return {"coordinator": "coordinator", **regions_of(experiment).aggregators, **clients}


def training(names: Collection[str], roles: Mapping[str, str]) -> set[str]:
    """Return those of some nodes that train: clients, or peers."""
    return {name for name in names if roles[name] in ("client", "peer")}


def grace_of(missing: list[str], results: Mapping[str, Mapping[str, Any]], experiment: Experiment) -> float:
    """Return for how many seconds after the last sign of progress the results of `missing` are waited for."""
    silent = {name for fields in results.values() for name in fields.get("silent", ())}
    # The others have not heard them either; or the result is here already, and what clients add are figures.
    if silent.issuperset(missing) or ("coordinator" in results and not experiment.personalized):
        return experiment.timing.lost_after_s
    return 2 * experiment.deadline_s + experiment.network.join_deadline_s


def interrupted_alone(node: str, fields: Mapping[str, Any]) -> bool:
    """Whether a client or peer at an engine was stopped, though the launcher was not: with its place, or at it.

    Whether it has another place is for the engine to say.
    """
    return node != "coordinator" and fields.get("failed") == INTERRUPTED


class RunAborted(RuntimeError):
    """The run cannot go on; the message says why."""


@dataclass
class Supervisor:
    """Starts the processes of a run and keeps, by node, what it has reported or why it is lost."""

    experiment: Experiment
    run: str
    fork_server: ForkServerClient
    report_server: Mapping[str, str]  # addresses at which the processes report
    log: int  # descriptor of the file that their standard error goes to
    on_lost: Callable[[str, str], None]  # (node, reason)
    publish: Callable[..., None]
    on_restart: Callable[[], None] = lambda: None  # a broker or a node that was there is back, at another place
    checkpoint_dir: Callable[[str, str], Path | None] = lambda _role, _name: None
    run_dir: Path | None = None  # where a coordinator saves its models
    on_pause: Callable[[], None] = lambda: None  # while it waits, once a second at least
    enrollment: Enrollment = OPEN  # what makes them nodes of this run
    engine: Engine | None = None  # places clients and peers; None: they are forked here, as all others are
    regions: Regions = field(default_factory=Regions)
    logs: LogSettings = QUIET
    min_nodes: int | None = None  # without which the run does not begin; None: as the experiment says
    ready: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)  # final weights
    best: dict[str, Any] = field(default_factory=dict)  # weights of the best round, where they differ
    rounds: dict[str, list[Reported]] = field(default_factory=dict)  # figures of each, in the parts that came
    site_counts: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # of the last model, at each hold-out
    lost: dict[str, str] = field(default_factory=dict)
    baselines: Mapping[str, float | None] | None = None
    baseline_s: float | None = None  # seconds that their training took
    site_matrix: Mapping[str, Any] | None = None  # ``rows`` by site, ``scores`` by model and site, in name order

    def __post_init__(self) -> None:
        self._processes = ProcessTable(self.fork_server, self._exited, self._abort, self.engine)
        if self.engine is not None:
            self.engine.finished = lambda nodes: self._stopping or self.results.keys() >= set(nodes)
            self.engine.waits = lambda reason: self.publish("warning", reason=reason)
        self._broker = BrokerProcess(
            self.experiment.network,
            spawn=lambda job: self._spawn(job, (BROKER,), []),
            on_exit=lambda how: self._exited((BROKER,), how),
        )
        self.fork_server.waits = lambda reason: self.publish("warning", reason=reason)
        self._awake = AwakeTime(monotonic())
        self._progress_at = 0.0  # by that clock
        self._stopping = False
        self._left = Departures(LEFT_S)
        self._abort_reason = ""

    @property
    def roles(self) -> dict[str, str]:
        return roles_of(self.experiment)

    @property
    def events_in(self) -> str:
        """The address at which the broker takes events; empty before it has started."""
        return self._broker.addresses.get("events_in", "")

    def survivors(self) -> set[str]:
        return set(self.roles) - set(self.lost)

    async def start_broker(self) -> str:
        """Start the broker, wait until it is ready, and return the address of its directory."""
        await self._broker.start()
        deadline_s = self.experiment.network.join_deadline_s
        await self._until(lambda: BROKER in self.ready, deadline_s, "the broker did not start")
        self._broker.started_at(self.ready[BROKER]["addresses"])
        return self._broker.addresses["directory"]

    async def start_nodes(self, shares: DataShares) -> None:
        """Start every node and wait until each is ready."""
        common = {**data_job("nodes", self.experiment, shares), "broker": self._broker.addresses["directory"]}
        empty = os.open(os.devnull, os.O_RDONLY)
        try:
            placed = hosted_nodes(self.experiment, self.roles, shares, empty, self.engine is not None)
            for place, (group, descriptors) in enumerate(placed):
                if group == HERE and self.engine is not None:
                    await self._placed(self.engine)
                where = (self.regions, self.checkpoint_dir, self.run_dir)
                job = group_job(place, group, self.roles, self.enrollment.roles, *where)
                await self._spawn({**common, **job}, group, descriptors, beyond=group != HERE)
            if self.engine is not None:
                await self._placed(self.engine)
        finally:
            os.close(empty)
        by_s, late = self.experiment.network.join_deadline_s, "not every node was ready"  # by then after the one before
        await self._until(lambda: self.survivors() <= set(self.ready), by_s, late, of_progress=True)
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
        """Start the baselines of so many rounds, at low priority, unless they are switched off or too large."""
        if not self.experiment.evaluation.baseline:
            return
        rounds *= self.regions.rounds  # as many as a client trains
        reason = too_large(self.experiment, shares.rows, rounds)
        if reason:
            self.publish("warning", reason=reason)
        elif rounds:
            job = {**data_job(BASELINE, self.experiment, shares), "rounds": rounds, "events_in": self.events_in}
            await self._spawn(job, (BASELINE,), [shares.whole])

    async def _spawn(
        self, job: Mapping[str, Any], nodes: tuple[str, ...], descriptors: list[int], *, beyond: bool = False
    ) -> None:
        full = {**job, **to_job(self.run, self.report_server, self.enrollment), "logs": self.logs.to_job()}
        within_s = self.experiment.network.join_deadline_s
        try:
            await self._processes.spawn(full, nodes, [self.log, *descriptors], within_s=within_s, beyond=beyond)
        except (ForkServerError, ExecutorFailed) as error:
            raise RunAborted(str(error)) from error

    def reported(self, node: str, kind: str, fields: Mapping[str, Any], array: Any) -> None:
        self.progressed()
        if kind == "ready":
            again = node in self.ready or (node == BROKER and self._broker.has_died)
            self.ready[node] = fields
            if again:
                self.on_restart()
        elif kind == "best":
            self.best[node] = array
        elif kind == "rounds":
            self.rounds.setdefault(node, []).append((fields, array))
        elif kind == "counts":
            self.site_counts[str(fields["site"])] = fields["counts"]
        elif node == BASELINE and "failed" in fields:
            self._give_up_baselines(f"the baselines failed: {fields['failed']}")
        elif node == BASELINE:
            self.baselines = {key: fields.get(key) for key in ("centralised", "local_only_mean")}
            self.baseline_s, self.site_matrix = fields.get("seconds"), fields.get("site_matrix")
        elif self.engine is not None and not self._stopping and interrupted_alone(node, fields):
            self.publish("warning", reason=f"{node} was interrupted at its worker; it is not lost yet")
        else:
            self.results[node] = fields
            if failed := str(fields.get("failed") or ""):
                self._ended(node, failed, told_to=failed == INTERRUPTED)
            if array is not None and node not in self.lost:
                # A read-only view of the message's buffer: fine for a mean and for a file.
                self.arrays[node] = array
        self._processes.notify()

    @property
    def completed_rounds(self) -> int:
        """How many rounds the coordinator has reported as completed."""
        return int(self.results.get("coordinator", {}).get("completed_rounds", 0))

    def progressed(self) -> None:
        self._progress_at = self._awake.seconds

    def _exited(self, nodes: tuple[str, ...], how: str) -> None:
        if self._stopping:
            return
        if nodes == (BROKER,):
            self._restart_broker(how)
        elif nodes == (BASELINE,):
            if self.baselines is None:
                self._ended(BASELINE, f"the baselines were {how}", told_to=how in STOPPED)
        else:
            for node in (each for each in nodes if each not in self.results):
                self._ended(node, how, told_to=how in STOPPED)

    def _ended(self, node: str, reason: str, *, told_to: bool) -> None:
        """Note an end that was not the launcher's wish: who was told to is lost if the launcher itself is not."""
        if told_to and not self._stopping:
            self._left.note(node, reason, self._now())
        elif not self._stopping:
            self._lose(node, reason)

    def _restart_broker(self, how: str) -> None:
        if not self._broker.addresses:
            self._abort(f"the broker was {how}")
            return
        self.ready.pop(BROKER, None)
        again = self._broker.restart()
        self.publish("warning", reason=f"the broker was {how}; nodes that have met go on without it; {again}")

    def _give_up_baselines(self, reason: str) -> None:
        self.publish("warning", reason=reason)
        self.baselines = {}

    def _lose(self, node: str, reason: str) -> None:
        if node == BASELINE:
            self._give_up_baselines(reason)
            return
        if node in self.lost:
            return
        self.lost[node] = reason
        self.on_lost(node, reason)
        for client in self.regions.clients.get(node, ()):  # nobody asks it any more, and it is waited for in vain
            self._lose(client, f"its aggregator, {node}, was lost")
        there, needed = len(training(self.survivors(), self.roles)), self.min_nodes or self.experiment.min_nodes
        if node not in self.ready and there < needed:  # the others would wait for it until their deadline
            few = f"{there} nodes are left, and network.min_nodes = {needed}"
            self._abort(f"{node}: {reason} before the run began; {few}")

    def _abort(self, reason: str) -> None:
        if not self._stopping:
            self._abort_reason = reason
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
            missing = sorted(self.survivors() - set(self.results))
            if not missing and not self._left:
                return
            grace_s = grace_of(missing, self.results, self.experiment)
            if missing and self.results and self._now() - self._progress_at > grace_s:
                for node in missing:
                    self._lose(node, f"gave no result within {grace_s:g} s of the last sign of progress")
                continue
            await self._pause(1.0)

    async def wait_for_baselines(self, within_s: float) -> None:
        if not self._processes.forked(BASELINE):
            return
        try:
            await self._until(lambda: self.baselines is not None, within_s, "", of_progress=True)
        except RunAborted:
            reason = self._abort_reason or f"no model of theirs was done in {within_s:g} s"
            self.publish("warning", reason=f"the baselines are left out: {reason}")

    def _check(self) -> None:
        for node, reason in self._left.due(self._now()):
            self._lose(node, reason)
        if self._abort_reason:
            raise RunAborted(self._abort_reason)
        if "coordinator" in self.lost:
            raise RunAborted(f"coordinator: {self.lost['coordinator']}")
        if not training(self.survivors(), self.roles):
            node = min(self.lost)
            raise RunAborted(f"every node was lost; {node}: {self.lost[node]}")

    async def _until(
        self, condition: Callable[[], bool], within_s: float, otherwise: str, *, of_progress: bool = False
    ) -> None:
        until = self._awake.deadline(monotonic(), within_s)
        while not condition():
            self._check()
            until = max(until, self._progress_at + within_s) if of_progress else until
            if self._now() >= until:
                missing = ", ".join(sorted(self.survivors() - set(self.ready))) if BROKER in self.ready else ""
                raise RunAborted(f"{otherwise} within {within_s:g} s" + (f"; missing: {missing}" if missing else ""))
            await self._pause(until - self._now())

    def _now(self) -> float:
        """Return the seconds that this launcher was awake: while it is stopped no deadline comes nearer."""
        return self._awake.seconds

    async def _pause(self, within_s: float) -> None:
        step_s = min(1.0, max(0.0, within_s))
        self.on_pause()
        self._awake.begin(monotonic())
        await self._processes.change(step_s)
        self._awake.waited(monotonic(), step_s)

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
        if missing := sorted(self.survivors() - set(self.results)):
            what = f"{len(missing)} nodes have yet to report what they have learned: {listed(missing)}"
            self.publish("warning", reason=f"{what}; a second signal does not wait for them")

    @property
    def broker_runs(self) -> bool:
        return self._processes.running(BROKER)

    async def stop(self, within_s: float) -> None:
        await self.stop_nodes(within_s)
        await self._processes.stop(within_s)
