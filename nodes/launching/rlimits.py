"""What the operating system allows this process and its children: open files, processes."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress
from pathlib import Path

OUT_OF_RESOURCES = 71  # exit code of a process that the machine has refused something, and that could not report it
REFUSALS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}
SPARE = 8  # with fewer open files left, no socket and its connection can be opened
PLENTY = 10_240  # open files that macOS allows where its hard limit is said to be none


def raise_soft_limits() -> None:
    """Raise this process's own limits of open files and processes as far as it may; children inherit them.

    For processes that are ours: an embedded node or launcher leaves its host's limits alone.
    """
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        soft, hard = resource.getrlimit(kind)
        if soft == hard:
            continue
        try:
            resource.setrlimit(kind, (hard, hard))
        except (ValueError, OSError):
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (max(soft, PLENTY), hard))


def allowed_files() -> tuple[int, int]:
    """Return how many files this process may open, and each child, which raises its own limit first."""
    return tuple(_bounded(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))  # type: ignore[return-value]


def allowed_processes(root: Path = Path("/")) -> int:
    """Return how many processes and threads there may be: of this user, or in this container."""
    limits = [_bounded(resource.getrlimit(resource.RLIMIT_NPROC)[0])] if os.getuid() else []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers in ("", "pids"):
            top = root / "sys/fs/cgroup" / controllers
            for place in (top / group.lstrip("/"), top):
                limits += [int(text) for text in _lines(place / "pids.max") if text.isdecimal()]
    return min(limits, default=_bounded(resource.RLIM_INFINITY))


def ran_out(error: BaseException | None) -> bool:
    """Return whether an error, or what caused it, is that the machine refused files, memory or processes."""
    if 0 < allowed_files()[0] - open_files() < SPARE:
        return True  # whatever the library that was refused a file made of it
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in REFUSALS:
            return True
        error = error.__cause__ or error.__context__
    return False


def open_files() -> int:
    """Return how many files this process has open; 0 where that cannot be known."""
    with suppress(OSError):
        return len(list(Path("/dev/fd").iterdir()))
    return 0


def _bounded(limit: int) -> int:
    return limit if limit != resource.RLIM_INFINITY else 2**62


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
