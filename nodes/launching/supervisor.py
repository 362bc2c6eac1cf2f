"""Decides what the processes of one run are started for, what their ends and reports mean, and when the run is over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nervenet.broker.sockets import discard

from ..config.factory import default_node_names
from ..config.schema import Experiment
from ..runtime.round_history import Row, rows_of
from .baselines import too_large
from .data_shares import DataShares
from .forkserver_client import ForkServerClient, ForkServerError
from .processes import ProcessTable

BASELINE = "baseline"
BROKER = "broker"
RESTARTS = 5  # of a broker that dies again and again


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
    on_restart: Callable[[], None] = lambda: None  # a broker that had died is back
    checkpoint_dir: Callable[[str, str], Path | None] = lambda _role, _name: None
    ready: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)  # final weights
    best: dict[str, Any] = field(default_factory=dict)  # weights of the best round, where they differ
    rounds: dict[str, Mapping[int, Row]] = field(default_factory=dict)  # figures of each
    lost: dict[str, str] = field(default_factory=dict)
    baselines: Mapping[str, float | None] | None = None

    def __post_init__(self) -> None:
        self._processes = ProcessTable(self.fork_server, self._exited, self._abort)
        self._addresses: dict[str, str] = {}
        self._broker_bind = ""
        self._broker_restarts = 0
        self._progress_at = 0.0
        self._stopping = False
        self._abort_reason = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def roles(self) -> dict[str, str]:
        role = "client" if self.experiment.mode == "federated" else "peer"
        roles = dict.fromkeys(default_node_names(self.experiment.nodes, role), role)
        return {"coordinator": "coordinator", **roles} if role == "client" else roles

    @property
    def events_in(self) -> str:
        """The address at which the broker takes events; empty before it has started."""
        return self._addresses.get("events_in", "")

    def survivors(self) -> set[str]:
        return set(self.roles) - set(self.lost)

    async def start_broker(self) -> str:
        network = self.experiment.network
        host = network.bind if network.transport == "tcp" else "127.0.0.1"
        await self._spawn_broker(f"tcp://{host}:0")
        await self._until(lambda: BROKER in self.ready, network.join_deadline_s, "the broker did not start")
        self._addresses = dict(self.ready[BROKER]["addresses"])
        port = self._addresses["directory"].rpartition(":")[2]
        self._broker_bind = f"tcp://{host}:{port}"  # which need not be the address at which it is reached
        return self._addresses["directory"]

    async def _spawn_broker(self, bind: str) -> None:
        network = self.experiment.network
        job = {"kind": BROKER, "bind": bind, "advertise": network.advertise, "within_s": network.join_deadline_s}
        await self._spawn(job, (BROKER,), [])

    async def start_nodes(self, shares: DataShares) -> None:
        """Start every node and wait until each is ready."""
        common = {**self._data_job("nodes", shares), "broker": self._addresses["directory"]}
        training_nodes = [name for name, role in self.roles.items() if role != "coordinator"]
        data = dict(zip(training_nodes, shares.nodes, strict=True))
        empty = os.open(os.devnull, os.O_RDONLY)
        try:
            for group in self._groups(training_nodes):
                evaluates = any(self.roles[name] != "client" for name in group)
                descriptors = [shares.test if evaluates else empty, *(data.get(name, empty) for name in group)]
                nodes = [self._node_job(name) for name in group]
                await self._spawn({**common, "nodes": nodes}, tuple(group), descriptors)
        finally:
            os.close(empty)
        deadline_s = self.experiment.network.join_deadline_s
        await self._until(lambda: self.survivors() <= set(self.ready), deadline_s, "not every node was ready")
        self._check()

    def _data_job(self, kind: str, shares: DataShares) -> dict[str, Any]:
        experiment = self.experiment.to_dict()
        return {"kind": kind, "experiment": experiment, "columns": list(shares.columns), "task": shares.task}

    def _node_job(self, name: str) -> dict[str, Any]:
        role = self.roles[name]
        folder = self.checkpoint_dir(role, name)
        return {"name": name, "role": role, "checkpoint_dir": None if folder is None else str(folder)}

    def _groups(self, training_nodes: list[str]) -> list[list[str]]:
        count = min(self.experiment.process_count, len(training_nodes))
        groups = [training_nodes[i::count] for i in range(count)]
        return [["coordinator"], *groups] if "coordinator" in self.roles else groups

    async def start_baselines(self, shares: DataShares) -> None:
        """Start the baselines, at low priority, unless they are switched off or too large."""
        if not self.experiment.evaluation.baseline:
            return
        reason = too_large(self.experiment, shares.rows)
        if reason:
            self.publish("warning", reason=reason)
        else:
            await self._spawn(self._data_job(BASELINE, shares), (BASELINE,), [shares.whole])

    async def _spawn(self, job: Mapping[str, Any], nodes: tuple[str, ...], descriptors: list[int]) -> None:
        full = {**job, "run": self.run, "report_server": dict(self.report_server)}
        within_s = self.experiment.network.join_deadline_s
        try:
            await self._processes.spawn(full, nodes, [self.log, *descriptors], within_s=within_s)
        except ForkServerError as error:
            raise RunAborted(str(error)) from error

    def reported(self, node: str, kind: str, fields: Mapping[str, Any], array: Any) -> None:
        self.progressed()
        if kind == "ready":
            self.ready[node] = fields
            if self._broker_restarts and node == BROKER:
                self.on_restart()
        elif kind == "best":
            self.best[node] = array
        elif kind == "rounds":
            self.rounds[node] = dict(rows_of(fields, array))
        elif node == BASELINE and "failed" in fields:
            self._give_up_baselines(f"the baselines failed: {fields['failed']}")
        elif node == BASELINE:
            self.baselines = {key: fields.get(key) for key in ("centralised", "local_only_mean")}
        else:
            self.results[node] = fields
            if fields.get("failed") and not self._stopping:
                self._lose(node, str(fields["failed"]))
            elif array is not None:
                # A read-only view of the message's buffer: fine for a mean and for a file.
                self.arrays[node] = array
        self._processes.notify()

    def progressed(self) -> None:
        self._progress_at = asyncio.get_running_loop().time()

    def _exited(self, nodes: tuple[str, ...], how: str) -> None:
        if self._stopping:
            return
        if nodes == (BROKER,):
            self._restart_broker(how)
        elif nodes == (BASELINE,):
            if self.baselines is None:
                self._give_up_baselines(f"the baselines were {how}")
        else:
            for node in nodes:
                if node not in self.results:
                    self._lose(node, how)

    def _restart_broker(self, how: str) -> None:
        self._broker_restarts += 1
        if not self._addresses or self._broker_restarts > RESTARTS:
            self._abort(f"the broker was {how}")
            return
        reason = f"the broker was {how}; starting it again on {self._addresses['directory']}"
        self.publish("warning", reason=reason)
        task = asyncio.get_running_loop().create_task(self._spawn_broker_again())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _spawn_broker_again(self) -> None:
        # The first time at once; if it dies again, another process may have its ports for a while.
        await asyncio.sleep(0.5 * (self._broker_restarts - 1))
        try:
            await self._spawn_broker(self._broker_bind)
        except RunAborted as error:
            self._abort(f"the broker could not be started again: {error}")

    def _give_up_baselines(self, reason: str) -> None:
        self.publish("warning", reason=reason)
        self.baselines = {}

    def _lose(self, node: str, reason: str) -> None:
        if node not in self.lost:
            self.lost[node] = reason
            self.on_lost(node, reason)

    def _abort(self, reason: str) -> None:
        if not self._stopping:
            self._abort_reason = reason
            self._processes.notify()

    async def wait_for_results(self, failed: asyncio.Future[None]) -> None:
        """Wait until every living node has reported its result; raises `RunAborted` if the coordinator or all are lost.

        A run has no deadline of its own: its rounds have. But once one has reported, and for two deadlines of a round
        none has completed a round or reported, the rest are given up.
        """
        grace_s = 2 * self.experiment.deadline_s + self.experiment.network.join_deadline_s
        loop = asyncio.get_running_loop()
        while True:
            self._check()
            if failed.done():
                failed.result()
            missing = sorted(self.survivors() - set(self.results))
            if not missing:
                return
            if self.results and loop.time() - self._progress_at > grace_s:
                for node in missing:
                    self._lose(node, f"gave no result within {grace_s:g} s of the last sign of progress")
                continue
            await self._processes.change(1.0)

    async def wait_for_baselines(self, within_s: float) -> None:
        if not self._processes.forked(BASELINE):
            return
        try:
            await self._until(lambda: self.baselines is not None, within_s, "")
        except RunAborted:
            reason = self._abort_reason or f"they were not done {within_s:g} s after the run"
            self.publish("warning", reason=f"the baselines are left out: {reason}")

    def _check(self) -> None:
        if self._abort_reason:
            raise RunAborted(self._abort_reason)
        if "coordinator" in self.lost:
            raise RunAborted(f"coordinator: {self.lost['coordinator']}")
        if not self.survivors() - {"coordinator"}:
            node = min(self.lost)
            raise RunAborted(f"every node was lost; {node}: {self.lost[node]}")

    async def _until(self, condition: Callable[[], bool], within_s: float, otherwise: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while not condition():
            self._check()
            if loop.time() >= until:
                missing = ", ".join(sorted(self.survivors() - set(self.ready))) if BROKER in self.ready else ""
                raise RunAborted(f"{otherwise} within {within_s:g} s" + (f"; missing: {missing}" if missing else ""))
            await self._processes.change(until - loop.time())

    async def stop(self, within_s: float) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await self._processes.stop(last=BROKER, within_s=within_s)

    def remove_sockets(self) -> None:
        """Remove what nodes that were killed could not: the files of their ipc addresses."""
        for fields in self.ready.values():
            for address in (fields.get("addresses") or {}).values():
                discard(address)

    def nodes_json(self) -> dict[str, dict[str, Any]]:
        found = {}
        for name, role in {BROKER: BROKER, **self.roles}.items():
            fields = self.ready.get(name)
            if fields:
                addresses = fields.get("addresses") or {}
                address = addresses.get("directory") or addresses.get("control", "")
                found[name] = {"role": role, "pid": fields["pid"], "address": address}
        return found
