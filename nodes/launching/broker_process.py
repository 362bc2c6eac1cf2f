"""The broker of a run as a process of its own: started, and started again at the same address whenever it dies."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

from ..config.schema import NetworkConfig
from .restarts import RestartPacing

BROKER = "broker"
STOP_BROKER = signal.SIGUSR1  # SIGTERM may go to all processes at once, and the broker must be the last to end


class BrokerProcess:
    """Where the broker is, and its restarts.

    `spawn` forks the process of a job; `on_exit` is called with how a restart failed: ``not started (…)``.
    """

    def __init__(
        self,
        network: NetworkConfig,
        spawn: Callable[[Mapping[str, Any]], Awaitable[None]],
        on_exit: Callable[[str], None],
    ) -> None:
        self.addresses: Mapping[str, str] = {}  # of its services, by name; empty before it has started
        self.has_died = False
        self._advertise = network.advertise
        self._secured = {"keys": network.keys, "insecure": network.insecure}
        self._host = network.bind if network.transport == "tcp" else "127.0.0.1"
        self._port = "0"
        self._spawn = spawn
        self._on_exit = on_exit
        self._pacing = RestartPacing()
        self._restarts: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        # The interface it is bound to need not be the address at which it is reached.
        bind = f"tcp://{self._host}:{self._port}"
        job = {"kind": BROKER, "bind": bind, "advertise": self._advertise, "stop_by": int(STOP_BROKER)}
        await self._spawn(job | self._secured)

    def started_at(self, addresses: Mapping[str, str]) -> None:
        """Keep the addresses of the first start: a restart is at the same port."""
        self.addresses = dict(addresses)
        self._port = self.addresses["directory"].rpartition(":")[2]

    def restart(self) -> str:
        """Begin a restart, at once or after a pause, and return when and where it will be."""
        self.has_died = True
        pause_s = self._pacing.pause_s(monotonic())
        task = asyncio.get_running_loop().create_task(self._start_after(pause_s))
        self._restarts.add(task)
        task.add_done_callback(self._restart_ended)
        again = f"in {pause_s:g} s" if pause_s else "at once"
        return f"starting it again {again} on {self.addresses['directory']}"

    async def _start_after(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        await self.start()

    def _restart_ended(self, task: asyncio.Task[None]) -> None:
        self._restarts.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._on_exit(f"not started ({task.exception()})")

    def cancel_restarts(self) -> None:
        for task in self._restarts:
            task.cancel()
