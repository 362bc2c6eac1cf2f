"""The processes of a run: forked, watched until they exit, and stopped in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from nervenet.broker.errors import see

from .placement.executor import Executor
from .rlimits import OUT_OF_RESOURCES

KILL_S = 2.0  # how long a killed process may take to be reaped


@dataclass
class Process:
    pid: int
    executor: Executor
    nodes: tuple[str, ...]
    stop_by: int = signal.SIGTERM  # the signal that asks it for an orderly stop
    ended: bool = False


class ProcessTable:
    """The child processes of one run.

    `on_exit` is called with (nodes, how) when a process has ended: ``killed by SIGKILL``, ``ended with exit code 1``;
    `on_failure` with the reason when the fork server has died, or an engine. Those of an `engine` run beyond this
    machine.
    """

    def __init__(
        self,
        fork_server: Executor,
        on_exit: Callable[[tuple[str, ...], str], None],
        on_failure: Callable[[str], None],
        engine: Executor | None = None,
    ) -> None:
        self.broken = False
        self._fork_server = fork_server
        self._on_exit = on_exit
        self._on_failure = on_failure
        self._engine = engine
        self._processes: dict[tuple[bool, int], Process] = {}  # by whether an engine has it, and its number there
        self._early: dict[tuple[bool, int], int | str] = {}  # exits reported before the answer to the fork
        self._changed = asyncio.Event()
        self._changes = 0
        for executor in filter(None, (fork_server, engine)):
            executor.attach()
            executor.exited = partial(self._exited, executor is engine)
            executor.died = partial(self._died, executor is engine)

    async def spawn(
        self,
        job: Mapping[str, Any],
        nodes: tuple[str, ...],
        descriptors: list[int],
        *,
        within_s: float,
        beyond: bool = False,
    ) -> None:
        """Start a process: here, or `beyond` this machine where there is an engine."""
        executor = self._engine if beyond and self._engine is not None else self._fork_server
        pid = await executor.spawn(job, descriptors, within_s=within_s)
        key = (executor is self._engine, pid)
        self._processes[key] = Process(pid, executor, nodes, job.get("stop_by", signal.SIGTERM))
        if key in self._early:
            self._exited(*key, self._early.pop(key))

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
            process.executor.signal(process.pid, process.stop_by)
        await self._all_ended(left, within_s, at_most_s)
        left = [p for p in left if not p.ended]
        if left and before_kill is not None:
            await before_kill()
        for process in left:
            process.executor.signal(process.pid, signal.SIGKILL)
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

    def _exited(self, beyond: bool, pid: int, status: int | str) -> None:
        process = self._processes.get((beyond, pid))
        if process is None:
            self._early[beyond, pid] = status
            return
        process.ended = True
        self._on_exit(process.nodes, status if isinstance(status, str) else _in_words(status, beyond=beyond))
        self.notify()

    def _died(self, beyond: bool, reason: str) -> None:
        if beyond:
            for process in self._processes.values():
                process.ended = process.ended or process.executor is self._engine
        else:
            self.broken = True
        self._on_failure(reason)
        self.notify()


def _in_words(status: int, *, beyond: bool) -> str:
    """Return how a process has ended, by its exit code; negative: the signal that ended it."""
    if status == OUT_OF_RESOURCES:
        where, log = ("there", "its worker's log") if beyond else ("here", "nodes.log")
        lack = f"ended for want of open files, memory, processes or disk space {where}; {log} says of which"
        return lack + see("exit-71")
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
