"""The launcher's side of the fork server: start it early, fork children, receive their exits."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..runtime.printable import listed
from .forkserver import LAST_S, MessageReader, send

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS"), "1"
)
"""N nodes share the cores: each multiplies matrices in one thread."""


IMPORT_S = 600.0
"""How much longer a child may take while the fork server starts or imports something: scikit-learn on a busy machine.

Whether it lives is known without a deadline: this one is for a machine that reads no more of its disk.
"""

CLOSE_S = 4.0
"""In which the fork server ends, beside the time that it gives to its children; a busy machine is late."""

SAY_EVERY_S = 15.0
"""While so much is waited for, it is said."""


class ForkServerError(RuntimeError):
    """The fork server could not start, or has died."""


class ForkServerClient:
    """Owns a fork server. Create it as early as possible: it imports while the launcher prepares the data.

    On the event loop `exited` is called with (pid, status) when a child has ended, `died` with a reason when the server
    has, `waits` now and then with what a child is waiting for.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        pipe_r, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nervenet.nodes.launching.forkserver", str(theirs.fileno()), str(pipe_r)],
                pass_fds=(theirs.fileno(), pipe_r),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
            )
        except OSError as error:
            raise ForkServerError(f"no process could be started: {error}") from error
        finally:
            theirs.close()
            os.close(pipe_r)
        self._sock = ours
        self._reader = MessageReader(ours)
        self._spawned: dict[int, asyncio.Future[int]] = {}
        self._next = 0
        # What it has yet to tell of, by the number of the request, which it answers in their order.
        self._imports = {0: ["its own modules"]}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.exited: Callable[[int, int | str], None] = lambda _pid, _status: None
        self.died: Callable[[str], None] = lambda _reason: None
        self.waits: Callable[[str], None] = lambda _reason: None

    def attach(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock.fileno(), self._read)

    def preload(self, modules: Sequence[str]) -> None:
        """Import modules, so that children have them; those that are forked meanwhile may come `IMPORT_S` later."""
        self._next += 1
        self._imports[self._next] = list(modules)
        send(self._sock, {"preload": list(modules)})

    def remove_at_end(self, folder: Path) -> None:
        """Have a folder removed when this process has ended, however that may be."""
        with suppress(OSError):  # the fork server is gone, and `died` was called
            send(self._sock, {"remove_at_end": str(folder.absolute())})

    async def spawn(self, job: Mapping[str, Any], descriptors: Sequence[int], *, within_s: float) -> int:
        """Fork a child that does `job`, and return its process id.

        Raises
        ------
        ForkServerError
            If the fork server has died or does not answer within the deadline.
        """
        if self._loop is None:
            self.attach()
        if self._imports:
            within_s += IMPORT_S
        self._next += 1
        number = self._next
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._spawned[number] = future
        saying = asyncio.create_task(self._say())
        try:
            send(self._sock, {"spawn": number, "job": dict(job), "descriptors": len(descriptors)}, tuple(descriptors))
            async with asyncio.timeout(within_s):
                return await future
        except (OSError, TimeoutError) as error:
            raise ForkServerError(
                f"no process could be forked within {within_s:g} s: {type(error).__name__} {error}"
            ) from error
        finally:
            saying.cancel()
            self._spawned.pop(number, None)

    async def _say(self) -> None:
        waited_s = 0.0
        while True:
            await asyncio.sleep(SAY_EVERY_S)
            waited_s += SAY_EVERY_S
            modules = [module for some in self._imports.values() for module in some]
            doing = f"still imports {listed(modules)}" if modules else "has not answered"
            self.waits(f"the process from which nodes are forked {doing}, for {waited_s:g} s")

    def signal(self, pid: int, number: int) -> None:
        """Have a signal sent to a child, by the fork server, which alone knows that the child is not reaped yet."""
        self._wake()
        with suppress(OSError):  # the fork server is gone, and `died` was called
            send(self._sock, {"signal": pid, "number": int(number)})

    def _read(self) -> None:
        try:
            messages = self._reader.read()
        except OSError:
            messages, self._reader.closed = [], True
        for message, _ in messages:
            if "spawned" in message:
                self._imported(message["spawned"])
                future = self._spawned.get(message["spawned"])
                if future and not future.done():
                    if "failed" in message:
                        future.set_exception(ForkServerError(f"no process could be forked: {message['failed']}"))
                    else:
                        future.set_result(message["pid"])
            elif "preloaded" in message:
                number = next((n for n, some in self._imports.items() if some == message["preloaded"]), -1)
                self._imported(number + 1)
            elif "exited" in message:
                self.exited(message["exited"], message["status"])
        if self._reader.closed:
            self._detach()
            reason = "the process from which nodes are forked has died"
            for future in self._spawned.values():
                if not future.done():
                    future.set_exception(ForkServerError(reason))
            self.died(reason)

    def _imported(self, before: int) -> None:
        self._imports = {number: some for number, some in self._imports.items() if number >= before}

    def _detach(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._sock.fileno())
        self._loop = None

    def _wake(self) -> None:
        """Continue the fork server, if something has stopped it (SIGSTOP): no run ends without it.

        It kills the children that do not see the pipe close because they are stopped themselves.
        """
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the fork server and, by closing the pipe, whatever children are left."""
        self._detach()
        self._sock.close()
        os.close(self._pipe)
        self._wake()
        try:
            self._process.wait(LAST_S + CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
