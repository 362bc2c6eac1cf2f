"""The processes of one run: started, listened to, counted when they die, stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nervenet.broker.sockets import discard

from ..config.factory import default_node_names
from ..config.schema import Experiment
from .baselines import too_large
from .data_shares import DataShares
from .forkserver_client import ForkServerClient, ForkServerError

BASELINE = "baseline"
BROKER = "broker"
RESTARTS = 5  # of a broker that dies again and again


class RunAborted(RuntimeError):
    """The run cannot go on; the message says why."""


@dataclass
class Process:
    """One child and the nodes in it."""

    pid: int
    nodes: tuple[str, ...]
    ended: bool = False


@dataclass
class Supervisor:
    """Starts the processes of a run and knows what became of each.

    Parameters
    ----------
    on_lost
        Called with (node, reason) when a node has died or failed.
    say
        Publishes an event of the launcher.
    on_restart
        Called when a broker that had died is back.
    state
        Given (role, node), says in which folder it keeps what it goes on with after its own death.

    Attributes
    ----------
    facts, arrays
        By node, what it reported as its result.
    best
        By node, the weights of its best round, where they are others.
    lost
        By node, why it gave none.
    """

    experiment: Experiment
    run: str
    nursery: ForkServerClient
    desk: Mapping[str, str]
    log: int
    on_lost: Callable[[str, str], None]
    say: Callable[..., None]
    on_restart: Callable[[], None] = lambda: None
    state: Callable[[str, str], Path | None] = lambda _role, _name: None
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    ready: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    baselines: Mapping[str, float | None] | None = None
    events_in: str = ""

    def __post_init__(self) -> None:
        self._processes: dict[int, Process] = {}
        self._early: dict[int, int] = {}  # ends told before we were told of the beginning
        self._changed = asyncio.Event()
        self._addresses: dict[str, str] = {}
        self._broker_at = ""
        self._restarts = 0
        self._moved_at = 0.0
        self._stopping = False
        self._broken = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.nursery.attach()
        self.nursery.exited = self._exited
        self.nursery.died = self._died

    @property
    def names(self) -> dict[str, str]:
        """Every node's role, by name."""
        role = "client" if self.experiment.mode == "federated" else "peer"
        names = dict.fromkeys(default_node_names(self.experiment.nodes, role), role)
        return {"coordinator": "coordinator", **names} if role == "client" else names

    def survivors(self) -> set[str]:
        """Give the nodes that have not been lost."""
        return set(self.names) - set(self.lost)

    # -------------------------------------------------------------------------------------------------------- starting

    async def start_broker(self) -> str:
        """Start the broker; gives the address of its directory."""
        network = self.experiment.network
        host = network.bind if network.transport == "tcp" else "127.0.0.1"
        await self._spawn_broker(f"tcp://{host}:0")
        await self._until(lambda: BROKER in self.ready, network.join_deadline_s, "the broker did not start")
        self._addresses = dict(self.ready[BROKER]["addresses"])
        self.events_in = self._addresses["events_in"]
        port = self._addresses["directory"].rpartition(":")[2]
        self._broker_at = f"tcp://{host}:{port}"  # where it is bound, which need not be where it is reached
        return self._addresses["directory"]

    async def _spawn_broker(self, bind: str) -> None:
        network = self.experiment.network
        job = {"kind": BROKER, "bind": bind, "advertise": network.advertise, "within_s": network.join_deadline_s}
        await self._spawn(job, (BROKER,), [])

    async def start_nodes(self, shares: DataShares) -> None:
        """Start every node and wait until each has said that it is ready."""
        common = {
            "kind": "nodes",
            "experiment": self.experiment.to_dict(),
            "broker": self._addresses["directory"],
            "columns": list(shares.columns),
            "task": shares.task,
        }
        data = {
            name: shares.nodes[i] for i, name in enumerate(n for n, role in self.names.items() if role != "coordinator")
        }
        empty = os.open(os.devnull, os.O_RDONLY)
        try:
            for group in self._groups():
                specs = [self._spec(name) for name in group]
                judges = any(self.names[name] != "client" for name in group)
                descriptors = [shares.test if judges else empty, *(data.get(name, empty) for name in group)]
                await self._spawn({**common, "nodes": specs}, tuple(group), descriptors)
        finally:
            os.close(empty)
        deadline_s = self.experiment.network.join_deadline_s
        await self._until(lambda: self.survivors() <= set(self.ready), deadline_s, "not every node was ready")
        self._check()

    def _spec(self, name: str) -> dict[str, Any]:
        state = self.state(self.names[name], name)
        return {"name": name, "role": self.names[name], "state": None if state is None else str(state)}

    def _groups(self) -> list[list[str]]:
        """Spread the nodes over the processes asked for; a coordinator always has one of its own."""
        names = [n for n, role in self.names.items() if role != "coordinator"]
        count = min(self.experiment.process_count, len(names))
        groups = [names[i::count] for i in range(count)]
        return [["coordinator"], *groups] if "coordinator" in self.names else groups

    async def start_baseline(self, shares: DataShares) -> None:
        """Start the baselines, at low priority, unless they are switched off or too large."""
        if not self.experiment.evaluation.baseline:
            return
        reason = too_large(self.experiment, shares.rows)
        if reason:
            self.say("warning", reason=reason)
            return
        job = {
            "kind": BASELINE,
            "experiment": self.experiment.to_dict(),
            "columns": list(shares.columns),
            "task": shares.task,
        }
        await self._spawn(job, (BASELINE,), [shares.whole])

    async def _spawn(self, job: Mapping[str, Any], names: tuple[str, ...], descriptors: list[int]) -> None:
        full = {**job, "run": self.run, "desk": dict(self.desk)}
        try:
            pid = await self.nursery.spawn(
                full, [self.log, *descriptors], within_s=self.experiment.network.join_deadline_s
            )
        except ForkServerError as error:
            raise RunAborted(str(error)) from error
        self._processes[pid] = Process(pid, names)
        if pid in self._early:
            self._exited(pid, self._early.pop(pid))

    # ------------------------------------------------------------------------------------------------------- listening

    def reported(self, node: str, kind: str, facts: Mapping[str, Any], array: Any) -> None:
        """Take a report from the desk."""
        self.moved()
        if kind == "ready":
            self.ready[node] = facts
            if self._restarts and node == BROKER:
                self.on_restart()
        elif kind == "best":
            self.best[node] = array
        elif node == BASELINE:
            if "failed" in facts:
                self.say("warning", reason=f"the baselines failed: {facts['failed']}")
                self.baselines = {}
            else:
                self.baselines = {key: facts.get(key) for key in ("centralised", "local_only_mean")}
        elif facts.get("failed") and not self._stopping:
            self.facts[node] = facts
            self._lose(node, str(facts["failed"]))
        else:
            self.facts[node] = facts
            if array is not None:
                # The array lies in a buffer that belongs to the message, and is read-only: fine for a mean and for a
                # file.
                self.arrays[node] = array
        self._changed.set()

    def moved(self) -> None:
        """Note a sign of progress: a report, or a completed round."""
        self._moved_at = asyncio.get_running_loop().time()

    def _exited(self, pid: int, status: int) -> None:
        process = self._processes.get(pid)
        if process is None:
            self._early[pid] = status
            return
        process.ended = True
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        if self._stopping:
            pass
        elif process.nodes == (BROKER,):
            self._restart_broker(how)
        elif process.nodes == (BASELINE,):
            if self.baselines is None:
                self.say("warning", reason=f"the baselines were {how}")
                self.baselines = {}
        else:
            for node in process.nodes:
                if node not in self.facts:
                    self._lose(node, how)
        self._changed.set()

    def _restart_broker(self, how: str) -> None:
        self._restarts += 1
        if not self._addresses or self._restarts > RESTARTS:
            self._broken = f"the broker was {how}"
            return
        self.say("warning", reason=f"the broker was {how}; starting it again on {self._addresses['directory']}")
        task = asyncio.get_running_loop().create_task(self._spawn_broker_again())
        self._tasks.add(task)
        task.add_done_callback(self._restarted)

    async def _spawn_broker_again(self) -> None:
        # The first time at once; if it dies again, somebody else may have its ports for a while.
        await asyncio.sleep(0.5 * (self._restarts - 1))
        await self._spawn_broker(self._broker_at)

    def _restarted(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = f"the broker could not be started again: {task.exception()}"
            self._changed.set()

    def _lose(self, node: str, reason: str) -> None:
        if node not in self.lost:
            self.lost[node] = reason
            self.on_lost(node, reason)

    def _died(self, reason: str) -> None:
        if not self._stopping:
            self._broken = reason
            self._changed.set()

    # --------------------------------------------------------------------------------------------------------- waiting

    async def results(self, failed: asyncio.Future[None]) -> None:
        """Wait until every node that lives has reported its result.

        A run has no deadline of its own: its rounds have. But once one has reported, and for two deadlines of a round
        nobody has completed a round or reported, the rest are given up.

        Raises
        ------
        Lost
            If the coordinator, or everybody, is lost.
        """
        grace_s = 2 * self.experiment.deadline_s + self.experiment.network.join_deadline_s
        loop = asyncio.get_running_loop()
        while True:
            self._check()
            if failed.done():
                failed.result()
            missing = sorted(self.survivors() - set(self.facts))
            if not missing:
                return
            if self.facts and loop.time() - self._moved_at > grace_s:
                for node in missing:
                    self._lose(node, f"gave no result within {grace_s:g} s of the last sign of progress")
                continue
            await self._change(1.0)

    async def baseline(self, within_s: float) -> None:
        """Wait for the baselines, if they are on their way."""
        there = any(p.nodes == (BASELINE,) for p in self._processes.values())
        if there:
            try:
                await self._until(lambda: self.baselines is not None, within_s, "")
            except RunAborted:
                reason = self._broken or f"they were not done {within_s:g} s after the run"
                self.say("warning", reason=f"the baselines are left out: {reason}")

    def _check(self) -> None:
        if self._broken:
            raise RunAborted(self._broken)
        if "coordinator" in self.lost:
            raise RunAborted(f"coordinator: {self.lost['coordinator']}")
        if not any(role != "coordinator" for n, role in self.names.items() if n not in self.lost):
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
            await self._change(until - loop.time())

    async def _change(self, within_s: float) -> None:
        self._changed.clear()
        # Not wait_for: on Python 3.11 it swallows a cancellation that comes as its event does, and with it a Ctrl-C.
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, within_s)):
                await self._changed.wait()

    # -------------------------------------------------------------------------------------------------------- stopping

    async def stop(self, within_s: float) -> None:
        """Ask every child to end, wait, kill what is left. Nodes first: their farewells pass through the broker."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        nodes = [p for p in self._processes.values() if p.nodes != (BROKER,)]
        await self._end(nodes, within_s)
        await self._end(list(self._processes.values()), 1.0)

    async def _end(self, processes: list[Process], within_s: float) -> None:
        for number, patience in ((signal.SIGTERM, within_s), (signal.SIGKILL, 2.0)):
            left = [p for p in processes if not p.ended]
            for process in left:
                self.nursery.signal(process.pid, number)
            loop = asyncio.get_running_loop()
            until = loop.time() + patience
            while any(not p.ended for p in left) and loop.time() < until and not self._broken:
                await self._change(until - loop.time())

    def sweep(self) -> None:
        """Remove what nodes that were killed could not: the files of their ipc addresses."""
        for facts in self.ready.values():
            for address in (facts.get("addresses") or {}).values():
                discard(address)

    def nodes_json(self) -> dict[str, dict[str, Any]]:
        """Who is who, for ``nodes.json``."""
        roles = {BROKER: BROKER, **self.names}
        found = {}
        for name, role in roles.items():
            facts = self.ready.get(name)
            if facts:
                addresses = facts.get("addresses") or {}
                address = addresses.get("directory") or addresses.get("control", "")
                found[name] = {"role": role, "pid": facts["pid"], "address": address}
        return found
