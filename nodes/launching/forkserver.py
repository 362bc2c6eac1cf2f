"""One preloaded process from which node processes are forked: 64 of them in the time that one interpreter takes to
import numpy.

Run as ``python -m nervenet.nodes.launching.forkserver SOCKET PIPE`` with two inherited descriptors: a stream socket on
which requests come in, and the read end of a pipe whose other end the launcher holds. Every process here ends when that
pipe closes, however the launcher ended. Not multiprocessing's forkserver, because that one is process-global: an
application that embeds a launcher may need its own.

A request is a length (4 bytes, big-endian) and a msgpack map with the attached descriptors; answers have the same form:
``{"spawn": id, "job": …}`` is answered by ``{"spawned": id, "pid": …}``, ``{"signal": pid, "number": n}`` by nothing,
``{"preload": [module…]}`` by ``{"preloaded": [module…]}``, and the exit of a child is sent as
``{"exited": pid, "status": …}`` (negative: the signal that ended it). ``{"remove_at_end": folder}`` is answered by
nothing: whatever has become of the launcher by then, that folder is removed at the end.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import msgpack

from ..runtime.printable import printable_lines
from .rlimits import OUT_OF_RESOURCES, raise_soft_limits, ran_out

IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)  # SIGTERM not by children: the launcher stops them by it
LAST_S = 1.0  # how long a child may take to end when the launcher has
OF_PATHS = "surrogateescape"  # how Python has a file's name in text where it is no UTF-8
MAX_DESCRIPTORS = 128  # that go with one write; Linux takes 253
PRELOAD = (
    "asyncio",
    "numpy",
    "numpy.random",
    "numpy.ma",
    "concurrent.futures.thread",
    "structlog",
    "zmq",
    "msgspec",
    "nervenet.nodes.launching.node_process",
    "nervenet.nodes.roles.coordinator",
    "nervenet.nodes.roles.client",
    "nervenet.nodes.roles.peer",
    "nervenet.models.site_model",
    "nervenet.models.mlp.mlp",
    "nervenet.models.site_statistics",
    "nervenet.broker.broker",
)


def send(sock: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    body = msgpack.packb(message, unicode_errors=OF_PATHS)
    framed = struct.pack(">I", len(body)) + body
    for start in range(0, len(descriptors), MAX_DESCRIPTORS):
        # Each batch rides on a byte of its own, and all of them are there before the message is complete.
        sent = socket.send_fds(sock, [framed[:1]], list(descriptors[start : start + MAX_DESCRIPTORS]))
        framed = framed[sent:]
    sock.sendall(framed)


class MessageReader:
    """Splits the bytes of a stream socket into messages; never blocks longer than one read."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.closed = False
        self._bytes = b""
        self._descriptors: list[int] = []

    def read(self) -> list[tuple[dict[str, Any], list[int]]]:
        chunk, descriptors, _, _ = socket.recv_fds(self.sock, 65_536, MAX_DESCRIPTORS)
        self.closed = not chunk
        self._bytes += chunk
        self._descriptors += descriptors
        messages = []
        while len(self._bytes) >= 4:
            (length,) = struct.unpack(">I", self._bytes[:4])
            if len(self._bytes) < 4 + length:
                break
            message = msgpack.unpackb(self._bytes[4 : 4 + length], unicode_errors=OF_PATHS)
            self._bytes = self._bytes[4 + length :]
            wanted = int(message.get("descriptors", 0))
            messages.append((message, self._descriptors[:wanted]))
            self._descriptors = self._descriptors[wanted:]
        return messages


def exit_with_launcher(pipe: int) -> None:
    """End this process when the launcher has ended: a read returns only when the pipe's other end has closed.

    It is given a second to save what it has learned, as after a SIGTERM.
    """

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_S)
        os._exit(1)

    threading.Thread(target=watch, name="launcher-watch", daemon=True).start()


