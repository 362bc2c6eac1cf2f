"""What this machine has: packages, limits, memory, room on its disk, free ports. Looks, and changes nothing."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import zmq

from ..launching.rlimits import allowed_files, allowed_processes, open_files

EXTRAS = ("networkx", "rich", "skops", "matplotlib", "pyarrow")


@dataclass(frozen=True)
class Libraries:
    python: tuple[int, ...]
    installed: dict[str, str]  # package: its version; those that are missing are not there
    least: dict[str, str]  # of those that nervenet cannot do without
    libzmq: str
    curve: bool  # whether libzmq can encrypt


@dataclass(frozen=True)
class Limits:
    files: int  # that a process may open
    open_files: int
    processes: int
    memory: int | None  # bytes that are free; None: not known here


@dataclass(frozen=True)
class Folder:
    """Where a run folder is to be, and the nearest folder that is there already."""

    path: Path
    parent: Path
    free: int  # bytes
    why: str = ""  # it cannot be written


@dataclass(frozen=True)
class Ports:
    host: str
    ports: tuple[int, ...]
    taken: tuple[int, ...]
    why: str = ""


def look_at_libraries() -> Libraries:
    least = _least(importlib.metadata.requires("nervenet") or []) if _version("nervenet") else {}
    names = (*least, *EXTRAS, "numpy", "scikit-learn", "pyzmq")
    installed = {name: found for name in names if (found := _version(name))}
    return Libraries(sys.version_info[:3], installed, least, zmq.zmq_version(), bool(zmq.has("curve")))


def _version(name: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return ""


def _least(requirements: list[str]) -> dict[str, str]:
    """Return the least version of each package that is needed in any case."""
    found = (re.match(r"([\w.-]+)>=([\d.]+)$", line) for line in requirements if ";" not in line)
    return {match[1]: match[2] for match in found if match}


def look_at_limits() -> Limits:
    return Limits(min(allowed_files()), open_files(), allowed_processes(), free_memory())


def free_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes this process may still take: of the machine, or of its container."""
    found = list[int]()
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 1024)
    for line in _lines(root / "proc/self/cgroup"):
        group = line.split(":", 2)[2].lstrip("/")
        for place in (root / "sys/fs/cgroup" / group, root / "sys/fs/cgroup"):
            most, now = (_lines(place / name) for name in ("memory.max", "memory.current"))
            if most and now and most[0].isdecimal() and now[0].isdecimal():
                found.append(max(0, int(most[0]) - int(now[0])))
    return min(found, default=None)


def look_at_folder(path: Path) -> Folder:
    """Try to write a file where a folder is, or would be made; it is gone at once."""
    parent = path.absolute()
    while not parent.is_dir() and parent != parent.parent:
        parent = parent.parent
    try:
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(b"x")
            file.flush()
        return Folder(path, parent, shutil.disk_usage(parent).free)
    except OSError as error:
        return Folder(path, parent, 0, error.strerror or str(error))


def look_at_ports(host: str, ports: tuple[int, ...]) -> Ports:
    """Bind ports for a moment."""
    taken = list[int]()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        for port in ports:
            one = stack.enter_context(socket.socket(family))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("" if host in {"*", "0.0.0.0"} else host.strip("[]"), port))
            except (OSError, UnicodeError) as error:
                if getattr(error, "errno", 0) != 98 and "in use" not in str(error).lower():
                    return Ports(host, ports, (), str(getattr(error, "strerror", None) or error))
                taken.append(port)
    return Ports(host, ports, tuple(taken))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
