"""The process from which `warm` has others forked: ``python tests/forker.py DESCRIPTOR``.

It says on that socket when it is ready. Requests come in on it, one in a packet, with the descriptors that the new
process is to have; the new process itself answers with its id. Its exit code goes to the first of the descriptors. When
the socket closes, this process ends; those that it has forked go on.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from warm import Process, WarmSubprocess

FORK_SERVER = "nervenet.nodes.launching.forkserver"
CLIENT = "nervenet.nodes.launching.forkserver_client"
IMPORTED = (
    *(f"nervenet.scripts.{name}" for name in ("launch", "broker", "node", "monitor", "keys", "join", "views")),
    "nervenet.scripts.result_table",
    "nervenet.scripts.signals",
    FORK_SERVER,
    CLIENT,
    "nervenet.nodes.launching.launcher",
    "nervenet.nodes.launching.standalone",
    "nervenet.nodes.monitoring.monitor",
    "nervenet.nodes.results.plots",
    "nervenet.models.datasets",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "sklearn.compose",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
)
ABOVE = 200  # descriptors are moved here first, lest one be put where another still is
NETWORKS, NEW_NETWORK = Path("/run/netns"), 0x40000000  # CLONE_NEWNET
LARGEST = 1 << 17  # bytes of a request


def serve(sock: socket.socket) -> None:
    """Fork on request until the socket closes; returns in each child, which is by then what was asked for."""
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the socket says when it is time
    tell: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([sock, wake_r], [], [])
        if wake_r in ready:
            os.read(wake_r, 4096)
            for pid in list(tell):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    with contextlib.suppress(BrokenPipeError), os.fdopen(tell.pop(pid), "wb") as pipe:
                        pipe.write(struct.pack("i", os.waitstatus_to_exitcode(status)))
        if sock in ready:
            body, descriptors, _, _ = socket.recv_fds(sock, LARGEST, 64)
            if not body:
                os._exit(0)
            pid = os.fork()
            if not pid:
                become(json.loads(body), descriptors[1:], sock)
                return
            tell[pid] = descriptors[0]
            for descriptor in descriptors[1:]:
                os.close(descriptor)


def become(request: Mapping[str, Any], descriptors: Sequence[int], sock: socket.socket) -> None:
    """Make a fresh child what was asked for, and say so: from then on it can be sent signals."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["session"]:
        os.setsid()
    if request["network"]:
        enter_network(request["network"])
    above = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, ABOVE)
    places = dict(zip([0, 1, 2, *request["pass_fds"]], descriptors, strict=True))
    place_descriptors({**places, above: above})
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.stdout.reconfigure(line_buffering="PYTHONUNBUFFERED" in os.environ)  # type: ignore[union-attr]
    script, *words = request["args"][1:]
    if script == "-m":
        script, *words = words
    sys.argv = [script, *words]
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[0:1] = [str(Path(script).parent) if is_file(script) else request["cwd"], *filter(None, added)]
    importlib.invalidate_caches()
    os.write(above, str(os.getpid()).encode())
    os.close(above)


def enter_network(name: str) -> None:
    """Move this process into a network namespace, as ``ip netns exec`` does."""
    with (NETWORKS / name).open("rb") as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"network namespace {name}")


def place_descriptors(places: Mapping[int, int]) -> None:
    """Put each descriptor in its place, and close all others."""
    above = {place: fcntl.fcntl(descriptor, fcntl.F_DUPFD, ABOVE + 1) for place, descriptor in places.items()}
    for place, descriptor in above.items():
        os.dup2(descriptor, place)
    for path in list(Path("/proc/self/fd").iterdir()):
        if int(path.name) not in places:
            with contextlib.suppress(OSError):  # that of the listing has been closed
                os.close(int(path.name))


def is_file(script: str) -> bool:
    return script.endswith(".py")


class Child(Process):
    """A child of this process itself."""

    def __init__(self, args: Sequence[str], pid: int) -> None:
        super().__init__(args, pid, os.pidfd_open(pid))

    def _status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork_server(args: Sequence[str], *, pass_fds: Sequence[int], **_: Any) -> Process:
    """Fork a launcher's fork server from the launcher, which has done nothing yet, and so has no threads."""
    assert args[2] == FORK_SERVER, args
    assert threading.active_count() == 1, threading.enumerate()
    pid = os.fork()
    if not pid:
        nowhere = os.open(os.devnull, os.O_RDONLY)
        place_descriptors({0: nowhere, **{descriptor: descriptor for descriptor in (1, 2, *pass_fds)}})
        sys.modules[FORK_SERVER].main(*pass_fds)
    return Child(args, pid)


def run() -> None:
    """Be what the command line says."""
    script = sys.argv[0]
    if is_file(script):
        runpy.run_path(script, run_name="__main__")
    elif script == FORK_SERVER:
        sys.modules[FORK_SERVER].main(*map(int, sys.argv[1:]))
    else:
        sys.modules[CLIENT].subprocess = WarmSubprocess(fork_server)  # type: ignore[attr-defined]
        main = importlib.import_module(script)
        main.STARTED_AT = time.time()
        main.main()


def exit_code() -> int:
    """Run, and return the code with which an interpreter would end."""
    try:
        run()
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except BaseException:  # noqa: BLE001  (as the interpreter itself)
        traceback.print_exc()
        return 1
    return 0


def end(code: int) -> NoReturn:
    """End as an interpreter does, but for its modules: to clear them would copy every page of them."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.modules["rich"] = None  # type: ignore[assignment]  # structlog would import it, and only a terminal needs it
    for module in IMPORTED:
        importlib.import_module(module)
    del sys.modules["rich"]
    gc.collect()
    gc.freeze()  # a collection would copy every page into each child
    requests = socket.socket(fileno=int(sys.argv[1]))
    requests.send(b"ready")
    serve(requests)
    end(exit_code())
