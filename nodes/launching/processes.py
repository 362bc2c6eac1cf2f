"""The processes of a run: forked, watched until they exit, and stopped in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nervenet.broker.errors import see

from .forkserver_client import ForkServerClient
from .rlimits import OUT_OF_RESOURCES

KILL_S = 2.0  # how long a killed process may take to be reaped


@dataclass
class Process:
    pid: int
    nodes: tuple[str, ...]
    stop_by: int = signal.SIGTERM  # the signal that asks it for an orderly stop
    ended: bool = False


class ProcessTable:
    """The child processes of one run.

    `on_exit` is called with (nodes, how) when a process has ended: ``killed by SIGKILL``, ``ended with exit code 1``;
    `on_failure` with the reason when the fork server has died.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        on_exit: Callable[[tuple[str, ...], str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.broken = False
        self._fork_server = fork_server
        self._on_exit = on_exit
        self._on_failure = on_failure
        self._processes: dict[int, Process] = {}
        self._early: dict[int, int] = {}  # exits reported before the answer to the fork
        self._changed = asyncio.Event()
        self._changes = 0
        fork_server.attach()
        fork_server.exited = self._exited
        fork_server.died = self._died

    async def spawn(
        self, job: Mapping[str, Any], nodes: tuple[str, ...], descriptors: list[int], *, within_s: float
    ) -> None:
        pid = await self._fork_server.spawn(job, descriptors, within_s=within_s)
        self._processes[pid] = Process(pid, nodes, job.get("stop_by", signal.SIGTERM))
        if pid in self._early:
            self._exited(pid, self._early.pop(pid))

    def forked(self, *nodes: str) -> bool:
        return any(process.nodes == nodes for process in self._processes.values())

    def notify(self) -> None:
        """Note a sign of life: a process has reported something."""
        self._changes += 1
        self._changed.set()

    async def change(self, within_s: float) -> None:
        """Wait until a process has ended or `notify` was called, no longer than `within_s` seconds."""
        self._changed.clear()
        # Not wait_for: on Python 3.11 it swallows a cancellation that comes as its event does, and with it a Ctrl-C.
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, within_s)):
                await self._changed.wait()

    async def stop(
        self,
        within_s: float,
        but: tuple[str, ...] = (),
        before_kill: Callable[[], Awaitable[None]] | None = None,
        *,
        at_most_s: float = 0.0,
    ) -> None:
        """Ask every process but that of the nodes `but` to stop; kill those that have not ended, after `before_kill`.

        They are waited for as long as one of them reports or ends every `within_s` seconds, and up to `at_most_s`.
        """
        left = [p for p in self._processes.values() if not p.ended and p.nodes != but]
        for process in left:
            self._fork_server.signal(process.pid, process.stop_by)
        await self._all_ended(left, within_s, at_most_s)
        left = [p for p in left if not p.ended]
        if left and before_kill is not None:
            await before_kill()
        for process in left:
            self._fork_server.signal(process.pid, signal.SIGKILL)
        await self._all_ended(left, KILL_S)

    async def _all_ended(self, processes: list[Process], within_s: float, at_most_s: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + max(within_s, at_most_s)
        until, changes = loop.time() + within_s, self._changes
        while any(not p.ended for p in processes) and loop.time() < until and not self.broken:
            await self.change(until - loop.time())
            if self._changes != changes:
                until, changes = min(latest, loop.time() + within_s), self._changes

    def running(self, *nodes: str) -> bool:
        return any(process.nodes == nodes and not process.ended for process in self._processes.values())

    def _exited(self, pid: int, status: int) -> None:
        process = self._processes.get(pid)
        if process is None:
            self._early[pid] = status
            return
        process.ended = True
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        if status == OUT_OF_RESOURCES:
            how = "ended for want of open files, memory, processes or disk space here; nodes.log says of which"
            how += see("exit-71")
        self._on_exit(process.nodes, how)
        self.notify()

    def _died(self, reason: str) -> None:
        self.broken = True
        self._on_failure(reason)
        self.notify()
