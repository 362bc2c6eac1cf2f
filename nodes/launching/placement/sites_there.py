"""Sites whose rows lie at the workers: which files match there, and which of them is whose. Pure, but for a look.

A path that several workers see is one site where it is one file (a common disk, two workers of a machine), and a site
for each machine where it is another file on each.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...config.keys import ExperimentError
from ...runtime.printable import listed
from .link import host_of

Identity: TypeAlias = tuple[int, ...]
Seen: TypeAlias = list[tuple[str, Identity]]
"""The paths that match a pattern, each with what tells its file from others."""

_AT_HOST = re.compile(r"(?P<host>[^/\s]+):(?P<pattern>/.*)")


@dataclass(frozen=True)
class SiteFile:
    """A site's file, and the workers that see it."""

    path: str
    workers: tuple[str, ...]


def machines_of(workers: Sequence[str]) -> list[str]:
    """Return where a process may be that reads a file which these workers see: at any worker of their machines.

    A worker that is started again has another address, and the same disk. One within this process has no machine.
    """
    return sorted({each if each.startswith("inproc://") else host_of(each) for each in workers})


def look(patterns: Sequence[str]) -> list[Seen]:
    """Return what matches each pattern on this machine; ``HOST:/PATTERN`` is looked for on any."""
    found: list[Seen] = []
    for pattern in patterns:
        at_host = _AT_HOST.fullmatch(pattern)
        # Not Path.glob, which takes no absolute pattern.
        paths = map(Path, sorted(glob.glob(at_host["pattern"] if at_host else pattern)))  # noqa: PTH207
        stats = [(str(path.absolute()), path.stat()) for path in paths if path.is_file()]
        found.append([(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns)) for path, stat in stats])
    return found


def sites_at(found: Mapping[str, Sequence[Seen]], patterns: Sequence[str]) -> dict[str, SiteFile]:
    """Return the sites by what ``data.sites`` calls them: the path, or ``HOST:PATH`` where machines have one each.

    `found` is what each worker has seen, by its address.

    Raises
    ------
    ExperimentError
        No worker has a file that matches one of the patterns.
    """
    workers: dict[tuple[str, Identity], list[str]] = {}
    for number, pattern in enumerate(patterns):
        matches = list(_matches(found, number, pattern))
        if not matches:
            where = listed(sorted(found), 4) or "none are there"
            raise ExperimentError(f"data.sites = {pattern!r}: no such file at any worker ({where})")
        for worker, path, identity in matches:
            seen = workers.setdefault((path, identity), [])
            seen += [worker] if worker not in seen else []
    paths = [path for path, _ in workers]
    sites: dict[str, SiteFile] = {}
    for (path, _), seen in workers.items():
        name = path if paths.count(path) == 1 else f"{host_of(min(seen))}:{path}"
        sites[name] = SiteFile(path, tuple(sorted(seen)))
    return dict(sorted(sites.items()))


def _matches(found: Mapping[str, Sequence[Seen]], number: int, pattern: str) -> Iterator[tuple[str, str, Identity]]:
    at_host = _AT_HOST.fullmatch(pattern)
    for worker, seen in sorted(found.items()):
        if at_host is None or at_host["host"] == host_of(worker):
            yield from ((worker, path, tuple(identity)) for path, identity in seen[number])
