"""Processes that import nothing: forked from one that has imported what nervenet needs, one for each pytest worker.

Imports are most of what a short command costs. A process that `start` gives has all else of its own: session, working
folder, environment, descriptors, signals, exit code. What is about the start of an interpreter (which modules are
loaded, ``sitecustomize``, limits set by a shell) is tested on fresh ones; so is the first command of each kind on
README.md.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

NERVENET = ("-m", "nervenet.scripts.main")
FORKER = Path(__file__).with_name("forker.py")
BEFORE = dict(os.environ)  # any test: what one of them sets is for its own processes
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Process:
    """As much of `subprocess.Popen` as tests need, of a process that somebody else has forked."""

    def __init__(self, args: Sequence[str], pid: int, ended: int) -> None:
        self.args, self.pid = list(args), pid
        self.returncode: int | None = None
        self.stdout: IO[Any] | None = None
        self.stderr: IO[Any] | None = None
        self._ended = ended  # can be read when the process has ended
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
                self.returncode = self._status()
                os.close(self._ended)
        return self.returncode

    def _status(self) -> int:
        told = os.read(self._ended, 4)
        return int(struct.unpack("i", told)[0]) if told else -signal.SIGKILL

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left_s = None if until is None else until - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            with contextlib.suppress(OSError, ValueError):  # another thread has just seen the end
                select.select([self._ended], [], [], left_s)
        return code

    def communicate(self) -> tuple[str, None]:
        """Read standard output to its end, and wait for that of the process."""
        assert self.stdout is not None
        with self.stdout:
            said = self.stdout.read()
        self.wait()
        return said, None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    args: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    start_new_session: bool = False,
    pass_fds: Sequence[int] = (),
    network: str | None = None,
    **_: Any,
) -> Process:
    """Start ``python -m MODULE …`` or ``python SCRIPT …`` as `subprocess.Popen` would: no input, and pipes of text.

    `network` names a network namespace in which it runs.
    """
    sys.audit("subprocess.Popen", args[0], list(args), cwd, env)  # only a test that is marked e2e may
    with contextlib.ExitStack() as theirs:

        def pipe() -> tuple[int, int]:
            read, write = os.pipe()
            theirs.callback(os.close, write)
            return read, write

        def sink(wanted: int | None, standard: int) -> tuple[int | None, int]:
            if wanted == subprocess.PIPE:
                return pipe()
            return None, standard if wanted is None else nowhere if wanted == subprocess.DEVNULL else wanted

        nowhere = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, nowhere)
        ended, tell = pipe()
        read_out, out = sink(stdout, 1)
        read_err, err = (None, out) if stderr == subprocess.STDOUT else sink(stderr, 2)
        request = {
            "args": list(args),
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": start_new_session,
            "pass_fds": list(pass_fds),
            "network": network,
        }
        process = Process(args, _fork(request, [tell, nowhere, out, err, *pass_fds]), ended)
    process.stdout = os.fdopen(read_out, encoding="utf-8") if read_out is not None else None
    process.stderr = os.fdopen(read_err, encoding="utf-8") if read_err is not None else None
    return process


def _fork(request: dict[str, Any], descriptors: Sequence[int]) -> int:
    sock, lock = _forker()
    with lock:
        socket.send_fds(sock, [json.dumps(request).encode()], descriptors)
        return int(sock.recv(64))


@functools.cache
def _forker() -> tuple[socket.socket, threading.Lock]:
    """The process from which others are forked, which is started once and ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, str(FORKER), str(theirs.fileno())]
        env = {**BEFORE, **ONE_THREAD}
        forker = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=env)

    def end() -> None:
        ours.close()
        forker.wait(60)

    atexit.register(end)
    ours.recv(64)  # it has imported everything
    return ours, threading.Lock()


class WarmSubprocess:
    """The module `subprocess` for those who start fork servers."""

    def __init__(self, popen: Any = start) -> None:
        self.Popen = popen

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


@contextlib.contextmanager
def warm_fork_servers() -> Iterator[None]:
    """Fork servers that launchers start in this process are warm."""
    from nervenet.nodes.launching import forkserver_client

    _forker()  # that it starts is not to be part of anybody's deadline
    before = forkserver_client.subprocess
    forkserver_client.subprocess = WarmSubprocess()  # type: ignore[assignment]
    try:
        yield
    finally:
        forkserver_client.subprocess = before
