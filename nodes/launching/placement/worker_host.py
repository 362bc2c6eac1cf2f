"""The processes of this Dask worker: forked by one fork server, and ended with the worker, however that ends.

The places of a worker are threads, and none has an event loop: this has one, in a thread of its own, in which the fork
server's client lives. It is there from the first place until the last one has left.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..forkserver_client import IMPORT_S, ForkServerClient

SPAWN_S = 30.0  # in which a process is forked, beside what the fork server may import first
OF_THE_LOOP_S = 10.0  # in which the loop does what takes it no time


class WorkerHost:
    """Forks processes for threads. Its methods may be called by any of them."""

    def __init__(self) -> None:
        self._ends: dict[int, Callable[[int | str], None]] = {}
        self._early: dict[int, int | str] = {}
        self._client = ForkServerClient()
        self._client.exited, self._client.died = self._exited, self._died
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nervenet processes", daemon=True)
        self._thread.start()
        self._call(self._client.attach)

    def preload(self, modules: Sequence[str]) -> None:
        if modules:
            self._call(lambda: self._client.preload(modules))

    def remove_at_end(self, folder: Path) -> None:
        """Have a folder removed when this process has ended, however that may be."""
        self._call(lambda: self._client.remove_at_end(folder))

    def spawn(self, job: Mapping[str, Any], descriptors: Sequence[int], on_end: Callable[[int | str], None]) -> int:
        """Fork a process and return its id; `on_end` is called on the loop's thread with its exit code, or with words.

        Raises
        ------
        ForkServerError
            It could not be forked.
        """
        spawning = asyncio.run_coroutine_threadsafe(self._spawn(job, descriptors, on_end), self._loop)
        return spawning.result(SPAWN_S + IMPORT_S + OF_THE_LOOP_S)

    def signal(self, pid: int, number: int) -> None:
        self._call(lambda: self._client.signal(pid, number))

    def close(self) -> None:
        """End the fork server, and with it whatever is left."""
        self._call(self._client.close, within_s=60.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(OF_THE_LOOP_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _spawn(
        self, job: Mapping[str, Any], descriptors: Sequence[int], on_end: Callable[[int | str], None]
    ) -> int:
        pid = await self._client.spawn(job, descriptors, within_s=SPAWN_S)
        self._ends[pid] = on_end
        if pid in self._early:
            self._exited(pid, self._early.pop(pid))
        return pid

    def _exited(self, pid: int, status: int | str) -> None:
        on_end = self._ends.pop(pid, None)
        if on_end is None:
            self._early[pid] = status
        else:
            on_end(status)

    def _died(self, reason: str) -> None:
        for on_end in self._ends.values():
            on_end(reason)
        self._ends.clear()

    def _call(self, action: Callable[[], None], within_s: float = OF_THE_LOOP_S) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(within_s)


_lock = threading.Lock()
_host: list[WorkerHost] = []
_users = [0]


@contextmanager
def worker_host() -> Iterator[WorkerHost]:
    """The host of this worker, shared by its places; the last that leaves ends it."""
    with _lock:
        _users[0] += 1
        try:
            host = _host[0] if _host else WorkerHost()
        except BaseException:
            _users[0] -= 1
            raise
        _host[:] = [host]
    try:
        yield host
    finally:
        with _lock:
            _users[0] -= 1
            last = not _users[0]
            if last:
                _host.clear()
        if last:
            host.close()


def in_file(content: bytes) -> int:
    """Return a descriptor of an open file without a name that holds `content`; the caller closes it."""
    import tempfile

    with tempfile.TemporaryFile(prefix="nervenet-") as file:
        file.write(content)
        file.flush()
        return os.dup(file.fileno())