class ForkServer:
    """Forks children on request and reports their exits, until the launcher closes the socket."""

    def __init__(self, sock: socket.socket, pipe: int) -> None:
        self._sock = sock
        self._pipe = pipe
        self._reader = MessageReader(sock)
        self._children: set[int] = set()
        self._folders: list[tuple[int, str]] = []  # to be removed: descriptor and path
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        signal.set_wakeup_fd(self._wake_w)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the launcher may end in the middle of a message
            while not self._reader.closed:
                ready, _, _ = select.select([self._sock.fileno(), self._wake_r], [], [])
                if self._wake_r in ready:
                    os.read(self._wake_r, 4096)
                    self._reap()
                if self._sock.fileno() in ready:
                    for message, descriptors in self._read():
                        self._handle(message, descriptors)
        self._wait_for_children()
        for pid in self._children:
            # They see the pipe close by themselves, unless they are stopped (SIGSTOP).
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._remove_folders()

    def _read(self) -> list[tuple[dict[str, Any], list[int]]]:
        """Return the messages that have come, without those that name a folder: these hold from now on."""
        messages = self._reader.read()
        for message, _ in messages:
            if "remove_at_end" in message:
                path = message["remove_at_end"]
                with suppress(OSError):  # it is gone already
                    self._folders.append((os.open(path, os.O_RDONLY | os.O_DIRECTORY), path))
        return [each for each in messages if "remove_at_end" not in each[0]]

    def _remove_folders(self) -> None:
        """Remove what is to go at the end, though its launcher may have ended before this process read of it."""
        with suppress(OSError):
            while not self._reader.closed:
                self._read()
        for descriptor, path in self._folders:
            _remove(descriptor, path)

    def _wait_for_children(self) -> None:
        """Wait until all have ended, no longer than they may take without their launcher."""
        until = time.monotonic() + LAST_S
        while self._children and (left_s := until - time.monotonic()) > 0:
            if select.select([self._wake_r], [], [], left_s)[0]:
                os.read(self._wake_r, 4096)
                with suppress(OSError):  # nobody reads of it
                    self._reap()

    def _handle(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "spawn" in message:
            answer = {"spawned": message["spawn"], **self._fork(message["job"], descriptors)}
            for descriptor in descriptors:
                os.close(descriptor)
            send(self._sock, answer)
        elif "preload" in message:
            _preload(message["preload"], self._pipe, self._remove_folders)
            gc.freeze()
            send(self._sock, {"preloaded": message["preload"]})
        elif message["signal"] in self._children:
            # It has not been reaped: its process id cannot have been reused.
            os.kill(message["signal"], message["number"])

    def _fork(self, job: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        try:
            pid = os.fork()
        except OSError as error:
            return {"failed": str(error)}
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(self._wake_r)
            os.close(self._wake_w)
            for folder, _ in self._folders:
                os.close(folder)
            self._sock.close()
            _child(job, descriptors, self._pipe)
        self._children.add(pid)
        return {"pid": pid}

    def _reap(self) -> None:
        for pid in list(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._children.discard(pid)
                send(self._sock, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def _remove(descriptor: int, path: str) -> None:
    """Remove the folder that is open as `descriptor`, and not another that may have its path by now."""
    with suppress(OSError):
        for name in os.listdir(descriptor):
            with suppress(OSError):
                if stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    shutil.rmtree(name, dir_fd=descriptor)
                else:
                    os.unlink(name, dir_fd=descriptor)
        if os.path.samestat(os.fstat(descriptor), Path(path).stat()):
            Path(path).rmdir()


def _preload(modules: list[str], pipe: int, at_end: Callable[[], None]) -> None:
    """Import what children will need. What cannot be imported fails in the child that needs it."""
    with _ending_with_launcher(pipe, at_end):
        for module in modules:
            with suppress(Exception):
                importlib.import_module(module)


@contextmanager
def _ending_with_launcher(pipe: int, at_end: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Look now and then, while imports take seconds, whether the launcher has ended; call `at_end`, and end, then."""
    closed = select.poll()
    closed.register(pipe, select.POLLHUP)

    def look(*_: object) -> None:
        if closed.poll(0):
            at_end()
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.25, 0.25)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _child(job: dict[str, Any], descriptors: list[int], pipe: int) -> NoReturn:
    code = 1
    try:
        from .node_process import host

        exit_with_launcher(pipe)
        code = host(job, descriptors)
    except BaseException as error:  # noqa: BLE001  (a forked child must not return into this loop)
        _tell(error)
        code = OUT_OF_RESOURCES if ran_out(error) else 1
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        # Without the interpreter's shutdown: it would wait for threads and touch every shared page.
        os._exit(code)


def _tell(error: BaseException) -> None:
    """Say why a child ends: in its log, once that is there."""
    import logging
    import traceback

    if logging.root.handlers:
        logging.getLogger(__name__).critical("the process ends", exc_info=error)
    else:
        with suppress(OSError):  # the disk is full
            sys.stderr.write(printable_lines("".join(traceback.format_exception(error))))


def main(sock_fd: int, pipe: int) -> None:
    # Ctrl-C, a closed terminal and a service manager reach the whole process group; the launcher alone decides what
    # they mean, and needs this process to stop the others in order.
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    raise_soft_limits()  # children inherit them
    # structlog imports rich for tracebacks on a terminal, where it is there: 9 MB that no child needs.
    sys.modules["rich"] = None  # type: ignore[assignment]
    with _ending_with_launcher(pipe):
        for module in PRELOAD:
            importlib.import_module(module)
    del sys.modules["rich"]
    # What exists now is shared by all children; a garbage collection over it would copy its pages into each of them.
    gc.collect()
    gc.freeze()
    ForkServer(socket.socket(fileno=sock_fd), pipe).serve()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
